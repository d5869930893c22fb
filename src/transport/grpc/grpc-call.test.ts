import assert from "node:assert/strict";
import { once } from "node:events";
import http2 from "node:http2";
import { Readable } from "node:stream";
import { type TestContext, test } from "node:test";
import { LONGEST_TIMER_MS } from "../../core/clock.ts";
import type { Logger } from "../../core/logger.ts";
import { systemClock } from "../../runtime/system-clock.ts";
import { HttpListener } from "../http/http-listener.ts";
import { speakGrpc } from "../http/speak-http2.ts";
import { GrpcCall } from "./grpc-call.ts";
import { FrameReader, frameOf } from "./message-frames.ts";
import { GrpcError, grpcError } from "./status.ts";

const ignore = (): void => undefined;
const log: Logger = { debug: ignore, info: ignore, warn: ignore, error: ignore };
const MAX_BYTES = 1000;

/** A server that answers every call so, and a client of it. */
async function served(t: TestContext, handle: (call: GrpcCall) => Promise<void>): Promise<http2.ClientHttp2Session> {
  const listener = new HttpListener({
    name: "test",
    codec: "lean",
    readBufferBytes: 4096,
    log,
    http2: speakGrpc,
    handle: async (exchange) => {
      const call = new GrpcCall(exchange, MAX_BYTES, systemClock);
      try {
        await handle(call);
      } catch (error) {
        call.fail(error instanceof GrpcError ? error.status : { code: 13, message: String(error) });
      }
    },
  });
  const client = http2.connect(`http://127.0.0.1:${await listener.listen("127.0.0.1", 0)}`);
  t.after(() => {
    client.destroy();
    listener.destroy();
  });
  return client;
}

interface Answered {
  readonly headers: http2.IncomingHttpHeaders;
  readonly messages: string[];
  readonly trailers: http2.IncomingHttpHeaders | undefined;
  readonly rstCode: number;
}

function open(client: http2.ClientHttp2Session, headers: Record<string, string> = {}): http2.ClientHttp2Stream {
  return client.request({
    ":method": "POST",
    ":path": "/demo.Echo/Any",
    "content-type": "application/grpc",
    ...headers,
  });
}

async function answered(stream: http2.ClientHttp2Stream): Promise<Answered> {
  let headers: http2.IncomingHttpHeaders = {};
  let trailers: http2.IncomingHttpHeaders | undefined;
  const messages: string[] = [];
  const reader = new FrameReader(Number.POSITIVE_INFINITY);
  stream.on("response", (head: http2.IncomingHttpHeaders) => {
    headers = head;
  });
  stream.on("trailers", (tail: http2.IncomingHttpHeaders) => {
    trailers = tail;
  });
  stream.on("data", (piece: Buffer) => {
    for (const { message } of reader.read(piece)) messages.push(Buffer.from(message).toString());
  });
  await once(stream, "close");
  return { headers, messages, trailers, rstCode: stream.rstCode };
}

test("a unary call has its message, and OK behind it", async (t) => {
  const client = await served(t, async (call) => {
    call.reply(await call.message(), ["x-app", "1"]);
  });
  const stream = open(client);
  stream.end(frameOf(Buffer.from("hello")));
  const { headers, messages, trailers } = await answered(stream);
  assert.deepEqual([headers[":status"], headers["content-type"], headers["x-app"]], [200, "application/grpc", "1"]);
  assert.equal(headers["content-length"], undefined);
  assert.deepEqual(messages, ["hello"]);
  assert.equal(trailers?.["grpc-status"], "0");
});

test("a status without anything before it is all that is sent", async (t) => {
  const client = await served(t, () => {
    throw grpcError("NOT_FOUND", "no such thing: ü");
  });
  const stream = open(client);
  stream.end(frameOf(Buffer.from("hello")));
  const { headers, trailers, messages } = await answered(stream);
  assert.deepEqual([headers["grpc-status"], headers["grpc-message"]], ["5", "no such thing: %C3%BC"]);
  assert.equal(headers["content-length"], undefined);
  assert.deepEqual([trailers, messages], [undefined, []]);
});

test("many messages go both ways", async (t) => {
  const client = await served(t, async (call) => {
    const out = call.stream();
    for await (const message of call.messages()) await out.send(message);
    out.finish();
  });
  const stream = open(client);
  const result = answered(stream);
  for (let i = 0; i < 300; i++) stream.write(frameOf(Buffer.from(`message ${i}`)));
  stream.end();
  const { messages, trailers } = await result;
  assert.deepEqual([messages.length, messages[299]], [300, "message 299"]);
  assert.equal(trailers?.["grpc-status"], "0");
});

