import assert from "node:assert/strict";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { once } from "node:events";
import net, { type Socket } from "node:net";
import { Duplex, PassThrough } from "node:stream";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { waitFor } from "../../../test/support/wait.ts";
import { HALF_CLOSED_PATIENCE_MS, type HttpExchange } from "./http-exchange.ts";
import { type HttpCodec, HttpListener } from "./http-listener.ts";

const CODECS: readonly HttpCodec[] = ["lean", "node"];
const ASKING = "GET /asking HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\n";
const log = { debug: ignore, info: ignore, warn: ignore, error: ignore };

interface Served {
  /** In the order in which they began; whoever wants an answer gives it. */
  readonly begun: HttpExchange[];
  /** The listener's ends of its connections. */
  readonly accepted: Socket[];
  readonly connect: () => Promise<Client>;
}

interface Client {
  readonly socket: Socket;
  /** All that has come. */
  readonly text: () => string;
}

async function serve(t: TestContext, codec: HttpCodec): Promise<Served> {
  const begun: HttpExchange[] = [];
  const handle = async (exchange: HttpExchange): Promise<void> => {
    begun.push(exchange);
    return Promise.resolve();
  };
  const listener = new HttpListener({ name: "test", codec, readBufferBytes: 4096, log, handle });
  const port = await listener.listen("127.0.0.1", 0);
  const accepted: Socket[] = [];
  const note = (message: unknown): void => {
    const { socket } = message as { socket: Socket };
    if (socket.localPort === port) accepted.push(socket);
  };
  subscribe("net.server.socket", note);
  t.after(() => {
    unsubscribe("net.server.socket", note);
    listener.destroy();
  });
  const connect = async (): Promise<Client> => {
    const socket = net.connect({ host: "127.0.0.1", port, allowHalfOpen: true });
    socket.on("error", ignore);
    t.after(() => socket.destroy());
    let text = "";
    socket.setEncoding("latin1").on("data", (piece: string) => {
      text += piece;
    });
    await once(socket, "connect");
    return { socket, text: () => text };
  };
  return { begun, accepted, connect };
}

/** An app's end of an upgraded connection, which says back what it hears. */
function echo(): Duplex {
  return new PassThrough();
}

async function next(begun: readonly HttpExchange[], count = 1): Promise<HttpExchange> {
  return waitFor(`request ${count}`, () => begun[count - 1]);
}

