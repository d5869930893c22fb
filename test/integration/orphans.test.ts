import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import type { TestScope } from "../support/cleanup.ts";
import { listApps, type Outrigger, startOutrigger } from "../support/outrigger.ts";
import { ownPort } from "../support/own-port.ts";
import {
  APP,
  ended,
  folderWith,
  isRunning,
  kill,
  nothingRunsUnder,
  ownHome,
  processesOf,
  runToEnd,
  startBeside,
  whenReady,
} from "../support/processes.ts";
import { waitFor } from "../support/wait.ts";

/** However Outrigger ends, what it has started ends too: apps, what apps have started, guards. And others see it at once. */

const NODE = process.execPath;
const QUOTED_APP = `'${NODE}' '${APP}'`;

/** Shell scripts that end up as the helper app, having left something behind on the way. */
const FAMILIES: readonly { name: string; script: string; members: RegExp[] }[] = [
  { name: "an app alone", script: `exec ${QUOTED_APP}`, members: [/app\.mjs$/] },
  {
    name: "an app with a child in the background",
    script: `sleep 1000 & exec ${QUOTED_APP}`,
    members: [/app\.mjs$/, /^sleep 1000$/],
  },
  {
    name: "an app below a shell that waits for it",
    script: `sleep 1000 & ${QUOTED_APP}; exit 0`,
    members: [/app\.mjs$/, /^sleep 1000$/, /^\/?(?:bin\/)?sh -c sleep 1000/],
  },
  {
    name: "an app whose grandchild has closed its output and ignores every signal it can",
    script: `(trap '' INT TERM HUP; exec >/dev/null 2>&1 </dev/null; sleep 1000; sleep 1000) & exec ${QUOTED_APP}`,
    members: [/app\.mjs$/, /^sleep 1000$/],
  },
];

/** Starts the script as the command of `run`, and waits until all of its members are there. */
async function startFamily(
  t: TestScope,
  home: string,
  family: (typeof FAMILIES)[number],
  env: NodeJS.ProcessEnv = {},
): Promise<Outrigger> {
  const args = ["run", "--app-id", "family", "--app-port", String(await ownPort()), "--", "sh", "-c", family.script];
  const outrigger = startOutrigger(t, args, { home, env });
  await whenReady(outrigger, "family");
  for (const member of family.members) await waitForProcess(home, member);
  return outrigger;
}

async function waitForProcess(home: string, command: RegExp): Promise<void> {
  await waitFor(`a process ${String(command)}`, () => processesOf(home).some((found) => command.test(found.command)));
}

/** kill -9, of Outrigger alone. */
async function killOutright(outrigger: Outrigger): Promise<void> {
  kill(outrigger.pid, "SIGKILL");
  assert.equal((await ended(outrigger)).code, "SIGKILL");
}

function appYaml(id: string, port: number, more = ""): string {
  return `  - {appID: ${id}, appDirPath: ., appPort: ${port}, command: ["${NODE}", "${APP}"]${more}}\n`;
}

