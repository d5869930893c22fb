import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import http2 from "node:http2";
import { after, before, suite, test } from "node:test";
import { gzipSync } from "node:zlib";
import grpc from "@grpc/grpc-js";
import { startHost } from "../support/apps.ts";
import { makeAuthority } from "../support/certificates.ts";
import type { TestScope } from "../support/cleanup.ts";
import { EchoClient, type EchoService, endOf, type Pairs, startEchoService } from "../support/echo-service.ts";
import { Inspector } from "../support/inspector.ts";
import { peakGrowth, residentMiB } from "../support/memory.ts";
import { listApps } from "../support/outrigger.ts";
import { kill, ownHome, startBeside } from "../support/processes.ts";
import {
  beginRaw,
  connectRaw,
  frame,
  type RawAnswer,
  type RawGrpcApp,
  rawAnswer,
  startRawGrpcApp,
} from "../support/raw-grpc.ts";
import { waitFor } from "../support/wait.ts";

/** Any gRPC service through the sidecar, undecoded: `demo.v1.Echo`, which knows nothing of sidecars, and its clients. */

const TOPOLOGIES = ["between apps of one process", "through two processes", "of an app by itself"] as const;
const PROTOCOLS = ["h2c", "grpc"] as const;
const MiB = 2 ** 20;

/** Whoever could call these in the sidecar's place would get past the access rules of every method. */
const FOR_THE_SIDECAR_ALONE = [
  "/dapr.proto.runtime.v1.AppCallback/OnInvoke",
  "/DAPR.Proto.Runtime.V1.appcallback/oninvoke",
  "/dapr.proto.runtime.v1.AppCallback/OnTopicEvent",
  "/dapr.proto.runtime.v1.AppCallbackAlpha/OnBulkTopicEventAlpha1",
  "/dapr.proto.runtime.v1.AppCallbackHealthCheck/HealthCheck",
];

interface Place {
  /** The gRPC port that calls go to. */
  readonly port: number;
  readonly appId: string;
  /** Of the same sidecar, its HTTP API. */
  readonly api: string;
}

/** Apps behind sidecars, and where to call them. */
async function startTopology(
  t: TestScope,
  topology: (typeof TOPOLOGIES)[number],
  appProtocol: (typeof PROTOCOLS)[number],
  appPort: number,
): Promise<Place> {
  const home = ownHome(t);
  const grpcPort = async (appId: string): Promise<number> =>
    (await listApps(home)).find((app) => app.appId === appId)?.grpcPort ?? assert.fail(`${appId} is not listed`);
  if (topology === "between apps of one process") {
    const host = await startHost(t, home, [
      { appId: "echo", serves: false, keys: { appPort, appProtocol } },
      { appId: "caller", serves: false },
    ]);
    await host.outrigger.waitForOutput(/^echo +● answers/m);
    const api = await host.api("caller");
    return { port: await grpcPort("caller"), appId: "echo", api };
  }
  const flags = ["--app-protocol", appProtocol, "--story=false"];
  const callee = await startBeside(t, "echo", appPort, { home, flags });
  if (topology === "of an app by itself") return { port: callee.listed.grpcPort, appId: "echo", api: callee.api };
  const caller = await startBeside(t, "caller", undefined, { home, flags: ["--story=false"] });
  return { port: caller.listed.grpcPort, appId: "echo", api: caller.api };
}

