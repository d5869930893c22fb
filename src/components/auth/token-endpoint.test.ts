import assert from "node:assert/strict";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { createServer, type Socket } from "node:net";
import { test } from "node:test";
import type { TestScope } from "../../../test/support/cleanup.ts";
import { ServerFailure } from "./server-answer.ts";
import { TokenEndpoint } from "./token-endpoint.ts";

/** A server that does with connections what is said. */
async function startServer(t: TestScope, meet: (socket: Socket) => void): Promise<URL> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on("error", () => undefined);
    meet(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/token?key=hidden`);
}

function endpointAt(tokenUrl: URL, timeoutMs?: number): TokenEndpoint {
  return new TokenEndpoint({ clientId: "me", clientSecret: "a secret", tokenUrl, authStyle: "auto" }, timeoutMs);
}

test("a server that stalls is given up, before its answer and within it", async (t) => {
  const silent = await startServer(t, (socket) => socket.resume());
  const stalled = await startServer(t, (socket) => {
    socket.resume().write("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{");
  });
  for (const url of [silent, stalled]) {
    await assert.rejects(endpointAt(url, 100).forClient(new URLSearchParams()), (error: unknown) => {
      assert.ok(error instanceof ServerFailure);
      assert.match(error.message, /^http:\/\/127\.0\.0\.1:\d+\/token: it gave no answer within 0\.1 s$/);
      return error.isPassing;
    });
  }
});

test("a server that hangs up, or speaks something else, is told without what it was asked", async (t) => {
  const rude = await startServer(t, (socket) => socket.once("data", () => socket.destroy()));
  const odd = await startServer(t, (socket) => socket.once("data", () => socket.end("220 ftp ready\r\n")));
  for (const url of [rude, odd]) {
    await assert.rejects(endpointAt(url).forClient(new URLSearchParams()), (error: Error) => {
      assert.match(error.message, /\/token: it cannot be reached \(\w+\)$/);
      return !/hidden|secret/.test(error.message);
    });
  }
});

test("the secret is not sent where a server redirects to", async (t) => {
  let asked = 0;
  const elsewhere = await startServer(t, () => asked++);
  const url = await startServer(t, (socket) => {
    socket.once("data", () => {
      socket.end(`HTTP/1.1 307 Elsewhere\r\nlocation: ${elsewhere.href}\r\ncontent-length: 0\r\n\r\n`);
    });
  });
  await assert.rejects(endpointAt(url).forClient(new URLSearchParams()), /it answered 307; check tokenURL/);
  assert.equal(asked, 0);
});
