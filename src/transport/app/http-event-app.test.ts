import assert from "node:assert/strict";
import net from "node:net";
import { type TestContext, test } from "node:test";
import {
  bulkDeliveryOf,
  deliveryOf,
  eventOf,
  httpEventApp,
  MAX_ANSWER_BYTES,
  NO_TRACE,
  patient,
  startAnsweringApp,
} from "../../../test/support/event-apps.ts";
import { type Script, startHostileApp } from "../../../test/support/hostile-app.ts";
import { startRecordingApp } from "../../../test/support/recording-app.ts";
import { waitFor } from "../../../test/support/wait.ts";
import { CallAbort } from "../../core/call-signal.ts";
import { CloudEvent } from "../../pubsub/cloud-event.ts";
import type { Reception } from "../../pubsub/ports.ts";

/** What an app is handed over HTTP, and what its answers mean (A8). */

const SUCCESS: Reception = { kind: "success" };
const http = (code: number) => ({ protocol: "http", code }) as const;
const again = (why: string, code?: number): Reception => ({
  kind: "retry",
  why,
  code: code === undefined ? undefined : http(code),
});
const DROP = {
  kind: "drop",
  why: "the app answered DROP",
  isDeadLetter: true,
  level: "warn",
  code: undefined,
} as const;

const ANSWERS: readonly (readonly [what: string, status: number, body: string | Buffer, Reception])[] = [
  ["200 without a body", 200, "", SUCCESS],
  ["204", 204, "", SUCCESS],
  ["200 with what is no JSON", 200, "<html>", SUCCESS],
  ["200 with bytes", 200, Buffer.from([0, 255, 254, 1]), SUCCESS],
  ["200 with JSON nested without end", 200, "[".repeat(30_000), SUCCESS],
  ["200 with null", 200, "null", SUCCESS],
  ["200 with an array", 200, '[{"status":"RETRY"}]', SUCCESS],
  ["200 without a status", 200, '{"ok":true}', SUCCESS],
  ["200 with an empty status", 200, '{"status":""}', SUCCESS],
  ["200 with a status that is no text", 200, '{"status":1}', SUCCESS],
  ["SUCCESS", 200, '{"status":"SUCCESS"}', SUCCESS],
  ["SUCCESS and 202", 202, '{"status":"SUCCESS"}', SUCCESS],
  ["RETRY", 200, '{"status":"RETRY"}', again("the app answered RETRY")],
  ["RETRY under a name in capitals", 200, '{"Status":"RETRY"}', again("the app answered RETRY")],
  ["DROP", 200, '{"status":"DROP"}\n', DROP],
  [
    "a status in small letters",
    200,
    '{"status":"success"}',
    again("the app answered with a status that there is not: success"),
  ],
  ["another status", 200, '{"status":"NO\\n"}', again("the app answered with a status that there is not: NO\\n")],
  ["500", 500, "boom", again("the app answered 500: boom", 500)],
  ["500 with a status", 500, '{"status":"SUCCESS"}', again('the app answered 500: {"status":"SUCCESS"}', 500)],
  ["429 without a body", 429, "", again("the app answered 429", 429)],
  ["301", 301, "", again("the app answered 301", 301)],
  [
    "404",
    404,
    "no such route",
    { kind: "drop", why: "the app answered 404: no such route", isDeadLetter: true, level: "error", code: http(404) },
  ],
];

for (const [what, status, body, reception] of ANSWERS) {
  test(`an event that is answered ${what} is a ${reception.kind}`, async (t) => {
    const { app, whenIdle } = httpEventApp(t, await startAnsweringApp(t, status, body));
    assert.deepEqual(await app.deliver(deliveryOf(), patient), reception);
    await whenIdle();
  });
}

test("what is told of a long answer is its beginning, in one line", async (t) => {
  const { app } = httpEventApp(t, await startAnsweringApp(t, 500, `line\nline ${"x".repeat(5000)}`));
  const reception = await app.deliver(deliveryOf(), patient);
  assert.ok(reception.kind === "retry");
  assert.match(reception.why, /^the app answered 500: line\\nline x{100,300}…$/);
});

test("the path of a route goes out as it is written, query included, and what cannot be in a request is escaped", async (t) => {
  const recording = await startRecordingApp(t);
  const { app } = httpEventApp(t, recording.port);
  const paths = ["/a//b/../c/", "/q?x=1&y=%20?z", "/dapr%2Fx", "/sp ace#f\r\nX: 1/ü", "/\ud800", "no-slash", ""];
  for (const path of paths) assert.deepEqual(await app.deliver(deliveryOf({ path }), patient), SUCCESS);
  assert.deepEqual(
    recording.takeRequests().map(({ path }) => path),
    ["/a//b/../c/", "/q?x=1&y=%20?z", "/dapr%2Fx", "/sp%20ace%23f%0D%0AX:%201/%C3%BC", "/%EF%BF%BD", "/no-slash", "/"],
  );
});

