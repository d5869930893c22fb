// @fastify/http-proxy, with enough connections for the rows with many streams (its default is 128).
import fastifyHttpProxy from "@fastify/http-proxy";
import fastify from "fastify";

const [port, appPort] = process.argv.slice(2).map(Number);
const server = fastify({ keepAliveTimeout: 3_600_000, requestTimeout: 0, bodyLimit: 2 ** 31 });
server.register(fastifyHttpProxy, { upstream: `http://127.0.0.1:${appPort}`, undici: { connections: 2048 } });
await server.listen({ port, host: "127.0.0.1", backlog: 4096 });
