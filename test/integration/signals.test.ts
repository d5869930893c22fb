import assert from "node:assert/strict";
import net from "node:net";
import { join } from "node:path";
import { describe, type TestContext, test } from "node:test";
import { listApps, type Outrigger, startOutrigger } from "../support/outrigger.ts";
import { ownPort } from "../support/own-port.ts";
import {
  APP,
  ended,
  folderWith,
  isRunning,
  nothingRunsUnder,
  ownHome,
  type RunningApp,
  startBeside,
  startWithApp,
  whenReady,
} from "../support/processes.ts";
import { RawConnection } from "../support/raw-http.ts";
import { waitFor } from "../support/wait.ts";

/** How a run ends: calls that run are finished, then the app is told, then all is over; or at once, for who insists. */

const SIGNALS = ["SIGINT", "SIGTERM"] as const;

/** An app and its sidecar, in which a call is being answered that ends only with {@link release}. */
interface Busy extends RunningApp {
  readonly home: string;
  readonly appPort: number;
  /** The call that runs. Its outcome, whatever that is. */
  readonly held: Promise<Response | Error>;
}

async function startBusy(t: TestContext, flags: readonly string[] = [], env: NodeJS.ProcessEnv = {}): Promise<Busy> {
  const home = ownHome(t);
  const appPort = await ownPort();
  const app = await startWithApp(t, "busy", appPort, { home, flags, env });
  const held = fetch(`${app.api}/v1.0/invoke/busy/method/hold`).catch((error: unknown) => error as Error);
  await app.outrigger.waitForOutput(/app holds a call/);
  return { ...app, home, appPort, held };
}

interface Two<T> {
  readonly first: T;
  readonly second: T;
}

/** Two apps behind one process. @param more of the second one's entry in the run file. */
async function startTwo(
  t: TestContext,
  home: string,
  more = "",
): Promise<{ outrigger: Outrigger; ports: Two<number>; apps: Two<RunningApp> }> {
  const ports = { first: await ownPort(), second: await ownPort() };
  const command = `["${process.execPath}", "${APP}"]`;
  const app = (id: string, port: number, rest: string): string =>
    `  - {appID: ${id}, appDirPath: ., appPort: ${port}, command: ${command}${rest}}\n`;
  const text = `version: 1\napps:\n${app("first", ports.first, "")}${app("second", ports.second, more)}`;
  const runFile = join(folderWith(t, { "run.yaml": text }), "run.yaml");
  const outrigger = startOutrigger(t, ["run", "-f", runFile], { home });
  const first = await whenReady(outrigger, "first");
  return { outrigger, ports, apps: { first, second: await whenReady(outrigger, "second") } };
}

async function release({ appPort }: Busy): Promise<void> {
  await fetch(`http://127.0.0.1:${appPort}/release`);
}

/** Broken off, or told that the app is gone: whichever is noticed first. */
async function assertNotAnswered({ held }: Busy): Promise<void> {
  const answer = await held;
  assert.ok(answer instanceof Error || answer.status === 500, "a call that was cut looks like one that was answered");
}

async function refusesConnections(port: number): Promise<void> {
  await waitFor(`port ${port} to refuse connections`, () => {
    return new Promise<boolean>((resolve) => {
      const socket = net.connect({ host: "127.0.0.1", port });
      socket.once("connect", () => {
        socket.destroy();
        resolve(false);
      });
      socket.once("error", () => {
        resolve(true);
      });
    });
  });
}