test("the app gets the event as it stands, numbers to their last digit", async (t) => {
  const recording = await startRecordingApp(t);
  const { app } = httpEventApp(t, recording.port, "app-token");
  const json = '{"data":{"z":1.10,"a":12345678901234567890},"id":"1"}';
  const event = CloudEvent.parse(Buffer.from(json));
  const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  await app.deliver(deliveryOf({ event, traceparent, tracestate: "a=b" }), patient);
  const [request] = recording.takeRequests();
  assert.equal(request?.body, json);
  assert.deepEqual(
    new Map(request.headers),
    new Map([
      ["Host", `127.0.0.1:${recording.port}`],
      ["Content-Type", "application/cloudevents+json"],
      ["Pubsubname", "mem"],
      ["Traceparent", traceparent],
      ["Tracestate", "a=b"],
      ["Dapr-Api-Token", "app-token"],
      ["Content-Length", String(json.length)],
    ]),
  );
});

test("an event without a trace has no header of one", async (t) => {
  const recording = await startRecordingApp(t);
  const { app } = httpEventApp(t, recording.port);
  await app.deliver(deliveryOf({ traceparent: "" }), patient);
  assert.equal(
    recording.takeRequests()[0]?.headers.some(([name]) => name === "Traceparent"),
    false,
  );
});

const SCRIPTS: ReadonlyMap<string, Script> = new Map<string, Script>([
  [
    "/half",
    (app) => {
      app.end('HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"status":"SUC');
    },
  ],
  [
    "/half-500",
    (app) => {
      app.end("HTTP/1.1 500 No\r\nContent-Length: 50\r\n\r\noh");
    },
  ],
  [
    "/nothing",
    (app) => {
      app.end("");
    },
  ],
  [
    "/nonsense",
    (app) => {
      app.end("\x00\x01\x02 not http\r\n\r\n");
    },
  ],
  [
    "/endless",
    (app) => {
      app.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
      flood(app);
    },
  ],
  [
    "/endless-500",
    (app) => {
      app.write("HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n");
      flood(app);
    },
  ],
  ["/silent", () => undefined],
  [
    "/silent-body",
    (app) => {
      app.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    },
  ],
]);

function flood(app: Parameters<Script>[0]): void {
  const chunk = `1000\r\n${"x".repeat(4096)}\r\n`;
  const next = (): void => {
    if (!app.isOpen) return;
    app.write(chunk);
    setImmediate(next);
  };
  next();
}

async function handedTo(t: TestContext, path: string) {
  const hostile = await startHostileApp(t, SCRIPTS);
  const under = httpEventApp(t, hostile.port);
  return { ...under, hostile, deliver: (signal = patient) => under.app.deliver(deliveryOf({ path }), signal) };
}

const PLACE = { component: "mem", topic: "orders", subscription: "orders of mem (test)" };

for (const path of ["/half", "/nothing", "/nonsense"]) {
  test(`an answer that breaks off or is none is tried again, without a code: ${path}`, async (t) => {
    const { deliver, whenIdle } = await handedTo(t, path);
    const reception = await deliver();
    assert.equal(reception.kind, "retry");
    assert.equal(reception.code, undefined);
    await whenIdle();
  });
}

test("a status that came counts, though what was to follow broke off", async (t) => {
  const { deliver } = await handedTo(t, "/half-500");
  assert.deepEqual(await deliver(), again("the app answered 500", 500));
});

test("an answer without end is not read to it: success where the status says so, which is logged", async (t) => {
  const { deliver, log, hostile, whenIdle } = await handedTo(t, "/endless");
  assert.deepEqual(await deliver(), SUCCESS);
  await hostile.closed("/endless");
  await whenIdle();
  assert.deepEqual(
    log.map(({ level, fields }) => [level, fields]),
    [["warn", { ...PLACE, path: "/endless", event: "e1", bytes: MAX_ANSWER_BYTES }]],
  );
});

test("an error without end is an error", async (t) => {
  const { deliver, log, hostile } = await handedTo(t, "/endless-500");
  assert.deepEqual(await deliver(), again("the app answered 500", 500));
  await hostile.closed("/endless-500");
  assert.deepEqual(log, []);
});

for (const path of ["/silent", "/silent-body"]) {
  test(`an app that never answers is waited for until the signal says otherwise: ${path}`, async (t) => {
    const { deliver, hostile, whenIdle } = await handedTo(t, path);
    const signal = new CallAbort();
    const reception = deliver(signal);
    const reason = new Error("timed out");
    await waitFor("the app to have it", () => hostile.begun.length === 1);
    signal.abort(reason);
    await assert.rejects(reception, reason);
    await whenIdle();
  });
}

