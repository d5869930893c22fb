import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import net, { type AddressInfo } from "node:net";
import { PassThrough, Readable } from "node:stream";
import { after, suite, type TestContext, test } from "node:test";
import type { TLSSocket } from "node:tls";
import { makeAuthority } from "../../../test/support/certificates.ts";
import { optionsFor, QUIET, requestMessage, textOfAnswer } from "../../../test/support/upstream.ts";
import { waitFor } from "../../../test/support/wait.ts";
import { CallAbort } from "../../core/call-signal.ts";
import { isSwitched } from "../../core/message.ts";
import { systemClock } from "../../runtime/system-clock.ts";
import type { TlsTrust, Upstream } from "./upstream.ts";
import { upstreamFactory } from "./upstream-factory.ts";

const authority = makeAuthority({ after });
const stranger = makeAuthority({ after });
const certificate = authority.issue("app", "IP:127.0.0.1, DNS:localhost, DNS:app.test");
const CA = readFileSync(authority.caFile, "utf8");
const OTHER_CA = readFileSync(stranger.caFile, "utf8");

interface Origin {
  readonly port: number;
  readonly server: https.Server;
  readonly begun: string[];
  readonly sockets: TLSSocket[];
}

const sayOk: http.RequestListener = (request, response) => {
  request.resume();
  response.end("ok");
};

async function startOrigin(
  t: TestContext,
  handle: http.RequestListener = sayOk,
  options: https.ServerOptions = {},
): Promise<Origin> {
  const begun: string[] = [];
  const sockets: TLSSocket[] = [];
  const server = https.createServer({ ...certificate, ...options }, (request, response) => {
    begun.push(`${request.method ?? ""} ${request.url ?? ""}`);
    handle(request, response);
  });
  server.on("secureConnection", (socket) => sockets.push(socket));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return { port: (server.address() as AddressInfo).port, server, begun, sockets };
}