describe("a run", { concurrency: 3, timeout: 240_000 }, () => {
  for (const signal of SIGNALS) {
    test(`finishes the calls that run on ${signal}, takes no new ones, and passes the signal to the app afterwards`, async (t) => {
      const busy = await startBusy(t);
      const caller = await startBeside(t, "caller", undefined, { home: busy.home });
      busy.outrigger.process.kill(signal);
      await refusesConnections(busy.listed.internalPort);
      assert.deepEqual(await listApps(busy.home), [caller.listed], "an app that ends can still be found");
      assert.equal((await fetch(`${caller.api}/v1.0/invoke/busy/method/late`)).status, 500);
      assert.equal(busy.outrigger.hasExited, false);
      assert.ok(isRunning(busy.listed.appPid ?? 0));
      await release(busy);
      const answer = await busy.held;
      assert.ok(answer instanceof Response);
      assert.deepEqual([answer.status, await answer.text()], [200, "held, then answered"]);
      const { code, stdout } = await ended(busy.outrigger);
      assert.equal(code, 0);
      const order = [...stdout.matchAll(/app has answered the held call|app got \w+/g)].map(([said]) => said);
      assert.deepEqual(order, ["app has answered the held call", `app got ${signal}`]);
      assert.equal(await caller.outrigger.stop(signal), 0);
      await nothingRunsUnder(busy.home);
    });
  }

  test("finishes a call that came from another process", async (t) => {
    const busy = await startBusy(t);
    const caller = await startBeside(t, "caller", undefined, { home: busy.home });
    const remote = fetch(`${caller.api}/v1.0/invoke/busy/method/hold`);
    await busy.outrigger.waitForOutput(/app holds a call[^]*app holds a call/);
    busy.outrigger.process.kill("SIGTERM");
    await refusesConnections(busy.listed.internalPort);
    await release(busy);
    const answer = await remote;
    assert.deepEqual([answer.status, await answer.text()], [200, "held, then answered"]);
    assert.equal((await ended(busy.outrigger)).code, 0);
  });

  test("closes a connection of another process with the answer to the call that runs on it", async (t) => {
    const busy = await startBusy(t);
    const connection = await RawConnection.open(t, busy.listed.internalPort);
    connection.write("GET /hold HTTP/1.1\r\nHost: x\r\noutrigger-target: busy.default\r\n\r\n");
    await busy.outrigger.waitForOutput(/app holds a call[^]*app holds a call/);
    busy.outrigger.process.kill("SIGTERM");
    await refusesConnections(busy.listed.internalPort);
    await release(busy);
    assert.match(await connection.waitForClose(), /^HTTP\/1\.1 200 OK\r\n[^]*\r\nConnection: close\r\n/);
    assert.equal((await ended(busy.outrigger)).code, 0);
  });

  test("lets a call that runs make the calls that it needs, to an app of the same process that ends as well", async (t) => {
    const home = ownHome(t);
    const { outrigger, ports, apps } = await startTwo(t, home);
    const { first, second } = apps;
    const held = fetch(`${first.api}/v1.0/invoke/first/method/hold/second`);
    await outrigger.waitForOutput(/app holds a call/);
    outrigger.process.kill("SIGTERM");
    for (const { listed } of [first, second]) await refusesConnections(listed.internalPort);
    await fetch(`http://127.0.0.1:${ports.first}/release`);
    const answer = await held;
    assert.deepEqual([answer.status, answer.headers.get("connection")], [200, "close"]);
    assert.match(await answer.text(), /"url":"\/nested"/);
    assert.equal((await ended(outrigger)).code, 0);
  });

  test("lets an app call out until it is told to end itself, while another one finishes a call", async (t) => {
    const home = ownHome(t);
    const { outrigger, ports, apps } = await startTwo(t, home, ", env: {CALLS: first}");
    const held = fetch(`${apps.first.api}/v1.0/invoke/first/method/hold`);
    await outrigger.waitForOutput(/app holds a call/);
    outrigger.process.kill("SIGTERM");
    for (const { listed } of [apps.first, apps.second]) await refusesConnections(listed.internalPort);
    const before = outrigger.stdout.length;
    await waitFor("calls during the drain", () => outrigger.stdout.slice(before).includes("app has called"));
    await fetch(`http://127.0.0.1:${ports.first}/release`);
    assert.equal((await held).status, 200);
    const { code, stdout } = await ended(outrigger);
    assert.equal(code, 0);
    const untilTold = stdout.slice(0, stdout.search(/^second │ app got SIGTERM$/m));
    assert.ok(untilTold.length < stdout.length, stdout);
    assert.doesNotMatch(untilTold, /app could not call/);
  });

  test("ends with 0 when an app fails that was about to be told to end", async (t) => {
    const home = ownHome(t);
    const { outrigger, ports, apps } = await startTwo(t, home);
    const held = fetch(`${apps.first.api}/v1.0/invoke/first/method/hold`);
    await outrigger.waitForOutput(/app holds a call/);
    outrigger.process.kill("SIGTERM");
    for (const { listed } of [apps.first, apps.second]) await refusesConnections(listed.internalPort);
    await fetch(`http://127.0.0.1:${ports.second}/exit/3`);
    await outrigger.waitForOutput(/^second ● the app ended with exit code 3$/m);
    await fetch(`http://127.0.0.1:${ports.first}/release`);
    assert.equal((await held).status, 200);
    assert.equal((await ended(outrigger)).code, 0);
  });

  test("cuts a call that runs longer than --dapr-graceful-shutdown-seconds, tells the app, and ends with 0", async (t) => {
    const busy = await startBusy(t, ["--dapr-graceful-shutdown-seconds", "1"]);
    busy.outrigger.process.kill("SIGTERM");
    const { code, stdout } = await ended(busy.outrigger);
    assert.equal(code, 0);
    assert.match(stdout, /app got SIGTERM/);
    assert.ok((await busy.held) instanceof Error, "a call that was cut looks like one that was answered");
    await nothingRunsUnder(busy.home);
  });

  for (const [signal, code] of [
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const) {
    test(`ends at once on a second ${signal}, with ${code} and without its app`, async (t) => {
      // So patient that only the second signal can end it before the test gives up.
      const busy = await startBusy(t, ["--dapr-graceful-shutdown-seconds", "3600"], { IGNORES_SIGNALS: "1" });
      busy.outrigger.process.kill(signal);
      await refusesConnections(busy.listed.internalPort);
      busy.outrigger.process.kill(signal);
      assert.equal((await ended(busy.outrigger)).code, code);
      await assertNotAnswered(busy);
      await nothingRunsUnder(busy.home);
    });
  }

  test("kills an app that ignores its signal, and ends with 0", async (t) => {
    const home = ownHome(t);
    const { outrigger, listed } = await startWithApp(t, "stubborn", await ownPort(), {
      home,
      env: { IGNORES_SIGNALS: "1" },
    });
    outrigger.process.kill("SIGTERM");
    await outrigger.waitForOutput(/app got SIGTERM/);
    assert.equal((await ended(outrigger)).code, 0);
    assert.equal(isRunning(listed.appPid ?? 0), false);
    await nothingRunsUnder(home);
  });

  test("that is asked to shut down answers 204, finishes the calls that run, tells the app, and ends with 0", async (t) => {
    const busy = await startBusy(t);
    const asked = await fetch(`${busy.api}/v1.0/shutdown`, { method: "POST" });
    assert.deepEqual([asked.status, await asked.text()], [204, ""]);
    await refusesConnections(busy.listed.internalPort);
    assert.equal(busy.outrigger.hasExited, false);
    await release(busy);
    const answer = await busy.held;
    assert.ok(answer instanceof Response);
    assert.equal(await answer.text(), "held, then answered");
    const { code, stdout } = await ended(busy.outrigger);
    assert.equal(code, 0);
    assert.match(stdout, /app got SIGTERM/);
    await nothingRunsUnder(busy.home);
  });

  test("that is forced to shut down answers 204 and ends with 1, whatever runs", async (t) => {
    const busy = await startBusy(t, ["--dapr-graceful-shutdown-seconds", "3600"], { IGNORES_SIGNALS: "1" });
    const headers = { "dapr-force-shutdown": "true" };
    const asked = await fetch(`${busy.api}/v1.0/shutdown`, { method: "POST", headers });
    assert.equal(asked.status, 204);
    const { code, stdout } = await ended(busy.outrigger);
    assert.equal(code, 1);
    assert.ok(!stdout.includes("app got"), "the app was asked, not killed");
    await assertNotAnswered(busy);
    await nothingRunsUnder(busy.home);
  });

  test("is not ended by GET /v1.0/shutdown, nor by a call to a method of that name", async (t) => {
    const home = ownHome(t);
    const { outrigger, api } = await startWithApp(t, "steady", await ownPort(), { home });
    assert.equal((await fetch(`${api}/v1.0/shutdown`)).status, 404);
    const method = await fetch(`${api}/v1.0/invoke/steady/method/v1.0/shutdown`, { method: "POST" });
    assert.equal(method.status, 200);
    assert.equal((await fetch(`${api}/v1.0/healthz`)).status, 204);
    assert.equal(outrigger.hasExited, false);
  });

  test("ends before its app has answered on its port, when it is told to", async (t) => {
    const home = ownHome(t);
    // Without APP_PORT the app listens nowhere, so that Outrigger waits for it.
    const withoutPort = ["/usr/bin/env", "-u", "APP_PORT", process.execPath, APP];
    const args = ["run", "--app-id", "late", "--app-port", String(await ownPort()), "--", ...withoutPort];
    const outrigger = startOutrigger(t, args, { home });
    await outrigger.waitForOutput(/app has no port/);
    outrigger.process.kill("SIGINT");
    const { code, stdout } = await ended(outrigger);
    assert.equal(code, 0);
    assert.match(stdout, /app got SIGINT/);
    await nothingRunsUnder(home);
  });
});
