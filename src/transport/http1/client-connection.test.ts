import assert from "node:assert/strict";
import { PassThrough, Readable } from "node:stream";
import { test } from "node:test";
import fc from "fast-check";
import { FakeSocket, settled } from "../../../test/support/fake-socket.ts";
import { CallAbort } from "../../core/call-signal.ts";
import type { Body, RequestMessage, ResponseMessage } from "../../core/message.ts";
import { ClientConnection, type ClientConnectionOwner, type ReadyEvent } from "./client-connection.ts";
import { MalformedMessage } from "./message-head.ts";

class Client implements ClientConnectionOwner {
  readonly maxHeadBytes = 1024;
  readonly socket = new FakeSocket();
  readonly connection: ClientConnection;
  idle = 0;
  closes = 0;
  readonly malformedBy: string[] = [];

  constructor(readyEvent: ReadyEvent = "connect") {
    this.connection = new ClientConnection(this.socket.asSocket(), this, readyEvent);
    this.socket.emit("connect");
    this.socket.on("data", (bytes: Buffer) => {
      // The connection owns the bytes only until it returns.
      const lent = Buffer.from(bytes);
      this.connection.receive(lent);
      lent.fill("!");
    });
  }

  becameIdle(): void {
    this.idle++;
  }

  malformed(reason: string): void {
    this.malformedBy.push(reason);
  }

  closed(): void {
    this.closes++;
  }

  send(options: { readonly method?: string; readonly body?: Body; readonly contentLength?: number } = {}): Call {
    const call = new Call();
    const { method = "GET", body, contentLength } = options;
    const { signal } = call.abort;
    const request: RequestMessage = {
      ...{ method, path: "/", query: undefined, headers: [], body, contentLength, signal },
    };
    this.connection.send({
      request,
      head: `${method} / HTTP/1.1\r\n\r\n`,
      answered: (response) => {
        call.response = response;
        void call.read(response.body);
      },
      failed: (error) => {
        call.failure = error;
      },
    });
    return call;
  }

  async receive(text: string): Promise<void> {
    // What answers has been asked: the request is on its way.
    await settled();
    this.socket.feed(Buffer.from(text, "latin1"));
    await settled();
  }
}

class Call {
  readonly abort = { signal: new CallAbort() };
  response: ResponseMessage | undefined;
  failure: Error | undefined;
  body = "";
  isComplete = false;
  broke: Error | undefined;

  async read(body: Body): Promise<void> {
    try {
      if (body instanceof Readable) for await (const piece of body) this.body += (piece as Buffer).toString("latin1");
      else this.body = Buffer.from(body ?? []).toString("latin1");
      this.isComplete = true;
    } catch (error) {
      this.broke = error as Error;
    }
  }
}

const OK = (text: string): string => `HTTP/1.1 200 OK\r\nContent-Length: ${text.length}\r\n\r\n${text}`;
const CHUNKED = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

test("one exchange after the other, each with its own answer", async () => {
  const client = new Client();
  for (const text of ["a", "bc", ""]) {
    const call = client.send();
    await client.receive(OK(text));
    assert.deepEqual([call.response?.status, call.body, call.isComplete], [200, text, true]);
  }
  assert.deepEqual([client.idle, client.closes, client.malformedBy], [3, 0, []]);
});

test("an answer is the same one whatever bytes it is cut at", async () => {
  const text = `HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n${CHUNKED}3\r\nabc\r\n4;x\r\ndefg\r\n0\r\nX: y\r\n\r\n`;
  const cuts = fc.array(fc.nat({ max: text.length }), { maxLength: 10 });
  await fc.assert(
    fc.asyncProperty(cuts, async (places) => {
      const client = new Client();
      const call = client.send();
      await settled();
      let from = 0;
      for (const to of [...[...places].sort((a, b) => a - b), text.length]) {
        if (to > from) client.socket.feed(Buffer.from(text.slice(from, to)));
        from = Math.max(from, to);
        if (to % 2 === 0) await settled();
      }
      await settled();
      assert.deepEqual([call.response?.status, call.body, call.isComplete], [200, "abcdefg", true]);
      assert.equal(client.idle, 1);
    }),
    { numRuns: 200 },
  );
});

