import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import type { ServerResponse } from "node:http";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { WebSocket as UndiciWebSocket } from "undici";
import { WebSocket } from "ws";
import { headerValue, headerValues } from "../../src/core/raw-headers.ts";
import { startCallee, startHost } from "../support/apps.ts";
import type { TestScope } from "../support/cleanup.ts";
import { type HostileApp, type Script, startHostileApp } from "../support/hostile-app.ts";
import { peakGrowth } from "../support/memory.ts";
import { type Outrigger, ROOT } from "../support/outrigger.ts";
import { kill, ownHome, startBeside } from "../support/processes.ts";
import { answersUntilClosed, firstAnswers, parseAnswers, type RawAnswer, RawConnection } from "../support/raw-http.ts";
import { startInTestApp } from "../support/raw-http-app.ts";
import { type RawEnd, SWITCHED, startUpgradeApp, type UpgradeApp } from "../support/upgrade-app.ts";
import { waitFor } from "../support/wait.ts";

/** Connections that change their protocol on the way through the invoke route, WebSockets above all. */

const KiB = 1024;
const MiB = 2 ** 20;
const CODEC = process.env["OUTRIGGER_HTTP_CODEC"] === "node" ? "node" : "lean";

/** From a caller's API to the app in the test. */
interface Way {
  readonly app: UpgradeApp;
  /** Host and port of the caller's API. */
  readonly api: string;
  /** Every Outrigger on the way. */
  readonly processes: readonly Outrigger[];
  /** The app is called by another. */
  readonly isRemote: boolean;
}

type Arrange = (t: TestScope, app: UpgradeApp) => Promise<Way>;

async function throughTwoProcesses(t: TestScope, app: UpgradeApp): Promise<Way> {
  const home = ownHome(t);
  const callee = await startBeside(t, "callee", app.port, { home, flags: ["--story=false"] });
  const caller = await startBeside(t, "caller", undefined, { home, flags: ["--story=false"] });
  return {
    app,
    api: new URL(caller.api).host,
    processes: [callee.outrigger, caller.outrigger],
    isRemote: true,
  };
}

async function coHosted(t: TestScope, app: UpgradeApp): Promise<Way> {
  const host = await startHost(t, ownHome(t), [
    { appId: "callee", serves: false, keys: { appPort: app.port } },
    { appId: "caller", serves: false },
  ]);
  await host.outrigger.waitForOutput(/^callee +● answers/m);
  return { app, api: new URL(await host.api("caller")).host, processes: [host.outrigger], isRemote: true };
}

async function toItself(t: TestScope, app: UpgradeApp): Promise<Way> {
  const { outrigger, api } = await startBeside(t, "callee", app.port, {
    home: ownHome(t),
    flags: ["--story=false"],
  });
  return { app, api: new URL(api).host, processes: [outrigger], isRemote: false };
}

const ARRANGEMENTS: readonly (readonly [name: string, arrange: Arrange])[] = [
  ["through two processes", throughTwoProcesses],
  ["between apps of one process", coHosted],
  ["of an app to itself", toItself],
];

const at = (path: string): string => `/v1.0/invoke/callee/method${path}`;

const asking = (path: string, more = "", protocol = "raw/1"): string =>
  `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\n${more}\r\n`;

/** Asks for `/raw`, and waits for both ends of what comes of it. */
async function openRaw(t: TestScope, { app, api }: Way): Promise<{ caller: RawConnection; callee: RawEnd }> {
  const before = app.raw.length;
  const caller = await RawConnection.open(t, portOf(api));
  caller.write(asking(at("/raw")));
  await caller.waitForText(/^HTTP\/1\.1 101 [^]*\r\n\r\n/);
  const callee = app.raw[before];
  assert.ok(callee !== undefined);
  return { caller, callee };
}

async function openWebSocket(t: TestScope, url: string): Promise<WebSocket> {
  const webSocket = new WebSocket(url, { perMessageDeflate: { threshold: 100 } });
  t.after(() => {
    webSocket.terminate();
  });
  await once(webSocket, "open");
  // A connection that breaks; `close` follows.
  webSocket.on("error", () => undefined);
  return webSocket;
}

const urlOf = ({ api }: Way): string => `ws://${api}${at("/ws")}`;
const portOf = (host: string): number => Number(host.slice(host.lastIndexOf(":") + 1));

