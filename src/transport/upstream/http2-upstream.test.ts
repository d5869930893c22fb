import assert from "node:assert/strict";
import { once } from "node:events";
import http2, { type IncomingHttpHeaders, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import net, { type AddressInfo } from "node:net";
import { PassThrough, Readable } from "node:stream";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { countMalformed, optionsFor, requestMessage, type Sent, textOfAnswer } from "../../../test/support/upstream.ts";
import { waitFor } from "../../../test/support/wait.ts";
import { CallAbort } from "../../core/call-signal.ts";
import type { ResponseMessage } from "../../core/message.ts";
import { Http2Upstream } from "./http2-upstream.ts";
import type { MalformedAnswers } from "./malformed-answers.ts";

type Handler = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, session: ServerHttp2Session) => void;

interface Origin {
  readonly port: number;
  readonly upstream: Http2Upstream;
  readonly malformed: MalformedAnswers;
  /** `POST /path` of each stream, in order. */
  readonly begun: string[];
  /** Of all sessions there have been. */
  readonly sessions: ServerHttp2Session[];
  /** Breaks every connection, as an app does that is killed. */
  readonly cut: () => void;
  send(sent?: Sent): Promise<ResponseMessage>;
}

async function startOrigin(t: TestContext, handle: Handler, settings: http2.Settings = {}): Promise<Origin> {
  const begun: string[] = [];
  const sessions: ServerHttp2Session[] = [];
  const sockets = new Set<net.Socket>();
  const server = http2.createServer({ settings, maxSendHeaderBlockLength: 2 ** 20 });
  server.on("connection", (socket: net.Socket) => sockets.add(socket));
  server.on("session", (session) => {
    sessions.push(session);
    session.on("error", () => undefined);
    session.on("stream", (stream, headers) => {
      stream.on("error", () => undefined);
      begun.push(`${headers[":method"] ?? ""} ${headers[":path"] ?? ""}`);
      handle(stream, headers, session);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    for (const session of sessions) session.destroy();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const cut = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  return { port, begun, sessions, cut, ...startUpstream(t, port) };
}

function startUpstream(
  t: TestContext,
  port: number,
  probeAfterMs?: number,
): Pick<Origin, "upstream" | "malformed" | "send"> {
  const malformed = countMalformed();
  const options = { ...optionsFor(port), wire: { kind: "h2c" } } as const;
  const upstream = new Http2Upstream(options, malformed, probeAfterMs);
  t.after(() => {
    upstream.destroy();
  });
  return { upstream, malformed, send: (sent) => upstream.send(requestMessage(sent)) };
}

/** An origin by hand: what it writes, and when. Everything is latin1. */
async function startRaw(
  t: TestContext,
  onData: (socket: net.Socket, text: string, connection: number) => void,
): Promise<number> {
  let connections = 0;
  const sockets = new Set<net.Socket>();
  const server = net.createServer({ noDelay: true }, (socket) => {
    const connection = ++connections;
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.on("data", (bytes) => {
      onData(socket, bytes.toString("latin1"), connection);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

/** A frame (RFC 9113 4.1). */
function frame(type: number, flags: number, stream: number, payload = ""): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, Buffer.from(payload, "latin1")]);
}

const SETTINGS = frame(4, 0, 0);
const MAGIC = "PRI * HTTP/2.0";

const ok: Handler = (stream) => {
  stream.respond({ ":status": 200 });
  stream.end("ok");
};

async function textOf(stream: ServerHttp2Stream): Promise<string> {
  let text = "";
  for await (const piece of stream.setEncoding("latin1") as AsyncIterable<string>) text += piece;
  return text;
}

test("a request and its answer cross whole, without what is about one connection", async (t) => {
  let seen: IncomingHttpHeaders = {};
  const origin = await startOrigin(t, (stream, headers) => {
    seen = headers;
    void textOf(stream).then((text) => {
      stream.respond(
        { ":status": 201, "x-answer": ["a", "b"], "set-cookie": ["c=1", "d=2"] },
        { waitForTrailers: true },
      );
      stream.on("wantTrailers", () => {
        stream.sendTrailers({ "x-trailer": "dropped" });
      });
      stream.end(`got ${text}`);
    });
  });
  const headers = ["Host", "elsewhere", "Connection", "X-Hop", "TE", "trailers", "Keep-Alive", "timeout=1"];
  const kept = ["X-Kept", "caf\xe9", "X-Kept", "2", "Authorization", "a", "Authorization", "b", "__proto__", "p"];
  const body = Buffer.from("body");
  const response = await origin.send({ method: "POST", path: "/a%20b", headers: [...headers, ...kept], body });
  assert.equal(response.status, 201);
  assert.equal(await textOfAnswer(response), "got body");
  const answered = response.headers.filter((_, i) => i % 2 === 0);
  assert.deepEqual(answered, ["x-answer", "x-answer", "set-cookie", "set-cookie", "date"]);
  assert.deepEqual(
    [seen[":authority"], seen[":path"], seen[":scheme"]],
    [`127.0.0.1:${origin.port}`, "/a%20b", "http"],
  );
  assert.deepEqual([seen["x-kept"], seen.authorization, seen["content-length"]], ["caf\xe9, 2", "a, b", "4"]);
  for (const name of ["host", "connection", "te", "keep-alive"]) assert.equal(seen[name], undefined);
});

test("an answer without a body, to HEAD too, has none", async (t) => {
  const origin = await startOrigin(t, (stream) => {
    stream.respond({ ":status": 204 }, { endStream: true });
  });
  for (const method of ["GET", "HEAD"]) assert.equal((await origin.send({ method })).body, undefined);
});

test("informational answers are passed over, and one that sends nothing else is cut off", async (t) => {
  const origin = await startOrigin(t, (stream, headers) => {
    const many = headers[":path"] === "/many";
    for (let i = 0; i < (many ? 200 : 3); i++)
      stream.additionalHeaders({ ":status": i === 0 ? 100 : 103, link: "</a>" });
    if (!many) ok(stream, headers, stream.session as ServerHttp2Session);
  });
  assert.equal(await textOfAnswer(await origin.send()), "ok");
  await assert.rejects(origin.send({ path: "/many" }), /nothing but interim answers/);
  assert.equal(origin.malformed.count, 1);
  assert.equal((await origin.send()).status, 200);
});

test("many calls share a session, and another one is opened where the origin takes no more", async (t) => {
  const open = new Set<ServerHttp2Stream>();
  let most = 0;
  const origin = await startOrigin(
    t,
    (stream) => {
      open.add(stream);
      stream.once("close", () => open.delete(stream));
      most = Math.max(most, open.size);
      if (open.size === 10) for (const each of open) ok(each, {}, each.session as ServerHttp2Session);
    },
    { maxConcurrentStreams: 4 },
  );
  const answers = await Promise.all(Array.from({ length: 10 }, () => origin.send().then(textOfAnswer)));
  assert.deepEqual(
    answers,
    Array.from({ length: 10 }, () => "ok"),
  );
  assert.deepEqual([most, origin.sessions.length], [10, 3]);
});

test("no more connections are opened than allowed: the other calls wait, and may leave", async (t) => {
  const held: ServerHttp2Stream[] = [];
  const origin = await startOrigin(t, (stream) => held.push(stream), { maxConcurrentStreams: 1 });
  const calls = Array.from({ length: 17 }, (_, i) => origin.send({ path: `/${i}` }).then(textOfAnswer));
  await waitFor("all sessions to be busy", () => held.length === 16);
  const signal = new CallAbort();
  const leaving = origin.send({ path: "/leaving", signal });
  signal.abort(new Error("gone"));
  await assert.rejects(leaving, /gone/);
  while (held.length > 0 || origin.begun.length < 17) {
    const stream = held.shift();
    if (stream !== undefined) ok(stream, {}, stream.session as ServerHttp2Session);
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.deepEqual(
    await Promise.all(calls),
    Array.from({ length: 17 }, () => "ok"),
  );
  assert.deepEqual([origin.sessions.length, origin.begun.includes("GET /leaving")], [16, false]);
});

test("what the origin has refused unseen is sent again, whatever its verb, but not for ever", async (t) => {
  let refusals = 2;
  const origin = await startOrigin(t, (stream, headers, session) => {
    if (refusals-- > 0) stream.close(http2.constants.NGHTTP2_REFUSED_STREAM);
    else ok(stream, headers, session);
  });
  assert.equal(await textOfAnswer(await origin.send({ method: "POST", body: Buffer.from("a") })), "ok");
  assert.equal(origin.begun.length, 3);
  refusals = 3;
  await assert.rejects(origin.send({ method: "POST" }), { name: "UpstreamError", message: /REFUSED_STREAM/ });
  assert.equal(origin.begun.length, 6);
});

test("a streamed body that has begun to be read is not sent again", async (t) => {
  const origin = await startOrigin(t, (stream) => {
    stream.once("data", () => {
      stream.close(http2.constants.NGHTTP2_REFUSED_STREAM);
    });
  });
  const body = new PassThrough();
  body.write("a");
  await assert.rejects(origin.send({ method: "PUT", body }), /REFUSED_STREAM/);
  assert.deepEqual([origin.begun.length, body.destroyed], [1, true]);
});

test("a session that the origin ends: what it has not looked at goes to another one, what it has may finish", async (t) => {
  const origin = await startOrigin(t, (stream, headers, session) => {
    if (headers[":path"] !== "/first") {
      ok(stream, headers, session);
      return;
    }
    stream.respond({ ":status": 200 });
    stream.write("be");
    session.goaway(http2.constants.NGHTTP2_NO_ERROR, stream.id ?? 0);
    release = () => stream.end("gun");
  });
  let release = (): unknown => undefined;
  const first = await origin.send({ path: "/first" });
  const again = await Promise.all(["/a", "/b"].map((path) => origin.send({ method: "POST", path }).then(textOfAnswer)));
  assert.deepEqual(again, ["ok", "ok"]);
  release();
  assert.equal(await textOfAnswer(first), "begun");
  assert.equal(origin.sessions.length, 2);
});

for (const [what, code] of [
  ["peacefully", 0],
  ["with an error", 2],
] as const) {
  test(`streams beyond the last that GOAWAY names are sent again, those before it are not (${what})`, async (t) => {
    let posts = 0;
    const port = await startRaw(t, (socket, text, connection) => {
      if (text.startsWith(MAGIC)) socket.write(SETTINGS);
      posts += text.split("\x83").length - 1;
      if (connection === 1 && posts >= 2) {
        socket.end(frame(7, 0, 0, `\0\0\0\x01\0\0\0${String.fromCharCode(code)}`));
      } else if (connection > 1 && text.includes("\x83")) {
        // :status 204, indexed (RFC 7541 A).
        socket.write(frame(1, 5, 1, "\x89"));
      }
    });
    const { send } = startUpstream(t, port);
    // Indexed in HPACK's table: `\x83` is POST.
    const outcomes = await Promise.allSettled([send({ method: "POST" }), send({ method: "POST" })]);
    assert.deepEqual(
      outcomes.map((outcome) => (outcome.status === "fulfilled" ? outcome.value.status : outcome.status)),
      ["rejected", 204],
    );
  });
}

test("a kept session that breaks before an answer: what may be done twice is done again, and nothing else", async (t) => {
  let breaks = 0;
  const origin = await startOrigin(t, (stream, headers, session) => {
    if (headers[":path"] === "/break" && breaks-- > 0) origin.cut();
    else ok(stream, headers, session);
  });
  await textOfAnswer(await origin.send());
  breaks = 1;
  assert.equal(await textOfAnswer(await origin.send({ path: "/break" })), "ok");
  breaks = 1;
  await assert.rejects(origin.send({ method: "POST", path: "/break" }), { name: "UpstreamError", kind: "broken" });
  assert.deepEqual(origin.begun.slice(1), ["GET /break", "GET /break", "POST /break"]);
});

for (const [how, breakOff] of [
  ["with NO_ERROR", (stream: ServerHttp2Stream) => stream.destroy()],
  ["with an error", (stream: ServerHttp2Stream) => stream.destroy(new Error("on purpose"))],
  [
    "with its connection",
    (_: ServerHttp2Stream, cut: () => void): void => {
      cut();
    },
  ],
] as const) {
  test(`an answer that breaks off ${how} is broken, and one that has not begun is an error`, async (t) => {
    const origin = await startOrigin(t, (stream, headers) => {
      if (headers[":path"] === "/unbegun") {
        breakOff(stream, origin.cut);
        return;
      }
      stream.respond({ ":status": 200 });
      stream.write("half", () => setImmediate(breakOff, stream, origin.cut));
    });
    for (const method of ["GET", "POST"]) {
      await assert.rejects(origin.send({ method, path: "/unbegun" }), { name: "UpstreamError" });
      // A request that has not been sent whole changes how Node tells of it.
      const body = method === "POST" ? new PassThrough() : undefined;
      const response = await origin.send({ method, ...(body === undefined ? {} : { body }) });
      await assert.rejects(textOfAnswer(response));
    }
  });
}

test("a caller that leaves cancels the stream, before the answer and within it", async (t) => {
  const codes: number[] = [];
  const ended: boolean[] = [];
  const origin = await startOrigin(t, (stream, headers) => {
    stream.on("data", () => undefined);
    stream.once("end", () => ended.push(!stream.aborted));
    stream.once("close", () => codes.push(stream.rstCode));
    if (headers[":path"] === "/begun") {
      stream.respond({ ":status": 200 });
      stream.write("a");
    }
  });
  const signal = new CallAbort();
  const body = new PassThrough();
  body.write("half");
  const unbegun = origin.send({ method: "POST", path: "/unbegun", body, signal });
  await waitFor("the request", () => origin.begun.length === 1);
  signal.abort(new Error("gone"));
  await assert.rejects(unbegun, /gone/);
  await waitFor("its end at the origin", () => codes.length === 1);
  const left = await origin.send({ path: "/begun" });
  assert.ok(left.body instanceof Readable);
  left.body.destroy();
  await waitFor("its end at the origin", () => codes.length === 2);
  const aborted = new CallAbort();
  const begun = await origin.send({ path: "/begun", signal: aborted });
  aborted.abort(new Error("gone"));
  await assert.rejects(textOfAnswer(begun), /gone/);
  await waitFor("its end at the origin", () => codes.length === 3);
  assert.deepEqual(codes, [8, 8, 8]);
  assert.ok(body.destroyed);
  // The cut request never had an end that looks like one.
  assert.equal(ended[0] ?? false, false);
  assert.equal(origin.sessions.length, 1);
});

test("calls that the origin does not read keep out no others, not even once they are given up", async (t) => {
  const origin = await startOrigin(t, (stream, headers, session) => {
    if (headers[":path"] !== "/deaf") ok(stream, headers, session);
  });
  const signal = new CallAbort();
  const body = Buffer.alloc(3_000_000);
  const deaf = Array.from({ length: 8 }, () => origin.send({ method: "POST", path: "/deaf", body, signal }));
  const given = Promise.allSettled(deaf);
  const eachIsAnswered = async (): Promise<void> => {
    for (let i = 0; i < 5; i++) assert.equal(await origin.send().then(textOfAnswer), "ok");
  };
  await waitFor("the calls to arrive", () => origin.begun.length === 8);
  await eachIsAnswered();
  signal.abort(new Error("given up"));
  await given;
  await eachIsAnswered();
  assert.equal(origin.sessions.length, 1);
});

test("calls that are given up by the thousand end no other on their session, whatever resets the origin bears", async (t) => {
  const origin = await startOrigin(t, (stream, headers) => {
    if (headers[":path"] !== "/quiet") return;
    stream.respond({ ":status": 200 });
    stream.write("a");
    quiet = stream;
  });
  let quiet: ServerHttp2Stream | undefined;
  const held = await origin.send({ path: "/quiet" });
  for (let round = 1; round <= 30; round++) {
    const signal = new CallAbort();
    const calls = Array.from({ length: 50 }, () => origin.send({ signal }));
    const given = Promise.allSettled(calls);
    await waitFor("the calls to arrive", () => origin.begun.length === round * 50 + 1);
    signal.abort(new Error("given up"));
    await given;
  }
  quiet?.end("b");
  assert.equal(await textOfAnswer(held), "ab");
  assert.equal(origin.sessions.length, 3);
});

test("a body that breaks, or is not as long as it says, resets its stream", async (t) => {
  const codes: number[] = [];
  const origin = await startOrigin(t, (stream) => {
    stream.on("data", () => undefined);
    stream.once("close", () => codes.push(stream.rstCode));
  });
  const breaking = new PassThrough();
  breaking.write("a");
  const broken = origin.send({ method: "POST", body: breaking });
  await waitFor("the request", () => origin.begun.length === 1);
  breaking.destroy(new Error("on purpose"));
  await assert.rejects(broken, /on purpose/);
  await assert.rejects(
    origin.send({ method: "POST", body: Readable.from([Buffer.from("abc")]), contentLength: 5 }),
    /shorter/,
  );
  await assert.rejects(
    origin.send({ method: "POST", body: Readable.from([Buffer.from("abc")]), contentLength: 2 }),
    /longer/,
  );
  await waitFor("the ends at the origin", () => codes.length === origin.begun.length);
  assert.ok(codes.every((code) => code !== 0));
});

test("a streamed body goes out piece by piece, and waits for an origin that does not read", async (t) => {
  let stream: ServerHttp2Stream | undefined;
  const origin = await startOrigin(t, (begun) => {
    stream = begun;
  });
  let read = 0;
  const piece = Buffer.alloc(64 * 1024, "a");
  const body = new Readable({
    read() {
      read++;
      this.push(read > 1000 ? null : piece);
    },
  });
  const answer = origin.send({ method: "POST", body }).then(textOfAnswer);
  const got = await waitFor("the stream", () => stream);
  // Every turn of this carries frames both ways over the same connection.
  for (let rounds = 0; rounds < 20; rounds++) {
    await new Promise((resolve) => origin.sessions[0]?.ping(resolve));
  }
  assert.ok(read < 100, `${read} pieces were read for an origin that takes none`);
  let length = 0;
  for await (const chunk of got as AsyncIterable<Buffer>) length += chunk.length;
  assert.equal(length, 1000 * piece.length);
  ok(got, {}, got.session as ServerHttp2Session);
  assert.equal(await answer, "ok");
});

test("an answer that comes before the request has been sent is given, and the rest of the request is given up", async (t) => {
  const codes: number[] = [];
  const origin = await startOrigin(t, (stream) => {
    stream.once("close", () => codes.push(stream.rstCode));
    stream.respond({ ":status": 413 });
    stream.end("too much");
  });
  const body = new PassThrough();
  body.write("a");
  assert.equal(await textOfAnswer(await origin.send({ method: "POST", body })), "too much");
  await waitFor("the end of the stream", () => codes.length === 1);
  assert.ok(body.destroyed);
});

test("headers over the limit fail the call and no other", async (t) => {
  const origin = await startOrigin(t, (stream, headers, session) => {
    if (headers[":path"] !== "/large") ok(stream, headers, session);
    else {
      stream.respond({ ":status": 200, "x-large": "a".repeat(40 * 1024), "x-more": "a".repeat(40 * 1024) });
      stream.end();
    }
  });
  await assert.rejects(origin.send({ path: "/large" }), /headers are too large/);
  assert.equal((await origin.send()).status, 200);
  assert.equal(origin.sessions.length, 1);
});

test("headers without end are cut off", async (t) => {
  const port = await startRaw(t, (socket, text) => {
    if (text.startsWith(MAGIC)) socket.write(SETTINGS);
    if (!text.includes("\x82")) return;
    const field = `\0\x01x\x7f\x80\x7d${"a".repeat(16_127)}`;
    socket.write(frame(1, 0, 1, "\x88"));
    const more = (): void => {
      if (!socket.writable) return;
      socket.write(frame(9, 0, 1, field));
      setImmediate(more);
    };
    more();
  });
  // Node may fall silent instead of telling.
  const { send } = startUpstream(t, port, 200);
  await assert.rejects(send(), { name: "UpstreamError" });
});

for (const [what, garbage] of [
  ["text", Buffer.from("garbage garbage garbage")],
  ["a broken header block", frame(1, 5, 1, "\xff\xff\xff\xff\xff")],
  ["a frame that is too large", Buffer.concat([Buffer.from([255, 255, 255]), frame(0, 0, 1).subarray(3)])],
] as const) {
  test(`a session that turns to ${what} fails its calls, which Node alone would leave waiting`, async (t) => {
    const port = await startRaw(t, (socket, text) => {
      if (text.startsWith(MAGIC)) socket.write(SETTINGS);
      if (text.includes("\x82")) socket.write(garbage);
    });
    const { send, malformed } = startUpstream(t, port, 50);
    await assert.rejects(send(), { name: "UpstreamError", message: /rules of HTTP\/2/ });
    assert.ok(malformed.count > 0);
  });
}

test("calls that wait while a session breaks, and those that come then, go to another one", async (t) => {
  const next = http2.createServer().on("stream", ok);
  const port = await startRaw(t, (socket, text, connection) => {
    if (connection > 1) {
      socket.removeAllListeners("data").pause();
      socket.unshift(Buffer.from(text, "latin1"));
      next.emit("connection", socket);
      return;
    }
    // MAX_CONCURRENT_STREAMS is 1.
    if (text.startsWith(MAGIC)) socket.write(frame(4, 0, 0, "\0\x03\0\0\0\x01"));
    if (text.includes("\x82")) socket.write(frame(1, 5, 1, "\xff\xff\xff\xff\xff"));
  });
  const malformed = countMalformed();
  const upstream = new Http2Upstream({ ...optionsFor(port), wire: { kind: "h2c" }, maxConnections: 1 }, malformed, 50);
  t.after(() => {
    upstream.destroy();
  });
  const send = async (sent?: Sent): Promise<string> => textOfAnswer(await upstream.send(requestMessage(sent)));
  const broken = send();
  const fresh = broken.catch(() => send({ path: "/fresh" }));
  const waiting = [send({ path: "/1" }), send({ method: "POST", path: "/2", body: Buffer.from("a") })];
  await assert.rejects(broken, /rules of HTTP\/2/);
  assert.deepEqual(await Promise.all([...waiting, fresh]), ["ok", "ok", "ok"]);
});

test("an origin that is only slow is left in peace, however often it is asked", async (t) => {
  let probes = 0;
  const origin = await startOrigin(t, (stream, headers, session) => {
    session.on("ping", () => assert.fail("servers of grpc-go end sessions with many PINGs"));
    session.on("remoteSettings", () => probes++);
    held = () => {
      ok(stream, headers, session);
    };
  });
  let held = (): void => undefined;
  const { send } = startUpstream(t, origin.port, 20);
  const answer = send().then(textOfAnswer);
  // More than may be unanswered at once.
  await waitFor("many probes", () => probes > 12);
  held();
  assert.equal(await answer, "ok");
});

test("an origin that has stopped is left in peace, however many probes it has not answered", async (t) => {
  const probe = SETTINGS.toString("latin1");
  let received = "";
  let respond = (): void => undefined;
  const port = await startRaw(t, (socket, text) => {
    if (text.startsWith(MAGIC)) socket.write(SETTINGS);
    received += text;
    respond = () => {
      socket.write(Buffer.concat([frame(1, 4, 1, "\x88"), frame(0, 1, 1, "ok")]));
    };
  });
  const { send, malformed } = startUpstream(t, port, 10);
  const answer = send().then(textOfAnswer);
  // No more than these are sent; that it is not asked again is seen by what comes of it.
  await waitFor("the probes", () => received.split(probe).length > 8);
  await sleep(600);
  respond();
  assert.equal(await answer, "ok");
  assert.equal(malformed.count, 0);
});

const FOREIGN: readonly (readonly [what: string, greet: (socket: net.Socket) => void, kind: string])[] = [
  ["HTTP/1.1", (socket) => socket.end("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"), "foreign"],
  ["text that it does not end", (socket) => socket.write("what is this?\r\n"), "foreign"],
  ["a PING where SETTINGS belong", (socket) => socket.write(frame(6, 0, 0, "12345678")), "foreign"],
  ["a TLS alert", (socket) => socket.end(Buffer.from([0x15, 3, 1, 0, 2, 2, 70])), "broken"],
  ["the end of the connection", (socket) => socket.destroy(), "broken"],
];

for (const [what, greet, kind] of FOREIGN) {
  test(`an origin that answers with ${what} is told from one that speaks HTTP/2`, async (t) => {
    const port = await startRaw(t, greet);
    const { send } = startUpstream(t, port);
    const calls = await Promise.allSettled([send(), send({ method: "POST", body: Buffer.from("a") })]);
    for (const call of calls) {
      assert.equal(call.status, "rejected");
      const { kind: found, message } = call.reason as { kind: string; message: string };
      assert.equal(found, kind);
      assert.doesNotMatch(message, /what is this|Bad Request/);
    }
  });
}

test("an origin that takes no streams at all fails the call", async (t) => {
  const origin = await startOrigin(t, ok, { maxConcurrentStreams: 0 });
  await assert.rejects(origin.send(), /takes no streams/);
});

test("nobody there is an error, and so is a call to one that has been destroyed", async (t) => {
  const origin = await startOrigin(t, ok);
  const { port } = origin;
  const nobody = startUpstream(t, await unusedPort());
  await assert.rejects(nobody.send(), /connection refused/);
  const held = startUpstream(t, port);
  await textOfAnswer(await held.send());
  held.upstream.destroy();
  held.upstream.destroy();
  await assert.rejects(held.send(), /the sidecar is ending/);
});

async function unusedPort(): Promise<number> {
  const server = net.createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

test("destroying it ends what runs", async (t) => {
  const origin = await startOrigin(t, (stream, headers) => {
    if (headers[":path"] === "/begun") stream.respond({ ":status": 200 });
  });
  const begun = await origin.send({ path: "/begun" });
  const unbegun = origin.send();
  await waitFor("the request", () => origin.begun.length === 2);
  origin.upstream.destroy();
  await Promise.all([assert.rejects(unbegun, { name: "UpstreamError" }), assert.rejects(textOfAnswer(begun))]);
});

test("an idle session is closed after a while", async (t) => {
  const origin = await startOrigin(t, ok);
  await textOfAnswer(await origin.send());
  await waitFor("its end", () => origin.sessions[0]?.closed === true);
  assert.equal(await textOfAnswer(await origin.send()), "ok");
  assert.equal(origin.sessions.length, 2);
});