for (const codec of CODECS) {
  test(`${codec}: an event stream to a client that has left is given up in its silence, before or after it began`, async (t) => {
    const { begun, accepted, connect } = await serve(t, codec);
    for (const [index, leaves] of ["before", "after"].entries()) {
      const { socket, text } = await connect();
      socket.write("GET /events HTTP/1.1\r\nHost: x\r\n\r\n");
      const exchange = await next(begun, index + 1);
      const body = new PassThrough();
      const leave = async (): Promise<void> => {
        socket.end();
        await waitFor("the end to be heard", () => accepted[index]?.readableEnded);
      };
      if (leaves === "before") await leave();
      exchange.answer({ status: 200, statusText: "", headers: ["Content-Type", "text/event-stream"], body });
      body.write("data: 1\n\n");
      await waitFor("the first event", () => text().includes("data: 1"));
      if (leaves === "after") await leave();
      body.write("data: 2\n\n");
      await waitFor("an event that flows", () => text().includes("data: 2"));
      await waitFor("the call to be given up", () => exchange.signal.aborted);
      assert.ok(body.destroyed, "nobody reads it any more");
    }
  });

  test(`${codec}: an ordinary answer that pauses goes on to a client that has closed its half`, async (t) => {
    const { begun, connect } = await serve(t, codec);
    const { socket, text } = await connect();
    socket.end("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n");
    const exchange = await next(begun);
    const body = new PassThrough();
    exchange.answer({ status: 200, statusText: "", headers: ["Content-Type", "text/plain"], body });
    body.write("one ");
    await waitFor("the first piece", () => text().includes("one "));
    // Longer than an event stream would be waited for; that nothing happens meanwhile cannot be waited for otherwise.
    await sleep(2 * HALF_CLOSED_PATIENCE_MS);
    body.end("two");
    await once(socket, "end");
    assert.match(text(), /one [^]*two/);
    assert.equal(exchange.signal.aborted, false);
  });

  test(`${codec}: a caller that leaves during the handshake is noticed, whatever it has sent behind its head`, async (t) => {
    const { begun, connect } = await serve(t, codec);
    for (const [index, early] of ["", "x", "y".repeat(20_000)].entries()) {
      const { socket } = await connect();
      socket.end(`${ASKING}${early}`);
      const exchange = await next(begun, index + 1);
      await waitFor("the call to be given up", () => exchange.signal.aborted);
    }
  });

  test(`${codec}: what a client sends before it is answered reaches the app first, its end last`, async (t) => {
    const { begun, accepted, connect } = await serve(t, codec);
    for (const [index, isEnded] of [false, true].entries()) {
      const { socket, text } = await connect();
      socket.write(`${ASKING}1,`);
      const exchange = await next(begun, index + 1);
      // More than is held, so that the rest waits in the kernel.
      socket.write(isEnded ? "2," : `${"2".repeat(200_000)},`);
      if (isEnded) {
        socket.end("3");
        await waitFor("the end to be heard", () => accepted[index]?.readableEnded);
      }
      exchange.answer({ status: 101, statusText: "", headers: [], upgrade: "raw", body: echo() });
      if (!isEnded) socket.end("3");
      await once(socket, "end");
      assert.match(text(), /^HTTP\/1\.1 101 [^]*\r\n\r\n1,2+,3$/);
      assert.equal(text().length > 200_000, !isEnded);
    }
  });

  test(`${codec}: an upgrade that is refused is answered, whatever was sent behind it`, async (t) => {
    const { begun, connect } = await serve(t, codec);
    const { socket, text } = await connect();
    socket.write(`${ASKING}${"early".repeat(40_000)}`);
    (await next(begun)).answer({ status: 404, statusText: "", headers: [], body: Buffer.from("no") });
    socket.end();
    await once(socket, "end");
    assert.match(text(), /^HTTP\/1\.1 404 [^]*\r\n\r\nno$/);
  });

  test(`${codec}: an upgrade with a body is served as if it had not asked, and its connection used again`, async (t) => {
    const { begun, connect } = await serve(t, codec);
    const { socket, text } = await connect();
    for (let count = 1; count <= 2; count++) {
      socket.write("POST / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: raw\r\nContent-Length: 3\r\n\r\nabc");
      const exchange = await next(begun, count);
      assert.equal(exchange.upgrade, undefined);
      const body = Buffer.from(await exchange.readBody());
      exchange.answer({ status: 200, statusText: "", headers: [], body });
      await waitFor("the answer", () => text().split("\r\n\r\nabc").length === count + 1);
    }
  });

  for (const protocol of ["raw", "h2c", '"none"']) {
    test(`${codec}: an upgrade to ${protocol} is refused where the client's half ends while it waits for its turn`, async (t) => {
      const { begun, accepted, connect } = await serve(t, codec);
      const { socket, text } = await connect();
      socket.write(`GET /before HTTP/1.1\r\nHost: x\r\n\r\n${ASKING.replace("raw", protocol)}`);
      const body = new PassThrough();
      const headers = ["Content-Length", "2"];
      (await next(begun)).answer({ status: 200, statusText: "", headers, body });
      body.write("a");
      await waitFor("the answer to begin", () => text().endsWith("\r\n\r\na"));
      socket.end();
      await waitFor("the end to be heard", () => accepted[0]?.readableEnded);
      body.end("b");
      await once(socket, "end");
      assert.match(text(), /^HTTP\/1\.1 200 [^]*\r\n\r\nabHTTP\/1\.1 400 /);
      assert.equal(begun.length, 1);
    });
  }
}

function ignore(): void {
  // Intentionally nothing.
}
