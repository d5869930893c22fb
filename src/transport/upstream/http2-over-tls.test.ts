import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import http2, { type IncomingHttpHeaders, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import https from "node:https";
import type net from "node:net";
import { after, type TestContext, test } from "node:test";
import tls from "node:tls";
import { makeAuthority } from "../../../test/support/certificates.ts";
import { countMalformed, optionsFor, requestMessage, textOfAnswer } from "../../../test/support/upstream.ts";
import { Http2Upstream } from "./http2-upstream.ts";
import type { TlsTrust } from "./upstream.ts";

/** HTTP/2 over TLS: what differs from HTTP/2 without it. */

const authority = makeAuthority({ after });
const certificate = authority.issue("origin", "DNS:origin.test, IP:127.0.0.1");
const { key, cert } = certificate;

type Handler = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, session: ServerHttp2Session) => void;

async function startOrigin(
  t: TestContext,
  handle: Handler,
): Promise<{ readonly port: number; readonly names: string[] }> {
  const server = http2.createSecureServer({ key, cert });
  const names: string[] = [];
  server.on("session", (session) => {
    session.on("error", () => undefined);
    session.on("stream", (stream, headers) => {
      stream.on("error", () => undefined);
      handle(stream, headers, session);
    });
  });
  server.on("secureConnection", (socket: tls.TLSSocket & { servername?: string | false }) => {
    names.push(String(socket.servername));
  });
  return { port: await listening(t, server), names };
}

async function listening(t: TestContext, server: net.Server): Promise<number> {
  const sockets = new Set<net.Socket>();
  server.on("connection", (socket: net.Socket) => sockets.add(socket));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return (server.address() as net.AddressInfo).port;
}

function upstreamTo(t: TestContext, port: number, trust?: TlsTrust, probeAfterMs?: number): Http2Upstream {
  const options = { ...optionsFor(port), wire: { kind: "h2", trust } } as const;
  const upstream = new Http2Upstream(options, countMalformed(), probeAfterMs);
  t.after(() => {
    upstream.destroy();
  });
  return upstream;
}

test("requests are of the scheme https, and share a connection", async (t) => {
  const schemes: unknown[] = [];
  const { port, names } = await startOrigin(t, (stream, headers) => {
    schemes.push(headers[":scheme"]);
    stream.respond({ ":status": 200 });
    stream.end("answer");
  });
  const upstream = upstreamTo(t, port);
  assert.equal(upstream.origin, `https://127.0.0.1:${port}`);
  for (let i = 0; i < 3; i++) assert.equal(await textOfAnswer(await upstream.send(requestMessage())), "answer");
  assert.deepEqual([schemes, names.length], [["https", "https", "https"], 1]);
});

test("the certificate is judged where that is asked, and the name goes out", async (t) => {
  const { port, names } = await startOrigin(t, (stream) => {
    stream.respond({ ":status": 204 }, { endStream: true });
  });
  const ca = readFileSync(authority.caFile, "utf8");
  const own = readFileSync(makeAuthority(t).caFile, "utf8");
  const { status } = await upstreamTo(t, port, { ca, serverName: "origin.test" }).send(requestMessage());
  assert.deepEqual([status, names], [204, ["origin.test"]]);
  for (const trust of [
    { ca, serverName: "other.test" },
    { ca: own, serverName: "origin.test" },
  ]) {
    await assert.rejects(upstreamTo(t, port, trust).send(requestMessage()), {
      kind: "untrusted",
      message: /its certificate is refused/,
    });
  }
});

test("an origin whose TLS is for HTTP/1.1 is told to be foreign", async (t) => {
  const refusing = await listening(t, https.createServer({ key, cert }));
  const choosing = await listening(t, tls.createServer({ key, cert, ALPNCallback: () => undefined }));
  for (const port of [refusing, choosing]) {
    await assert.rejects(upstreamTo(t, port).send(requestMessage()), {
      kind: "foreign",
      message: /its TLS is for another protocol \(ALPN\)/,
    });
  }
});

test("a silent session that is well stays, for as long as its call takes", async (t) => {
  const begun: ServerHttp2Stream[] = [];
  let probes = 0;
  const { port } = await startOrigin(t, (stream, _, session) => {
    begun.push(stream);
    session.on("remoteSettings", () => {
      probes++;
      // The answer comes after we have been asked, and the asking was judged.
      if (probes === 3) {
        stream.respond({ ":status": 200 });
        stream.end("late");
      }
    });
  });
  const upstream = upstreamTo(t, port, undefined, 30);
  assert.equal(await textOfAnswer(await upstream.send(requestMessage())), "late");
  assert.equal(begun.length, 1);
});
