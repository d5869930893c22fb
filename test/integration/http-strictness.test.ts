import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { ownHome, startBeside } from "../support/processes.ts";
import { answersUntilClosed, firstAnswers, RawConnection } from "../support/raw-http.ts";
import { type InTestApp, startInTestApp } from "../support/raw-http-app.ts";
import { waitFor } from "../support/wait.ts";

/**
 * What two HTTP parsers could read differently is read by none: it is refused, the connection is closed, and what stands
 * behind it on the connection is never looked at. The same on both ports that take HTTP.
 */

const CODEC = process.env["OUTRIGGER_HTTP_CODEC"] === "node" ? "node" : "lean";

/** A port of the sidecar, and how a good request for the app looks there. */
interface Door {
  readonly name: string;
  readonly port: number;
  /** In front of the app's own path. */
  readonly prefix: string;
  /** Headers that a good request has there, lines ended. */
  readonly headers: string;
}

const HOST = "Host: x\r\n";

function get(door: Door, path: string, headers = HOST): string {
  return `GET ${door.prefix}${path} HTTP/1.1\r\n${door.headers}${headers}\r\n`;
}

function post(door: Door, headers: string, body: string): string {
  return `POST ${door.prefix}/first HTTP/1.1\r\n${door.headers}${HOST}${headers}\r\n${body}`;
}

const CHUNKED = "Transfer-Encoding: chunked\r\n";
const WHOLE_CHUNKS = "3\r\nabc\r\n0\r\n\r\n";

type Case = readonly [name: string, request: (door: Door) => string];

const withHeader = (header: string): Case => [
  JSON.stringify(header),
  (door) => get(door, "/first", `${HOST}${header}\r\n`),
];
const withLength = (value: string): Case => [
  `Content-Length ${JSON.stringify(value)}`,
  (door) => post(door, `Content-Length:${value}\r\n`, "abc"),
];
const withCoding = (value: string): Case => [
  `Transfer-Encoding ${JSON.stringify(value)}`,
  (door) => post(door, `Transfer-Encoding:${value}\r\n`, WHOLE_CHUNKS),
];
/** Something that one parser takes for chunked, and another passes over for the length. */
const withDisguise = (lines: string): Case => [
  `a length, and ${JSON.stringify(lines)}`,
  (door) => post(door, `Content-Length: 3\r\n${lines}\r\n`, WHOLE_CHUNKS),
];
const withChunks = (chunks: string): Case => [
  `the chunks ${JSON.stringify(chunks)}`,
  (door) => post(door, CHUNKED, chunks),
];
const edited = (name: string, from: string | RegExp, to: string): Case => [
  name,
  (door) => get(door, "/first").replace(from, to),
];

const TWO_BLANKS: readonly Case[] = [
  edited("two blanks behind the verb", "GET ", "GET  "),
  edited("two blanks before the version", " HTTP/1.1", "  HTTP/1.1"),
];

