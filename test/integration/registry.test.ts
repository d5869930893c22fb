import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { describe, type TestContext, test } from "node:test";
import { open, type RootDatabase } from "lmdb";
import type { AppId } from "../../src/core/app-id.ts";
import { identityOf } from "../../src/runtime/registry/process-identity.ts";
import { type RegistryEntry, registryPathIn } from "../../src/runtime/registry/registry-store.ts";
import { listApps, ROOT, startOutrigger } from "../support/outrigger.ts";
import { ownPort } from "../support/own-port.ts";
import { ended, isRunning, kill, ownHome, type RunningApp, runToEnd, startBeside } from "../support/processes.ts";
import { startInTestApp } from "../support/raw-http-app.ts";
import { waitFor } from "../support/wait.ts";

/** The registry that the processes of one home share: who is in it, and who no longer is. */

/** The registry's store itself, with what it holds of entries that count for nothing any more. */
class Store {
  readonly #db: RootDatabase<RegistryEntry, string[]>;

  constructor(t: TestContext, home: string) {
    this.#db = open<RegistryEntry, string[]>({ path: registryPathIn(home) });
    t.after(() => this.#db.close());
  }

  get ids(): string[] {
    return [...this.#db.getRange()].map(({ value }) => value.instance.app.id).sort();
  }

  /** The pids that LMDB believes to be reading. */
  get readers(): number[] {
    const lines = this.#db.readerList().split("\n").slice(1);
    return lines.flatMap((line) => Number(line.trim().split(/\s+/, 1)[0]) || []);
  }

  entry(id: string): RegistryEntry {
    const found = [...this.#db.getRange()].find(({ value }) => value.instance.app.id === id);
    assert.ok(found, `${id} is not in the store`);
    return found.value;
  }

  /** Resolves once it is written, after every other process that was writing. */
  async put(entry: RegistryEntry): Promise<void> {
    const { app, instanceId } = entry.instance;
    await this.#db.put([app.namespace, app.id, instanceId], entry);
  }
}

async function listedIds(home: string): Promise<string[]> {
  return (await listApps(home)).map(({ appId }) => appId).sort();
}

const SIX = ["a", "b", "c", "d", "e", "f"];

async function startAll(
  t: TestContext,
  home: string,
  ids: readonly string[],
  appPort: number | undefined,
): Promise<RunningApp[]> {
  return Promise.all(ids.map((id) => startBeside(t, id, appPort, { home })));
}

async function stopAll(apps: readonly RunningApp[]): Promise<void> {
  for (const { outrigger } of apps) outrigger.process.kill("SIGTERM");
  for (const { outrigger } of apps) assert.equal((await ended(outrigger)).code, 0, outrigger.output);
}

/** Calls `id` from `caller`. @returns status and body. */
async function call(caller: RunningApp, id: string): Promise<[number, string]> {
  const response = await fetch(`${caller.api}/v1.0/invoke/${id}/method/from/${caller.listed.appId}`);
  return [response.status, await response.text()];
}

describe("the registry", { concurrency: 3, timeout: 240_000 }, () => {
  test("has each of six processes that register at once, and none once they have ended at once", async (t) => {
    const home = ownHome(t);
    const app = await startInTestApp(t);
    const first = await startAll(t, home, SIX, app.port);
    assert.deepEqual(await listedIds(home), SIX);
    assert.deepEqual(
      first.map(({ listed }) => listed.pid),
      first.map(({ outrigger }) => outrigger.pid),
    );
    assert.equal(
      new Set(first.flatMap(({ listed }) => [listed.httpPort, listed.grpcPort, listed.internalPort])).size,
      18,
    );
    for (const caller of first) {
      for (const id of SIX) assert.deepEqual(await call(caller, id), [200, "ok"]);
    }
    assert.equal(app.whole.length, 36);

    const [staying, leaving] = [first.slice(0, 3), first.slice(3)];
    const [coming] = await Promise.all([startAll(t, home, ["x", "y", "z"], app.port), stopAll(leaving)]);
    assert.deepEqual(await listedIds(home), ["a", "b", "c", "x", "y", "z"]);

    const store = new Store(t, home);
    assert.deepEqual(store.ids, ["a", "b", "c", "x", "y", "z"]);
    await stopAll([...staying, ...coming]);
    assert.deepEqual(store.ids, []);
  });

  test("has those again that ran when it was moved aside", async (t) => {
    const home = ownHome(t);
    const before = await startBeside(t, "before", undefined, { home });
    const folder = registryPathIn(home);
    rmSync(`${folder}/lock.mdb`);
    renameSync(`${folder}/data.mdb`, `${folder}/data.mdb.aside`);
    const after = await startBeside(t, "after", undefined, { home });
    const store = new Store(t, home);
    await waitFor("both to be in the new registry", () => store.ids.join() === "after,before");
    assert.deepEqual(await listedIds(home), ["after", "before"]);
    await stopAll([before, after]);
    assert.deepEqual(store.ids, []);
  });

  test("survives processes that are killed while they register", async (t) => {
    const home = ownHome(t);
    const dying = SIX.map((id) => startOutrigger(t, ["run", "--app-id", id], { home }));
    await waitFor("the registry to be made", () => existsSync(`${registryPathIn(home)}/data.mdb`));
    for (const outrigger of dying) kill(outrigger.pid, "SIGKILL");
    for (const outrigger of dying) await ended(outrigger);
    assert.deepEqual(await listedIds(home), []);
    const survivor = await startBeside(t, "survivor", undefined, { home });
    assert.deepEqual(await listedIds(home), ["survivor"]);
    await stopAll([survivor]);
  });

  for (const [what, damage] of [
    ["overwritten", "not a database\n".repeat(5000)],
    ["cut off after 4 KiB", 4096],
    ["cut off after 8 KiB", 8192],
  ] as const) {
    test(`that is ${what} ends no command: each says so or goes on, and six processes at once begin a new one`, async (t) => {
      const home = ownHome(t);
      const data = `${registryPathIn(home)}/data.mdb`;
      await stopAll([await startBeside(t, "before", undefined, { home })]);
      const ruin = (): void => {
        if (typeof damage === "number") truncateSync(data, damage);
        else writeFileSync(data, damage);
      };
      for (const [args, code] of [
        [["list", "--json"], 0],
        [["stop", "before"], 1],
        [["invoke", "--app-id", "before", "--method", "x"], 1],
      ] as const) {
        ruin();
        const run = await runToEnd(t, args, { home });
        assert.equal(run.code, code, run.stderr);
        assert.match(run.stderr, /^outrigger: the registry at .* is damaged .*moved to .*\.damaged-/);
        await stopAll([await startBeside(t, "before", undefined, { home })]);
      }
      ruin();
      const apps = await startAll(t, home, SIX, undefined);
      assert.deepEqual(await listedIds(home), SIX);
      const warned = apps.filter(({ outrigger }) => outrigger.stderr.includes(" is damaged "));
      assert.equal(warned.length, 1, "one moves it aside, the others find the new one");
      await stopAll(apps);
    });
  }

  test("gives up a process that is stopped once its lease is over, and has it back when it goes on", async (t) => {
    const home = ownHome(t);
    const app = await startInTestApp(t);
    const paused = await startBeside(t, "paused", app.port, { home });
    const watcher = await startBeside(t, "watcher", undefined, { home });
    assert.deepEqual(await call(watcher, "paused"), [200, "ok"]);
    const store = new Store(t, home);
    const leaseOf = (id: string): number => store.entry(id).leaseUntilMs;

    // Behind a renewal, and behind a write of our own: so it is not stopped with the store's lock in its hands.
    const before = leaseOf("paused");
    await waitFor("the lease to be renewed", () => leaseOf("paused") > before);
    await store.put(store.entry("paused"));
    kill(paused.outrigger.pid, "SIGSTOP");
    await waitFor("the process to stop", () => isStopped(paused.outrigger.pid));
    const lease = leaseOf("paused");
    const early = await listedIds(home);
    assert.ok(early.includes("paused") || Date.now() >= lease, "given up before its lease was over");

    await waitFor("the lease to be over", async () => !(await listedIds(home)).includes("paused"));
    assert.ok(Date.now() >= lease, "given up before its lease was over");
    assert.ok(isRunning(paused.outrigger.pid));
    await waitFor("the entry to be swept out", () => !store.ids.includes("paused"));
    const [status, text] = await call(watcher, "paused");
    assert.deepEqual([status, text.includes("is not in the registry")], [500, true], text);

    kill(paused.outrigger.pid, "SIGCONT");
    await waitFor("the process to be back", async () => (await listedIds(home)).includes("paused"));
    const [back] = (await listApps(home)).filter(({ appId }) => appId === "paused");
    assert.deepEqual(back, paused.listed);
    assert.deepEqual(await call(watcher, "paused"), [200, "ok"]);
  });

  test("skips a process that was killed at once, and another process clears it out long before its lease is over", async (t) => {
    const home = ownHome(t);
    const doomed = await startBeside(t, "doomed", undefined, { home });
    await startBeside(t, "sweeper", undefined, { home });
    const store = new Store(t, home);
    const entry = store.entry("doomed");
    kill(doomed.outrigger.pid, "SIGKILL");
    await ended(doomed.outrigger);
    assert.deepEqual(await listedIds(home), ["sweeper"]);
    // With an hour to run it cannot be the lease that makes it go.
    await store.put({ ...entry, leaseUntilMs: Date.now() + 3_600_000 });
    assert.deepEqual(await listedIds(home), ["sweeper"]);
    await waitFor("the entry to be swept out", () => !store.ids.includes("doomed"));
    assert.deepEqual(store.ids, ["sweeper"]);
  });

  test("frees what a process that was killed held of the store, so that the file does not grow", async (t) => {
    const home = ownHome(t);
    const store = new Store(t, home);
    await startBeside(t, "sweeper", undefined, { home });
    // Killed in the middle of reading: its snapshot would be kept for ever.
    const script = `
      const { open } = require("lmdb");
      const db = open({ path: process.argv[1] });
      const transaction = db.useReadTransaction();
      db.getCount({ transaction });
      console.log("reads");
      setInterval(() => {}, 1000);
    `;
    const reader = spawn(process.execPath, ["-e", script, registryPathIn(home)], { cwd: ROOT });
    await once(reader.stdout, "data");
    const { pid = 0 } = reader;
    await waitFor("the reader to be seen", () => store.readers.includes(pid));
    reader.kill("SIGKILL");
    await once(reader, "exit");
    await waitFor("the reader to be forgotten", () => !store.readers.includes(pid));
  });

  test("does not take a process for an earlier one that had the same pid", async (t) => {
    const home = ownHome(t);
    await startBeside(t, "sweeper", undefined, { home });
    const store = new Store(t, home);
    const template = store.entry("sweeper");
    // This very process, had it been started at another time.
    const earlier = { ...identityOf(process.pid), startTime: "1" };
    const app = { ...template.instance.app, id: "earlier" as AppId };
    const instance = { ...template.instance, instanceId: "earlier", app };
    await store.put({ ...template, instance, process: earlier, leaseUntilMs: Date.now() + 3_600_000 });
    assert.deepEqual(await listedIds(home), ["sweeper"]);
    await waitFor("the entry to be swept out", () => !store.ids.includes("earlier"));
  });

  test("leads nobody to a process that has got the ports of one that was killed", async (t) => {
    const home = ownHome(t);
    const [oldApp, newApp] = [await startInTestApp(t), await startInTestApp(t)];
    const ports = ["--dapr-http-port", "--dapr-grpc-port", "--dapr-internal-grpc-port"];
    const flags: string[] = [];
    for (const flag of ports) flags.push(flag, String(await ownPort()));
    const old = await startBeside(t, "old", oldApp.port, { home, flags });
    const caller = await startBeside(t, "caller", undefined, { home });
    assert.deepEqual(await call(caller, "old"), [200, "ok"]);
    kill(old.outrigger.pid, "SIGKILL");
    await ended(old.outrigger);
    const heir = await startBeside(t, "heir", newApp.port, { home, flags });
    assert.deepEqual([heir.listed.httpPort, heir.listed.internalPort], [old.listed.httpPort, old.listed.internalPort]);
    assert.deepEqual(await listedIds(home), ["caller", "heir"]);
    const [status, text] = await call(caller, "old");
    assert.equal(status, 500, text);
    assert.deepEqual(newApp.begun, []);
    assert.deepEqual(await call(caller, "heir"), [200, "ok"]);
    assert.deepEqual(newApp.begun, ["GET /from/caller"]);
  });

  test("spreads calls over the instances of an app, and over those that are left when one is killed", async (t) => {
    const home = ownHome(t);
    const apps = await Promise.all(["one", "two", "three"].map((name) => startInTestApp(t, (_, r) => r.end(name))));
    const instances = await Promise.all(apps.map(({ port }) => startBeside(t, "many", port, { home })));
    const caller = await startBeside(t, "caller", undefined, { home });
    const answers = async (): Promise<string[]> => {
      const texts = new Set<string>();
      for (let i = 0; i < 9; i++) {
        const [status, text] = await call(caller, "many");
        assert.equal(status, 200, text);
        texts.add(text);
      }
      return [...texts].sort();
    };
    assert.deepEqual(await answers(), ["one", "three", "two"]);
    // whenReady gives the first entry of that name to each, so the pid is what tells them apart.
    kill(instances[0]?.outrigger.pid ?? 0, "SIGKILL");
    assert.deepEqual(await answers(), ["three", "two"]);
  });
});

function isStopped(pid: number): boolean {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  return stat.slice(stat.lastIndexOf(")") + 2).startsWith("T");
}