describe("after kill -9 of outrigger", { concurrency: 3, timeout: 240_000 }, () => {
  for (const family of FAMILIES) {
    test(`nothing is left of ${family.name}, and list does not show it`, async (t) => {
      const home = ownHome(t);
      const outrigger = await startFamily(t, home, family);
      await killOutright(outrigger);
      assert.deepEqual(await listApps(home), []);
      await nothingRunsUnder(home);
    });
  }

  test("an app that ignores SIGTERM has had its chance, and is gone", async (t) => {
    const home = ownHome(t);
    const folder = folderWith(t, {});
    const heard = join(folder, "heard");
    const script = `process.on('SIGTERM', () => fs.writeFileSync('${heard}', '')); console.log('app is deaf'); setInterval(() => {}, 1000)`;
    const outrigger = startOutrigger(t, ["run", "-a", "deaf", "--", NODE, "-e", script], { home });
    await outrigger.waitForOutput(/│ app is deaf/);
    await killOutright(outrigger);
    await waitFor("the app to hear of SIGTERM", () => existsSync(heard));
    await nothingRunsUnder(home);
  });

  test("an app that ends on SIGTERM gets to end by itself", async (t) => {
    const home = ownHome(t);
    const folder = folderWith(t, {});
    const goodbye = join(folder, "goodbye");
    // The second of work that an app may have to do before it can go.
    const script = `process.on('SIGTERM', () => setTimeout(() => { fs.writeFileSync('${goodbye}', ''); process.exit(); }, 1000)); console.log('app is up'); setInterval(() => {}, 1000)`;
    const outrigger = startOutrigger(t, ["run", "-a", "tidy", "--", NODE, "-e", script], { home });
    await outrigger.waitForOutput(/│ app is up/);
    await killOutright(outrigger);
    await nothingRunsUnder(home);
    assert.ok(existsSync(goodbye), "the app was killed before it was done");
  });

  for (const flags of [[], ["--isolated"]]) {
    test(`run -f ${flags.join(" ")} leaves none of its apps`, async (t) => {
      const home = ownHome(t);
      const text = `version: 1\napps:\n${appYaml("one", await ownPort())}${appYaml("two", await ownPort())}`;
      const folder = folderWith(t, { "run.yaml": text });
      const outrigger = startOutrigger(t, ["run", "-f", join(folder, "run.yaml"), ...flags], { home });
      for (const id of ["one", "two"]) await whenReady(outrigger, id);
      await killOutright(outrigger);
      await waitFor("list to show none of them", async () => (await listApps(home)).length === 0);
      await nothingRunsUnder(home);
    });
  }

  test("another app's sidecar no longer finds it, and says so", async (t) => {
    const home = ownHome(t);
    const caller = await startBeside(t, "caller", undefined, { home });
    const family = FAMILIES[0];
    assert.ok(family);
    const outrigger = await startFamily(t, home, family);
    const url = `${caller.api}/v1.0/invoke/family/method/x`;
    assert.equal((await fetch(url)).status, 200);
    await killOutright(outrigger);
    await waitFor("the caller to be told", async () => {
      const answer = await fetch(url);
      assert.equal(answer.status, 500);
      return (await answer.text()).includes("is not in the registry");
    });
  });
});

describe("after an ordinary end", { concurrency: 3, timeout: 240_000 }, () => {
  for (const family of FAMILIES) {
    test(`nothing is left of ${family.name} that was stopped`, async (t) => {
      const home = ownHome(t);
      const outrigger = await startFamily(t, home, family);
      outrigger.process.kill("SIGTERM");
      assert.equal((await ended(outrigger)).code, 0);
      await nothingRunsUnder(home);
    });
  }

  test("nothing is left of what an app that ended by itself had started", async (t) => {
    const home = ownHome(t);
    const run = await runToEnd(t, ["run", "-a", "brief", "--", "sh", "-c", "sleep 1000 & exit 5"], { home });
    assert.equal(run.code, 5);
    await nothingRunsUnder(home);
  });

  test("nothing is left of an app that was killed by somebody else, nor of its children", async (t) => {
    const home = ownHome(t);
    const family = FAMILIES[1];
    assert.ok(family);
    const outrigger = await startFamily(t, home, family);
    const [entry] = await listApps(home);
    kill(entry?.appPid ?? 0, "SIGKILL");
    assert.equal((await ended(outrigger)).code, 137);
    await nothingRunsUnder(home);
  });
});

describe("a start that fails half-way", { concurrency: 2, timeout: 240_000 }, () => {
  for (const flags of [[], ["--isolated"]]) {
    test(`run -f ${flags.join(" ")}: the second app's port is in use, and nothing is left of the first`, async (t) => {
      const home = ownHome(t);
      const neighbour = ownHome(t);
      const { listed } = await startBeside(t, "owner", undefined, { home: neighbour });
      const taken = `, daprHTTPPort: ${listed.httpPort}`;
      const text = `version: 1\napps:\n${appYaml("one", await ownPort())}${appYaml("two", await ownPort(), taken)}`;
      const folder = folderWith(t, { "run.yaml": text });
      const run = await runToEnd(t, ["run", "-f", join(folder, "run.yaml"), ...flags], { home });
      assert.equal(run.code, 1);
      const says = `outrigger: cannot listen on 127.0.0.1:${listed.httpPort} for the HTTP API of two: the port is in use`;
      assert.ok(run.stderr.startsWith(says), run.stderr);
      assert.deepEqual(await listApps(home), []);
      await nothingRunsUnder(home);
      assert.ok(isRunning(listed.pid), "somebody else's process was ended");
    });
  }
});
