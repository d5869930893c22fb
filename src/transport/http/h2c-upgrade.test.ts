import assert from "node:assert/strict";
import http, { type IncomingMessage } from "node:http";
import http2, { type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import { Duplex } from "node:stream";
import { test } from "node:test";
import fc from "fast-check";
import { h2cRequestFrom, withFirstRequest } from "./h2c-upgrade.ts";
import { PREFACE } from "./http2-preface.ts";

const SETTINGS = Buffer.from("000300000064", "hex");
const ASKS = ["Host", "here", "Connection", "upgrade,HTTP2-Settings", "Upgrade", "h2c"];
const WITH_SETTINGS = [...ASKS, "HTTP2-Settings", SETTINGS.toString("base64url")];
const EMPTY_SETTINGS = Buffer.from("000000040000000000", "hex");

function request(headers: readonly string[], url = "/path?q", method = "GET"): IncomingMessage {
  const message = new http.IncomingMessage(undefined as never);
  return Object.assign(message, { method, url, rawHeaders: [...headers] });
}

/** What node:http2 takes the bytes for: the settings it heard of, and the requests, in order. */
function readByNode(bytes: Buffer): Promise<{ settings: http2.Settings; heads: Record<string, unknown>[] }> {
  return new Promise((resolve, reject) => {
    const wire = new Duplex({
      read: () => undefined,
      write: (_chunk, _encoding, done) => {
        done();
      },
    });
    const server = http2.createServer();
    const heads: Record<string, unknown>[] = [];
    server.on("session", (session: ServerHttp2Session) => {
      session.on("error", reject);
      session.on("stream", (stream: ServerHttp2Stream, headers, flags) => {
        heads.push({
          ...Object.fromEntries(Object.entries(headers)),
          id: stream.id,
          endsHere: (flags & http2.constants.NGHTTP2_FLAG_END_STREAM) !== 0,
        });
        stream.on("error", () => undefined);
        setImmediate(() => {
          resolve({ settings: session.remoteSettings, heads });
          session.destroy();
        });
      });
    });
    server.emit("connection", wire);
    wire.push(bytes);
  });
}

test("node:http2 reads the request as stream 1, under the settings that it brought", async () => {
  const headers = [...WITH_SETTINGS, "X-A", "1", "X-Long", "y".repeat(5000), "TE", "gzip", "Cookie", "caf\xe9"];
  const first = h2cRequestFrom(request(headers));
  assert.ok(first !== undefined);
  const shown = withFirstRequest(first, Buffer.concat([PREFACE, EMPTY_SETTINGS]));
  const { settings, heads } = await readByNode(shown ?? Buffer.alloc(0));
  assert.equal(settings.maxConcurrentStreams, 100);
  assert.deepEqual(heads, [
    {
      ":method": "GET",
      ":scheme": "http",
      ":path": "/path?q",
      ":authority": "here",
      "x-a": "1",
      "x-long": "y".repeat(5000),
      cookie: "caf\xe9",
      id: 1,
      endsHere: true,
    },
  ]);
});

test("what the request lists as about its connection is left out", async () => {
  const asks = [...ASKS.slice(0, 2), "Connection", "Upgrade, HTTP2-Settings ,X-Hop", "Connection", "x-other"];
  const headers = [...asks, ...WITH_SETTINGS.slice(4), "X-Hop", "1", "X-OTHER", "2", "X-Kept", "3"];
  const first = h2cRequestFrom(request(headers));
  assert.ok(first !== undefined);
  const shown = withFirstRequest(first, Buffer.concat([PREFACE, EMPTY_SETTINGS]));
  const { heads } = await readByNode(shown ?? Buffer.alloc(0));
  const own = Object.keys(heads[0] ?? {}).filter((name) => name.startsWith("x-"));
  assert.deepEqual(own, ["x-kept"]);
});

test("every header comes out as it went in, however long", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.stringMatching(/^x-[a-z0-9-]{0,200}$/), fc.stringMatching(/^[!-~]{0,700}$/)), {
        maxLength: 8,
      }),
      async (fields) => {
        const unique = new Map(fields);
        const first = h2cRequestFrom(request([...WITH_SETTINGS, ...[...unique].flat()]));
        assert.ok(first !== undefined);
        const shown = withFirstRequest(first, Buffer.concat([PREFACE, EMPTY_SETTINGS]));
        const { heads } = await readByNode(shown ?? Buffer.alloc(0));
        const found = Object.entries(heads[0] ?? {}).filter(([name]) => name.startsWith("x-"));
        assert.deepEqual(new Map(found), unique);
      },
    ),
    { numRuns: 50 },
  );
});

