import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import type { TestScope } from "../support/cleanup.ts";
import { type ListedApp, listApps, MAIN, Outrigger, startOutrigger } from "../support/outrigger.ts";
import { ownPort } from "../support/own-port.ts";
import { APP, ended, folderWith, nothingRunsUnder, ownHome, runToEnd, whenReady } from "../support/processes.ts";

/** `appLogDestination` and `daprdLogDestination` of a run file: what its apps print and their sidecars say, in files. */

const NODE = process.execPath;
const MODES: readonly (readonly string[])[] = [[], ["--isolated"]];

/** The log of this kind, which must be the only one. */
function logIn(folder: string, appId: string, kind: "app" | "daprd"): string {
  const logs = join(folder, ".dapr", "logs");
  const names = readdirSync(logs).filter((name) => name.startsWith(`${appId}_${kind}_`));
  assert.equal(names.length, 1, names.join());
  assert.match(names[0] ?? "", /_\d{14}\.log$/);
  return join(logs, names[0] ?? "");
}

function hasLogs(folder: string): boolean {
  return existsSync(join(folder, ".dapr"));
}

interface FileApp {
  readonly id: string;
  readonly script?: string;
  readonly port?: number;
  readonly keys?: Readonly<Record<string, unknown>>;
}

/** A folder with a `dapr.yaml`, and for each app a folder of its name. JSON is YAML. */
function folderOf(t: TestScope, common: Readonly<Record<string, unknown>>, apps: readonly FileApp[]): string {
  const described = apps.map(({ id, script, port, keys }) => ({
    appID: id,
    appDirPath: id,
    command: script === undefined ? [NODE, APP] : [NODE, "-e", script],
    ...(port === undefined ? {} : { appPort: port }),
    ...keys,
  }));
  const folders = Object.fromEntries(apps.map(({ id }) => [`${id}/here`, ""]));
  return folderWith(t, { "dapr.yaml": JSON.stringify({ version: 1, common, apps: described }), ...folders });
}

