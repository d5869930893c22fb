import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHash, randomUUID } from "node:crypto";
import { once } from "node:events";
import http2, { type ClientHttp2Session } from "node:http2";
import net, { type AddressInfo } from "node:net";
import { after, before, suite, test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { promisify } from "node:util";
import type { HttpExchange } from "../../src/transport/http/http-exchange.ts";
import { peekAtPreface } from "../../src/transport/http/http2-preface.ts";
import { Http2Server } from "../../src/transport/http/http2-server.ts";
import { buildApps, startCallee, startCaller } from "../support/apps.ts";
import { progressOf, progressUntil, release } from "../support/apps-client.ts";
import { pattern, sha256OfPattern } from "../support/apps-pattern.ts";
import type { TestScope } from "../support/cleanup.ts";
import { answerOf, beginH2, bodyOf, callH2, connectH2, headOf, RESETS } from "../support/h2-client.ts";
import { listApps } from "../support/outrigger.ts";
import { ownHome, startBeside } from "../support/processes.ts";
import { answersUntilClosed, parseAnswers, RawConnection } from "../support/raw-http.ts";
import { startInTestApp } from "../support/raw-http-app.ts";
import { waitFor } from "../support/wait.ts";

/**
 * HTTP/2 without TLS on the API port, for clients that know beforehand that it is spoken or ask for it. The same calls, rules and
 * answers as over HTTP/1.1.
 */

const KiB = 1024;
const MiB = 2 ** 20;
const SIZES = [0, 1, 64 * KiB - 1, 64 * KiB, 64 * KiB + 1, MiB, 8 * MiB];
const VERBS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"];
const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
// As they look in latin1; the reset is that of stream 1.
const GOAWAY = "\x07\0\0\0\0\0";
const RST_STREAM = "\0\0\x04\x03\0\0\0\0\x01";
const INTERNAL_ERROR = http2.constants.NGHTTP2_INTERNAL_ERROR;

const apps = await buildApps({ after });

interface Places {
  readonly api: string;
  readonly direct: string;
}

/** What the fixture app says it got. */
interface Echo {
  readonly method: string;
  readonly path: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly bodyBytes: number;
  readonly bodySha256: string;
}

const at = (path: string, target = "callee"): string => `/v1.0/invoke/${target}/method${path}`;

// One set of processes for the suite; a test leaves nothing behind but what it is about.
const cleanups: (() => unknown)[] = [];
let places: Places;

function connect(t: TestScope): Promise<ClientHttp2Session> {
  return connectH2(t, places.api);
}

suite("through two processes", () => {
  before(async () => {
    const scope: TestScope = { after: (fn) => cleanups.unshift(fn) };
    const home = ownHome(scope);
    const flags = ["--max-body-size", "300Mi"];
    const { direct } = await startCallee(scope, { home, appId: "callee", command: apps.serve("node"), flags });
    const { api } = await startCaller(scope, { home, appId: "caller", flags });
    places = { api, direct };
  });
  after(async () => {
    for (const cleanup of cleanups) await cleanup();
  });

  test("every verb reaches the app, with a body and without", async (t) => {
    const session = await connect(t);
    for (const method of VERBS) {
      for (const body of method === "TRACE" ? [undefined] : [undefined, Buffer.from("a body")]) {
        const {
          status,
          headers,
          body: text,
        } = await callH2(session, {
          method,
          path: at("/echo?x=1"),
          ...(body === undefined ? {} : { body: [body] }),
        });
        assert.equal(status, 200, method);
        assert.equal(headers["x-echo-method"], method);
        const echo = JSON.parse(text.toString()) as Echo;
        assert.deepEqual([echo.method, echo.path, echo.bodyBytes], [method, "/echo?x=1", body?.length ?? 0]);
      }
    }
    const head = await callH2(session, { method: "HEAD", path: at("/echo") });
    assert.deepEqual([head.status, head.headers["x-echo-method"], head.body.length], [200, "HEAD", 0]);
  });

  for (const sized of [true, false]) {
    const framing = sized ? "content-length" : "no length";
    test(`bodies of every size go both ways whole (${framing})`, async (t) => {
      const session = await connect(t);
      for (const bytes of SIZES) {
        const up = await callH2(session, {
          method: "POST",
          path: at("/upload"),
          headers: sized ? { "content-length": bytes } : {},
          body: pattern(bytes),
        });
        assert.deepEqual(JSON.parse(up.body.toString()), { bytes, sha256: sha256OfPattern(bytes) });
        const path = at(`/download?bytes=${bytes}${sized ? "" : "&chunked=1"}`);
        const down = await callH2(session, { path });
        assert.equal(down.status, 200);
        if (sized) assert.equal(down.headers["content-length"], String(bytes));
        assert.deepEqual([down.body.length, sha256(down.body)], [bytes, sha256OfPattern(bytes)]);
      }
    });
  }

  test("statuses cross, and those that have no body have none", async (t) => {
    const session = await connect(t);
    for (const status of [200, 201, 202, 204, 205, 301, 304, 400, 404, 409, 418, 500, 503, 599]) {
      const answer = await callH2(session, { path: at(`/status/${status}`) });
      assert.equal(answer.status, status);
      const expected = [204, 205, 304].includes(status) ? "" : JSON.stringify({ status });
      assert.equal(answer.body.toString(), expected);
    }
    // Node's HTTP/2 writes no other.
    assert.equal((await callH2(session, { path: at("/status/700") })).status, 500);
    const missing = await callH2(session, { path: at("/x", "nobody") });
    assert.equal(missing.status, 500);
    assert.match(missing.body.toString(), /ERR_DIRECT_INVOKE/);
    const noTarget = await callH2(session, { path: "/nothing", method: "HEAD" });
    assert.deepEqual([noTarget.status, noTarget.body.length], [404, 0]);
    const health = await callH2(session, { path: "/v1.0/healthz" });
    assert.deepEqual([health.status, health.body.length], [204, 0]);
  });

  test("repeated headers of an answer stay apart", async (t) => {
    const { headers } = await callH2(await connect(t), { path: at("/headers") });
    assert.deepEqual(headers["set-cookie"], ["a=1; Path=/", "b=2; HttpOnly"]);
    assert.equal(headers["x-repeated"], "one, two");
  });

  test("a request's headers reach the app: cookie crumbs as one, :authority as no Host, trailers not at all", async (t) => {
    const { body } = await callH2(await connect(t), {
      method: "POST",
      path: at("/echo"),
      headers: { "x-twice": ["one", "two"], cookie: ["a=1", "b=2", "c=3"], te: "trailers", "x-latin": "caf\u00e9" },
      body: [Buffer.from("x")],
      trailers: { "x-trailer": "late" },
    });
    const { headers, bodyBytes } = JSON.parse(body.toString()) as Echo;
    const of = (name: string): string[] => headers.filter(([n]) => n.toLowerCase() === name).map(([, value]) => value);
    assert.equal(bodyBytes, 1);
    assert.deepEqual(of("x-twice"), ["one", "two"]);
    assert.deepEqual(of("cookie"), ["a=1; b=2; c=3"]);
    assert.deepEqual(of("x-latin"), ["caf\u00e9"]);
    assert.deepEqual(of("host"), [new URL(places.direct).host]);
    assert.deepEqual([of("te"), of("x-trailer"), of(":authority"), of(":path")], [[], [], [], []]);
  });

  test("the target may be named by dapr-app-id", async (t) => {
    const { status } = await callH2(await connect(t), { path: "/echo", headers: { "dapr-app-id": "callee" } });
    assert.equal(status, 200);
  });

  test("events arrive one by one, each before the next is sent", async (t) => {
    const key = randomUUID();
    const stream = beginH2(await connect(t), { path: at(`/events?count=4&key=${key}`) }, true);
    assert.equal((await headOf(stream))["content-type"], "text/event-stream");
    const events: string[] = [];
    for await (const chunk of stream.setEncoding("utf8") as AsyncIterable<string>) {
      events.push(chunk);
      // The app sends the next one now, and not before.
      await release(places, key);
    }
    assert.deepEqual(events, ["data: 0\n\n", "data: 1\n\n", "data: 2\n\n", "data: 3\n\n"]);
  });

  test("the pieces of an upload arrive one by one, each before the next is sent", async (t) => {
    const key = randomUUID();
    const stream = beginH2(await connect(t), { method: "POST", path: at(`/upload?key=${key}`) });
    const answered = answerOf(stream);
    for (let sent = 1; sent <= 4; sent++) {
      stream.write("x");
      await progressUntil({ ...places, target: "callee" }, key, ({ bytes }) => bytes === sent);
    }
    stream.end();
    const expected = { bytes: 4, sha256: sha256(Buffer.from("xxxx")) };
    assert.deepEqual(JSON.parse((await answered).body.toString()), expected);
  });

  test("a caller that stops reading stops the app's sending, and neither loses anything nor holds up other streams", async (t) => {
    const session = await connect(t);
    const key = randomUUID();
    const bytes = 256 * MiB;
    const stream = beginH2(session, { path: at(`/download?bytes=${bytes}&key=${key}`) }, true);
    await headOf(stream);
    const sent = await stalled(session, async () => (await progressOf(places, key))?.bytes ?? 0);
    assert.ok(sent < bytes / 4, `the app had sent ${sent} of ${bytes} bytes to a caller that read none`);
    const hash = createHash("sha256");
    for await (const piece of stream as AsyncIterable<Buffer>) hash.update(piece);
    assert.equal(hash.digest("hex"), sha256OfPattern(bytes));
  });

  test("an app that does not read stops the caller's sending, and neither loses anything nor holds up other streams", async (t) => {
    const session = await connect(t);
    const key = randomUUID();
    const bytes = 96 * MiB;
    const stream = beginH2(session, { method: "POST", path: at(`/upload?held=1&key=${key}`) });
    const answered = answerOf(stream);
    let taken = 0;
    const sending = (async () => {
      for (const piece of pattern(bytes)) {
        if (!stream.write(piece)) await once(stream, "drain");
        taken += piece.length;
      }
      stream.end();
    })();
    await waitFor("the app to get it", () => progressOf(places, key));
    const sent = await stalled(session, () => Promise.resolve(taken));
    assert.ok(sent < bytes / 2, `the caller had sent ${sent} of ${bytes} bytes to an app that read none`);
    await release(places, key);
    await sending;
    assert.deepEqual(JSON.parse((await answered).body.toString()), { bytes, sha256: sha256OfPattern(bytes) });
  });

  test("a caller that resets its stream ends the call at the app, and no other", async (t) => {
    const session = await connect(t);
    for (const reset of Object.values(RESETS)) {
      const [down, up, other] = [randomUUID(), randomUUID(), randomUUID()];
      const download = beginH2(session, { path: at(`/download?bytes=${256 * MiB}&key=${down}`) }, true);
      const upload = beginH2(session, { method: "POST", path: at(`/upload?key=${up}`) });
      const events = beginH2(session, { path: at(`/events?count=2&key=${other}`) }, true);
      await Promise.all([headOf(download), headOf(events)]);
      upload.write("x");
      await progressUntil({ ...places, target: "callee" }, up, ({ bytes }) => bytes === 1);
      reset(download);
      reset(upload);
      for (const key of [down, up]) {
        await progressUntil({ ...places, target: "callee" }, key, ({ state }) => state === "broken");
      }
      await release(places, other);
      assert.equal((await bodyOf(events)).toString(), "data: 0\n\ndata: 1\n\n");
    }
  });

  test("a caller whose connection breaks ends its calls at the app", async (t) => {
    const session = await connect(t);
    const [down, up] = [randomUUID(), randomUUID()];
    const download = beginH2(session, { path: at(`/download?bytes=${256 * MiB}&key=${down}`) }, true);
    const upload = beginH2(session, { method: "POST", path: at(`/upload?key=${up}`) });
    upload.write("x");
    await headOf(download);
    await progressUntil({ ...places, target: "callee" }, up, ({ bytes }) => bytes === 1);
    session.destroy();
    for (const key of [down, up]) {
      await progressUntil({ ...places, target: "callee" }, key, ({ state }) => state === "broken");
    }
  });

  test("an answer whose app closes its connection half-way is reset, and other streams go on", async (t) => {
    const session = await connect(t);
    const key = randomUUID();
    const events = beginH2(session, { path: at(`/events?count=2&key=${key}`) }, true);
    await headOf(events);
    for (const framing of ["", "&chunked=1"]) {
      for (const bytes of [10, 64 * KiB, MiB]) {
        const stream = beginH2(session, { path: at(`/die-mid-body?bytes=${bytes}${framing}`) }, true);
        const ends: string[] = [];
        stream.once("end", () => ends.push("end"));
        const [{ ":status": status }] = await Promise.all([
          headOf(stream),
          assert.rejects(bodyOf(stream), /closed with code 2/),
        ]);
        assert.deepEqual([status, stream.rstCode, ends], [200, INTERNAL_ERROR, []]);
      }
    }
    await release(places, key);
    assert.equal((await bodyOf(events)).toString(), "data: 0\n\ndata: 1\n\n");
  });

  test("fifty streams at once on one connection each get their own answer", async (t) => {
    const session = await connect(t);
    const calls = Array.from({ length: 50 }, async (_, index) => {
      const bytes = 1 + index * 7919;
      const [up, down] = await Promise.all([
        callH2(session, { method: "POST", path: at(`/echo/${index}`), body: pattern(bytes) }),
        callH2(session, { path: at(`/download?bytes=${bytes}`), headers: { "x-call-id": `call ${index}` } }),
      ]);
      const echo = JSON.parse(up.body.toString()) as Echo;
      assert.deepEqual([echo.path, echo.bodyBytes], [`/echo/${index}`, bytes]);
      assert.equal(echo.bodySha256, sha256OfPattern(bytes));
      assert.equal(down.headers["x-call-id"], `call ${index}`);
      assert.equal(sha256(down.body), sha256OfPattern(bytes));
    });
    await Promise.all(calls);
  });

  test("as many streams as are allowed at once carry a mebibyte each, both ways", async (t) => {
    const session = await connect(t);
    await waitFor("the server's settings", () => session.remoteSettings.maxConcurrentStreams === 250);
    const calls = Array.from({ length: 125 }, async () => {
      const [up, down] = await Promise.all([
        callH2(session, { method: "POST", path: at("/upload"), body: pattern(MiB) }),
        callH2(session, { path: at(`/download?bytes=${MiB}`) }),
      ]);
      assert.equal((JSON.parse(up.body.toString()) as { sha256: string }).sha256, sha256OfPattern(MiB));
      assert.equal(sha256(down.body), sha256OfPattern(MiB));
    });
    await Promise.all(calls);
  });

  test("curl, which knows beforehand that HTTP/2 is spoken, calls with any verb and body", async () => {
    const form = "%{http_version} %{http_code}";
    for (const args of [[], ["-X", "DELETE"], ["--data-binary", "abc"], ["-T", "-"]]) {
      const { stdout } = await curl(["--http2-prior-knowledge", "-w", form, ...args, `${places.api}${at("/echo")}`]);
      assert.match(stdout, /2 200$/);
    }
    const head = await curl(["--http2-prior-knowledge", "-I", `${places.api}${at("/status/404")}`]);
    assert.match(head.stdout, /^HTTP\/2 404/);
    const url = `${places.api}${at("/download?bytes=8388608")}`;
    const { stdout } = await curl(["--http2-prior-knowledge", "-o", "/dev/null", "-w", "%{size_download}", url]);
    assert.equal(stdout, "8388608");
  });

  test("curl, which asks by Upgrade: h2c, gets HTTP/2 for the request that asks and for those that follow", async () => {
    const url = `${places.api}${at("/echo")}`;
    const form = "\n%{http_version} %{http_code} %{num_connects}\n";
    const { stdout } = await curl(["--http2", "-w", form, url, url]);
    const [first = "", firstSum, second = "", secondSum] = stdout.split("\n");
    assert.deepEqual([firstSum, secondSum], ["2 200 1", "2 200 0"]);
    for (const json of [first, second]) {
      const { method, headers } = JSON.parse(json) as Echo;
      const names = headers.map(([name]) => name.toLowerCase());
      assert.deepEqual([method, names.filter((name) => /^(?:upgrade|http2-settings|:.*)$/.test(name))], ["GET", []]);
    }
    const head = await curl(["--http2", "-I", `${places.api}${at("/status/404")}`]);
    assert.match(head.stdout, /^HTTP\/1\.1 101 [^]*\r\nHTTP\/2 404/);
    const big = `${places.api}${at("/download?bytes=8388608")}`;
    const { stdout: size } = await curl(["--http2", "-o", "/dev/null", "-w", "%{http_version} %{size_download}", big]);
    assert.equal(size, "2 8388608");
  });

  test("a request with a body is answered in HTTP/1.1, whatever it asks for", async () => {
    const form = ["-w", " %{http_version} %{http_code}", "--data-binary", "@-"];
    for (const framing of [[], ["-H", "Transfer-Encoding: chunked"]]) {
      const { stdout } = await curl(["--http2", ...form, ...framing, `${places.api}${at("/upload")}`]);
      const sha256 = createHash("sha256").update("abc").digest("hex");
      assert.equal(stdout, `${JSON.stringify({ bytes: 3, sha256 })} 1.1 200`);
    }
  });

  test("nghttp, which asks by Upgrade: h2c, is served on stream 1 and on others", async () => {
    const url = `${places.api}${at("/status/202")}`;
    const { stdout } = await promisify(execFile)("nghttp", ["-uv", "--no-dep", url, `${url}?2`, `${url}?3`]);
    assert.match(stdout, /HTTP Upgrade success/);
    const statuses = [...stdout.matchAll(/recv \(stream_id=(\d+)\) :status: (\d+)/g)].map(([, id, status]) => [
      id,
      status,
    ]);
    assert.deepEqual(
      statuses.map(([, status]) => status),
      ["202", "202", "202"],
      stdout,
    );
    assert.deepEqual(statuses.map(([id]) => id).sort()[0], "1");
    const goaways = [...stdout.matchAll(/GOAWAY[^]*?error_code=(\w+)/g)].map(([, code]) => code);
    assert.deepEqual(
      goaways.filter((code) => code !== "NO_ERROR"),
      [],
      stdout,
    );
  });

  test("an Upgrade: h2c that is not as it has to be is answered in HTTP/1.1, and the connection goes on", async (t) => {
    const { port } = new URL(places.api);
    const line = `GET ${at("/status/200")} HTTP/1.1\r\nHost: x\r\n`;
    const settings = "HTTP2-Settings: AAMAAABk\r\n";
    const both = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n";
    for (const headers of [
      both,
      `${both}${settings}${settings}`,
      `${both}HTTP2-Settings: AAMAAAB\r\n`,
      `${both}HTTP2-Settings: AAMAAA*k\r\n`,
      `${both}HTTP2-Settings: AAMAAABkA\r\n`,
      `Connection: Upgrade\r\nUpgrade: h2c\r\n${settings}`,
      `Upgrade: h2c\r\n${settings}`,
    ]) {
      const behind = `${line}Connection: close\r\n\r\n`;
      const answers = await answersUntilClosed(t, Number(port), `${line}${headers}\r\n${behind}`);
      assert.deepEqual(
        answers.map(({ status }) => status),
        [200, 200],
        headers,
      );
    }
  });

  test("what HTTP/1.1 refuses is refused, though it asks for h2c", async (t) => {
    const { port } = new URL(places.api);
    const asks = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n";
    for (const [start, status] of [
      [`GET ${at("/echo")}#x HTTP/1.1\r\nHost: x\r\n`, 400],
      [`GET ${at("/echo")} HTTP/1.1\r\nHost: x\r\nHost: y\r\n`, 400],
      [`GET ${at("/echo")} HTTP/1.1\r\n`, 400],
      [`GET ${at("/echo")}\xe9 HTTP/1.1\r\nHost: x\r\n`, 400],
      [`FOO ${at("/echo")} HTTP/1.1\r\nHost: x\r\n`, 400],
      [`GET ${at("/echo")} HTTP/1.1\r\nHost: x\r\nX: ${"x".repeat(20_000)}\r\n`, 431],
    ] as const) {
      const connection = await RawConnection.open(t, Number(port));
      connection.write(`${start}${asks}\r\n`);
      await connection.waitUntil("an answer", () => connection.received.length > 0);
      assert.match(connection.received, new RegExp(`^HTTP/1\\.1 ${status} `));
      connection.destroy();
    }
  });

  test("what the request says of the HTTP/2 connection holds, and may come in any pieces", async (t) => {
    const { port } = new URL(places.api);
    // SETTINGS_INITIAL_WINDOW_SIZE of 5.
    const asks = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAQAAAAF\r\n";
    const head = `GET ${at("/download?bytes=12")} HTTP/1.1\r\nHost: x\r\n${asks}\r\n`;
    for (const size of [1, 7, 24, 33, 1000]) {
      const connection = await RawConnection.open(t, Number(port));
      connection.write(head);
      await connection.waitForText(/^HTTP\/1\.1 101 [^]*\r\n\r\n/);
      const bytes = `${PREFACE}${frame(4, 0, 0, "")}`;
      for (let start = 0; start < bytes.length; start += size) {
        connection.write(bytes.slice(start, start + size));
        await turn();
      }
      // DATA of five bytes on stream 1, and no more until there is room.
      await connection.waitForText(/\0\0\x05\0\0\0\0\0\x01/);
      connection.write(frame(6, 0, 0, "12345678"));
      await connection.waitForText(/12345678/);
      assert.doesNotMatch(connection.received, /\0\0\x07\0[\0\x01]\0\0\0\x01/);
      connection.write(frame(8, 0, 1, "\0\0\0\x07"));
      await connection.waitForText(/\0\0\x07\0[\0\x01]\0\0\0\x01/);
      // One acknowledgement, for the one SETTINGS frame that the client knows of.
      assert.equal(connection.received.split("\0\0\0\x04\x01\0\0\0\0").length, 2);
      connection.destroy();
    }
  });

  test("what is no HTTP/2 behind the answer to Upgrade: h2c ends its connection, and nothing else", async (t) => {
    const { port } = new URL(places.api);
    const asks = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n";
    for (const behind of ["GET / HTTP/1.1\r\n\r\n", `${PREFACE}${frame(1, 5, 1, get(at("/status/200")))}`, ""]) {
      const connection = await RawConnection.open(t, Number(port));
      connection.write(`GET ${at("/status/200")} HTTP/1.1\r\nHost: x\r\n${asks}\r\n`);
      await connection.waitForText(/^HTTP\/1\.1 101 [^]*\r\n\r\n/);
      connection.write(behind);
      connection.end();
      assert.doesNotMatch(await connection.waitForClose(), /status/);
    }
    assert.equal((await callH2(await connect(t), { path: at("/status/200") })).status, 200);
  });

  test("the preface may come in any pieces", async (t) => {
    const { port } = new URL(places.api);
    const settings = frame(4, 0, 0, "");
    for (const size of [1, 3, 5, 17, 18, 23]) {
      const connection = await RawConnection.open(t, Number(port));
      const bytes = `${PREFACE}${settings}${frame(1, 5, 1, get(at("/status/200")))}`;
      for (let start = 0; start < bytes.length; start += size) {
        connection.write(bytes.slice(start, start + size));
        await turn();
      }
      await connection.waitForText(/\{"status":200\}/);
      connection.destroy();
    }
  });

  test("where the preface is not the first that a connection carries, it is refused", async (t) => {
    const port = Number(new URL(places.api).port);
    const connection = await RawConnection.open(t, port);
    connection.write(`GET ${at("/status/200")} HTTP/1.1\r\nHost: x\r\n\r\n`);
    await connection.waitForText(/\{"status":200\}/);
    connection.write(PREFACE);
    const statuses = parseAnswers(await connection.waitForClose()).map(({ status }) => status);
    assert.deepEqual(statuses, [200, 400]);
  });

  test("what is no HTTP/2 behind the preface ends its connection, and nothing else", async (t) => {
    const port = Number(new URL(places.api).port);
    const settings = frame(4, 0, 0, "");
    for (const rubbish of [
      "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
      `${PREFACE}GET / HTTP/1.1\r\nHost: x\r\n\r\n`,
      `${PREFACE}${frame(0, 0, 1, "data before headers")}`,
      `${PREFACE}${settings}${frame(1, 5, 1, "\xff\xff\xff\xff\xff")}`,
      `${PREFACE}${settings}${frame(1, 5, 2, get("/"))}`,
      `${PREFACE}${settings}${frame(8, 0, 0, "\0\0\0\0")}`,
      `${PREFACE}${settings}\xff\xff\xff\x01\x05\0\0\0\x01`,
    ]) {
      const connection = await RawConnection.open(t, port);
      connection.write(rubbish);
      await connection.waitUntil("the end, or GOAWAY", () => connection.received.includes(GOAWAY));
      connection.destroy();
    }
    const { status } = await callH2(await connect(t), { path: at("/status/200") });
    assert.equal(status, 200);
  });

  test("a request that would mean something else in HTTP/1.1 is refused, and others of its connection are not", async (t) => {
    const session = await connect(t);
    const { host } = new URL(places.api);
    const refusals: readonly [call: Parameters<typeof callH2>[1], says: RegExp][] = [
      [{ path: at("/echo#fragment") }, /target/],
      [{ path: at("/caf\u00e9") }, /target/],
      [{ path: at("/echo"), method: "FROB" }, /method/],
      [{ path: at("/echo"), method: "get" }, /method/],
      [{ path: at("/echo"), headers: { ":authority": host, host: "elsewhere" } }, /host/],
      [{ path: at("/echo"), headers: { "x-large": "a".repeat(9 * KiB) } }, /--read-buffer-size/],
    ];
    for (const [call, says] of refusals) {
      const { status, body } = await callH2(session, call);
      assert.equal(status, says.source.startsWith("--") ? 431 : 400, JSON.stringify(call).slice(0, 200));
      assert.match(body.toString(), says);
    }
    const both = { ":authority": host, host };
    assert.equal((await callH2(session, { path: at("/echo"), headers: both })).status, 200);
  });

  test("what HTTP/2 itself forbids never reaches the app as a request", async (t) => {
    const port = Number(new URL(places.api).port);
    const forbidden: readonly string[] = [
      field("X-Upper", "a"),
      field("connection", "close"),
      field("transfer-encoding", "chunked"),
      field("upgrade", "h2c"),
      field("te", "gzip"),
      field("host", "x") + field("host", "x"),
      field("content-length", "1") + field("content-length", "2"),
      field("content-length", "+1"),
      field("content-length", "5"),
      field(":path", "/second"),
      field(":unknown", "a"),
    ];
    for (const extra of forbidden) {
      const key = randomUUID();
      const connection = await RawConnection.open(t, port);
      const request = get(at(`/events?count=1&key=${key}`)) + extra;
      connection.write(`${PREFACE}${frame(4, 0, 0, "")}${frame(1, 5, 1, request)}`);
      await connection.waitUntil("a reset", () => connection.received.includes(RST_STREAM));
      assert.ok(connection.received.includes(RST_STREAM));
      connection.destroy();
      assert.equal(await progressOf(places, key), undefined, JSON.stringify(extra));
    }
  });

  test("a header that could end its line in HTTP/1.1 is left out", async (t) => {
    const port = Number(new URL(places.api).port);
    const unwritable = [field("x-a", "a\r\nb"), field("x-a", "a\0b"), field("x-a", "a\x7fb"), field("x-a b", "a")];
    for (const extra of [...unwritable, field("x-a\r\n", "a"), field("x-a:", "a"), field("", "a")]) {
      const connection = await RawConnection.open(t, port);
      connection.write(`${PREFACE}${frame(4, 0, 0, "")}${frame(1, 5, 1, get(at("/echo")) + extra)}`);
      await connection.waitForText(/"bodySha256"/);
      connection.destroy();
      assert.doesNotMatch(connection.received, /x-a|\["",/i);
    }
  });

  test("a body that is not as long as it says never ends for the app", async (t) => {
    for (const [length, body] of [
      ["5", "abc"],
      ["2", "abc"],
    ] as const) {
      const key = randomUUID();
      const connection = await RawConnection.open(t, Number(new URL(places.api).port));
      const head = get(at(`/upload?key=${key}`), "POST") + field("content-length", length);
      connection.write(`${PREFACE}${frame(4, 0, 0, "")}${frame(1, 4, 1, head)}${frame(0, 1, 1, body)}`);
      await connection.waitUntil("a reset", () => connection.received.includes(RST_STREAM));
      assert.ok(connection.received.includes(RST_STREAM));
      const seen = await progressOf(places, key);
      assert.notEqual(seen?.state, "complete");
    }
  });

  test("streams that are opened and reset by the thousand harm nobody else", async (t) => {
    const session = await connect(t);
    for (let round = 0; round < 30; round++) {
      for (let i = 0; i < 100 && !session.destroyed && !session.closed; i++) {
        const stream = beginH2(session, { path: at(`/download?bytes=${MiB}`) }, true);
        stream.close(http2.constants.NGHTTP2_CANCEL);
      }
      await turn();
    }
    const { status, body } = await callH2(await connect(t), { path: at(`/download?bytes=${MiB}`) });
    assert.deepEqual([status, sha256(body)], [200, sha256OfPattern(MiB)]);
  });

  test("Expect: 100-continue invites the body", async (t) => {
    const session = await connect(t);
    const headers = { expect: "100-continue", "content-length": 3 };
    const stream = beginH2(session, { method: "POST", path: at("/echo"), headers });
    const answered = answerOf(stream);
    await once(stream, "continue");
    stream.end("abc");
    assert.equal((JSON.parse((await answered).body.toString()) as Echo).bodyBytes, 3);
  });
});

test("the API token is asked for", async (t) => {
  const app = await startInTestApp(t);
  const home = ownHome(t);
  const { api } = await startBeside(t, "callee", app.port, { home, env: { DAPR_API_TOKEN: "secret" } });
  const session = await connectH2(t, api);
  assert.equal((await callH2(session, { path: at("/x") })).status, 401);
  assert.equal((await callH2(session, { path: at("/x"), headers: { "dapr-api-token": "wrong" } })).status, 401);
  assert.deepEqual(app.begun, []);
  assert.equal((await callH2(session, { path: at("/x"), headers: { "dapr-api-token": "secret" } })).status, 200);
  assert.ok(!app.whole[0]?.headers.includes("dapr-api-token"), "the sidecar's token reached the app");
});

test("an answer's headers cross whatever HTTP/2 thinks of them", async (t) => {
  const app = await startInTestApp(t, (_request, response) => {
    const headers = ["Content-Language", "en", "Content-Language", "de", "X-Latin", "caf\u00e9", "X-Empty", ""];
    headers.push("Connection", "X-Hop", "X-Hop", "a", "Keep-Alive", "timeout=9", "Link", "<a>", "Link", "<b>");
    response.writeHead(200, "Wonderful", headers).end("ok");
  });
  const { api } = await startBeside(t, "callee", app.port, { home: ownHome(t) });
  const { headers, body } = await callH2(await connectH2(t, api), { path: at("/x") });
  assert.equal(body.toString(), "ok");
  const names = ["content-language", "x-latin", "x-empty", "link", "connection", "x-hop", "keep-alive"];
  const seen = names.map((name) => headers[name]);
  assert.deepEqual(seen, ["en, de", "caf\u00e9", "", "<a>, <b>", undefined, undefined, undefined]);
});

test("an answer that comes before the request has ended reaches its caller", async (t) => {
  const app = await startInTestApp(t);
  const flags = ["--max-body-size", "1Mi"];
  const { api } = await startBeside(t, "callee", app.port, { home: ownHome(t), flags });
  const session = await connectH2(t, api);
  const announced = await callH2(session, {
    method: "POST",
    path: at("/x"),
    headers: { "content-length": 8 * MiB },
    body: pattern(8 * MiB),
  });
  assert.equal(announced.status, 413);
  const unannounced = await callH2(session, { method: "POST", path: at("/x"), body: pattern(8 * MiB) });
  assert.equal(unannounced.status, 500);
  assert.match(unannounced.body.toString(), /stream too large/);
  assert.equal((await callH2(session, { path: at("/x") })).status, 200);
});

test("a connection that Node has given up, and whose client has left, is ended, and its calls with it", async (t) => {
  const exchanges: HttpExchange[] = [];
  let ended = 0;
  const begin = (exchange: HttpExchange): void => void exchanges.push(exchange);
  const owner = { maxHeadBytes: 8 * KiB, isClosing: false, begin, ended: () => ended++, noteRefusal: () => undefined };
  const connections = new Http2Server(owner, { probeAfterS: 0.05 });
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    peekAtPreface(socket, 60_000, () => {
      connections.accept(socket);
    });
  });
  server.listen(0, "127.0.0.1");
  t.after(() => server.close());
  await once(server, "listening");
  for (const mistake of [frame(1, 5, 3, "\xff\xff\xff\xff\xff"), "\xff\xff\xff\x01\x05\0\0\0\x05"]) {
    const connection = await RawConnection.open(t, (server.address() as AddressInfo).port);
    connection.write(`${PREFACE}${frame(4, 0, 0, "")}${frame(1, 4, 1, get("/", "POST"))}`);
    await waitFor("the call", () => exchanges.length > ended);
    connection.write(mistake);
    await connection.waitUntil("GOAWAY", () => connection.received.includes(GOAWAY));
    connection.destroy();
    await waitFor("the end of the call", () => exchanges.length === ended);
    assert.equal(exchanges.at(-1)?.signal.aborted, true);
  }
  // One whose client is there is kept, however silent it is.
  const session = await connectH2(t, `http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  const stream = beginH2(session, { path: "/" }, true);
  let pings = 0;
  session.on("ping", () => pings++);
  await waitFor("pings", () => pings > 20);
  exchanges.at(-1)?.answer({ status: 200, statusText: "", headers: [], body: Buffer.from("late") });
  assert.equal((await answerOf(stream)).body.toString(), "late");
});

test("where DAPR_HTTP_DISABLE_H2C says so, HTTP/2 is not spoken", async (t) => {
  const app = await startInTestApp(t);
  for (const [value, version] of [
    ["TRUE", "1.1"],
    ["1", "1.1"],
    ["false", "2"],
  ] as const) {
    const env = { DAPR_HTTP_DISABLE_H2C: value };
    const { api } = await startBeside(t, "callee", app.port, { home: ownHome(t), env });
    const { stdout } = await curl(["--http2", "-w", " %{http_version}", `${api}${at("/x")}`]);
    assert.equal(stdout, `ok ${version}`, value);
    const connection = await RawConnection.open(t, Number(new URL(api).port));
    connection.write(`${PREFACE}${frame(4, 0, 0, "")}`);
    await connection.waitUntil("an answer", () => connection.received.length > 0);
    assert.equal(connection.received.startsWith("HTTP/1.1 400 "), version === "1.1", value);
  }
});

test("the internal port takes nothing but gRPC over HTTP/2, and says so", async (t) => {
  const app = await startInTestApp(t);
  const { listed } = await startBeside(t, "callee", app.port, { home: ownHome(t) });
  const { status, body } = await callH2(await connectH2(t, `http://127.0.0.1:${listed.internalPort}`), { path: "/x" });
  assert.deepEqual([status, body.toString()], [415, "this port is for the sidecars of other apps\n"]);
  assert.deepEqual(app.begun, []);
});

test("a run that is told to end finishes its streams", async (t) => {
  const home = ownHome(t);
  const callee = await startCallee(t, { home, appId: "callee", command: apps.serve("node") });
  const caller = await startCaller(t, { home, appId: "caller" });
  const key = randomUUID();
  const own = await connectH2(t, callee.api);
  const other = await connectH2(t, caller.api);
  const idle = await connectH2(t, callee.api);
  await callH2(idle, { path: at("/status/200") });
  const busy = await Promise.all(
    [own, other].map(async (session, index) => {
      const stream = beginH2(session, { path: at(`/events?count=3&key=${key}${index}`) }, true);
      await headOf(stream);
      return { body: bodyOf(stream), session };
    }),
  );
  callee.outrigger.process.kill("SIGTERM");
  await waitFor("the end to begin", async () => !(await listApps(home)).some(({ appId }) => appId === "callee"));
  // More are answered, and one of them is told to be the last of its connection.
  const told: number[] = [];
  idle.once("goaway", (code: number) => told.push(code));
  while (told.length === 0) assert.equal((await callH2(idle, { path: "/v1.0/metadata" })).status, 200);
  assert.deepEqual(told, [http2.constants.NGHTTP2_NO_ERROR]);
  for (let index = 0; index < 2; index++) {
    for (let event = 1; event < 3; event++) await release(callee, `${key}${index}`);
  }
  for (const { body } of busy) assert.equal((await body).toString(), "data: 0\n\ndata: 1\n\ndata: 2\n\n");
  await waitFor("the end of the connections", () => own.destroyed && idle.destroyed);
  assert.equal(await callee.outrigger.exited(), 0);
  assert.equal(await caller.outrigger.stop(), 0);
});

/**
 * Where a transfer stops that one side does not read: `count` does not move while 16 MiB go another way over the same
 * connection, which would have carried as much of this one.
 */
async function stalled(session: ClientHttp2Session, count: () => Promise<number>): Promise<number> {
  let before = await count();
  for (let rounds = 0; rounds < 100; rounds++) {
    const { body } = await callH2(session, { path: at(`/download?bytes=${16 * MiB}`) });
    assert.equal(body.length, 16 * MiB);
    const now = await count();
    if (now === before && now > 0) return now;
    before = now;
  }
  throw new Error(`it never stopped; ${before} bytes so far`);
}

function sha256(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}

function curl(args: readonly string[]): Promise<{ stdout: string }> {
  const running = promisify(execFile)("curl", ["-sS", "--max-time", "60", ...args]);
  running.child.stdin?.end("abc");
  return running;
}

/** A frame (RFC 9113 4.1) as latin1 text. */
function frame(type: number, flags: number, stream: number, payload: string): string {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return head.toString("latin1") + payload;
}

/** A field, spelt out (RFC 7541 6.2.2). */
function field(name: string, value: string): string {
  const sized = (text: string): string => {
    assert.ok(text.length < 127 + 128);
    const length = text.length < 127 ? [text.length] : [127, text.length - 127];
    return Buffer.from(length).toString("latin1") + text;
  };
  return `\0${sized(name)}${sized(value)}`;
}

/** The pseudo headers of a request. */
function get(path: string, method = "GET"): string {
  return field(":method", method) + field(":scheme", "http") + field(":authority", "x") + field(":path", path);
}
