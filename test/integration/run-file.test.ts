import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import type { TestScope } from "../support/cleanup.ts";
import { type ListedApp, listApps, MAIN, Outrigger, startOutrigger } from "../support/outrigger.ts";
import { ownPort } from "../support/own-port.ts";
import {
  APP,
  ended,
  folderWith,
  isRunning,
  nothingRunsUnder,
  ownHome,
  processesOf,
  runToEnd,
  startBeside,
  startWithApp,
  whenReady,
} from "../support/processes.ts";
import { startInTestApp } from "../support/raw-http-app.ts";
import { waitFor } from "../support/wait.ts";

/** `outrigger run -f`: Dapr's multi-app run file, behind one process or, with --isolated, one for each app. */

const NODE = process.execPath;
/** The helper app, as a value of `command:`. */
const COMMAND = `["${NODE}", "${APP}"]`;

/** Starts the apps of a file that lies in a folder with `others`. @returns once each of `ids` can be called. */
async function startFile(
  t: TestScope,
  home: string,
  text: string,
  ids: readonly string[],
  options: { readonly flags?: readonly string[]; readonly others?: Record<string, string> } = {},
): Promise<{ outrigger: Outrigger; folder: string; apps: ReadonlyMap<string, ListedApp> }> {
  const folder = folderWith(t, { "run.yaml": text, ...options.others });
  const outrigger = startOutrigger(t, ["run", "-f", join(folder, "run.yaml"), ...(options.flags ?? [])], { home });
  for (const id of ids) await whenReady(outrigger, id);
  const listed = await listApps(home);
  return { outrigger, folder, apps: new Map(listed.map((app) => [app.appId, app])) };
}

/** What `app` answers when `caller` calls it. */
async function call<T>(caller: ListedApp | undefined, app: string, method: string): Promise<T> {
  const response = await fetch(`http://127.0.0.1:${caller?.httpPort ?? 0}/v1.0/invoke/${app}/method/${method}`);
  assert.equal(response.status, 200, await response.clone().text());
  return (await response.json()) as T;
}

async function twoApps(): Promise<{ text: string; ports: [number, number] }> {
  const ports: [number, number] = [await ownPort(), await ownPort()];
  const text = `version: 1
common:
  env: {SHARED: from common, OVERRIDDEN: from common}
apps:
  - appID: first
    appDirPath: .
    appPort: ${ports[0]}
    command: ${COMMAND}
  - appID: second
    appDirPath: .
    appPort: ${ports[1]}
    env: {OVERRIDDEN: from the app, NUMBER: 7, SWITCH: true}
    command: ${COMMAND}
`;
  return { text, ports };
}

const MODES: readonly { name: string; flags: readonly string[]; processes: number }[] = [
  { name: "run -f", flags: [], processes: 1 },
  { name: "run -f --isolated", flags: ["--isolated"], processes: 2 },
];