test("a call that is answered before it was all sent ends, with its status", async (t) => {
  const client = await served(t, async (call) => {
    for await (const message of call.messages()) {
      call.fail({ code: 3, message: Buffer.from(message).toString() }, ["x-app", "1"]);
      return;
    }
  });
  const stream = open(client);
  stream.on("error", ignore);
  stream.write(frameOf(Buffer.from("first")));
  const { headers, trailers, rstCode } = await answered(stream);
  assert.equal(headers["x-app"], "1");
  assert.deepEqual([trailers?.["grpc-status"], trailers?.["grpc-message"]], ["3", "first"]);
  assert.equal(rstCode, http2.constants.NGHTTP2_NO_ERROR);
});

test("a message over the limit is refused", async (t) => {
  const client = await served(t, async (call) => {
    call.reply(await call.message());
  });
  const stream = open(client);
  stream.end(frameOf(Buffer.alloc(MAX_BYTES + 1)));
  const { headers } = await answered(stream);
  assert.deepEqual(
    [headers["grpc-status"], headers["grpc-message"]],
    ["8", "grpc: received message larger than max (1001 vs. 1000)"],
  );
});

test("a deadline fires the signal, with what the caller is to be told", async (t) => {
  const client = await served(t, async ({ signal }) => {
    await new Promise<void>((resolve) => {
      signal.addEventListener("abort", { handleEvent: resolve });
    });
    throw signal.reason;
  });
  const stream = open(client, { "grpc-timeout": "20m" });
  stream.end(frameOf(Buffer.from("hello")));
  const { headers } = await answered(stream);
  assert.deepEqual([headers["grpc-status"], headers["grpc-message"]], ["4", "context deadline exceeded"]);
});

test("an answer whose body was given up before it is passed on ends in a status", async (t) => {
  const client = await served(t, async (call) => {
    const body = Readable.from([Buffer.from("never")]).destroy();
    await once(body, "close");
    call.relay(["content-type", "application/grpc"], body, {
      complete: () => ["grpc-status", "0"],
      broken: ({ message }) => ["grpc-status", "14", "grpc-message", message],
    });
  });
  const stream = open(client);
  stream.end(frameOf(Buffer.from("hello")));
  const { trailers } = await answered(stream);
  assert.deepEqual([trailers?.["grpc-status"], trailers?.["grpc-message"]], ["14", "the answer broke off"]);
});

test("answers that their caller has never read, and given up, keep out no further calls", async (t) => {
  const client = await served(t, (call) => {
    call.reply(Buffer.alloc(call.path.endsWith("/Large") ? 3_000_000 : 1));
    return Promise.resolve();
  });
  const large = Array.from({ length: 8 }, () => open(client, { ":path": "/demo.Echo/Large" }));
  await Promise.all(large.map((stream) => once(stream, "response")));
  for (const stream of large) stream.on("error", ignore).close(http2.constants.NGHTTP2_CANCEL);
  for (let i = 0; i < 5; i++) {
    const stream = open(client);
    stream.end(frameOf(Buffer.from("hello")));
    assert.equal((await answered(stream)).trailers?.["grpc-status"], "0");
  }
});

test("a deadline ends the wait for a message, the first one or a further one", async (t) => {
  const client = await served(t, async (call) => {
    for await (const message of call.messages()) assert.equal(Buffer.from(message).toString(), "hello");
  });
  for (const sent of [[], [frameOf(Buffer.from("hello"))]]) {
    const stream = open(client, { "grpc-timeout": "20m" });
    stream.on("error", ignore);
    for (const piece of sent) stream.write(piece);
    const { headers } = await answered(stream);
    assert.deepEqual([headers["grpc-status"], headers["grpc-message"]], ["4", "context deadline exceeded"]);
  }
});

test("a deadline further away than a timer can hold does not fire with the timer", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const client = await served(t, async (call) => {
    const message = await call.message();
    t.mock.timers.tick(LONGEST_TIMER_MS);
    if (call.signal.aborted) throw call.signal.reason;
    call.reply(message);
  });
  const stream = open(client, { "grpc-timeout": "99999999S" });
  stream.end(frameOf(Buffer.from("hello")));
  const { trailers } = await answered(stream);
  assert.equal(trailers?.["grpc-status"], "0");
});