test("an app that nobody listens for has got nothing", async (t) => {
  const server = net.createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as net.AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  const { app, whenIdle } = httpEventApp(t, port);
  const reception = await app.deliver(deliveryOf(), patient);
  assert.ok(reception.kind === "unreached");
  assert.equal(reception.code, undefined);
  assert.match(reception.why, /connection refused/);
  const all = await app.deliverBulk(bulkDeliveryOf(), patient);
  assert.deepEqual(
    all.map(({ kind }) => kind),
    ["unreached", "unreached", "unreached"],
  );
  await assert.rejects(app.subscriptions(patient), /connection refused/);
  await whenIdle();
});

const NO_STATUS = again("the app's answer has no status for the event");
const all = (reception: Reception): readonly Reception[] => [reception, reception, reception];

const BULK_ANSWERS: readonly (readonly [what: string, status: number, body: string, readonly Reception[]])[] = [
  [
    "each of its own",
    200,
    '{"statuses":[{"entryId":"3","status":"DROP"},{"entryId":"1","status":"SUCCESS"},{"entryId":"2","status":"RETRY"}]}',
    [SUCCESS, again("the app answered RETRY"), DROP],
  ],
  [
    "missing, empty and unknown ones",
    200,
    '{"statuses":[{"entryId":"1"},{"entryId":"2","status":""},{"entryId":"3","status":"x"}]}',
    [NO_STATUS, NO_STATUS, again("the app answered with a status that there is not: x")],
  ],
  ["some left out", 200, '{"Statuses":[{"EntryId":"2","Status":"SUCCESS"},7,null]}', [NO_STATUS, SUCCESS, NO_STATUS]],
  ["an empty object", 200, "{}", all(NO_STATUS)],
  ["nothing", 200, "", all(again("the app answered 200 without a list of statuses: "))],
  ["no JSON", 200, "ok", all(again("the app answered 200 without a list of statuses: ok"))],
  ["no list", 200, '{"statuses":{}}', all(again('the app answered 200 without a list of statuses: {"statuses":{}}'))],
  ["500", 500, "no", all(again("the app answered 500: no", 500))],
  [
    "404",
    404,
    "",
    all({ kind: "drop", why: "the app answered 404", isDeadLetter: false, level: "error", code: http(404) }),
  ],
];

for (const [what, status, body, receptions] of BULK_ANSWERS) {
  test(`a batch is answered with ${what}`, async (t) => {
    const { app } = httpEventApp(t, await startAnsweringApp(t, status, body));
    assert.deepEqual(await app.deliverBulk(bulkDeliveryOf(), patient), receptions);
  });
}

test("an answer for an event of no batch is logged, and changes nothing", async (t) => {
  const body = '{"statuses":[{"entryId":"9","status":"SUCCESS"}]}';
  const { app, log } = httpEventApp(t, await startAnsweringApp(t, 200, body));
  assert.deepEqual(await app.deliverBulk(bulkDeliveryOf(), patient), all(NO_STATUS));
  assert.deepEqual(log[0]?.fields, { ...PLACE, path: "/bulk", entry: "9" });
});

test("raw events of a batch go as base64, under their own content type", async (t) => {
  const recording = await startRecordingApp(t);
  const { app } = httpEventApp(t, recording.port);
  const beside = { metadata: new Map([["k", "<v>"]]) };
  const entries = [
    { ...beside, entryId: "1", event: Buffer.from([0, 255]), contentType: "image/png" },
    { ...beside, entryId: "2", event: Buffer.from("text"), contentType: undefined },
    { ...beside, entryId: "3", event: eventOf({ id: "3" }), contentType: "text/plain" },
  ];
  await app.deliverBulk(bulkDeliveryOf({ entries }), patient);
  const [request] = recording.takeRequests();
  assert.deepEqual(JSON.parse(request?.body ?? ""), {
    id: "batch",
    type: "com.dapr.event.sent.bulk",
    topic: "orders",
    pubsubname: "mem",
    metadata: { pubsubName: "mem" },
    entries: [
      { entryId: "1", event: "AP8=", metadata: { k: "<v>" }, contentType: "image/png" },
      { entryId: "2", event: "dGV4dA==", metadata: { k: "<v>" }, contentType: "application/octet-stream" },
      { entryId: "3", event: { id: "3" }, metadata: { k: "<v>" }, contentType: "application/cloudevents+json" },
    ],
  });
  const headers = new Map(request?.headers);
  assert.equal(headers.get("Content-Type"), "application/json");
  assert.equal(headers.get("Traceparent"), NO_TRACE);
});