/** An origin without TLS. */
async function startPlain(t: TestContext, onConnection: (socket: net.Socket) => void): Promise<number> {
  const sockets = new Set<net.Socket>();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    onConnection(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

for (const codec of ["lean", "node"] as const) {
  suite(`over TLS, by the ${codec} codec`, () => {
    const create = upstreamFactory({ codec, clock: systemClock, log: QUIET });

    function upstreamTo(t: TestContext, port: number, trust?: TlsTrust, host = "127.0.0.1"): Upstream {
      const upstream = create({ ...optionsFor(port, host), wire: { kind: "https", trust } });
      t.after(() => {
        upstream.destroy();
      });
      return upstream;
    }

    test("any certificate will do where nobody says whose", async (t) => {
      const origin = await startOrigin(t);
      const upstream = upstreamTo(t, origin.port);
      assert.equal(upstream.origin, `https://127.0.0.1:${origin.port}`);
      assert.equal(await textOfAnswer(await upstream.send(requestMessage())), "ok");
    });

    test("a certificate of the authority that is named is taken, for the name that it is for", async (t) => {
      const origin = await startOrigin(t);
      const trusts: readonly (readonly [serverName: string | undefined, host?: string])[] = [
        [undefined],
        ["app.test"],
        ["127.0.0.1"],
        [undefined, "localhost"],
      ];
      for (const [serverName, host] of trusts) {
        const upstream = upstreamTo(t, origin.port, { ca: CA, serverName }, host);
        assert.equal(
          await textOfAnswer(await upstream.send(requestMessage({ body: Buffer.from("x"), method: "POST" }))),
          "ok",
        );
      }
      const names = origin.sockets.map((socket) => (socket as { servername?: string | false }).servername);
      assert.deepEqual(names, [false, "app.test", false, "localhost"]);
    });

    for (const [what, trust, says] of [
      ["another authority", { ca: OTHER_CA, serverName: undefined }, /certificate is refused: /],
      ["another name", { ca: CA, serverName: "other.test" }, /certificate is refused: .*other\.test/],
    ] as const) {
      test(`a certificate of ${what} is refused, and nothing is sent to who shows it`, async (t) => {
        const origin = await startOrigin(t);
        let received = 0;
        origin.server.on("secureConnection", (socket) => socket.on("data", () => received++));
        const upstream = upstreamTo(t, origin.port, trust);
        const bodies = [undefined, Buffer.from("secret"), Readable.from([Buffer.from("secret")])];
        for (const body of bodies) {
          const method = body === undefined ? "GET" : "POST";
          const sending = upstream.send(requestMessage({ method, ...(body === undefined ? {} : { body }) }));
          await assert.rejects(sending, { name: "UpstreamError", kind: "untrusted", message: says });
        }
        assert.deepEqual([origin.begun, received], [[], 0]);
      });
    }

    test("TLS before 1.2 is not spoken", async (t) => {
      const old = { minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" } as const;
      const { port } = await startOrigin(t, sayOk, old);
      await assert.rejects(upstreamTo(t, port).send(requestMessage()), /TLS failed: /);
    });

    for (const [what, greet] of [
      ["HTTP", (socket: net.Socket) => socket.end("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")],
      ["text", (socket: net.Socket) => socket.write("220 what is this?\r\n")],
    ] as const) {
      test(`an origin that answers in ${what} without TLS is told`, async (t) => {
        const port = await startPlain(t, (socket) => socket.once("data", () => greet(socket)));
        const failure = { name: "UpstreamError", kind: "foreign", message: /: the answer is not in TLS$/ };
        await assert.rejects(upstreamTo(t, port).send(requestMessage()), failure);
      });
    }

    test("an origin that closes its connections is broken", async (t) => {
      const port = await startPlain(t, (socket) => socket.destroy());
      await assert.rejects(upstreamTo(t, port).send(requestMessage()), { name: "UpstreamError", kind: "broken" });
    });

    test("an origin that is silent instead of shaking hands is given up", async (t) => {
      const port = await startPlain(t, (socket) => socket.resume());
      await assert.rejects(upstreamTo(t, port).send(requestMessage()), { kind: "broken", message: /timed out/ });
    });

    test("connections are kept, and used again", async (t) => {
      const origin = await startOrigin(t);
      const upstream = upstreamTo(t, origin.port);
      for (let i = 0; i < 5; i++) assert.equal(await textOfAnswer(await upstream.send(requestMessage())), "ok");
      assert.equal(origin.sockets.length, 1);
    });

    test("a body that can be sent only once goes out on a connection of its own, with a shorter handshake", async (t) => {
      const origin = await startOrigin(t);
      const upstream = upstreamTo(t, origin.port, { ca: CA, serverName: "app.test" });
      await textOfAnswer(await upstream.send(requestMessage()));
      const body = Readable.from([Buffer.from("a"), Buffer.from("b")]);
      assert.equal(await textOfAnswer(await upstream.send(requestMessage({ method: "POST", body }))), "ok");
      assert.equal(origin.sockets.length, 2);
      // Node's agent makes an agent of its own for such a request, which knows no sessions.
      assert.equal(origin.sockets[1]?.isSessionReused(), codec === "lean");
    });

    test("what may be done twice is done again where a kept connection turns out stale", async (t) => {
      const origin = await startOrigin(t, (request, response) => {
        if (origin.begun.length === 2) request.socket.destroy();
        else sayOk(request, response);
      });
      const upstream = upstreamTo(t, origin.port);
      await textOfAnswer(await upstream.send(requestMessage()));
      assert.equal(await textOfAnswer(await upstream.send(requestMessage())), "ok");
      assert.equal(origin.begun.length, 3);
    });

    test("bodies of any size cross whole, both ways", async (t) => {
      const origin = await startOrigin(t, (request, response) => {
        response.setHeader(
          "X-Framing",
          request.headers["transfer-encoding"] ?? request.headers["content-length"] ?? "",
        );
        request.pipe(response);
      });
      const upstream = upstreamTo(t, origin.port);
      for (const size of [0, 1, 8 * 1024 + 1, 3 * 1024 * 1024]) {
        const bytes = Buffer.alloc(size, "abcdefg");
        const whole = await upstream.send(requestMessage({ method: "POST", body: bytes }));
        assert.equal(await textOfAnswer(whole), bytes.toString("latin1"));
        const streamed = await upstream.send(requestMessage({ method: "POST", body: Readable.from([bytes, bytes]) }));
        assert.equal(await textOfAnswer(streamed), bytes.toString("latin1").repeat(2));
      }
    });

    test("a caller that leaves closes the connection, before the answer and within it", async (t) => {
      let closes = 0;
      const origin = await startOrigin(t, (request, response) => {
        response.once("close", () => closes++);
        if (request.url === "/begun") response.write("a");
      });
      const upstream = upstreamTo(t, origin.port);
      for (const path of ["/unbegun", "/begun"]) {
        const signal = new CallAbort();
        const sending = upstream.send(requestMessage({ path, signal }));
        if (path === "/begun") await sending;
        else await waitFor("the request", () => origin.begun.length === 1);
        signal.abort(new Error("gone"));
        if (path === "/unbegun") await assert.rejects(sending, /gone/);
        await waitFor("the end of the connection", () => closes === origin.begun.length);
      }
    });

    test("a change of protocol is carried, and the end of each half", async (t) => {
      const origin = await startOrigin(t);
      origin.server.on("upgrade", (request, socket) => {
        assert.equal(request.headers.upgrade, "echo");
        socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
        socket.pipe(socket);
      });
      const answer = await upstreamTo(t, origin.port).send({ ...requestMessage(), upgrade: "echo" });
      assert.ok(isSwitched(answer));
      answer.body.end("across");
      assert.equal(await textOfAnswer(answer), "across");
    });

    test("an origin that does not read stops the sending", async (t) => {
      let held: http.IncomingMessage | undefined;
      const origin = await startOrigin(t, (request, response) => {
        held = request;
        request.once("end", () => response.end("ok"));
      });
      const upstream = upstreamTo(t, origin.port);
      let read = 0;
      const piece = Buffer.alloc(256 * 1024, "a");
      const body = new PassThrough();
      const source = new Readable({
        read() {
          this.push(++read > 400 ? null : piece);
        },
      });
      source.pipe(body);
      const answer = upstream.send(requestMessage({ method: "POST", body })).then(textOfAnswer);
      const request = await waitFor("the request", () => held);
      // Other calls go on meanwhile, which takes turns in which the body could have gone on too.
      let before = -1;
      while (before !== read) {
        before = read;
        for (let i = 0; i < 20; i++) assert.ok((await fetchPlain(t)) > 0);
      }
      assert.ok(read < 200, `${read} pieces were read for an origin that takes none`);
      request.resume();
      assert.equal(await answer, "ok");
    });
  });
}

/** A turn of the event loop that has been to the network and back. */
async function fetchPlain(t: TestContext): Promise<number> {
  const port = await startPlain(t, (socket) => socket.end("x"));
  const socket = net.connect(port, "127.0.0.1");
  let received = 0;
  socket.on("data", (bytes) => {
    received += bytes.length;
  });
  await once(socket, "close");
  return received;
}