test("the target may be of any form that HTTP/1.1 has", () => {
  const pathIn = (url: string, method = "GET"): string | undefined =>
    h2cRequestFrom(request(WITH_SETTINGS, url, method))?.headers.toString("latin1");
  assert.match(pathIn("http://other/p?x") ?? "", /:path\x04\/p\?x/);
  assert.match(pathIn("*", "OPTIONS") ?? "", /:path\x01\*/);
  assert.equal(pathIn("other:80"), undefined);
});

for (const [name, headers] of [
  ["no HTTP2-Settings", ASKS],
  ["two of them", [...WITH_SETTINGS, "http2-settings", ""]],
  ["one that Connection does not name", [...WITH_SETTINGS.slice(0, 3), "upgrade", ...WITH_SETTINGS.slice(4)]],
  ["one that is no base64url", [...ASKS, "HTTP2-Settings", "AAMA/ABk"]],
  ["one that is padded", [...ASKS, "HTTP2-Settings", "AAMAAABk===="]],
  ["one of a length that base64url cannot have", [...ASKS, "HTTP2-Settings", "AAMAAABkA"]],
  ["half a setting", [...ASKS, "HTTP2-Settings", "AAMA"]],
  ["headers that are longer than a frame", [...WITH_SETTINGS, "X", "x".repeat(17_000)]],
] as const) {
  test(`a request with ${name} gets no HTTP/2`, () => {
    assert.equal(h2cRequestFrom(request(headers)), undefined);
  });
}

test("nothing is decided before the first SETTINGS frame is there, and what follows it is left as it is", () => {
  const first = { settings: SETTINGS, headers: Buffer.from("<headers>") };
  const own = Buffer.from("000400000010", "hex");
  const frame = Buffer.concat([Buffer.from("000006040000000000", "hex"), own]);
  const begun = Buffer.concat([PREFACE, frame, Buffer.from("more")]);
  const needed = PREFACE.length + frame.length;
  for (let length = 0; length < needed; length++) {
    assert.equal(withFirstRequest(first, begun.subarray(0, length)), undefined);
  }
  const merged = Buffer.concat([Buffer.from("00000c040000000000", "hex"), SETTINGS, own]);
  const shown = Buffer.concat([PREFACE, merged, Buffer.from("<headers>more")]);
  assert.deepEqual(withFirstRequest(first, begun), shown);
  assert.deepEqual(withFirstRequest(first, begun.subarray(0, needed)), shown.subarray(0, -4));
});

test("what is no beginning of HTTP/2 is left to whoever knows what to say of it", () => {
  const first = { settings: SETTINGS, headers: Buffer.from("<headers>") };
  for (const behind of [
    "000000040100000000", // An acknowledgement.
    "000000060000000000", // A PING.
    "000000040000000001", // On a stream.
    "ffffff040000000000", // Longer than a frame may be.
  ]) {
    const begun = Buffer.concat([PREFACE, Buffer.from(behind, "hex")]);
    assert.equal(withFirstRequest(first, begun), begun, behind);
  }
  const other = Buffer.from("GET / HTTP/1.1");
  assert.equal(withFirstRequest(first, other), other);
});