for (const [topology, protocol] of TOPOLOGIES.flatMap((place) => PROTOCOLS.map((spoken) => [place, spoken] as const))) {
  suite(`gRPC calls ${topology}, to an app behind ${protocol}`, () => {
    const cleanups: (() => unknown)[] = [];
    let echo: EchoService;
    let place: Place;
    let client: EchoClient;
    const isRemote = topology !== "of an app by itself";
    const to = (...more: Pairs): Pairs => [["dapr-app-id", place.appId], ...more];

    before(async () => {
      const scope: TestScope = { after: (fn) => cleanups.unshift(fn) };
      echo = await startEchoService(scope);
      place = await startTopology(scope, topology, protocol, echo.port);
      client = new EchoClient(scope, place.port);
    });
    after(async () => {
      for (const cleanup of cleanups) await cleanup();
    });

    test("metadata crosses both ways, and trailers", async () => {
      const key = randomUUID();
      const sent: Pairs = [
        ["x-key", key],
        ["x-many", "one"],
        ["x-many", "two"],
        ["x-some-bin", Buffer.from([1, 0, 254])],
        ["dapr-caller-app-id", "liar"],
        ["outrigger-target", "liar"],
      ];
      const { code, head, trailers, message } = await client.unary("Unary", to(...sent)).answered;
      assert.deepEqual([code, message?.toString()], [grpc.status.OK, "hi"]);
      assert.deepEqual([head?.get("x-head").join(", "), head?.get("x-head-bin")], ["1, 2", [Buffer.from([0, 255, 7])]]);
      assert.deepEqual([trailers.get("x-tail"), trailers.get("x-tail-bin")], [["end"], [Buffer.from([9, 0, 200])]]);
      const { metadata } = await echo.seen(key);
      assert.equal(metadata.get("x-many").join(", "), "one, two");
      assert.deepEqual(metadata.get("x-some-bin"), [Buffer.from([1, 0, 254])]);
      assert.match(String(metadata.get("user-agent")[0]), /grpc-node-js/);
      const names = Object.keys(metadata.getMap()).filter((name) => /^(?:dapr|outrigger|traceparent|grpc)/.test(name));
      const remote = ["dapr-callee-app-id", "dapr-caller-app-id", "grpc-trace-bin", "traceparent"];
      assert.deepEqual(names.sort(), isRemote ? remote : []);
      if (!isRemote) return;
      assert.deepEqual(metadata.get("dapr-caller-app-id"), ["caller"]);
      assert.deepEqual(metadata.get("dapr-callee-app-id"), ["echo"]);
      // observed/, "proxy"
      const none = Buffer.from("AAAAAAAAAAAAAAAAAAAAAAAAAQAAAAAAAAAAAgA=", "base64");
      assert.deepEqual(metadata.get("grpc-trace-bin"), [none]);
      assert.deepEqual(metadata.get("traceparent"), ["00-00000000000000000000000000000000-0000000000000000-00"]);
    });

    test("a status of the app's own arrives with its details", async () => {
      const { code, details, trailers } = await client.unary("Fail", to()).answered;
      assert.deepEqual([code, details], [grpc.status.NOT_FOUND, "nothing here: ü"]);
      assert.deepEqual(trailers.get("grpc-status-details-bin"), [Buffer.from([8, 5, 18, 3, 97, 98, 99])]);
      assert.deepEqual(trailers.get("x-tail"), ["end"]);
    });

    test("messages of a client, of a server, and of both", async () => {
      const { stream, answered } = client.clientStream("Collect", to());
      for (let i = 0; i < 100; i++) stream.write(Buffer.alloc(i));
      stream.end();
      assert.equal((await answered).message?.toString(), "100");

      const counted = await endOf(client.serverStream("Count", to(), Buffer.from("100")));
      assert.deepEqual([counted.code, counted.messages.length], [grpc.status.OK, 100]);
      assert.equal(counted.messages[99]?.toString(), "message 99");
      assert.deepEqual(counted.trailers.get("x-tail"), ["end"]);

      const bidi = client.bidi(to(["dapr-stream", "true"]));
      const ended = endOf(bidi);
      for (const text of ["a", "b"]) {
        bidi.write(Buffer.from(text));
        await once(bidi, "data");
      }
      bidi.end();
      const { code, messages } = await ended;
      assert.deepEqual([code, messages.join(" ")], [grpc.status.OK, "a b"]);
    });

    test("10,000 messages go there and back, in order", async () => {
      const bidi = client.bidi(to());
      const ended = endOf(bidi);
      for (let i = 0; i < 10_000; i++) {
        if (!bidi.write(Buffer.from(`message ${i}`))) await once(bidi, "drain");
      }
      bidi.end();
      const { code, messages } = await ended;
      assert.equal(code, grpc.status.OK);
      assert.equal(messages.length, 10_000);
      assert.ok(messages.every((message, i) => message.toString() === `message ${i}`));
    });

    test("compressed messages are left as they are", async (t) => {
      const session = connectRaw(t, place.port);
      const stream = beginRaw(session, "/demo.v1.Echo/Unary", {
        "dapr-app-id": place.appId,
        "grpc-encoding": "gzip",
        "grpc-accept-encoding": "identity,gzip",
      });
      stream.end(frame(gzipSync("packed"), 1));
      const { body, status } = await rawAnswer(stream);
      assert.equal(status, "0");
      assert.deepEqual(body.subarray(-6).toString(), "packed");
      const both = new EchoClient(t, place.port, {
        "grpc.default_compression_algorithm": grpc.compressionAlgorithms.gzip,
      });
      const answer = await both.unary("Unary", to(), Buffer.alloc(100_000, "x")).answered;
      assert.deepEqual([answer.code, answer.message?.length], [grpc.status.OK, 100_000]);
    });

    test("a deadline is the app's too, and is kept for it where it does not answer", async (t) => {
      const session = connectRaw(t, place.port);
      for (const method of ["Hang", "Flood"]) {
        const key = randomUUID();
        const stream = beginRaw(session, `/demo.v1.Echo/${method}`, {
          "dapr-app-id": place.appId,
          "x-key": key,
          "grpc-timeout": "300m",
        });
        stream.end(frame("first"));
        const { status, body, message } = await rawAnswer(stream);
        assert.equal(status, "4", message);
        assert.equal(body.toString(), method === "Flood" ? frame("first").toString() : "");
        const { deadline } = await echo.seen(key);
        assert.ok(Number(deadline) <= Date.now() + 300);
        await echo.cancelled(key);
      }
    });

    test("a deadline that is none is the app's to judge, and holds nobody up", async (t) => {
      // The library of this app refuses some of them itself, and reads others as it likes.
      for (const [timeout, expected] of [
        ["abc", "13"],
        ["5", "13"],
        ["-1S", "0"],
        ["123456789S", "0"],
      ] as const) {
        const metadata = { "dapr-app-id": place.appId, "grpc-timeout": timeout };
        const stream = beginRaw(connectRaw(t, place.port), "/demo.v1.Echo/Unary", metadata);
        stream.end(frame("x"));
        const { status, message } = await rawAnswer(stream);
        assert.deepEqual([timeout, status], [timeout, expected], message);
      }
    });

    test("the app hears at once of a call that is given up", async (t) => {
      const key = randomUUID();
      const call = client.unary("Hang", to(["x-key", key]));
      await echo.seen(key);
      call.cancel();
      await echo.cancelled(key);
      assert.equal((await call.answered).code, grpc.status.CANCELLED);

      const flood = client.serverStream("Flood", to(["x-key", `${key}-2`]), Buffer.from("x"));
      flood.on("error", () => undefined);
      await once(flood, "data");
      flood.cancel();
      await echo.cancelled(`${key}-2`);

      // One that vanishes, in the middle of what it sends.
      const session = connectRaw(t, place.port);
      const stream = beginRaw(session, "/demo.v1.Echo/Bidi", { "dapr-app-id": place.appId, "x-key": `${key}-3` });
      stream.write(frame("x"));
      await echo.seen(`${key}-3`);
      session.destroy();
      await echo.cancelled(`${key}-3`);
    });

    test("150 calls at once on one connection", async () => {
      const keys = Array.from({ length: 150 }, () => randomUUID());
      const streams = keys.map((key) => client.bidi(to(["x-key", key])));
      const ends = streams.map(endOf);
      for (const stream of streams) stream.write(Buffer.from("x"));
      await Promise.all(keys.map((key) => echo.seen(key)));
      for (const stream of streams) stream.end();
      const codes = (await Promise.all(ends)).map(({ code, messages }) => [code, messages.length]);
      assert.deepEqual(
        codes,
        keys.map(() => [grpc.status.OK, 1]),
      );
    });

    test("a message over the limit ends its call, and no other", async () => {
      const { code, details } = await client.unary("Unary", to(), Buffer.alloc(4 * MiB + 1)).answered;
      const words = `grpc: received message larger than max (${4 * MiB + 1} vs. ${4 * MiB})`;
      assert.deepEqual([code, details], [grpc.status.RESOURCE_EXHAUSTED, words]);
      const bidi = client.bidi(to());
      const ended = endOf(bidi);
      bidi.write(Buffer.from("small"));
      await once(bidi, "data");
      bidi.write(Buffer.alloc(4 * MiB + 1));
      assert.deepEqual([(await ended).code, (await ended).messages.length], [grpc.status.RESOURCE_EXHAUSTED, 1]);
      assert.equal((await client.unary("Unary", to(), Buffer.alloc(4 * MiB)).answered).code, grpc.status.OK);
    });

    test("what only the app's own sidecar may say reaches it through no door", async (t) => {
      const path = "dapr.proto.runtime.v1.AppCallback/OnInvoke";
      const stream = beginRaw(connectRaw(t, place.port), `/${path}`, { "dapr-app-id": place.appId });
      stream.end(frame("x"));
      const { status, message } = await rawAnswer(stream);
      const words = "is for the app's own sidecar alone; use InvokeService to call a method";
      assert.deepEqual([status, message], ["7", `/${path} ${words}`]);
      for (const written of [path, `x/%2e%2e/${path}`, path.replace("A", "%2541")]) {
        const answer = await fetch(`${place.api}/v1.0/invoke/${place.appId}/method/${written}`, {
          method: "POST",
          body: frame("x"),
          headers: { "content-type": "application/grpc", te: "trailers" },
        });
        assert.deepEqual([answer.status, (await answer.text()).includes(words)], [403, true], written);
      }
    });

    test("a call that names nobody, or somebody unknown, is refused in daprd's words", async (t) => {
      const nobody = await client.unary("Unary", []).answered;
      assert.deepEqual(
        [nobody.code, nobody.details],
        [grpc.status.UNKNOWN, "cannot proxy request: missing dapr-callee-app-id or dapr-app-id metadata"],
      );
      const ghost = await client.unary("Unary", [["dapr-app-id", "ghost"]]).answered;
      assert.equal(ghost.code, grpc.status.UNKNOWN);
      assert.match(ghost.details, /^no host found with the given ID/);
      const named = await client.unary("Unary", [
        ["dapr-callee-app-id", place.appId],
        ["dapr-app-id", "ghost"],
      ]).answered;
      assert.equal(named.code, grpc.status.OK);
      const session = connectRaw(t, place.port);
      for (const path of ["/", "/demo.v1.Echo", "/demo.v1.Echo/", "/demo.v1.Echo/Unary/x", "/demo.v1.Echo/%55nary"]) {
        const stream = beginRaw(session, path, { "dapr-app-id": place.appId });
        stream.end(frame("x"));
        assert.equal((await rawAnswer(stream)).status, "12", path);
      }
    });

    test("what only its own sidecar may say to an app, nobody says through the proxy", async (t) => {
      const session = connectRaw(t, place.port);
      for (const path of FOR_THE_SIDECAR_ALONE) {
        const stream = beginRaw(session, path, { "dapr-app-id": place.appId });
        stream.end(frame("x"));
        const { status, message } = await rawAnswer(stream);
        assert.equal(status, "7", path);
        assert.match(message, /is for the app's own sidecar alone; use InvokeService/);
      }
    });
  });

  suite(`gRPC answers ${topology}, of an app behind ${protocol}, that go wrong`, () => {
    const cleanups: (() => unknown)[] = [];
    let app: RawGrpcApp;
    let place: Place;

    before(async () => {
      const scope: TestScope = { after: (fn) => cleanups.unshift(fn) };
      app = await startRawGrpcApp(scope, ({ stream, headers, socket }) => {
        const [, , how = "", value = ""] = (headers[":path"] ?? "").split(/[/_]/);
        if (how === "http") {
          stream.respond({ ":status": Number(value), "content-type": "text/html" });
          stream.end("<p>");
          return;
        }
        if (how === "mute") {
          stream.close(Number(value));
          return;
        }
        // Node ends what it is to reset; but where trailers are to come, it does not say so.
        stream.respond(
          { ":status": 200, "content-type": "application/grpc+json" },
          { waitForTrailers: how === "reset" },
        );
        stream.on("wantTrailers", () => {
          stream.close(Number(value));
        });
        stream.write(frame("first"));
        // The caller says when it has it.
        stream.once("data", () => {
          stream.once("data", () => {
            if (how === "lost") socket.destroy();
            else stream.end();
          });
        });
      });
      place = await startTopology(scope, topology, protocol, app.port);
    });
    after(async () => {
      for (const cleanup of cleanups) await cleanup();
    });

    const { constants } = http2;
    const cases: readonly (readonly [what: string, path: string, status: grpc.status, messages: number])[] = [
      ["INTERNAL_ERROR, mid-stream", `reset_${constants.NGHTTP2_INTERNAL_ERROR}`, grpc.status.INTERNAL, 1],
      ["REFUSED_STREAM, mid-stream", `reset_${constants.NGHTTP2_REFUSED_STREAM}`, grpc.status.UNAVAILABLE, 1],
      ["CANCEL, mid-stream", `reset_${constants.NGHTTP2_CANCEL}`, grpc.status.CANCELLED, 1],
      ["ENHANCE_YOUR_CALM", `reset_${constants.NGHTTP2_ENHANCE_YOUR_CALM}`, grpc.status.RESOURCE_EXHAUSTED, 1],
      ["INADEQUATE_SECURITY", `reset_${constants.NGHTTP2_INADEQUATE_SECURITY}`, grpc.status.PERMISSION_DENIED, 1],
      ["CANCEL, before the head", `mute_${constants.NGHTTP2_CANCEL}`, grpc.status.CANCELLED, 0],
      ["PROTOCOL_ERROR, before the head", `mute_${constants.NGHTTP2_PROTOCOL_ERROR}`, grpc.status.INTERNAL, 0],
      ["a connection lost, mid-stream", "lost_", grpc.status.UNAVAILABLE, 1],
      ["an end without a status", "end_", grpc.status.INTERNAL, 1],
      ["HTTP 404", "http_404", grpc.status.UNIMPLEMENTED, 0],
      ["HTTP 503", "http_503", grpc.status.UNAVAILABLE, 0],
      ["HTTP 200, and no gRPC", "http_200", grpc.status.UNKNOWN, 0],
    ];
    for (const [what, path, expected, messages] of cases) {
      test(`${what}: ${grpc.status[expected]}, behind what has come`, async (t) => {
        const stream = beginRaw(connectRaw(t, place.port), `/demo.v1.Raw/${path}`, { "dapr-app-id": place.appId });
        stream.write(frame("x"));
        stream.once("data", () => stream.write(frame("go on")));
        const { status, body, message, rstCode } = await rawAnswer(stream);
        assert.deepEqual([status, rstCode], [String(expected), constants.NGHTTP2_NO_ERROR], message);
        assert.equal(body.length, messages * frame("first").length);
        assert.ok(message.length > 0);
      });
    }

    test("no stream is left of them", async () => {
      await waitFor("the app's streams to end", () => app.open.size === 0);
    });
  });
}

test("a callee's sidecar that is killed mid-stream ends its calls with UNAVAILABLE", async (t) => {
  const echo = await startEchoService(t);
  const home = ownHome(t);
  const flags = ["--app-protocol", "h2c"];
  const callee = await startBeside(t, "echo", echo.port, { home, flags });
  const caller = await startBeside(t, "caller", undefined, { home });
  const client = new EchoClient(t, caller.listed.grpcPort);
  const bidi = client.bidi([["dapr-app-id", "echo"]]);
  const ended = endOf(bidi);
  bidi.write(Buffer.from("x"));
  await once(bidi, "data");
  kill(callee.outrigger.pid, "SIGKILL");
  const { code, messages } = await ended;
  assert.deepEqual([code, messages.length], [grpc.status.UNAVAILABLE, 1]);
  await caller.outrigger.waitForOutput(/caller → echo {2}gRPC \/demo\.v1\.Echo\/Bidi {2}UNAVAILABLE/);
  const again = await startBeside(t, "echo", echo.port, { home, flags });
  assert.equal((await client.unary("Unary", [["dapr-app-id", "echo"]]).answered).code, grpc.status.OK);
  await again.outrigger.waitForOutput(/echo ← caller {2}gRPC \/demo\.v1\.Echo\/Unary {2}OK/);
});

/** Two sidecars that can be looked into, and an app between them and its test. */
async function startInspected(t: TestScope, appPort: number) {
  const home = ownHome(t);
  const env = { NODE_OPTIONS: "--inspect=127.0.0.1:0" };
  const quiet = "--story=false";
  const flags = ["--app-protocol", "h2c", quiet];
  const callee = await startBeside(t, "echo", appPort, { home, env, flags });
  const caller = await startBeside(t, "caller", undefined, { home, env, flags: [quiet] });
  const inspectors: Inspector[] = [];
  for (const { outrigger } of [caller, callee]) inspectors.push(await Inspector.open(outrigger.stderr));
  t.after(() => {
    for (const inspector of inspectors) inspector.close();
  });
  const pids = [caller.outrigger.pid, callee.outrigger.pid];
  return { port: caller.listed.grpcPort, pids, inspectors };
}

test("1,000 calls that are given up leave nothing open, in either sidecar or the app", async (t) => {
  const echo = await startEchoService(t);
  const { port, inspectors } = await startInspected(t, echo.port);
  const round = async (calls: number): Promise<void> => {
    // In each of the ways in which a caller can go, and on connections that go and that stay.
    const session = connectRaw(t, port);
    const staying = connectRaw(t, port);
    const begun = Array.from({ length: calls }, (_, i) => {
      const key = randomUUID();
      const method = ["Hang", "Flood", "Bidi", "Deaf"][i % 4] ?? "";
      const stream = beginRaw(i % 2 === 0 ? session : staying, `/demo.v1.Echo/${method}`, {
        "dapr-app-id": "echo",
        "x-key": key,
        ...(i % 5 === 0 ? { "grpc-timeout": "1H" } : {}),
      });
      if (method === "Hang" || method === "Flood") stream.end(frame("first"));
      else stream.write(frame("first"));
      return { key, stream };
    });
    await waitFor("the app to have them all", () =>
      begun.every(({ key }) => echo.calls.some((call) => call.key === key)),
    );
    for (const [i, { stream }] of begun.entries()) {
      if (i % 2 === 1) stream.close(http2.constants.NGHTTP2_CANCEL);
    }
    session.destroy();
    await waitFor("the app to be told of each", () => echo.open.size === 0);
    staying.close();
  };
  // A connection stays for as long as a stream is left on it.
  const atRest = async (): Promise<{ readonly handles: Readonly<Record<string, number>>; readonly heap: number }[]> => {
    const held = [];
    for (const inspector of inspectors) {
      let handles: Readonly<Record<string, number>> = {};
      await waitFor("every connection to be closed", async () => {
        handles = await inspector.handles();
        return (handles["TCPSocketWrap"] ?? 0) === 0;
      });
      held.push({ handles, heap: await inspector.heapInUse() });
    }
    return held;
  };
  await round(100);
  const before = await atRest();
  for (let i = 0; i < 10; i++) await round(100);
  const afterwards = await atRest();
  for (const [i, { handles, heap }] of afterwards.entries()) {
    // Timers come and go with what is kept for a while.
    assert.deepEqual({ ...handles, Timeout: 0 }, { ...before[i]?.handles, Timeout: 0 });
    assert.ok(heap < (before[i]?.heap ?? 0) + 4 * MiB, `the heap grew from ${before[i]?.heap} to ${heap} bytes`);
  }
  assert.equal(echo.calls.length, 1100);
});

test("a reader that stops bounds the memory of both sidecars, and so does an app that does not read", async (t) => {
  const echo = await startEchoService(t);
  const { port, pids } = await startInspected(t, echo.port);
  const client = new EchoClient(t, port);
  const to: Pairs = [["dapr-app-id", "echo"]];
  await client.unary("Unary", to).answered;

  const down = await peakGrowth(pids, async () => {
    const stream = client.serverStream("Count", to, Buffer.from(`200 ${MiB}`));
    const ended = new Promise((resolve) => stream.once("status", resolve));
    let received = 0;
    stream.once("data", () => {
      stream.pause();
    });
    await once(stream, "pause");
    await stands(pids);
    stream.on("data", (message: Buffer) => {
      received += message.length;
    });
    stream.resume();
    await ended;
    assert.ok(received >= 199 * MiB);
  });
  assert.ok(down < 64 * 1024, `${down} KiB more`);

  const up = await peakGrowth(pids, async () => {
    const { stream, answered } = client.clientStream("Deaf", to);
    for (let i = 0; i < 50; i++) stream.write(Buffer.alloc(MiB));
    await stands(pids);
    stream.cancel();
    assert.equal((await answered).code, grpc.status.CANCELLED);
  });
  assert.ok(up < 32 * 1024, `${up} KiB more`);
});

/** Waits until these processes hold no more from one look to the next. */
async function stands(pids: readonly number[]): Promise<void> {
  let before = -1;
  let looks = 0;
  await waitFor("memory to stand still", () => {
    const now = pids.reduce((sum, pid) => sum + residentMiB(pid), 0);
    looks = now - before < 0.5 ? looks + 1 : 0;
    before = now;
    return looks === 20;
  });
}

test("a call in the form in which a daprd proxies is taken, where it is for this app", async (t) => {
  const echo = await startEchoService(t);
  const home = ownHome(t);
  const { outrigger, listed } = await startBeside(t, "echo", echo.port, { home, flags: ["--app-protocol", "h2c"] });
  const session = connectRaw(t, listed.internalPort);
  const call = async (metadata: Record<string, string>, path = "/demo.v1.Echo/Unary"): Promise<RawAnswer> => {
    const stream = beginRaw(session, path, metadata);
    stream.end(frame("x"));
    return rawAnswer(stream);
  };
  const key = randomUUID();
  const taken = await call({ "dapr-callee-app-id": "echo", "dapr-caller-app-id": "shop", "x-key": key });
  assert.deepEqual([taken.status, taken.body.subarray(5).toString()], ["0", "x"]);
  assert.deepEqual((await echo.seen(key)).metadata.get("dapr-caller-app-id"), ["shop"]);
  const other = await call({ "dapr-callee-app-id": "math" });
  assert.equal(other.status, "14");
  assert.match(other.message, /the sidecar of echo.*the call is for math/);
  assert.deepEqual([(await call({})).status, other.headers["outrigger-error"]], ["2", undefined]);
  assert.equal((await call({ "dapr-callee-app-id": "echo" }, "/echo")).status, "12");
  const recycled = await call({ "outrigger-target": "math.default" });
  assert.deepEqual([recycled.status, recycled.headers["outrigger-error"]], ["14", "not-this-app"]);
  await outrigger.waitForOutput(/echo ← somebody {2}gRPC \/demo/);
  for (const path of FOR_THE_SIDECAR_ALONE) {
    for (const target of ["dapr-callee-app-id", "outrigger-target"]) {
      const { status, message } = await call({ [target]: target.startsWith("dapr") ? "echo" : "echo.default" }, path);
      assert.equal(status, "7", `${path} by ${target}: ${message}`);
    }
  }
});

test("an app behind grpcs is called over TLS", async (t) => {
  const { key, cert } = makeAuthority(t).issue("localhost", "DNS:localhost");
  const credentials = grpc.ServerCredentials.createSsl(null, [
    { private_key: Buffer.from(key), cert_chain: Buffer.from(cert) },
  ]);
  const echo = await startEchoService(t, {}, credentials);
  const home = ownHome(t);
  await startBeside(t, "echo", echo.port, { home, flags: ["--app-protocol", "grpcs"] });
  const caller = await startBeside(t, "caller", undefined, { home });
  const client = new EchoClient(t, caller.listed.grpcPort);
  const { code, message } = await client.unary("Unary", [["dapr-app-id", "echo"]]).answered;
  assert.deepEqual([code, message?.toString()], [grpc.status.OK, "hi"]);
});

test("today's token and yesterday's open the gRPC API, and the app sees neither", async (t) => {
  const echo = await startEchoService(t);
  const env = { DAPR_API_TOKEN: "today", DAPR_API_TOKEN_PREVIOUS: "yesterday" };
  const flags = ["--app-protocol", "h2c"];
  const { listed } = await startBeside(t, "echo", echo.port, { home: ownHome(t), env, flags });
  const client = new EchoClient(t, listed.grpcPort);
  const codes: (grpc.status | undefined)[] = [];
  for (const token of ["today", "yesterday", "tomorrow"]) {
    const metadata: Pairs = [
      ["dapr-app-id", "echo"],
      ["dapr-api-token", token],
    ];
    codes.push((await client.unary("Unary", metadata).answered).code);
  }
  assert.deepEqual(codes, [grpc.status.OK, grpc.status.OK, grpc.status.UNAUTHENTICATED]);
  for (const { metadata } of echo.calls) assert.deepEqual(metadata.get("dapr-api-token"), []);
});

test("an app that speaks HTTP/1.1 is UNAVAILABLE", async (t) => {
  const echo = await startEchoService(t);
  const home = ownHome(t);
  await startBeside(t, "http", echo.port, { home });
  const caller = await startBeside(t, "caller", undefined, { home });
  const client = new EchoClient(t, caller.listed.grpcPort);
  const { code, details } = await client.unary("Unary", [["dapr-app-id", "http"]]).answered;
  assert.deepEqual(
    [code, /^error invoking app channel: .*--app-protocol http/.test(details)],
    [grpc.status.UNAVAILABLE, true],
  );
});

test("the callee's limit holds for each message, and tokens stay where they belong", async (t) => {
  const echo = await startEchoService(t);
  const home = ownHome(t);
  const flags = ["--app-protocol", "h2c", "--max-body-size", "1Mi"];
  await startBeside(t, "echo", echo.port, { home, flags, env: { APP_API_TOKEN: "for-the-app" } });
  const env = { DAPR_API_TOKEN: "for-the-sidecar" };
  const caller = await startBeside(t, "caller", undefined, { home, env });
  const client = new EchoClient(t, caller.listed.grpcPort);
  const to: Pairs = [
    ["dapr-app-id", "echo"],
    ["dapr-api-token", "for-the-sidecar"],
  ];
  const large = await client.unary("Unary", to, Buffer.alloc(MiB + 1)).answered;
  const words = `grpc: received message larger than max (${MiB + 1} vs. ${MiB})`;
  assert.deepEqual([large.code, large.details], [grpc.status.RESOURCE_EXHAUSTED, words]);
  assert.equal((await client.unary("Unary", [["dapr-app-id", "echo"]]).answered).code, grpc.status.UNAUTHENTICATED);
  const { stream, answered } = client.clientStream("Collect", [...to, ["x-key", "many"]]);
  for (let i = 0; i < 3; i++) stream.write(Buffer.alloc(MiB));
  stream.end();
  assert.deepEqual([(await answered).code, (await answered).message?.toString()], [grpc.status.OK, "3"]);
  assert.deepEqual((await echo.seen("many")).metadata.get("dapr-api-token"), ["for-the-app"]);
});