describe("run -f", { concurrency: 3, timeout: 240_000 }, () => {
  for (const { name, flags, processes } of MODES) {
    test(`${name} serves two apps from ${processes} process(es), and they can call each other`, async (t) => {
      const home = ownHome(t);
      const { outrigger, apps } = await startFile(t, home, (await twoApps()).text, ["first", "second"], { flags });
      const [first, second] = [apps.get("first"), apps.get("second")];
      assert.deepEqual([...apps.keys()].sort(), ["first", "second"]);
      assert.equal(new Set([first?.pid, second?.pid]).size, processes);
      assert.equal(first?.pid === outrigger.pid, processes === 1);
      const ports = [first, second].flatMap((app) => [app?.httpPort, app?.grpcPort, app?.internalPort]);
      assert.equal(new Set(ports).size, 6, "each sidecar has its own ports");
      const there = await call<{ pid: number }>(first, "second", "where");
      const back = await call<{ pid: number }>(second, "first", "where");
      assert.deepEqual([there.pid, back.pid], [second?.appPid, first?.appPid]);
      assert.notEqual(there.pid, back.pid);
      const echoed = await call<{ headers: string[] }>(first, "second", "echo");
      assert.equal(echoed.headers[echoed.headers.indexOf("Dapr-Caller-App-Id") + 1], "first");
    });

    test(`${name}: what is in common holds for every app, and an app's own value wins`, async (t) => {
      const home = ownHome(t);
      const { apps } = await startFile(t, home, (await twoApps()).text, ["first", "second"], { flags });
      const first = await call<NodeJS.ProcessEnv>(apps.get("second"), "first", "env");
      const second = await call<NodeJS.ProcessEnv>(apps.get("first"), "second", "env");
      assert.deepEqual(
        [first["SHARED"], first["OVERRIDDEN"], first["NUMBER"]],
        ["from common", "from common", undefined],
      );
      assert.deepEqual([second["SHARED"], second["OVERRIDDEN"]], ["from common", "from the app"]);
      assert.deepEqual([second["NUMBER"], second["SWITCH"]], ["7", "true"]);
      assert.deepEqual([first["APP_ID"], second["APP_ID"]], ["first", "second"]);
      assert.deepEqual(
        [first["DAPR_HTTP_PORT"], second["DAPR_HTTP_PORT"]],
        [String(apps.get("first")?.httpPort), String(apps.get("second")?.httpPort)],
      );
    });

    test(`${name}: the exit of one app stops no other, and the exit code is the first that is not 0`, async (t) => {
      const home = ownHome(t);
      const ports = [await ownPort(), await ownPort(), await ownPort(), await ownPort()];
      const ids = ["zero", "three", "four", "stays"];
      const lines = ids.map(
        (id, i) => `  - {appID: ${id}, appDirPath: ., appPort: ${ports[i] ?? 0}, command: ${COMMAND}}\n`,
      );
      const text = `version: 1\napps:\n${lines.join("")}`;
      const { outrigger, apps } = await startFile(t, home, text, ids, { flags });
      for (const [id, code, index] of [
        ["zero", 0, 0],
        ["three", 3, 1],
        ["four", 4, 2],
      ] as const) {
        await fetch(`http://127.0.0.1:${ports[index]}/exit/${code}`);
        await outrigger.waitForOutput(new RegExp(`^${id} +● the app ended with exit code ${code}$`, "m"));
        await waitFor(`${id} to leave the list`, async () => !(await listApps(home)).some(({ appId }) => appId === id));
        assert.equal(outrigger.hasExited, false);
      }
      assert.equal((await call<{ pid: number }>(apps.get("stays"), "stays", "where")).pid, apps.get("stays")?.appPid);
      await fetch(`http://127.0.0.1:${ports[3]}/exit/0`);
      assert.equal((await ended(outrigger)).code, 3);
      await nothingRunsUnder(home);
    });

    test(`${name}: when every app has been stopped, the process has ended with 0`, async (t) => {
      const home = ownHome(t);
      const { outrigger } = await startFile(t, home, (await twoApps()).text, ["first", "second"], { flags });
      assert.equal((await runToEnd(t, ["stop", "first"], { home })).code, 0);
      assert.equal(outrigger.hasExited, false);
      assert.equal((await runToEnd(t, ["stop", "second"], { home })).code, 0);
      assert.equal((await ended(outrigger)).code, 0);
      await nothingRunsUnder(home);
    });

    test(`${name}: a signal ends every app in order, and the exit code is 0`, async (t) => {
      const home = ownHome(t);
      const { outrigger } = await startFile(t, home, (await twoApps()).text, ["first", "second"], { flags });
      outrigger.process.kill("SIGINT");
      const { code, stdout } = await ended(outrigger);
      assert.equal(code, 0);
      assert.match(stdout, /^first +│ app got SIGINT$/m);
      assert.match(stdout, /^second +│ app got SIGINT$/m);
      await nothingRunsUnder(home);
    });

    test(`${name}: a start that fails leaves nothing running`, async (t) => {
      const home = ownHome(t);
      const { text } = await twoApps();
      const { port } = await startInTestApp(t);
      const clash = text.replace(/( +)(appPort: \d+\n +env)/, `$1daprHTTPPort: ${port}\n$1$2`);
      const folder = folderWith(t, { "run.yaml": clash });
      const run = await runToEnd(t, ["run", "-f", join(folder, "run.yaml"), ...flags], { home });
      assert.equal(run.code, 1, run.stdout);
      assert.match(run.stderr, /cannot listen on 127\.0\.0\.1:\d+ for the HTTP API of second: the port is in use/);
      await nothingRunsUnder(home);
    });
  }

  test("a command is found in, and started from, the app's directory, wherever Outrigger was started", async (t) => {
    const home = ownHome(t);
    const port = await ownPort();
    const script = `#!/bin/sh\nexec '${NODE}' '${APP}' "$@"\n`;
    const text = `version: 1
apps:
  - appID: there
    appDirPath: ./apps/there
    appPort: ${port}
    command: ["./serve.sh", "an argument", "--flag"]
`;
    const { folder, apps } = await startFile(t, home, text, ["there"], { others: { "apps/there/serve.sh": script } });
    const where = await call<{ cwd: string; argv: string[] }>(apps.get("there"), "there", "where");
    assert.deepEqual([where.cwd, where.argv], [join(folder, "apps/there"), ["an argument", "--flag"]]);
  });

  test("a free port that is chosen for a sidecar is never that of an app, its own or another one of the file", async (t) => {
    const preload = new URL("../fixtures/first-free-port.mjs", import.meta.url).href;
    for (const which of [0, 1]) {
      const home = ownHome(t);
      const { text, ports } = await twoApps();
      const folder = folderWith(t, { "run.yaml": text });
      const env = { NODE_OPTIONS: `--import=${preload}`, FIRST_FREE_PORT: String(ports[which]) };
      const outrigger = startOutrigger(t, ["run", "-f", join(folder, "run.yaml")], { home, env });
      const { api, listed } = await whenReady(outrigger, "first");
      assert.notEqual(listed.httpPort, ports[which]);
      await whenReady(outrigger, "second");
      for (const id of ["first", "second"]) {
        assert.equal((await fetch(`${api}/v1.0/invoke/${id}/method/where`)).status, 200);
      }
      assert.equal(await outrigger.stop(), 0);
    }
  });

  const PRESERVE = `apiVersion: dapr.io/v1alpha1
kind: Configuration
metadata: {name: preserve}
spec:
  invocation: {preservePath: true}
`;

  test("configFilePath holds for its app alone; in common it counts from the run file, in an app from its directory", async (t) => {
    const home = ownHome(t);
    const ports = [await ownPort(), await ownPort(), await ownPort()];
    const app = (id: string, index: number, more = ""): string =>
      `  - {appID: ${id}, appDirPath: ./${id}, appPort: ${ports[index] ?? 0}, command: ${COMMAND}${more}}\n`;
    const others = { "clean/x": "", "keeps/own.yaml": PRESERVE, "common.yaml": PRESERVE };
    const own = `version: 1\napps:\n${app("clean", 0)}${app("keeps", 1, ", configFilePath: own.yaml")}`;
    const { apps, outrigger } = await startFile(t, home, own, ["clean", "keeps"], { others });
    const raw = "a%2Fb//c/";
    const urlOf = async (caller: string, callee: string): Promise<string> => {
      return (await call<{ url: string }>(apps.get(caller), callee, raw)).url;
    };
    assert.equal(await urlOf("keeps", "clean"), `/${raw}`);
    assert.equal(await urlOf("clean", "keeps"), "/a/b/c");
    assert.equal(await outrigger.stop(), 0);

    const common = `version: 1\ncommon: {configFilePath: common.yaml}\napps:\n${app("inherits", 2)}`;
    const shared = await startFile(t, home, common, ["inherits"], { others: { ...others, "inherits/x": "" } });
    const { url } = await call<{ url: string }>(shared.apps.get("inherits"), "inherits", raw);
    assert.equal(url, `/${raw}`);
  });

  test("an app's keys of the run file are flags of its sidecar", async (t) => {
    const home = ownHome(t);
    const [appPort, httpPort, grpcPort, internalPort] = [
      await ownPort(),
      await ownPort(),
      await ownPort(),
      await ownPort(),
    ];
    const text = `version: 1
common: {maxBodySize: 10}
apps:
  - appID: keyed
    appDirPath: .
    appPort: ${appPort}
    daprHTTPPort: ${httpPort}
    daprGRPCPort: ${grpcPort}
    daprInternalGRPCPort: ${internalPort}
    command: ${COMMAND}
`;
    const { apps } = await startFile(t, home, text, ["keyed"]);
    const keyed = apps.get("keyed");
    assert.deepEqual([keyed?.httpPort, keyed?.grpcPort, keyed?.internalPort], [httpPort, grpcPort, internalPort]);
    const url = `http://127.0.0.1:${httpPort}/v1.0/invoke/keyed/method/x`;
    assert.equal((await fetch(url, { method: "POST", body: "0123456789" })).status, 200);
    assert.equal((await fetch(url, { method: "POST", body: "0123456789+" })).status, 413);
  });

  test("-f takes a directory that has a dapr.yaml, also with --isolated", async (t) => {
    const home = ownHome(t);
    const app = (id: string): string =>
      `  - {appID: ${id}, appDirPath: ., command: ["${NODE}", -e, "console.log('${id} ran')"]}\n`;
    const folder = folderWith(t, { "dapr.yaml": `version: 1\napps:\n${app("one")}${app("two")}` });
    for (const flags of [[], ["--isolated"]]) {
      const run = await runToEnd(t, ["run", "-f", ".", ...flags], { home, cwd: folder });
      assert.equal(run.code, 0, run.stderr);
      assert.match(run.stdout, /one ran/);
      assert.match(run.stdout, /two ran/);
    }
  });

  test("the older keys for sizes hold too", async (t) => {
    const home = ownHome(t);
    const app = (id: string, port: number, key: string): string =>
      `  - {appID: ${id}, appDirPath: ., appPort: ${port}, ${key}, command: ${COMMAND}}\n`;
    const text = `version: 1\napps:\n${app("counted", await ownPort(), "daprHTTPMaxRequestSize: 1")}${app("told", await ownPort(), "daprMaxBodySize: 1Mi")}`;
    const { apps } = await startFile(t, home, text, ["counted", "told"]);
    for (const [id, { httpPort }] of apps) {
      const url = `http://127.0.0.1:${httpPort}/v1.0/invoke/${id}/method/x`;
      assert.equal((await fetch(url, { method: "POST", body: "a".repeat(2 ** 20) })).status, 200);
      assert.equal((await fetch(url, { method: "POST", body: "a".repeat(2 ** 20 + 1) })).status, 413);
    }
  });

  test("an app without appID is called by its directory's name, one without a command is somebody else's to start", async (t) => {
    const home = ownHome(t);
    const text = `version: 1\napps:\n  - {appDirPath: ./by-folder}\n`;
    const { apps, outrigger } = await startFile(t, home, text, ["by-folder"], { others: { "by-folder/x": "" } });
    assert.deepEqual([...apps.keys()], ["by-folder"]);
    assert.equal(apps.get("by-folder")?.appPid, undefined);
    assert.deepEqual(
      processesOf(home).map(({ pid }) => pid),
      [outrigger.pid],
    );
  });

  test("keys that mean nothing here are accepted, and said to have no effect", async (t) => {
    const home = ownHome(t);
    const text = `version: 1
name: project
common: {schedulerHostAddress: localhost}
apps:
  - appID: warned
    appDirPath: .
    runtimePath: /somewhere
    containerImage: shop/warned
    command: ["${NODE}", -e, ""]
`;
    const folder = folderWith(t, { "run.yaml": text });
    const run = await runToEnd(t, ["run", "-f", join(folder, "run.yaml")], { home });
    assert.equal(run.code, 0, run.stderr);
    for (const key of ["runtimePath of warned", "containerImage of warned", "schedulerHostAddress of common"]) {
      assert.match(run.stderr, new RegExp(`${key} in the run file has no effect: \\w`));
    }
  });

  const BAD_FILES: readonly [name: string, text: string, says: RegExp][] = [
    [
      "an app has a key nobody knows",
      "version: 1\napps:\n  - appID: a\n    appDirPath: .\n    appPrt: 80\n",
      /\/run\.yaml:5: unknown field "apps\.0\.appPrt"; did you mean "appPort"\?$/m,
    ],
    [
      "common has a key nobody knows",
      "version: 1\ncommon:\n  resourcePath: x\napps:\n  - appDirPath: .\n",
      /\/run\.yaml:3: unknown field "common\.resourcePath"; did you mean "resourcesPaths?"\?$/m,
    ],
    [
      "the file has a key nobody knows",
      "version: 1\nappz: []\napps:\n  - appDirPath: .\n",
      /\/run\.yaml:2: unknown field "appz"; did you mean "apps"\?$/m,
    ],
    [
      "a value is of the wrong kind",
      "version: 1\napps:\n  - appDirPath: .\n    appPort: eighty\n",
      /\/run\.yaml:4: apps\.0\.appPort: .*expected/,
    ],
    [
      "appDirPath is missing",
      "version: 1\napps:\n  - appID: a\n    appPort: 80\n",
      /\/run\.yaml:3: apps\.0\.appDirPath: /,
    ],
    [
      "version is another",
      "version: 2\napps:\n  - appDirPath: .\n",
      /\/run\.yaml:1: version: only version 1 is known$/m,
    ],
    ["there are no apps", "version: 1\napps: []\n", /\/run\.yaml:2: apps: names no app$/m],
    [
      "there are two documents",
      "version: 1\n---\nversion: 1\n",
      /run\.yaml: a run file is one YAML document, this has several$/m,
    ],
    [
      "two apps have the same id",
      "version: 1\napps:\n  - {appID: twin, appDirPath: .}\n  - {appID: other, appDirPath: .}\n  - {appID: twin, appDirPath: .}\n",
      /run\.yaml: two apps have the id "twin"; give each its own appID$/m,
    ],
    [
      "two apps have the same port",
      "version: 1\napps:\n  - {appID: a, appDirPath: ., appPort: 5001}\n  - {appID: b, appDirPath: ., appPort: 5001}\n",
      /run\.yaml: appPort of "a" and appPort of "b" are both 5001; give each its own$/m,
    ],
    [
      "an id comes from two directories of the same name",
      "version: 1\napps:\n  - {appDirPath: a/svc}\n  - {appDirPath: b/svc}\n",
      /run\.yaml: two apps have the id "svc"/,
    ],
    ["an id is none", "version: 1\napps:\n  - {appID: a.b, appDirPath: .}\n", /"a\.b" is not a valid app id/],
    [
      "the app's directory is not there",
      `version: 1\napps:\n  - {appID: a, appDirPath: ./nowhere, command: ["${NODE}"]}\n`,
      /cannot start ".*" in \/.*\/nowhere: .*no such file or directory/,
    ],
    [
      "the app's configuration is not there",
      "version: 1\napps:\n  - {appID: a, appDirPath: ., configFilePath: none.yaml}\n",
      /cannot read \/.*none\.yaml: .*no such file/,
    ],
  ];

  describe("does not start, and says in one line what is wrong where, when", {
    concurrency: 3,
    timeout: 240_000,
  }, () => {
    for (const [name, text, says] of BAD_FILES) {
      for (const flags of [[], ["--isolated"]]) {
        test(`${name}${flags.length > 0 ? ", --isolated" : ""}`, async (t) => {
          const home = ownHome(t);
          const folder = folderWith(t, { "run.yaml": text });
          const run = await runToEnd(t, ["run", "-f", join(folder, "run.yaml"), ...flags], { home });
          assert.equal(run.code, 1, run.stdout + run.stderr);
          assert.match(run.stderr, says);
          assert.equal(run.stderr.split("\n").length, 2, run.stderr);
          await nothingRunsUnder(home);
        });
      }
    }
  });

  test("an app whose directory is missing keeps the apps before it from starting", async (t) => {
    const home = ownHome(t);
    const folder = folderWith(t, {});
    const touch = `["${NODE}", -e, "fs.writeFileSync('started', ''); setInterval(() => {}, 1000)"]`;
    const text = `version: 1
apps:
  - {appID: good, appDirPath: ${folder}, command: ${touch}}
  - {appID: bad, appDirPath: ./nowhere, command: ["${NODE}"]}
`;
    const run = await runToEnd(t, ["run", "-f", join(folderWith(t, { "run.yaml": text }), "run.yaml")], { home });
    assert.equal(run.code, 1);
    await nothingRunsUnder(home);
    assert.equal(existsSync(join(folder, "started")), false);
  });

  test("--only-app starts one app of the file, and names the apps there are when there is no such one", async (t) => {
    const home = ownHome(t);
    const { text } = await twoApps();
    const { outrigger, apps, folder } = await startFile(t, home, text, ["second"], { flags: ["--only-app", "second"] });
    assert.deepEqual([...apps.keys()], ["second"]);
    assert.equal(await outrigger.stop(), 0);
    const run = await runToEnd(t, ["run", "-f", join(folder, "run.yaml"), "--only-app", "third"], { home });
    assert.deepEqual([run.code, run.stderr.trimEnd().endsWith('has no app "third"; it has first, second')], [1, true]);
  });

  test("-f - reads the run file from standard input, and its paths count from where Outrigger was started", async (t) => {
    const home = ownHome(t);
    const app = (id: string): string =>
      `  - {appID: ${id}, appDirPath: apps/piped, command: ["${NODE}", -e, "console.log('in', process.cwd())"]}\n`;
    const text = `version: 1\napps:\n${app("piped")}`;
    const folder = folderWith(t, {
      "stdin.yaml": text,
      "bad.yaml": text.replace("appID", "appId"),
      "apps/piped/x": "",
    });
    const piped = (file: string, ...flags: string[]): Outrigger => {
      const line = `exec '${NODE}' '${MAIN}' run -f - ${flags.join(" ")} < ${file}`;
      const env = { PATH: process.env["PATH"], OUTRIGGER_HOME: home, NO_COLOR: "1" };
      return new Outrigger(
        spawn("/bin/sh", ["-c", line], { cwd: folder, env, stdio: ["ignore", "pipe", "pipe"] }),
        home,
      );
    };
    const run = await ended(piped("stdin.yaml"));
    assert.equal(run.code, 0, run.stderr);
    assert.ok(run.stdout.includes(`piped │ in ${join(folder, "apps/piped")}`), run.stdout);
    const bad = await ended(piped("bad.yaml"));
    assert.match(bad.stderr, /^outrigger: standard input:3: unknown field "apps\.0\.appId"; did you mean "appID"\?\n$/);
    writeFileSync(join(folder, "two.yaml"), text + app("second"));
    const isolated = await ended(piped("two.yaml", "--isolated"));
    assert.deepEqual([isolated.code, isolated.stdout], [1, ""]);
    assert.match(isolated.stderr, /^outrigger: --isolated reads the run file once for each app; give it as a file/);
  });

  for (const { name, flags } of MODES) {
    test(`${name}: an app that cannot start is named, with what is wrong`, async (t) => {
      const home = ownHome(t);
      const good = `  - {appID: good, appDirPath: ., command: ["${NODE}", "${APP}"]}\n`;
      const WRONG: [keys: string, says: RegExp][] = [
        ["command: [no-such-program]", /^outrigger: wrong: cannot start "no-such-program": no such program in PATH$/m],
        ["logLevel: loud", /^outrigger: wrong in \/.*\/run\.yaml: --log-level is "loud"; give one of /m],
        ["appMaxConcurrency: 10000000000", /^outrigger: wrong in \/.*\/run\.yaml: --app-max-concurrency is /m],
        ["enableAppHealthCheck: true, appProtocol: smoke", /^outrigger: wrong in \/.*\/run\.yaml: --app-protocol /m],
      ];
      for (const [keys, says] of WRONG) {
        const folder = folderWith(t, {
          "run.yaml": `version: 1\napps:\n${good}  - {appID: wrong, appDirPath: ., ${keys}}\n`,
        });
        const run = await runToEnd(t, ["run", "-f", join(folder, "run.yaml"), ...flags], { home });
        assert.equal(run.code, 1, run.stdout + run.stderr);
        assert.match(run.stderr, says);
        await nothingRunsUnder(home);
      }
    });

    test(`${name}: what is said of common is said once`, async (t) => {
      const home = ownHome(t);
      const app = (id: string): string => `  - {appID: ${id}, appDirPath: ., command: ["${NODE}", -e, ""]}\n`;
      const common = "common: {runtimePath: /opt/dapr, placementHostAddress: localhost}\n";
      const folder = folderWith(t, { "run.yaml": `version: 1\n${common}apps:\n${app("one")}${app("two")}` });
      const run = await runToEnd(t, ["run", "-f", join(folder, "run.yaml"), ...flags], { home });
      assert.equal(run.code, 0);
      for (const key of ["runtimePath", "placementHostAddress"])
        assert.equal(run.stderr.split(`${key} of common in the run file has no effect: `).length, 2, run.stderr);
      assert.equal(run.stderr.trimEnd().split("\n").length, 2, run.stderr);
    });

    test(`${name}: the namespace in an app's env is its sidecar's, and apps of one id in two of them never answer for each other`, async (t) => {
      const home = ownHome(t);
      const ports = [await ownPort(), await ownPort(), await ownPort()];
      const app = (id: string, index: number, namespace: string): string =>
        `  - {appID: ${id}, appDirPath: ., appPort: ${ports[index] ?? 0}, env: {NAMESPACE: ${namespace}}, command: ${COMMAND}}\n`;
      const text = `version: 1\napps:\n${app("shop", 0, "blue")}${app("asks", 1, "green")}`;
      const { apps } = await startFile(t, home, text, ["shop", "asks"], { flags });
      const namespaces = [apps.get("shop")?.namespace, apps.get("asks")?.namespace];
      assert.deepEqual(namespaces, ["blue", "green"]);
      const asked = async (id: string): Promise<number | string> => {
        const response = await fetch(`http://127.0.0.1:${apps.get("asks")?.httpPort}/v1.0/invoke/${id}/method/where`);
        if (response.status !== 200) return ((await response.json()) as { message: string }).message;
        return ((await response.json()) as { pid: number }).pid;
      };
      // There is none in green yet: the one in blue, whether in this process or not, is another app.
      assert.match(String(await asked("shop")), /app "shop" in namespace "green" is not in the registry/);
      assert.match(String(await asked("shop.default")), /app "shop" in namespace "default" is not in/);
      assert.equal(await asked("shop.blue"), apps.get("shop")?.appPid);
      const green = await startWithApp(t, "shop", ports[2] ?? 0, { home, env: { NAMESPACE: "green" } });
      const twin = (await listApps(home)).find(({ pid }) => pid === green.outrigger.pid);
      await waitFor("the one in green to be found", async () => (await asked("shop")) === twin?.appPid);
      for (let i = 0; i < 10; i++) {
        assert.equal(await asked("shop"), twin?.appPid);
        assert.equal(await asked("shop.green"), twin?.appPid);
        assert.equal(await asked("shop.blue"), apps.get("shop")?.appPid);
      }
      const stop = await runToEnd(t, ["stop", "shop.green"], { home });
      assert.deepEqual([stop.code, stop.stdout], [0, "shop has ended.\n"]);
      assert.deepEqual(
        (await listApps(home)).map(({ appId, namespace }) => `${appId}.${namespace}`),
        ["shop.blue", "asks.green"],
      );
    });
  }

  test("two processes with one app id are two instances of it, one of them of a run file", async (t) => {
    const home = ownHome(t);
    const { apps } = await startFile(t, home, (await twoApps()).text, ["first", "second"]);
    const { outrigger } = await startWithApp(t, "second", await ownPort(), { home });
    const listed = (await listApps(home)).filter(({ appId }) => appId === "second");
    assert.equal(listed.length, 2);
    const caller = await startBeside(t, "caller", undefined, { home });
    const pids = new Set<number>();
    await waitFor("both to be called", async () => {
      pids.add((await call<{ pid: number }>(caller.listed, "second", "where")).pid);
      return pids.size === 2;
    });
    assert.deepEqual([...pids].sort(), listed.map(({ appPid }) => appPid ?? 0).sort());
    assert.equal(await outrigger.stop(), 0);
    assert.equal((await call<{ pid: number }>(caller.listed, "second", "where")).pid, apps.get("second")?.appPid);
  });

  test("with --isolated, the end of one app's Outrigger by kill -9 ends its app and no other", async (t) => {
    const home = ownHome(t);
    const { outrigger, apps } = await startFile(t, home, (await twoApps()).text, ["first", "second"], {
      flags: ["--isolated"],
    });
    const [first, second] = [apps.get("first"), apps.get("second")];
    process.kill(first?.pid ?? 0, "SIGKILL");
    await waitFor("the first app to end", () => !isRunning(first?.appPid ?? 0));
    assert.equal((await call<{ pid: number }>(second, "second", "where")).pid, second?.appPid);
    process.kill(outrigger.pid, "SIGTERM");
    assert.equal((await ended(outrigger)).code, 137);
    await nothingRunsUnder(home);
  });
});