test("two answers to one request: the first is the answer, and the connection is closed", async () => {
  const client = new Client();
  const call = client.send();
  await client.receive(OK("mine") + OK("forged"));
  assert.deepEqual([call.body, call.isComplete], ["mine", true]);
  assert.deepEqual([client.idle, client.closes, client.malformedBy.length], [0, 1, 1]);
});

test("an answer that nobody asked for closes an idle connection", async () => {
  const client = new Client();
  client.send();
  await client.receive(OK("mine"));
  await client.receive(OK("forged"));
  assert.deepEqual([client.idle, client.closes, client.malformedBy.length], [1, 1, 1]);
});

test("a connection that breaks before a byte of the answer is told from one that breaks within it", async () => {
  const stale = new Client();
  stale.send();
  await stale.receive(OK("first"));
  const call = stale.send();
  stale.socket.feedEnd();
  await settled();
  assert.deepEqual(
    [call.failure !== undefined, stale.connection.isReused, stale.connection.isUntouched],
    [true, true, true],
  );
  const touched = new Client();
  const other = touched.send();
  await touched.receive("HTTP/1.1 2");
  touched.socket.feedEnd();
  await settled();
  assert.deepEqual([other.failure !== undefined, touched.connection.isUntouched], [true, false]);
  // Neither broke a rule of HTTP.
  assert.deepEqual([stale.malformedBy, touched.malformedBy], [[], []]);
});

test("interim answers are passed over, up to a hundred", async () => {
  const interim = "HTTP/1.1 102 Processing\r\n\r\n";
  const patient = new Client();
  const answered = patient.send();
  await patient.receive(interim.repeat(100) + OK("at last"));
  assert.equal(answered.body, "at last");
  const flooded = new Client();
  const cut = flooded.send();
  await flooded.receive(interim.repeat(101));
  assert.match(cut.failure?.message ?? "", /nothing but interim answers/);
  assert.deepEqual([flooded.closes, flooded.malformedBy.length], [1, 1]);
});

for (const [name, text] of [
  ["101", "HTTP/1.1 101 Switching Protocols\r\n\r\n"],
  ["an interim answer with a length", "HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\n"],
  ["an interim answer that ends the connection", "HTTP/1.1 100 Continue\r\nConnection: close\r\n\r\n"],
  ["TLS", "\x15\x03\x01\0\x02"],
  ["the beginning of something else", "HTTP/2"],
  ["bare LF", "HTTP/1.1 200 OK\nContent-Length: 0\n\n"],
  ["headers that are too large", `HTTP/1.1 200 OK\r\nX: ${"a".repeat(1024)}`],
] as const) {
  test(`${name} is no answer, and is not waited for any longer`, async () => {
    const client = new Client();
    const call = client.send();
    await client.receive(text);
    assert.ok(call.failure instanceof MalformedMessage);
    assert.deepEqual([client.closes, client.malformedBy.length], [1, 1]);
  });
}

for (const [name, text, says] of [
  ["TLS", "\x15\x03\x01\0\x02", "the answer is in TLS"],
  ["HTTP/2", "\0\0\0\x04\0\0\0\0\0", "the answer is in HTTP/2"],
  ["text", "220 hello\r\n", "the status line is malformed"],
] as const) {
  test(`an answer in ${name} is told as what it is`, async () => {
    const client = new Client();
    const call = client.send();
    await client.receive(text);
    assert.deepEqual([call.failure?.name, call.failure?.message], ["ForeignAnswer", says]);
  });
}

