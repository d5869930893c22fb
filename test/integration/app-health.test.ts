import assert from "node:assert/strict";
import type { ServerResponse } from "node:http";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { type Outrigger, startOutrigger } from "../support/outrigger.ts";
import { ownPort } from "../support/own-port.ts";
import { ended, folderWith, ownHome, startBeside, startWithApp, whenReady } from "../support/processes.ts";
import { startInTestApp } from "../support/raw-http-app.ts";
import { waitFor } from "../support/wait.ts";

/** `--enable-app-health-check`: an app is asked how it is, and gets no calls while it is unwell. */

/** A call that waits for ever fails its test instead. */
const BOUNDED = { timeout: 90_000 };

const HEALTHY = /the app is healthy; it gets calls/g;
const UNHEALTHY = /the app is not healthy; calls to it are refused until a probe succeeds.*/g;
const REFUSAL = {
  errorCode: "ERR_DIRECT_INVOKE",
  message: "failed to invoke, id: callee, err: rpc error: code = Internal desc = app is not in a healthy state",
};

/** Answers a probe, or does not. */
type Doctor = (response: ServerResponse) => void;

const well: Doctor = (response) => response.writeHead(204).end();
const unwell: Doctor = (response) => response.writeHead(503).end("not today");

interface Patient {
  readonly port: number;
  /** How it answers probes from now on. */
  doctor: Doctor;
  probes: number;
  /** Of the last probe: a flat list, as it came off the wire. */
  probeHeaders: readonly string[];
  /** The paths of calls that reached it. */
  readonly called: string[];
  /** Answers that it was asked to keep open, by path. */
  readonly open: Map<string, ServerResponse>;
}

/** An app with a health of its own. It answers every call with `ok`, but those to `/open…`, which the test ends. */
async function startPatient(t: TestContext, doctor: Doctor, port = 0): Promise<Patient> {
  const app = await startInTestApp(
    t,
    (request, response) => {
      const path = request.url ?? "";
      if (path === "/healthz") {
        patient.probes++;
        patient.probeHeaders = request.rawHeaders;
        patient.doctor(response);
        return;
      }
      patient.called.push(path);
      if (!path.startsWith("/open")) response.end("ok");
      else patient.open.set(path, response.writeHead(200, { "X-Begun": "1" }));
      response.flushHeaders();
    },
    port,
  );
  const patient: Patient = { port: app.port, doctor, probes: 0, probeHeaders: [], called: [], open: new Map() };
  return patient;
}

const FLAGS = ["--enable-app-health-check", "--app-health-probe-interval", "1", "--app-health-threshold", "2"];

interface Pair {
  /** The process of the callee's sidecar. */
  readonly outrigger: Outrigger;
  readonly calleeApi: string;
  readonly callerApi: string;
}

async function twoProcesses(t: TestContext, appPort: number): Promise<Pair> {
  const home = ownHome(t);
  const callee = await startBeside(t, "callee", appPort, { home, flags: FLAGS });
  const caller = await startBeside(t, "caller", undefined, { home });
  return { outrigger: callee.outrigger, calleeApi: callee.api, callerApi: caller.api };
}

async function oneProcess(t: TestContext, appPort: number): Promise<Pair> {
  const file = `version: 1
common: {appHealthProbeInterval: 1, noDefaultPubsub: true}
apps:
  - {appID: callee, appDirPath: ., appPort: ${appPort}, enableAppHealthCheck: true, appHealthThreshold: 2}
  - {appID: caller, appDirPath: .}
`;
  const home = ownHome(t);
  const folder = folderWith(t, { "run.yaml": file });
  const outrigger = startOutrigger(t, ["run", "-f", join(folder, "run.yaml")], { home });
  const callee = await whenReady(outrigger, "callee");
  return { outrigger, calleeApi: callee.api, callerApi: (await whenReady(outrigger, "caller")).api };
}

const call = (api: string, path: string): Promise<Response> => fetch(`${api}/v1.0/invoke/callee/method${path}`);

function told(outrigger: Outrigger, what: RegExp): string[] {
  return outrigger.output.match(what) ?? [];
}

