// The package http-proxy with connections kept open, which it does not do by itself.
import http from "node:http";
import httpProxy from "http-proxy";

const [port, appPort] = process.argv.slice(2).map(Number);
const proxy = httpProxy.createProxyServer({
  target: { host: "127.0.0.1", port: appPort },
  agent: new http.Agent({ keepAlive: true, noDelay: true, maxFreeSockets: 1024 }),
});
proxy.on("error", (_error, _request, response) => response.destroy());

http
  .createServer({ requestTimeout: 0, keepAliveTimeout: 3_600_000 }, (request, response) => proxy.web(request, response))
  .listen({ port, host: "127.0.0.1", backlog: 4096 });