describe("logs of a run file", { concurrency: 3, timeout: 240_000 }, () => {
  for (const flags of MODES) {
    const mode = ["run -f", ...flags].join(" ");

    test(`${mode}: an app's lines go to the console, to its file or to both, as it says or common does`, async (t) => {
      const home = ownHome(t);
      const script =
        "console.log('to stdout'); console.error('\\x1b[31mto stderr\\x1b[0m'); process.stdout.write('no end')";
      const folder = folderOf(t, { appLogDestination: "file" }, [
        { id: "filed", script },
        { id: "both", script, keys: { appLogDestination: "fileAndConsole" } },
        { id: "shown", script, keys: { appLogDestination: "console" } },
      ]);
      const run = await runToEnd(t, ["run", "-f", folder, ...flags], {
        home,
        env: { NO_COLOR: undefined, FORCE_COLOR: "1" },
      });
      assert.equal(run.code, 0, run.stderr);
      const plain = `${run.stdout}${run.stderr}`.replace(/\x1b\[\d+m/g, "");
      for (const [id, isShown, isFiled] of [
        ["filed", false, true],
        ["both", true, true],
        ["shown", true, false],
      ] as const) {
        for (const line of ["to stdout", "to stderr", "no end"])
          assert.equal(new RegExp(`^${id} +│ ${line}$`, "m").test(plain), isShown, `${id}: ${line}\n${plain}`);
        assert.equal(hasLogs(join(folder, id)), isFiled);
        if (!isFiled) continue;
        const path = logIn(join(folder, id), id, "app");
        assert.deepEqual(readFileSync(path, "utf8").split("\n").sort(), ["", "no end", "to stderr", "to stdout"]);
        assert.ok(plain.includes(path), "it says where the file is");
        assert.equal(statSync(path).mode & 0o777, 0o600);
      }
    });

    test(`${mode}: what a sidecar says goes to its file: where it listens, its calls, its end`, async (t) => {
      const home = ownHome(t);
      const ports = [await ownPort(), await ownPort()];
      const folder = folderOf(t, { daprdLogDestination: "file" }, [
        { id: "first", port: ports[0] ?? 0 },
        { id: "second", port: ports[1] ?? 0, keys: { daprdLogDestination: "console" } },
      ]);
      const outrigger = startOutrigger(t, ["run", "-f", folder, ...flags], { home });
      const { api } = await whenReady(outrigger, "first");
      await whenReady(outrigger, "second");
      const listed = new Map((await listApps(home)).map((app): [string, ListedApp] => [app.appId, app]));
      const own = `http://127.0.0.1:${listed.get("second")?.httpPort}`;
      assert.equal((await fetch(`${api}/v1.0/invoke/second/method/from-first`)).status, 200);
      assert.equal((await fetch(`${own}/v1.0/invoke/first/method/from-second`)).status, 200);
      await outrigger.waitForOutput(/second → first/);
      assert.equal(await outrigger.stop(), 0);
      const path = logIn(join(folder, "first"), "first", "daprd");
      assert.equal(listed.get("first")?.daprdLogPath, path);
      assert.equal(hasLogs(join(folder, "second")), false);
      const log = readFileSync(path, "utf8");
      assert.match(log, /first: sidecar of first is listening http=\d+/);
      assert.match(log, /first → second {2}GET \/from-first {2}200/);
      assert.match(log, /first: ending: SIGTERM received/);
      assert.ok(!log.includes("second → first") && !log.includes("\x1b"));
      assert.ok(!outrigger.output.includes("first → second"), outrigger.output);
    });

    test(`${mode} --log-as-json: each line of the files is a record`, async (t) => {
      const home = ownHome(t);
      const both = { appLogDestination: "file", daprdLogDestination: "file" };
      const folder = folderOf(t, both, [
        { id: "recorded", script: "console.log('one line'); process.exitCode = 3" },
        { id: "other", script: "" },
      ]);
      const run = await runToEnd(t, ["run", "-f", folder, "--log-as-json", ...flags], { home });
      assert.equal(run.code, 3);
      const recordsOf = (path: string): Record<string, unknown>[] => {
        const lines = readFileSync(path, "utf8").trimEnd().split("\n");
        return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
      };
      const [app, ...others] = recordsOf(logIn(join(folder, "recorded"), "recorded", "app"));
      assert.deepEqual(others, []);
      assert.deepEqual([app?.["msg"], app?.["app_id"], app?.["scope"]], ["one line", "recorded", "app"]);
      const path = logIn(join(folder, "recorded"), "recorded", "daprd");
      const end = recordsOf(path).at(-1);
      assert.deepEqual([end?.["msg"], end?.["exitCode"], end?.["level"]], ["recorded ended by itself", 3, "error"]);
      const shown = run.stdout
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line) as Record<string, unknown>);
      const place = shown.find(({ msg }) => msg === "sidecar of recorded is listening");
      assert.equal(place?.["sidecarLog"], path);
      assert.ok(!shown.some(({ scope }) => scope === "app"));
    });

    test(`${mode}: all that an app printed before it crashed is in its file, in order`, async (t) => {
      const home = ownHome(t);
      const lines = 20_000;
      const script = `
        for (let i = 0; i < ${lines}; i++) fs.writeSync(i % 2 + 1, i + " ü💧" + "x".repeat(100) + "\\n");
        process.kill(process.pid, "SIGKILL");`;
      const folder = folderOf(t, { appLogDestination: "file" }, [
        { id: "crashes", script },
        { id: "other", script: "" },
      ]);
      const run = await runToEnd(t, ["run", "-f", folder, ...flags], { home });
      assert.equal(run.code, 137);
      const log = readFileSync(logIn(join(folder, "crashes"), "crashes", "app"), "utf8");
      assert.ok(log.endsWith("\n"));
      const numbers = log
        .trimEnd()
        .split("\n")
        .map((line) => {
          assert.match(line, /^\d+ ü💧x{100}$/);
          return Number.parseInt(line, 10);
        });
      // Two streams have an order each.
      for (const parity of [0, 1]) {
        const ofStream = numbers.filter((number) => number % 2 === parity);
        assert.deepEqual(
          ofStream,
          Array.from({ length: lines / 2 }, (_, i) => 2 * i + parity),
        );
      }
    });

    test(`${mode}: a log that cannot be made stops the start, with its place, and nothing is left running`, async (t) => {
      const home = ownHome(t);
      const folder = folderOf(t, {}, [
        { id: "fine", keys: { appLogDestination: "file" } },
        { id: "blocked", keys: { daprdLogDestination: "fileAndConsole", appDirPath: "." } },
      ]);
      // Where a directory should be made. Not by its mode: root may write everywhere.
      const files = folderWith(t, {
        "dapr.yaml": readFileSync(join(folder, "dapr.yaml"), "utf8"),
        ".dapr": "",
        "fine/here": "",
      });
      const run = await runToEnd(t, ["run", "-f", files, ...flags], { home });
      assert.equal(run.code, 1, run.stdout);
      const says = `cannot write the log of blocked in ${join(files, ".dapr/logs")}: ENOTDIR`;
      assert.ok(run.stderr.includes(says), run.stderr);
      assert.match(run.stderr, /or set the log destination in the run file to console$/m);
      await nothingRunsUnder(home);
    });
  }

  test("a disk that is full later is told once; no line is lost, and the app goes on", async (t) => {
    const home = ownHome(t);
    const lines = 40_000;
    const script = `for (let i = 0; i < ${lines}; i++) fs.writeSync(1, i + " " + "x".repeat(100) + "\\n")`;
    const folder = folderOf(t, { appLogDestination: "file" }, [{ id: "chatty", script }]);
    // A limit of 2 MiB for a file (blocks of 512 bytes); with the signal ignored, a write beyond it is an error.
    const limited = `trap '' XFSZ; ulimit -f 4096; exec '${NODE}' '${MAIN}' run -f '${folder}'`;
    const child = spawn("/bin/sh", ["-c", limited], {
      env: { PATH: process.env["PATH"], OUTRIGGER_HOME: home, NO_COLOR: "1" },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const run = await ended(new Outrigger(child, home));
    assert.equal(run.code, 0, run.stderr);
    const path = logIn(join(folder, "chatty"), "chatty", "app");
    const warnings = run.stderr.trimEnd().split("\n");
    assert.equal(warnings.length, 1, run.stderr);
    assert.ok(warnings[0]?.includes(`cannot write ${path}: EFBIG`), run.stderr);
    assert.ok(warnings[0]?.endsWith("from now on its lines are shown here"), run.stderr);
    // The line at which the disk was full is shown whole.
    const filed = readFileSync(path, "utf8").split("\n").slice(0, -1);
    const shown = [...run.stdout.matchAll(/^chatty │ (.*)$/gm)].map(([, line = ""]) => line);
    assert.ok(filed.length > 0 && shown.length > 0);
    const numbers = [...filed, ...shown].map((line) => Number.parseInt(line, 10));
    assert.deepEqual(
      numbers,
      Array.from({ length: lines }, (_, i) => i),
    );
  });

  test("two runs that begin in one second have logs of their own", async (t) => {
    const home = ownHome(t);
    const folder = folderOf(t, { appLogDestination: "file" }, [{ id: "again", script: "console.log('ran')" }]);
    const runs = await Promise.all([1, 2, 3].map(() => runToEnd(t, ["run", "-f", folder], { home })));
    assert.deepEqual(
      runs.map(({ code }) => code),
      [0, 0, 0],
    );
    const logs = join(folder, "again/.dapr/logs");
    const texts = readdirSync(logs).map((name) => readFileSync(join(logs, name), "utf8"));
    assert.deepEqual(texts, ["ran\n", "ran\n", "ran\n"]);
  });

  test("without a word in the run file nothing is written anywhere", async (t) => {
    const home = ownHome(t);
    const folder = folderOf(t, {}, [{ id: "quiet", script: "console.log('shown')" }]);
    const run = await runToEnd(t, ["run", "-f", folder], { home });
    assert.match(run.stdout, /^quiet │ shown$/m);
    assert.deepEqual(readdirSync(join(folder, "quiet")), ["here"]);
  });
});