/** Waits until the state has changed so for the `nth` time. */
async function waitForChange(outrigger: Outrigger, what: RegExp, nth: number): Promise<string> {
  return waitFor(`change ${nth} to ${String(what)} in:\n${outrigger.output}`, () => told(outrigger, what)[nth - 1]);
}

for (const [where, start] of [
  ["of another process", twoProcesses],
  ["of the same process", oneProcess],
] as const) {
  test(`an app that is unwell gets no calls from one ${where}, nor its own, until it is well`, BOUNDED, async (t) => {
    const app = await startPatient(t, well);
    const { outrigger, calleeApi, callerApi } = await start(t, app.port);
    const apis = [calleeApi, callerApi];
    // The first of them have waited for the first probe.
    for (const api of apis) assert.equal(await (await call(api, "/before")).text(), "ok");
    const open = await call(callerApi, "/open");
    app.doctor = unwell;
    const line = await waitForChange(outrigger, UNHEALTHY, 1);
    assert.match(line, /GET \/healthz was answered 503/);
    for (const api of apis) {
      const response = await call(api, "/during");
      assert.deepEqual([response.status, await response.json()], [500, REFUSAL]);
      // The sidecar itself is well, as daprd's is.
      assert.equal((await fetch(`${api}/v1.0/healthz`)).status, 204);
    }
    // What the app had been given already goes on.
    app.open.get("/open")?.end("to its end");
    assert.equal(await open.text(), "to its end");
    app.doctor = well;
    await waitForChange(outrigger, HEALTHY, 2);
    for (const api of apis) assert.equal(await (await call(api, "/after")).text(), "ok");
    assert.deepEqual(app.called, ["/before", "/before", "/open", "/after", "/after"]);
    assert.deepEqual([told(outrigger, HEALTHY).length, told(outrigger, UNHEALTHY).length], [2, 1]);
  });
}

test("a call that was refused because the app is unwell is not tried again", BOUNDED, async (t) => {
  const app = await startPatient(t, unwell);
  const { outrigger, callerApi } = await twoProcesses(t, app.port);
  assert.equal((await call(callerApi, "/once")).status, 500);
  await outrigger.waitForOutput(/GET \/once/);
  assert.equal(told(outrigger, /GET \/once/g).length, 1, outrigger.output);
  assert.deepEqual(app.called, []);
});

test("fewer failures in a row than the threshold change nothing", BOUNDED, async (t) => {
  let failuresToGive = 0;
  const app = await startPatient(t, (response) => {
    (failuresToGive-- > 0 ? unwell : well)(response);
  });
  const flags = ["--enable-app-health-check", "--app-health-probe-interval", "1"];
  const { outrigger, api } = await startBeside(t, "callee", app.port, { home: ownHome(t), flags });
  await waitForChange(outrigger, HEALTHY, 1);
  failuresToGive = 2;
  // The second probe after them tells that both have been counted.
  await waitFor("two failed probes and two others", () => failuresToGive <= -2);
  assert.equal((await call(api, "/two-failed")).status, 200);
  assert.deepEqual(told(outrigger, UNHEALTHY), []);
  failuresToGive = 3;
  await waitForChange(outrigger, UNHEALTHY, 1);
  await waitForChange(outrigger, HEALTHY, 2);
});

test("an app that leaves a probe without an answer is unwell", BOUNDED, async (t) => {
  const app = await startPatient(t, well);
  const { outrigger, api } = await startBeside(t, "callee", app.port, {
    home: ownHome(t),
    flags: [...FLAGS, "--app-health-probe-timeout", "200"],
  });
  assert.equal((await call(api, "/before")).status, 200);
  app.doctor = () => undefined;
  assert.match(await waitForChange(outrigger, UNHEALTHY, 1), /no answer within 200 ms/);
  assert.deepEqual(await (await call(api, "/during")).json(), REFUSAL);
  app.doctor = well;
  await waitForChange(outrigger, HEALTHY, 2);
  assert.equal((await call(api, "/after")).status, 200);
});