/** Refused before the app hears of them. */
const REFUSED_AT_THE_HEAD: readonly Case[] = [
  // Two framings at once, or one that can be read in two ways.
  ["a length and chunked", (door) => post(door, `Content-Length: 5\r\n${CHUNKED}`, "0\r\n\r\n")],
  ["chunked and a length", (door) => post(door, `${CHUNKED}Content-Length: 5\r\n`, "0\r\n\r\n")],
  ["two lengths", (door) => post(door, "Content-Length: 3\r\nContent-Length: 4\r\n", "abc")],
  ["the same length twice", (door) => post(door, "Content-Length: 3\r\nContent-Length: 3\r\n", "abc")],
  withLength(" 3, 3"),
  withLength(" 3 3"),
  withLength(" +3"),
  withLength(" -3"),
  withLength(" 0x3"),
  withLength(" 3e0"),
  withLength(""),
  withLength(" "),
  withLength(" 18446744073709551619"),
  withLength(" 3,3"),
  withLength(" 3,"),
  withLength(" 3;x"),
  withLength(" 3/"),
  withLength(" \x0b3"),
  withLength(" 3\0"),
  withLength(" three"),
  ["a length that is folded", (door) => post(door, "Content-Length:\r\n 3\r\n", "abc")],
  withCoding(" chunked, identity"),
  withCoding(" gzip, chunked"),
  withCoding(" identity"),
  withCoding(" xchunked"),
  withCoding(" chunked, chunked"),
  withCoding(" \x0bchunked"),
  withCoding(' "chunked"'),
  withCoding(""),
  withCoding(" chunked,"),
  withCoding(" ,chunked"),
  withCoding(" chunked;q=1"),
  withCoding(" chunked chunked"),
  withCoding(" chun ked"),
  withCoding(" chunked\x0b"),
  withCoding(" \x0cchunked"),
  withCoding(" \0chunked"),
  withCoding(" chunked\0"),
  withCoding(" \xa0chunked"),
  withCoding(" 'chunked'"),
  withCoding(" [chunked]"),
  withCoding("\r\n chunked"),
  withCoding(" x\r\n chunked"),
  withDisguise("Transfer-Encoding : chunked"),
  withDisguise("Transfer-Encoding\t: chunked"),
  withDisguise(" Transfer-Encoding: chunked"),
  withDisguise("\tTransfer-Encoding: chunked"),
  withDisguise("Transfer-Encoding:\tchunked"),
  withDisguise("transfer-encoding: CHUNKED"),
  withDisguise("X: a\rTransfer-Encoding: chunked"),
  withDisguise("X: a\nTransfer-Encoding: chunked"),
  withDisguise("\0Transfer-Encoding: chunked"),
  withDisguise("Transfer-Encoding: chunked\r\nTransfer-Encoding: cow"),
  withDisguise("Transfer-Encoding: cow\r\nTransfer-Encoding: chunked"),
  withDisguise("Transfer-Encoding: identity\r\nTransfer-encoding: chunked"),
  withDisguise("Transfer-Encoding; chunked"),
  withDisguise("Transfer-Encoding chunked"),
  [
    "a body that is longer by its chunks than by its length",
    (door) => post(door, `Content-Length: 4\r\n${CHUNKED}`, `29\r\n${get(door, "/behind")}`),
  ],
  [
    "a request in a body that is empty by its chunks",
    (door) => post(door, `Content-Length: 200\r\n${CHUNKED}`, `0\r\n\r\n${get(door, "/behind")}`),
  ],
  ["two Transfer-Encodings", (door) => post(door, `${CHUNKED}${CHUNKED}`, WHOLE_CHUNKS)],
  ["identity, then chunked", (door) => post(door, `Transfer-Encoding: identity\r\n${CHUNKED}`, WHOLE_CHUNKS)],
  ["chunked in HTTP/1.0", (door) => post(door, CHUNKED, WHOLE_CHUNKS).replace("HTTP/1.1", "HTTP/1.0")],
  // Line ends.
  edited("bare LF throughout", /\r\n/g, "\n"),
  edited("bare LF after the request line", "\r\n", "\n"),
  edited("bare LF after a header", "x\r\n", "x\n"),
  edited("bare LF as the empty line", /\r\n\r\n$/, "\r\n\n"),
  edited("bare LF before the empty line", /\r\n\r\n$/, "\n\r\n"),
  edited("bare CR throughout", /\r\n/g, "\r"),
  edited("bare CR after the request line", "\r\n", "\r"),
  edited("bare CR as the empty line", /\r\n\r\n$/, "\r\n\rX: a\r\n\r\n"),
  edited("CR before CRLF", "x\r\n", "x\r\r\n"),
  withHeader("X: a\rb"),
  withHeader("X: a\r b"),
  // Header lines.
  withHeader("X: a\r\n folded"),
  withHeader("X: a\r\n\tfolded"),
  edited("a folded line before the first header", "\r\n", "\r\n X: a\r\n"),
  withHeader("X : a"),
  withHeader("X\t: a"),
  withHeader("X"),
  withHeader(": a"),
  withHeader("X(y): a"),
  withHeader("X: a\0b"),
  withHeader("X\0: a"),
  withHeader("X\x01: a"),
  withHeader("X\x7f: a"),
  withHeader("X\x80: a"),
  withHeader("\x0bX: a"),
  withHeader('"X": a'),
  withHeader("X;y: a"),
  withHeader("X: a\x7fb"),
  withHeader("X: a\x0bb"),
  ["two Hosts", (door) => get(door, "/first", `${HOST}${HOST}`)],
  ["two different Hosts", (door) => get(door, "/first", `${HOST}Host: y\r\n`)],
  ["no Host", (door) => get(door, "/first", "")],
  // Request lines.
  edited("a fragment in the target", "/first", "/first#fragment"),
  edited("a control character in the target", "/first", "/fi\x01rst"),
  edited("a raw byte above 0x7F in the target", "/first", "/fi\xffrst"),
  edited("a space in the target", "/first", "/fi rst"),
  edited("no verb", "GET ", ""),
  edited("a verb in lower case", "GET", "get"),
  edited("an unknown verb", "GET", "FROB"),
  edited("a tab behind the verb", "GET ", "GET\t"),
  edited("no target", /GET \S+/, "GET"),
  edited("a target that is only an authority", /GET \S+/, "GET x:80"),
  edited("a space before the request line", "GET", " GET"),
  edited("a tab before the request line", "GET", "\tGET"),
  edited("a space behind the version", "HTTP/1.1\r", "HTTP/1.1 \r"),
  edited("no version", " HTTP/1.1", ""),
  ["a request of HTTP/0.9", (door) => `GET ${door.prefix}/first\r\n`],
  edited("a NUL in the target", "/first", "/fi\0rst"),
  edited("a tab in the target", "/first", "/fi\trst"),
  edited("a bare CR in the target", "/first", "/fi\rrst"),
  edited("a bare LF in the target", "/first", "/fi\nrst"),
  edited("a request line in the target", "/first", "/first HTTP/1.1 /second"),
  edited("HTTP/0.9", "HTTP/1.1", "HTTP/0.9"),
  edited("HTTP/1.2", "HTTP/1.1", "HTTP/1.2"),
  edited("HTTP/1.10", "HTTP/1.1", "HTTP/1.10"),
  edited("HTTP/2.0", "HTTP/1.1", "HTTP/2.0"),
  edited("http/1.1", "HTTP/1.1", "http/1.1"),
  ["HTTP/2's preface behind an empty line", () => "\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
  ["CONNECT", (door) => `CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n${door.headers}\r\n`],
  // Node's parser passes over the second blank.
  ...(CODEC === "lean" ? TWO_BLANKS : []),
  // The size of the first chunk.
  withChunks("FFFFFFFFFFFFFFFFF\r\nabc\r\n0\r\n\r\n"),
  withChunks("-3\r\nabc\r\n0\r\n\r\n"),
  withChunks("+3\r\nabc\r\n0\r\n\r\n"),
  withChunks("0x3\r\nabc\r\n0\r\n\r\n"),
  withChunks("3 \r\nabc\r\n0\r\n\r\n"),
  withChunks(" 3\r\nabc\r\n0\r\n\r\n"),
  withChunks("1_0\r\nabc\r\n0\r\n\r\n"),
  withChunks("\r\nabc\r\n0\r\n\r\n"),
  withChunks("3\nabc\r\n0\r\n\r\n"),
  withChunks("3\rabc\r\n0\r\n\r\n"),
  withChunks("3;x\nabc\r\n0\r\n\r\n"),
  withChunks("3;x\ry\r\nabc\r\n0\r\n\r\n"),
  withChunks("3;\nabc\r\n0\r\n\r\n"),
  withChunks("3;x=\nabc\r\n0\r\n\r\n"),
  withChunks('3;x="\nabc\r\n0\r\n\r\n'),
  withChunks('3;x="\r\nabc\r\n0\r\n\r\n'),
  withChunks("3;x=\0\r\nabc\r\n0\r\n\r\n"),
  withChunks("3\r;x\nabc\r\n0\r\n\r\n"),
  withChunks("3\t;x\r\nabc\r\n0\r\n\r\n"),
  withChunks("3h\r\nabc\r\n0\r\n\r\n"),
  withChunks("3,3\r\nabc\r\n0\r\n\r\n"),
  withChunks("\x0b3\r\nabc\r\n0\r\n\r\n"),
];

/** Refused when the app may have heard of their beginning; it must never see their end. */
const REFUSED_IN_THE_BODY: readonly Case[] = [
  withChunks("2\r\nabc\r\n0\r\n\r\n"),
  withChunks("4\r\nabc\r\n0\r\n\r\n"),
  withChunks("3\r\nabc\n0\r\n\r\n"),
  withChunks("3\r\nabc0\r\n\r\n"),
  withChunks("3\r\nabc\r\n-1\r\n\r\n"),
  withChunks("3\r\nabc\r\n0\n\n"),
  withChunks("3\r\nabc\r\n0\r\n\n"),
  withChunks("3\r\nabc\r\n0\r\nX : a\r\n\r\n"),
  withChunks("3\r\nabc\r\n0\r\nX: a\nY: b\r\n\r\n"),
  withChunks("3\r\nabc\r\n0\r\nContent-Length: 5\r\n\r\n"),
  withChunks("3\r\nabc\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n"),
];

async function openDoors(t: TestContext): Promise<{ app: InTestApp; doors: [api: Door, peer: Door] }> {
  const home = ownHome(t);
  const app = await startInTestApp(t);
  const { listed } = await startBeside(t, "callee", app.port, { home });
  const api = { name: "API port", port: listed.httpPort, prefix: "/v1.0/invoke/callee/method", headers: "" };
  const peer = {
    name: "internal port",
    port: listed.internalPort,
    prefix: "",
    headers: "outrigger-target: callee.default\r\n",
  };
  return { app, doors: [api, peer] };
}

/** Sends a good request on a connection of its own; when it has arrived, so has whatever was let through before it. */
async function sendGoodRequest(t: TestContext, door: Door): Promise<void> {
  const [answer] = await firstAnswers(t, door.port, get(door, "/good"), 1);
  assert.equal(answer?.status, 200);
}

test("a good request is served, and so is the one behind it on the same connection", async (t) => {
  const { app, doors } = await openDoors(t);
  for (const door of doors) {
    app.whole.length = 0;
    const chunked = post(door, CHUNKED, WHOLE_CHUNKS);
    const answers = await firstAnswers(t, door.port, `${chunked}${get(door, "/behind")}`, 2);
    assert.deepEqual(
      answers.map(({ status, body }) => [status, body]),
      [
        [200, "ok"],
        [200, "ok"],
      ],
    );
    const seen = app.whole.map(({ line, body }) => [line, body]);
    assert.deepEqual(seen.sort(), [
      ["GET /behind", ""],
      ["POST /first", "abc"],
    ]);
  }
});

test("what HTTP forbids is answered with 400, the connection is closed, and nothing behind it is served", async (t) => {
  const { app, doors } = await openDoors(t);
  for (const door of doors) {
    for (const [name, request] of REFUSED_AT_THE_HEAD) {
      await t.test(`${door.name}: ${name}`, async (st) => {
        app.begun.length = 0;
        const answers = await answersUntilClosed(st, door.port, `${request(door)}${get(door, "/behind")}`);
        assert.deepEqual(
          answers.map(({ status, headers }) => [status, headers["connection"]]),
          [[400, "close"]],
        );
        await sendGoodRequest(st, door);
        assert.deepEqual(app.begun, ["GET /good"]);
      });
    }
  }
});

test("a body that breaks the rules is answered with 400, never ends for the app, and nothing behind it is served", async (t) => {
  const { app, doors } = await openDoors(t);
  for (const door of doors) {
    for (const [name, request] of REFUSED_IN_THE_BODY) {
      await t.test(`${door.name}: ${name}`, async (st) => {
        app.begun.length = 0;
        app.whole.length = 0;
        const answers = await answersUntilClosed(st, door.port, `${request(door)}${get(door, "/behind")}`);
        assert.deepEqual(
          answers.map(({ status, headers }) => [status, headers["connection"]]),
          [[400, "close"]],
        );
        await sendGoodRequest(st, door);
        assert.deepEqual(
          app.whole.map(({ line }) => line),
          ["GET /good"],
        );
        assert.ok(!app.begun.includes("GET /behind"), app.begun.join());
      });
    }
  }
});

test("a client that goes away in the middle of a body never makes the app see an end", async (t) => {
  const { app, doors } = await openDoors(t);
  for (const door of doors) {
    for (const [framing, body] of [
      [CHUNKED, "3\r\nabc\r\n"],
      ["Content-Length: 100000\r\n", "abc"],
    ] as const) {
      app.begun.length = 0;
      app.whole.length = 0;
      const connection = await RawConnection.open(t, door.port);
      connection.write(post(door, framing, body));
      await waitFor("the app to hear of it", () => app.begun.includes("POST /first"));
      connection.destroy();
      await sendGoodRequest(t, door);
      assert.deepEqual(
        app.whole.map(({ line }) => line),
        ["GET /good"],
      );
    }
  }
});

/** A request whose header block has about `bytes` bytes. */
function withHeaderBytes(door: Door, bytes: number): string {
  const bare = get(door, "/first", `${HOST}X: \r\n`);
  return bare.replace("X: ", `X: ${"a".repeat(bytes - bare.length)}`);
}

// --read-buffer-size is 4Ki by default, and 4 KiB more are accepted (design.md). The internal port takes all that a
// caller's sidecar may make of it: a path that is escaped throughout, and headers of its own.
const HEADER_LIMITS = [8 * 1024, 32 * 1024] as const;

test("headers up to the limit of the port reach the app", async (t) => {
  const { app, doors } = await openDoors(t);
  for (const [index, door] of doors.entries()) {
    app.whole.length = 0;
    const [answer] = await firstAnswers(t, door.port, withHeaderBytes(door, (HEADER_LIMITS[index] ?? 0) - 100), 1);
    assert.equal(answer?.status, 200, door.name);
    assert.equal(app.whole.length, 1, door.name);
  }
});

test("larger headers are answered with 431, the connection is closed, and nothing behind them is served", async (t) => {
  const { app, doors } = await openDoors(t);
  for (const [index, door] of doors.entries()) {
    app.begun.length = 0;
    const request = withHeaderBytes(door, (HEADER_LIMITS[index] ?? 0) + 200);
    const answers = await answersUntilClosed(t, door.port, `${request}${get(door, "/behind")}`);
    assert.deepEqual(
      answers.map(({ status, headers }) => [status, headers["connection"]]),
      [[431, "close"]],
      door.name,
    );
    await sendGoodRequest(t, door);
    assert.deepEqual(app.begun, ["GET /good"], door.name);
  }
});

test("whatever fits the API port fits the callee's internal port, escapes and all", async (t) => {
  const home = ownHome(t);
  const app = await startInTestApp(t);
  await startBeside(t, "callee", app.port, { home });
  const caller = await startBeside(t, "caller", undefined, { home });
  const path = "|".repeat(7500);
  const request = `GET /v1.0/invoke/callee/method/${path} HTTP/1.1\r\nHost: x\r\nX: ${"a".repeat(500)}\r\n\r\n`;
  const [answer] = await firstAnswers(t, caller.listed.httpPort, request, 1);
  assert.equal(answer?.status, 200, answer?.body);
  assert.equal(app.whole[0]?.line, `GET /${"%7C".repeat(7500)}`);
});

test("--read-buffer-size moves that limit", async (t) => {
  const app = await startInTestApp(t);
  const flags = ["--read-buffer-size", "32Ki"];
  const { listed } = await startBeside(t, "callee", app.port, { home: ownHome(t), flags });
  const door = { name: "API port", port: listed.httpPort, prefix: "/v1.0/invoke/callee/method", headers: "" };
  const [answer] = await firstAnswers(t, door.port, withHeaderBytes(door, 36_000), 1);
  assert.equal(answer?.status, 200);
  const refused = await answersUntilClosed(t, door.port, withHeaderBytes(door, 37_500));
  assert.deepEqual(
    refused.map(({ status }) => status),
    [431],
  );
});

test("more headers than anybody counts are passed on without losing one", async (t) => {
  const { app, doors } = await openDoors(t);
  for (const door of doors) {
    app.whole.length = 0;
    const many = Array.from({ length: 1100 }, (_, index) => `a${index}:\r\n`).join("");
    const [answer] = await firstAnswers(t, door.port, get(door, "/first", `${HOST}${many}`), 1);
    assert.equal(answer?.status, 200, door.name);
    const names = new Set(app.whole[0]?.headers);
    const lost = Array.from({ length: 1100 }, (_, index) => `a${index}`).filter((name) => !names.has(name));
    assert.deepEqual(lost, [], door.name);
  }
});

/** Unusual, and read by everybody in one way. */
const SERVED: readonly Case[] = [
  ["a length with zeros before it", (door) => post(door, "Content-Length: 003\r\n", "abc")],
  ["chunked in capitals", (door) => post(door, "Transfer-Encoding: CHUNKED\r\n", WHOLE_CHUNKS)],
  ["a tab before chunked", (door) => post(door, "Transfer-Encoding:\tchunked\r\n", WHOLE_CHUNKS)],
  ["no blank before chunked", (door) => post(door, "Transfer-Encoding:chunked\r\n", WHOLE_CHUNKS)],
  ["a chunk size with zeros before it", (door) => post(door, CHUNKED, "0003\r\nabc\r\n000\r\n\r\n")],
  ["chunk extensions", (door) => post(door, CHUNKED, '3;a=b;c="d e"\r\nabc\r\n0;x\r\n\r\n')],
  ["trailers", (door) => post(door, CHUNKED, "3\r\nabc\r\n0\r\nX: y\r\n\r\n")],
  ["an empty line before the request", (door) => `\r\n${post(door, CHUNKED, WHOLE_CHUNKS)}`],
  ["a header that ends in blanks", (door) => post(door, `X: a \t \r\n${CHUNKED}`, WHOLE_CHUNKS)],
  ["a target in absolute form", (door) => post(door, CHUNKED, WHOLE_CHUNKS).replace("POST /", "POST http://other:1/")],
];

test("what is unusual but can be read in one way only is served, and so is what stands behind it", async (t) => {
  const { app, doors } = await openDoors(t);
  for (const door of doors) {
    for (const [name, request] of SERVED) {
      await t.test(`${door.name}: ${name}`, async (st) => {
        app.whole.length = 0;
        const answers = await firstAnswers(st, door.port, `${request(door)}${get(door, "/behind")}`, 2);
        assert.deepEqual(
          answers.map(({ status }) => status),
          [200, 200],
          answers[0]?.body,
        );
        const seen = app.whole.map(({ line, body }) => [line, body]);
        assert.deepEqual(seen.sort(), [
          ["GET /behind", ""],
          ["POST /first", "abc"],
        ]);
      });
    }
  }
});

test("two blanks in a request line are refused, or passed over by Node's parser, and never a part of the target", async (t) => {
  const { app, doors } = await openDoors(t);
  for (const door of doors) {
    for (const [name, request] of TWO_BLANKS) {
      app.begun.length = 0;
      const [answer] = await firstAnswers(t, door.port, request(door), 1);
      assert.equal(answer?.status, CODEC === "lean" ? 400 : 200, name);
      assert.deepEqual(app.begun, CODEC === "lean" ? [] : ["GET /first"], name);
    }
  }
});

test("a request before one that is refused has its own answer or none, and what stands behind is not served", async (t) => {
  const { app, doors } = await openDoors(t);
  for (const door of doors) {
    for (const bad of [get(door, "/first", ""), get(door, "/first", `${HOST}X : a\r\n`)]) {
      app.begun.length = 0;
      const requests = `${get(door, "/before")}${bad}${get(door, "/behind")}`;
      const answers = await answersUntilClosed(t, door.port, requests);
      const statuses = answers.map(({ status }) => status);
      // Node reads ahead: it finds the bad request while the one before it is under way, and can only break off both.
      const wanted = CODEC === "lean" ? [[200, 400]] : [[], [200], [200, 400]];
      assert.ok(
        wanted.some((each) => each.join() === statuses.join()),
        statuses.join(),
      );
      await sendGoodRequest(t, door);
      assert.ok(!app.begun.some((line) => line === "GET /first" || line === "GET /behind"), app.begun.join());
    }
  }
});

test("ten thousand headers are answered with 431, though each is small", async (t) => {
  const { app, doors } = await openDoors(t);
  const many = "small:\r\n".repeat(10_000);
  for (const door of doors) {
    app.begun.length = 0;
    const answers = await answersUntilClosed(t, door.port, get(door, "/first", `${HOST}${many}`));
    assert.deepEqual(
      answers.map(({ status, headers }) => [status, headers["connection"]]),
      [[431, "close"]],
      door.name,
    );
    await sendGoodRequest(t, door);
    assert.deepEqual(app.begun, ["GET /good"]);
  }
});

test("a body that comes byte by byte arrives whole, and is nobody's timeout", async (t) => {
  const { app, doors } = await openDoors(t);
  for (const door of doors) {
    app.whole.length = 0;
    const connection = await RawConnection.open(t, door.port);
    const request = post(door, CHUNKED, WHOLE_CHUNKS);
    for (const byte of request) {
      connection.write(byte);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await connection.waitForText(/\r\n\r\nok$/);
    assert.deepEqual(
      app.whole.map(({ line, body }) => [line, body]),
      [["POST /first", "abc"]],
    );
  }
});