for (const [name, arrange] of ARRANGEMENTS) {
  suite(`an upgrade ${name}`, () => {
    const cleanups: (() => unknown)[] = [];
    let way: Way;
    before(async () => {
      const scope: TestScope = { after: (fn) => cleanups.unshift(fn) };
      way = await arrange(scope, await startUpgradeApp(scope, { greeting: "welcome" }));
    });
    after(async () => {
      for (const cleanup of cleanups) await cleanup();
    });

    test("ten thousand WebSocket messages of all sizes come back whole and in order", async (t) => {
      const webSocket = await openWebSocket(t, urlOf(way));
      await echoed(webSocket, 10_000);
      webSocket.ping("are you there");
      const [pong] = (await once(webSocket, "pong")) as [Buffer];
      assert.equal(pong.toString(), "are you there");
      webSocket.close(4321, "enough");
      const [code, reason] = (await once(webSocket, "close")) as [number, Buffer];
      assert.deepEqual([code, reason.toString()], [4321, "enough"]);
      await waitFor("the app to hear of it", () => way.app.closings.length > 0);
      assert.deepEqual(way.app.closings.at(-1), { code: 4321, reason: "enough" });
    });

    test("the app may be the first to ping, to speak and to close", async (t) => {
      const webSocket = await openWebSocket(t, urlOf(way));
      const own = way.app.webSockets.at(-1);
      own?.ping("you?");
      const [ping] = (await once(webSocket, "ping")) as [Buffer];
      assert.equal(ping.toString(), "you?");
      own?.send("first");
      const [data] = (await once(webSocket, "message")) as [Buffer];
      assert.equal(data.toString(), "first");
      own?.close(1001, "going");
      const [code, reason] = (await once(webSocket, "close")) as [number, Buffer];
      assert.deepEqual([code, reason.toString()], [1001, "going"]);
    });

    test("another WebSocket client gets on as well", async () => {
      const webSocket = new UndiciWebSocket(urlOf(way));
      webSocket.binaryType = "arraybuffer";
      await new Promise((resolve) => {
        webSocket.addEventListener("open", resolve);
      });
      for (const text of ["", "hello", "x".repeat(200 * KiB)]) {
        webSocket.send(text);
        const answer = await new Promise((resolve) => {
          webSocket.addEventListener("message", ({ data }) => {
            resolve(data);
          });
        });
        assert.equal(answer, text);
      }
      const closed = new Promise<number>((resolve) => {
        webSocket.addEventListener("close", ({ code }) => {
          resolve(code);
        });
      });
      webSocket.close(1000);
      assert.equal(await closed, 1000);
    });

    test("headers follow the rules of every call; those of the hop are written anew", async (t) => {
      const connection = await RawConnection.open(t, portOf(way.api));
      const key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
      const forged = "Dapr-Caller-App-Id: forged\r\nTE: trailers\r\nX-Hop: 1\r\n";
      const head = `Connection: keep-alive, upgrade, x-hop\r\nUpgrade: h2c, raw/1\r\n${key}${forged}`;
      connection.write(`GET ${at("/raw?q=1")} HTTP/1.1\r\nHost: x\r\n${head}\r\n`);
      await connection.waitForText(/welcome/);
      const { target, headers } = way.app.asked.at(-1) ?? { target: "", headers: [] };
      assert.equal(target, "/raw?q=1");
      const of = (name: string): string[] => headerValues(headers, name);
      assert.deepEqual([of("connection"), of("upgrade")], [["Upgrade"], ["raw/1"]]);
      assert.deepEqual(of("sec-websocket-key"), ["dGhlIHNhbXBsZSBub25jZQ=="]);
      assert.deepEqual([of("te"), of("x-hop"), of("outrigger-target")], [[], [], []]);
      assert.deepEqual(of("host"), [`127.0.0.1:${way.app.port}`]);
      assert.deepEqual(of("dapr-caller-app-id"), way.isRemote ? ["caller"] : []);
      assert.equal(of("traceparent").length, 1);
      const answer = connection.received.slice(0, connection.received.indexOf("\r\n\r\n")).split("\r\n");
      assert.equal(answer.shift(), "HTTP/1.1 101 Switching Protocols");
      const names = answer.map((line) => line.slice(0, line.indexOf(":")));
      assert.deepEqual(names, ["X-App", "Traceparent", "Connection", "Upgrade"]);
      assert.ok(answer.includes("Upgrade: raw/1"), answer.join());
    });

    test("the target may be named by header and by user, and the verb may be any", async (t) => {
      const basic = Buffer.from("dapr-app-id:callee").toString("base64");
      for (const more of ["dapr-app-id: callee\r\n", `Authorization: Basic ${basic}\r\n`]) {
        const connection = await RawConnection.open(t, portOf(way.api));
        connection.write(asking("/raw", more).replace("GET", "PUT"));
        await connection.waitForText(/ 101 [^]*welcome/);
        assert.equal(headerValue(way.app.asked.at(-1)?.headers ?? [], "dapr-app-id"), undefined);
        connection.destroy();
      }
    });

    test("what comes in one piece with either head is not lost", async (t) => {
      const connection = await RawConnection.open(t, portOf(way.api));
      const before = way.app.raw.length;
      connection.write(`${asking(at("/raw"))}early bytes`);
      await connection.waitForText(/\r\n\r\nwelcome$/);
      await way.app.raw[before]?.waitForText("early bytes");
    });

    test("either side may end its half and go on to listen", async (t) => {
      const one = await openRaw(t, way);
      one.caller.write("last words");
      one.caller.end();
      await waitFor("the app to see the end", () => one.callee.hasEnded);
      assert.equal(one.callee.received, "last words");
      one.callee.socket.end("and mine");
      assert.match(await one.caller.waitForClose(), /welcomeand mine$/);
      assert.deepEqual([one.callee.error, one.callee.socket.closed], [undefined, true]);

      const two = await openRaw(t, way);
      two.callee.socket.end("I say no more");
      await two.caller.waitForText(/I say no more$/);
      two.caller.write("but I do");
      await two.callee.waitForText("but I do");
      two.caller.end();
      await two.callee.closed();
      assert.equal(two.callee.error, undefined);
    });

    test("where one side breaks, the other does at once", async (t) => {
      const left = await openRaw(t, way);
      // What it has not read when it leaves would make of its end a reset.
      await left.caller.waitForText(/welcome$/);
      left.caller.destroy();
      await waitFor("the app to see the end", () => left.callee.hasEnded);
      left.callee.socket.destroy();

      const reset = await openRaw(t, way);
      await reset.caller.waitForText(/welcome$/);
      reset.callee.socket.resetAndDestroy();
      assert.match(await reset.caller.waitForClose(), /welcome$/);

      const webSocket = await openWebSocket(t, urlOf(way));
      way.app.webSockets.at(-1)?.terminate();
      assert.deepEqual((await once(webSocket, "close"))[0], 1006);
    });

    test("a refusal reaches the caller as any answer does, and nothing is left of it", async (t) => {
      for (const status of [401, 426, 500]) {
        const connection = await RawConnection.open(t, portOf(way.api));
        connection.write(asking(at(`/refuse/${status}`)));
        const answers = parseAnswers(await connection.waitForClose());
        assert.equal(answers.length, 1);
        const { status: got, headers, body } = answers[0] ?? { status: 0, headers: {}, body: "" };
        assert.deepEqual([got, body], [status, JSON.stringify({ refused: status })]);
        assert.deepEqual([headers["connection"], headers["upgrade"]], ["close", undefined]);
        assert.equal(headers["www-authenticate"], 'Basic realm="x"');
      }
      const webSocket = new WebSocket(`ws://${way.api}${at("/refuse/401")}`);
      const [, answer] = (await once(webSocket, "unexpected-response")) as [unknown, { statusCode: number }];
      assert.equal(answer.statusCode, 401);
      webSocket.on("error", () => undefined);
      webSocket.terminate();
      await openWebSocket(t, urlOf(way));
    });

    test("an app that nobody knows gives the usual error", async (t) => {
      const connection = await RawConnection.open(t, portOf(way.api));
      connection.write(asking("/v1.0/invoke/nobody/method/raw"));
      const [answer] = parseAnswers(await connection.waitForClose());
      assert.equal(answer?.status, 500);
      assert.match(answer.body, /^\{"errorCode":"ERR_DIRECT_INVOKE","message":"failed to invoke, id: nobody, err: /);
    });

    for (const reader of ["caller", "app"] as const) {
      test(`where the ${reader} does not read, the other side has to wait, no memory is taken, and nothing is lost`, async (t) => {
        const before = way.app.raw.length;
        const caller = net.connect({ host: "127.0.0.1", port: portOf(way.api) });
        t.after(() => caller.destroy());
        caller.write(asking(at("/raw")));
        let head = "";
        while (!head.endsWith("welcome")) head += String((await once(caller, "data"))[0]);
        const callee = way.app.raw[before]?.socket;
        assert.ok(callee !== undefined);
        const [from, to] = reader === "caller" ? [callee, caller] : [caller, callee];
        to.pause();
        let taken = 0;
        const pids = way.processes.map(({ pid }) => pid);
        const growth = await peakGrowth(pids, async () => {
          taken = await fill(way, from);
        });
        t.diagnostic(`stopped after ${(taken / MiB).toFixed(1)} MiB; ${(growth / KiB).toFixed(1)} MiB of memory`);
        assert.ok(taken < MOST_IN_FLIGHT, `${taken} bytes were taken for one who read none`);
        assert.ok(growth < 40 * KiB, `the peak grew by ${growth} KiB`);
        const sent = from.bytesWritten;
        const firstBytes = reader === "caller" ? SWITCHED.length + "welcome".length : asking(at("/raw")).length;
        let got = 0;
        to.on("data", (bytes: Buffer) => {
          got += bytes.length;
        });
        from.end();
        to.resume();
        await once(to, "end");
        assert.equal(got, sent - firstBytes);
        to.end();
        await waitFor("both ends to be closed", () => from.closed && to.closed);
      });
    }
  });
}

// The kernel holds some megabytes for each connection; what is carried in vain would be all of what is offered.
const MOST_IN_FLIGHT = 64 * MiB;

/** Writes until no more is taken, however many other calls pass. @returns how much was. */
async function fill({ api }: Way, socket: net.Socket): Promise<number> {
  const piece = Buffer.alloc(64 * KiB, "x");
  const url = `http://${api}${at("/ordinary")}`;
  for (let before = -1; ; ) {
    while (socket.write(piece));
    for (let call = 0; call < 20; call++) assert.equal(await (await fetch(url)).text(), "ok");
    const taken = socket.bytesWritten - socket.writableLength;
    if (taken === before || taken > MOST_IN_FLIGHT) return taken;
    before = taken;
  }
}

/** Sends so many messages, not waiting for answers, and compares what comes back with each. */
async function echoed(webSocket: WebSocket, count: number): Promise<void> {
  const pending: (string | Buffer)[] = [];
  let answered = 0;
  const done = new Promise<void>((resolve, reject) => {
    webSocket.on("message", (data: Buffer, isBinary) => {
      const expected = pending.shift();
      const isSame = isBinary ? Buffer.isBuffer(expected) && data.equals(expected) : data.toString() === expected;
      if (!isSame) reject(new Error(`message ${answered} came back as something else`));
      if (++answered === count) resolve();
    });
    webSocket.once("close", (code) => {
      reject(new Error(`closed with ${code} after ${answered} messages`));
    });
  });
  for (let index = 0; index < count; index++) {
    const message = messageOf(index);
    pending.push(message);
    webSocket.send(message);
    // What has come back is let in now and then; the rest waits in the buffers of the way.
    if (index % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  await done;
}

/** Most are short; a few are long, some as long as makes several frames on the wire. Every second one is binary. */
function messageOf(index: number): string | Buffer {
  let size = index % 300;
  if (index % 100 === 99) size = 4 * KiB + index;
  if (index % 1000 === 999) size = 64 * KiB * (index / 1000) + 1;
  const bytes = Buffer.alloc(Math.floor(size), `${index} `);
  return index % 2 === 0 ? bytes : bytes.toString("latin1");
}

suite("an app that answers an upgrade wrongly", () => {
  const scripts = new Map<string, Script>();
  const cleanups: (() => unknown)[] = [];
  let api: string;
  let app: HostileApp;
  before(async () => {
    const scope: TestScope = { after: (fn) => cleanups.unshift(fn) };
    app = await startHostileApp(scope, scripts);
    const home = ownHome(scope);
    await startBeside(scope, "callee", app.port, { home, flags: ["--story=false"] });
    api = (await startBeside(scope, "caller", undefined, { home, flags: ["--story=false"] })).api;
  });
  after(async () => {
    for (const cleanup of cleanups) await cleanup();
  });

  const switched = (protocol: string, version = "1.1"): string =>
    `HTTP/${version} 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\n\r\n`;

  for (const [name, text] of [
    ["with another protocol", switched("other")],
    ["with two of those that were asked for", switched("raw/1, raw/2")],
    ["without a protocol", "HTTP/1.1 101 Switching Protocols\r\n\r\n"],
    ["without saying that Upgrade is about the connection", "HTTP/1.1 101 X\r\nUpgrade: raw/1\r\n\r\n"],
    ["in HTTP/1.0", switched("raw/1", "1.0")],
  ] as const) {
    test(`101 ${name}: the caller gets an error, and the app's connection is closed`, async (t) => {
      scripts.set("/x", (connection) => {
        connection.write(`${text}not for the caller`);
      });
      const connection = await RawConnection.open(t, portOf(api));
      connection.write(asking(at("/x"), "", "raw/1, raw/2"));
      const answers = parseAnswers(await connection.waitForClose());
      assert.deepEqual(
        answers.map(({ status }) => status),
        [500],
      );
      assert.match(answers[0]?.body ?? "", /error invoking app channel: Get .* (?:switched |has the status 101)/);
      await app.closed("/x");
    });
  }

  test("101 that nobody asked for is an error as well", async (t) => {
    scripts.set("/x", (connection) => {
      connection.write(`${switched("raw/1")}not for the caller`);
    });
    const [answer] = await firstAnswers(t, portOf(api), `GET ${at("/x")} HTTP/1.1\r\nHost: x\r\n\r\n`, 1);
    assert.equal(answer?.status, 500);
    await app.closed("/x");
  });

  test("the one of several protocols that the app chose is the one that the caller is told", async (t) => {
    scripts.set("/x", (connection) => {
      connection.write(switched("RAW/2"));
    });
    const connection = await RawConnection.open(t, portOf(api));
    connection.write(asking(at("/x"), "", "raw/1, h2c, raw/2"));
    await connection.waitForText(/ 101 [^]*\r\nUpgrade: RAW\/2\r\n\r\n$/);
    connection.destroy();
    await app.closed("/x");
  });

  test("101 and the end at once: the caller sees both", async (t) => {
    scripts.set("/x", (connection) => {
      connection.end(`${switched("raw/1")}bye`);
    });
    const connection = await RawConnection.open(t, portOf(api));
    connection.write(asking(at("/x")));
    await connection.waitForText(/\r\n\r\nbye$/);
    connection.end();
    assert.match(await connection.waitForClose(), /^HTTP\/1\.1 101 [^]*\r\n\r\nbye$/);
    await app.closed("/x");
  });

  test("a refusal of a hundred kilobytes arrives whole, and then the connection ends", async (t) => {
    const body = "no ".repeat(40_000);
    for (const framed of [`Content-Length: ${body.length}\r\n\r\n${body}`, `\r\n${body}`]) {
      scripts.set("/x", (connection) => {
        connection.end(`HTTP/1.1 403 No\r\n${framed}`);
      });
      const connection = await RawConnection.open(t, portOf(api));
      connection.write(asking(at("/x")));
      const [answer] = parseAnswers(await connection.waitForClose());
      assert.deepEqual([answer?.status, answer?.body === body], [403, true]);
    }
  });

  test("an app that breaks off before it answers is asked once", async (t) => {
    scripts.set("/once", (connection) => {
      connection.end("");
    });
    const connection = await RawConnection.open(t, portOf(api));
    connection.write(asking(at("/once")));
    const [answer] = parseAnswers(await connection.waitForClose());
    assert.equal(answer?.status, 500);
    assert.equal(app.begun.filter((line) => line === "GET /once").length, 1);
  });
});

test("an upgrade that cannot be is passed over: the request is served in HTTP, and its connection goes on", async (t) => {
  const app = await startInTestApp(t);
  const { api } = await startBeside(t, "callee", app.port, { home: ownHome(t) });
  const post = `POST ${at("/body")} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: raw/1\r\n`;
  const get = `GET ${at("/get")} HTTP/1.1\r\nHost: x\r\n`;
  const cases = [
    `${post}Content-Length: 3\r\n\r\nabc`,
    `${post}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n`,
    `${post}Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc`,
    `${get}Connection: Upgrade\r\nUpgrade: , "quoted"\r\n\r\n`,
    // Not named by Connection: about nothing (RFC 9110 7.8).
    `${get}Upgrade: raw/1\r\n\r\n`,
  ];
  for (const request of cases) {
    const behind = `GET ${at("/behind")} HTTP/1.1\r\nHost: x\r\n\r\n`;
    const connection = await RawConnection.open(t, portOf(api));
    connection.write(`${request}${behind}`);
    const answersIn = (text: string): RawAnswer[] => parseAnswers(text.replace("HTTP/1.1 100 Continue\r\n\r\n", ""));
    await connection.waitUntil("two answers", () => answersIn(connection.received).length === 2);
    for (const { status, body } of answersIn(connection.received)) assert.deepEqual([status, body], [200, "ok"]);
    connection.destroy();
  }
  assert.deepEqual(new Set(app.whole.map(({ line, body }) => `${line} ${body}`)), new Set(SERVED_WITHOUT));
  for (const { headers } of app.whole) assert.equal(headerValue(headers, "upgrade"), undefined);

  // HTTP/1.0 has no upgrade, and no connections that go on.
  const [old] = await answersUntilClosed(t, portOf(api), asking(at("/get")).replace("HTTP/1.1", "HTTP/1.0"));
  assert.deepEqual([old?.status, old?.body], [200, "ok"]);
  // What is no invocation knows no upgrade.
  for (const [path, status] of [
    ["/v1.0/healthz", 204],
    ["/v1.0/metadata", 200],
    ["/nothing", 404],
  ] as const) {
    const [answer] = await answersUntilClosed(t, portOf(api), asking(path));
    assert.equal(answer?.status, status, path);
  }
});

const SERVED_WITHOUT = ["POST /body abc", "GET /get ", "GET /behind "];

test("an upgrade behind a request that is still being answered waits for its turn", async (t) => {
  const responses: ServerResponse[] = [];
  const app = await startInTestApp(t, (_request, response) => responses.push(response));
  const { api } = await startBeside(t, "callee", app.port, { home: ownHome(t) });
  const connection = await RawConnection.open(t, portOf(api));
  connection.write(`GET ${at("/held")} HTTP/1.1\r\nHost: x\r\n\r\n${asking(at("/raw"))}`);
  await waitFor("the first to reach the app", () => app.whole.length > 0);
  // More than the buffers of the way take at once.
  const first = "first ".repeat(2 * MiB);
  responses[0]?.end(first);
  // This app takes no upgrade.
  await waitFor("the second to reach the app", () => app.whole.length === 2);
  responses[1]?.end("second");
  const answers = parseAnswers(await connection.waitForClose());
  assert.deepEqual(
    answers.map(({ status, body }) => [status, body.length]),
    [
      [200, first.length],
      [200, "second".length],
    ],
  );
});

test("the API token is asked for, and the app is sent its own", async (t) => {
  const app = await startUpgradeApp(t, { greeting: "welcome" });
  const home = ownHome(t);
  await startBeside(t, "callee", app.port, { home, env: { APP_API_TOKEN: "for-the-app" } });
  const { api } = await startBeside(t, "caller", undefined, { home, env: { DAPR_API_TOKEN: "secret" } });
  const [refused] = await answersUntilClosed(t, portOf(api), asking(at("/raw")));
  assert.deepEqual([refused?.status, refused?.body, app.asked.length], [401, "invalid api token\n", 0]);
  const connection = await RawConnection.open(t, portOf(api));
  connection.write(asking(at("/raw"), "dapr-api-token: secret\r\n"));
  await connection.waitForText(/ 101 [^]*welcome/);
  assert.deepEqual(headerValues(app.asked[0]?.headers ?? [], "dapr-api-token"), ["for-the-app"]);
});

test("a slot of --app-max-concurrency is taken for as long as the connection lasts", async (t) => {
  const app = await startUpgradeApp(t);
  const flags = ["--app-max-concurrency", "1"];
  const { api, outrigger } = await startBeside(t, "callee", app.port, { home: ownHome(t), flags });
  const way: Way = { app, api: new URL(api).host, processes: [outrigger], isRemote: false };
  const { caller, callee } = await openRaw(t, way);
  let isAnswered = false;
  const waiting = fetch(`${api}${at("/ordinary")}`).then((answer) => {
    isAnswered = true;
    return answer.text();
  });
  caller.write("still here");
  await callee.waitForText("still here");
  assert.equal((await fetch(`${api}/v1.0/healthz`)).status, 204);
  assert.equal(isAnswered, false);
  caller.end();
  callee.socket.end();
  assert.equal(await waiting, "ok");
});

suite("a run that is told to end", { concurrency: 3 }, () => {
  for (const [name, arrange] of ARRANGEMENTS) {
    test(`lets a connection end by itself (${name})`, async (t) => {
      const way = await arrange(t, await startUpgradeApp(t));
      const webSocket = await openWebSocket(t, urlOf(way));
      const [ending] = way.processes;
      ending?.process.kill("SIGTERM");
      await ending?.waitForOutput(/Ending: SIGTERM/);
      await echoed(webSocket, 100);
      webSocket.close(1000);
      await once(webSocket, "close");
      assert.equal(await ending?.exited(), 0);
    });

    test(`cuts a connection when its grace is over, which both ends see (${name})`, async (t) => {
      const way = await arrange(t, await startUpgradeApp(t));
      const webSocket = await openWebSocket(t, urlOf(way));
      const closed = once(webSocket, "close");
      const [ending] = way.processes;
      ending?.process.kill("SIGTERM");
      assert.deepEqual((await closed)[0], 1006);
      await waitFor("the app to hear of it", () => way.app.closings.length === 1);
      assert.equal(await ending?.exited(), 0);
    });
  }
});

test("over a Unix socket, with CORS, it is the same, and a reset, which no such socket knows, is an end", async (t) => {
  // The path of a socket is short.
  const folder = mkdtempSync(join(tmpdir(), "or-"));
  t.after(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  const app = await startUpgradeApp(t);
  const flags = ["--unix-domain-socket", folder, "--allowed-origins", "*"];
  await startBeside(t, "callee", app.port, { home: ownHome(t), flags });
  const path = join(folder, "dapr-callee-http.socket");
  for (let round = 0; round < 2; round++) {
    const webSocket = await openWebSocket(t, `ws+unix:${path}:${at("/ws")}`);
    await echoed(webSocket, 100);
    const raw = net.connect({ path });
    t.after(() => raw.destroy());
    raw.write(asking(at("/raw")));
    assert.match(String((await once(raw, "data"))[0]), /^HTTP\/1\.1 101 /);
    app.raw[round]?.socket.resetAndDestroy();
    await once(raw, "close");
  }
});

test("a caller that leaves before the app has answered is not waited for", async (t) => {
  for (const leave of ["destroy", "end"] as const) {
    const way = await throughTwoProcesses(t, await startUpgradeApp(t, { holdsRaw: true }));
    const caller = await RawConnection.open(t, portOf(way.api));
    caller.write(asking(at("/raw")));
    await waitFor("the app to be asked", () => way.app.raw.length === 1);
    caller[leave]();
    await waitFor("the app to see the end", () => way.app.raw[0]?.hasEnded === true);
  }
});

test("whoever is killed, both ends see the end", async (t) => {
  for (const index of [0, 1]) {
    const way = await throughTwoProcesses(t, await startUpgradeApp(t));
    const webSocket = await openWebSocket(t, urlOf(way));
    const closed = once(webSocket, "close");
    way.processes[index]?.process.kill("SIGKILL");
    assert.equal((await closed)[0], 1006);
    await waitFor("the app to hear of it", () => way.app.closings.length === 1);
  }
  const home = ownHome(t);
  const command = [process.execPath, join(ROOT, "test/fixtures/apps/node/web-socket.mjs")] as const;
  const { appPid } = await startCallee(t, { home, appId: "callee", command });
  const { api } = await startBeside(t, "caller", undefined, { home });
  const webSocket = await openWebSocket(t, `ws://${new URL(api).host}${at("/ws")}`);
  await echoed(webSocket, 10);
  const closed = once(webSocket, "close");
  kill(appPid, "SIGKILL");
  assert.equal((await closed)[0], 1006);
});

// Node's own HTTP keeps idle connections by a clock that cannot be made to run faster.
test("a quiet connection outlasts every idle connection", { skip: CODEC === "node" }, async (t) => {
  const app = await startUpgradeApp(t);
  const home = ownHome(t);
  const env = { NODE_OPTIONS: `--import=${new URL("../fixtures/fast-timers.mjs", import.meta.url).href}` };
  await startBeside(t, "callee", app.port, { home, env });
  const { api } = await startBeside(t, "caller", undefined, { home, env });
  const webSocket = await openWebSocket(t, `ws://${new URL(api).host}${at("/ws")}`);
  for (let round = 0; round < 2; round++) {
    // Closed after three minutes of the sidecar's time, within which a peer that is not called is let go of as well.
    const idle = await RawConnection.open(t, portOf(api));
    await idle.waitForClose();
    await echoed(webSocket, 10);
  }
});