test("probes take no slot, wait for none, carry the app's token, and are no calls in the story", BOUNDED, async (t) => {
  const app = await startPatient(t, well);
  const { outrigger, api } = await startBeside(t, "callee", app.port, {
    home: ownHome(t),
    env: { APP_API_TOKEN: "open sesame" },
    flags: [...FLAGS, "--app-max-concurrency", "1"],
  });
  const open = await call(api, "/open");
  const before = app.probes;
  await waitFor("probes beside the call that has the slot", () => app.probes >= before + 3);
  assert.equal(app.probeHeaders[app.probeHeaders.findIndex((name) => name === "Dapr-Api-Token") + 1], "open sesame");
  app.open.get("/open")?.end("ok");
  assert.equal(await open.text(), "ok");
  assert.deepEqual(told(outrigger, UNHEALTHY), []);
  assert.doesNotMatch(outrigger.output, /GET \/healthz/);
});

test(
  "calls that wait for a slot are refused when the app becomes unwell: the one that has it may never end",
  BOUNDED,
  async (t) => {
    const app = await startPatient(t, well);
    const flags = [...FLAGS, "--app-max-concurrency", "1"];
    const { api } = await startBeside(t, "callee", app.port, { home: ownHome(t), flags });
    const open = await call(api, "/open");
    const waiting = call(api, "/waiting");
    app.doctor = unwell;
    assert.deepEqual(await (await waiting).json(), REFUSAL);
    app.open.get("/open")?.end();
    await open.text();
    assert.deepEqual(app.called, ["/open"]);
  },
);

test("under run, calls to an app that has just started wait until it is well", BOUNDED, async (t) => {
  const app = await startPatient(t, (response) => {
    (app.probes < 3 ? unwell : well)(response);
  });
  const flags = ["--enable-app-health-check", "--app-health-probe-interval", "1"];
  const { api } = await startBeside(t, "callee", app.port, { home: ownHome(t), flags });
  assert.equal(await (await call(api, "/early")).text(), "ok");
  assert.equal(app.probes >= 3, true);
});

test("a sidecar refuses them, as daprd does: an app is not well before it has said so", BOUNDED, async (t) => {
  const port = await ownPort();
  const ports = ["--dapr-http-port", "0", "--dapr-grpc-port", "0", "--dapr-listen-addresses", "127.0.0.1"];
  const internal = ["--dapr-internal-grpc-listen-address", "127.0.0.1"];
  const args = ["sidecar", "--app-id", "callee", "--app-port", String(port), ...ports, ...internal, ...FLAGS];
  const outrigger = startOutrigger(t, args, { home: ownHome(t) });
  const api = await outrigger.api("callee");
  assert.deepEqual(await (await call(api, "/early")).json(), REFUSAL);
  await startPatient(t, well, port);
  await waitForChange(outrigger, HEALTHY, 1);
  assert.equal(await (await call(api, "/later")).text(), "ok");
});

test("an app that ends with its sidecar is not called unwell, and nothing is left that probes", BOUNDED, async (t) => {
  const flags = ["--enable-app-health-check", "--app-health-check-path", "where", "--app-health-probe-interval", "1"];
  const { outrigger } = await startWithApp(t, "callee", await ownPort(), {
    home: ownHome(t),
    flags: [...flags, "--app-health-threshold", "1"],
  });
  await waitForChange(outrigger, HEALTHY, 1);
  outrigger.process.kill("SIGTERM");
  const { code } = await ended(outrigger);
  assert.equal(code, 0);
  assert.deepEqual(told(outrigger, UNHEALTHY), []);
});

test("the metadata says how the app is probed, in daprd's fields and Go's durations", BOUNDED, async (t) => {
  const app = await startPatient(t, well);
  const flags = ["--enable-app-health-check", "--app-health-probe-interval", "90", "--app-health-threshold", "0"];
  const { api } = await startBeside(t, "callee", app.port, { home: ownHome(t), flags });
  const text = await (await fetch(`${api}/v1.0/metadata`)).text();
  assert.ok(
    text.includes(
      '"health":{"healthCheckPath":"/healthz","healthProbeInterval":"1m30s","healthProbeTimeout":"500ms","healthThreshold":3}',
    ),
    text,
  );
});