test("over TLS nothing is written before the handshake is over, and then it is", async () => {
  const bodies: readonly Body[] = [undefined, Buffer.from("abc"), Readable.from([Buffer.from("abc")])];
  for (const body of bodies) {
    const client = new Client("secureConnect");
    const call = client.send({ method: "POST", ...(body === undefined ? {} : { body, contentLength: 3 }) });
    await settled();
    assert.equal(client.socket.written, "");
    client.socket.emit("secureConnect");
    await settled();
    assert.match(client.socket.written, body === undefined ? /^POST / : /^POST [\s\S]*abc$/);
    await client.receive(OK("mine"));
    assert.equal(call.body, "mine");
  }
});

test("a body that turns out bad breaks, and never looks complete", async () => {
  const client = new Client();
  const call = client.send();
  await client.receive(`${CHUNKED}3\r\nabc\r\n`);
  await client.receive("?\r\n");
  assert.deepEqual([call.body, call.isComplete, call.broke?.name], ["abc", false, "MalformedMessage"]);
  assert.deepEqual([client.closes, client.malformedBy.length], [1, 1]);
});

test("a body that ends with its connection is complete there, one that has a length is not", async () => {
  const open = new Client();
  const whole = open.send();
  await open.receive("HTTP/1.1 200 OK\r\n\r\nabc");
  open.socket.feedEnd();
  await settled();
  assert.deepEqual([whole.body, whole.isComplete, open.idle, open.closes], ["abc", true, 0, 1]);
  const short = new Client();
  const broken = short.send();
  await short.receive("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc");
  short.socket.feedEnd();
  await settled();
  assert.deepEqual([broken.isComplete, broken.broke !== undefined], [false, true]);
});

test("HEAD, 204 and 304 have no body; what comes as one closes the connection", async () => {
  for (const [method, status] of [
    ["HEAD", 200],
    ["GET", 204],
    ["GET", 304],
  ] as const) {
    const client = new Client();
    const call = client.send({ method });
    await client.receive(`HTTP/1.1 ${status} x\r\nContent-Length: 5\r\n\r\n`);
    assert.deepEqual([call.body, call.isComplete, client.idle], ["", true, 1]);
    await client.receive("hello");
    assert.deepEqual([client.closes, client.malformedBy.length], [1, 1]);
  }
});

test("an answer that comes before the request has been sent ends the request, and the connection", async () => {
  const client = new Client();
  const body = new PassThrough();
  const call = client.send({ method: "POST", body });
  body.write("begun");
  await settled();
  await client.receive(OK("early"));
  assert.deepEqual([call.body, call.isComplete], ["early", true]);
  assert.deepEqual([client.idle, client.closes, body.destroyed], [0, 1, true]);
});

test("a connection whose last reader was behind carries the next exchange", async () => {
  const client = new Client();
  const slow: (ResponseMessage | undefined)[] = [];
  const { signal } = { signal: new CallAbort() };
  client.connection.send({
    request: {
      ...{ method: "GET", path: "/", query: undefined, headers: [], body: undefined },
      contentLength: undefined,
      signal,
    },
    head: "GET / HTTP/1.1\r\n\r\n",
    answered: (response) => slow.push(response),
    failed: (error) => assert.fail(error),
  });
  // Nothing of it is read until all has come.
  await client.receive(`HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n${"a".repeat(50_000)}`);
  await client.receive("a".repeat(50_000));
  assert.equal(client.idle, 1);
  assert.equal(client.socket.isPaused(), false);
  const next = client.send();
  await client.receive("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext");
  assert.equal(next.body, "next");
  const first = new Call();
  await first.read(slow[0]?.body);
  assert.equal(first.body.length, 100_000);
});

test("a caller that leaves closes the connection, before the answer and within it", async () => {
  for (const text of ["", "HTTP/1.1 200 OK\r\nX: a", `${CHUNKED}3\r\nabc\r\n`]) {
    const client = new Client();
    const call = client.send();
    if (text !== "") await client.receive(text);
    call.abort.signal.abort(new Error("left"));
    await settled();
    assert.deepEqual([client.closes, client.socket.destroyed, client.malformedBy], [1, true, []]);
    assert.equal((call.failure ?? call.broke)?.message, "left");
  }
});
