import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { parse } from "yaml";
import type { TestScope } from "../support/cleanup.ts";
import { listApps, MAIN, Outrigger, startOutrigger } from "../support/outrigger.ts";
import { ownPort } from "../support/own-port.ts";
import {
  APP,
  ended,
  folderWith,
  kill,
  nothingRunsUnder,
  ownHome,
  runToEnd,
  startBeside,
  startWithApp,
  whenReady,
} from "../support/processes.ts";
import { waitFor } from "../support/wait.ts";

/** `outrigger list` and `outrigger stop`, across the processes of one home. */

const NODE = process.execPath;
const SCRIPT = "/usr/bin/script";

/** A folder with a `dapr.yaml` of apps that only wait, or serve on their port. */
function folderOf(t: TestScope, ids: readonly string[], more: Readonly<Record<string, string>> = {}): string {
  const apps = ids.map((id) => `  - {appID: ${id}, appDirPath: ., command: ["${NODE}", "${APP}"]${more[id] ?? ""}}\n`);
  return folderWith(t, { "dapr.yaml": `version: 1\nname: shop\napps:\n${apps.join("")}` });
}

async function startFolder(
  t: TestScope,
  home: string,
  folder: string,
  ids: readonly string[],
  flags: readonly string[] = [],
): Promise<Outrigger> {
  const outrigger = startOutrigger(t, ["run", "-f", folder, ...flags], { home });
  await waitFor(`the apps of ${folder}; output:\n${outrigger.output}`, async () => {
    if (outrigger.hasExited) throw new Error(outrigger.output);
    const pids = (await listApps(home)).filter(
      ({ cliPid, appPid }) => cliPid === outrigger.pid && appPid !== undefined,
    );
    return pids.length === ids.length;
  });
  return outrigger;
}

/** `outrigger <args>` at a terminal of 100 columns. */
async function atTerminal(args: readonly string[], home: string, cwd: string): Promise<string> {
  const line = `stty cols 100; '${NODE}' '${MAIN}' ${args.join(" ")}`;
  const env = { PATH: process.env["PATH"], TERM: "xterm", OUTRIGGER_HOME: home };
  const child = spawn(SCRIPT, ["-qec", line, "/dev/null"], { cwd, env, stdio: ["ignore", "pipe", "pipe"] });
  return (await ended(new Outrigger(child, home))).stdout.replaceAll("\r\n", "\n");
}

describe("list and stop", { concurrency: 3, timeout: 240_000 }, () => {
  for (const flags of [[], ["--isolated"]]) {
    const name = ["run -f", ...flags].join(" ");

    test(`list shows the apps of ${name} with their run file, beside those of other processes`, async (t) => {
      const home = ownHome(t);
      const folder = folderOf(t, ["one", "two"], { two: ", appLogDestination: file" });
      const outrigger = await startFolder(t, home, folder, ["one", "two"], flags);
      await startBeside(t, "alone", undefined, { home });
      const listed = await listApps(home);
      assert.deepEqual(
        listed.map(({ appId, runTemplatePath, runTemplateName }) => [appId, runTemplatePath, runTemplateName]),
        [
          ["alone", undefined, undefined],
          ["one", join(folder, "dapr.yaml"), "shop"],
          ["two", join(folder, "dapr.yaml"), "shop"],
        ],
      );
      for (const { appId, pid, daprdPid, cliPid } of listed) {
        assert.equal(daprdPid, pid);
        assert.equal(cliPid, appId === "alone" ? pid : outrigger.pid);
        if (appId !== "alone") assert.equal(pid === cliPid, flags.length === 0);
      }
      const metadata = await fetch(`http://127.0.0.1:${listed[2]?.httpPort}/v1.0/metadata`);
      const { extended } = (await metadata.json()) as { extended: Record<string, string> };
      const { cliPID, runTemplatePath, runTemplateName, appLogPath } = extended;
      assert.deepEqual(
        [cliPID, runTemplatePath, runTemplateName, appLogPath],
        [String(outrigger.pid), join(folder, "dapr.yaml"), "shop", listed[2]?.appLogPath],
      );
      assert.equal(existsSync(listed[2]?.appLogPath ?? ""), true);
      assert.equal(listed[1]?.appLogPath, undefined);
      const { stdout } = await runToEnd(t, ["list"], { home, cwd: folder });
      const [headings = "", alone = "", one = ""] = stdout.split("\n");
      assert.match(
        headings,
        flags.length === 0 ? /PID +APP PID +RUN FILE +COMMAND$/ : /PID +CLI PID +APP PID +RUN FILE/,
      );
      assert.match(alone, /^alone +default .* - +- *$/);
      assert.match(one, /^one +default .*\d +dapr\.yaml +\S+node/);
      assert.equal(await outrigger.stop(), 0);
    });

    test(`stop -f ends all apps of ${name}, and nothing else`, async (t) => {
      const home = ownHome(t);
      const ids = ["one", "two"];
      const [folder, other] = [folderOf(t, ids), folderOf(t, ids)];
      const outrigger = await startFolder(t, home, folder, ids, flags);
      const stays = await startFolder(t, home, other, ids, flags);
      const stop = await runToEnd(t, ["stop", "-f", folder], { home });
      assert.deepEqual([stop.code, stop.stderr], [0, ""]);
      assert.deepEqual(stop.stdout.trimEnd().split("\n").sort(), ["one has ended.", "two has ended."]);
      assert.equal((await ended(outrigger)).code, 0);
      assert.equal(stays.hasExited, false);
      const left = await listApps(home);
      assert.deepEqual(
        left.map(({ appId, runTemplatePath }) => [appId, runTemplatePath]),
        ids.map((id) => [id, join(other, "dapr.yaml")]),
      );
      assert.equal((await runToEnd(t, ["stop", "--run-file", join(other, "dapr.yaml")], { home })).code, 0);
      assert.equal((await ended(stays)).code, 0);
      await nothingRunsUnder(home);
    });
  }

  test("stop -f knows a run file by whichever way it is named, also one that is gone, and in several processes", async (t) => {
    const home = ownHome(t);
    const folder = folderOf(t, ["one", "two"]);
    const links = folderWith(t, {});
    symlinkSync(join(folder, "dapr.yaml"), join(links, "link.yaml"));
    const first = await startFolder(t, home, folder, ["one", "two"]);
    const second = await startFolder(t, home, join(links, "link.yaml"), ["one"], ["--only-app", "one"]);
    const stop = await runToEnd(t, ["stop", "-f", "link.yaml"], { home, cwd: links });
    assert.equal(stop.code, 0, stop.stderr);
    const lines = stop.stdout.trimEnd().split("\n").sort();
    const ones = [`one (pid ${first.pid}) has ended.`, `one (pid ${second.pid}) has ended.`];
    assert.deepEqual(lines, [...ones, "two has ended."].sort());
    assert.deepEqual([(await ended(first)).code, (await ended(second)).code], [0, 0]);

    const third = await startFolder(t, home, folder, ["one", "two"]);
    rmSync(join(folder, "dapr.yaml"));
    assert.equal((await runToEnd(t, ["stop", "-f", join(folder, "dapr.yaml")], { home })).code, 0);
    assert.equal((await ended(third)).code, 0);
  });

  test("stop -f of a file that has nothing running says what runs, and exits with 1", async (t) => {
    const home = ownHome(t);
    const folder = folderOf(t, ["one"]);
    await startBeside(t, "other", undefined, { home });
    const stop = await runToEnd(t, ["stop", "-f", folder], { home });
    assert.equal(stop.code, 1);
    const says = `outrigger: no app of ${join(folder, "dapr.yaml")} is running under ${home}; running are: other\n`;
    assert.equal(stop.stderr, says);
  });

  test("stop ends several apps, every instance of each, and names the nearest id of one that is not there", async (t) => {
    const home = ownHome(t);
    const twins = [
      await startWithApp(t, "twin", await ownPort(), { home }),
      await startWithApp(t, "twin", await ownPort(), { home }),
    ];
    const single = await startWithApp(t, "single", await ownPort(), { home });
    const stays = await startWithApp(t, "checkout", await ownPort(), { home });
    const stop = await runToEnd(t, ["stop", "twin", "single", "chekout"], { home });
    assert.equal(stop.code, 1);
    assert.match(
      stop.stderr,
      /^outrigger: no app "chekout" is running under .*; did you mean "checkout"\? running are: /,
    );
    assert.equal(stop.stderr.split("\n").length, 2);
    const pids = twins.map(({ outrigger }) => `twin (pid ${outrigger.pid}) has ended.`);
    assert.deepEqual(stop.stdout.trimEnd().split("\n").sort(), [...pids, "single has ended."].sort());
    for (const { outrigger } of [...twins, single]) assert.equal((await ended(outrigger)).code, 0);
    assert.equal(stays.outrigger.hasExited, false);
    const last = await runToEnd(t, ["stop", "--app-id", "checkout"], { home });
    assert.deepEqual([last.code, last.stdout], [0, "checkout has ended.\n"]);
  });

  test("an id of several namespaces is not guessed: invoke and stop ask for the full name", async (t) => {
    const home = ownHome(t);
    const one = await startWithApp(t, "twin", await ownPort(), { home });
    const other = await startWithApp(t, "twin", await ownPort(), { home, env: { NAMESPACE: "other" } });
    const asks = 'outrigger: "twin" runs in several namespaces; say which is meant: twin.default, twin.other\n';
    const sorted = (text: string): string => text.replace("twin.other, twin.default", "twin.default, twin.other");
    for (const args of [
      ["stop", "twin"],
      ["invoke", "--app-id", "twin", "--method", "x"],
    ]) {
      const run = await runToEnd(t, args, { home });
      assert.deepEqual([run.code, run.stdout, sorted(run.stderr)], [1, "", asks]);
    }
    const call = await runToEnd(t, ["invoke", "--app-id", "twin.other", "--method", "x"], { home });
    assert.equal(call.code, 0, call.stderr);
    const stop = await runToEnd(t, ["stop", "twin.other"], { home });
    assert.equal(stop.code, 0, stop.stderr);
    assert.equal((await ended(other.outrigger)).code, 0);
    assert.equal(one.outrigger.hasExited, false);
  });

  test("stop --json says what became of each", async (t) => {
    const home = ownHome(t);
    const { outrigger } = await startWithApp(t, "known", await ownPort(), { home });
    const stop = await runToEnd(t, ["stop", "known", "unknown-one", "--json"], { home });
    assert.deepEqual([stop.code, stop.stderr], [1, ""]);
    const outcomes = JSON.parse(stop.stdout) as Record<string, unknown>[];
    const [unknown, known] = outcomes;
    assert.deepEqual([unknown?.["appId"], unknown?.["stopped"]], ["unknown-one", false]);
    assert.match(String(unknown?.["error"]), /^no app "unknown-one" is running/);
    assert.deepEqual(known, { appId: "known", namespace: "default", pid: outrigger.pid, stopped: true });
    assert.equal((await ended(outrigger)).code, 0);
  });

  test("stop and stop -f need no API token", async (t) => {
    const home = ownHome(t);
    const folder = folderOf(t, ["one", "two"], {
      one: ", env: {DAPR_API_TOKEN: secret}",
      two: ", env: {DAPR_API_TOKEN: x}",
    });
    const outrigger = await startFolder(t, home, folder, ["one", "two"]);
    assert.equal((await runToEnd(t, ["stop", "one"], { home })).code, 0);
    assert.equal(outrigger.hasExited, false);
    assert.equal((await runToEnd(t, ["stop", "-f", folder], { home })).code, 0);
    assert.equal((await ended(outrigger)).code, 0);
  });

  test("stop -f lets the apps finish a call that leads from one to another", async (t) => {
    const home = ownHome(t);
    const ports = [await ownPort(), await ownPort()];
    const folder = folderOf(t, ["first", "second"], {
      first: `, appPort: ${ports[0]}`,
      second: `, appPort: ${ports[1]}`,
    });
    const outrigger = startOutrigger(t, ["run", "-f", folder], { home });
    const { api } = await whenReady(outrigger, "second");
    await whenReady(outrigger, "first");
    const held = fetch(`${api}/v1.0/invoke/first/method/hold/second`);
    await outrigger.waitForOutput(/app holds a call/);
    const stop = startOutrigger(t, ["stop", "-f", folder], { home });
    await outrigger.waitForOutput(/^Ending: SIGTERM received/m);
    await fetch(`http://127.0.0.1:${ports[0]}/release`);
    const answer = (await (await held).json()) as { url?: string };
    assert.equal(answer.url, "/nested");
    assert.equal((await ended(stop)).code, 0);
    assert.equal((await ended(outrigger)).code, 0);
  });

  test("what was killed is not shown", async (t) => {
    const home = ownHome(t);
    const { outrigger } = await startBeside(t, "killed", undefined, { home });
    kill(outrigger.pid, "SIGKILL");
    await ended(outrigger);
    assert.deepEqual(await listApps(home), []);
    assert.match((await runToEnd(t, ["list"], { home })).stdout, /^No apps are running\. Start one: outrigger run/);
    assert.equal((await runToEnd(t, ["list", "-o", "yaml"], { home })).stdout, "[]\n");
  });

  test("list -o yaml says what --json says, and another form is refused with those there are", async (t) => {
    const home = ownHome(t);
    await startBeside(t, "shown", undefined, { home });
    const [json, yaml] = [
      await runToEnd(t, ["list", "--output", "json"], { home }),
      await runToEnd(t, ["list", "-o", "yaml"], { home }),
    ];
    const withoutAge = (text: string): unknown =>
      (parse(text) as Record<string, unknown>[]).map((app) => ({ ...app, age: undefined }));
    assert.deepEqual(withoutAge(yaml.stdout), withoutAge(json.stdout));
    const wrong = await runToEnd(t, ["list", "-o", "xml"], { home });
    assert.notEqual(wrong.code, 0);
    assert.match(wrong.stderr, /'xml' is invalid\. Allowed choices are table, json, yaml/);
    const both = await runToEnd(t, ["list", "-o", "yaml", "--json"], { home });
    assert.deepEqual([both.code, both.stderr], [1, "outrigger: give --json or -o yaml, not both\n"]);
  });

  test("at a terminal list has colours, and a row is a line", { skip: !existsSync(SCRIPT) }, async (t) => {
    const home = ownHome(t);
    const folder = folderWith(t, {});
    writeFileSync(join(folder, "a-program-with-a-name-that-is-long.mjs"), "setInterval(() => {}, 1 << 30);");
    const command = [NODE, "a-program-with-a-name-that-is-long.mjs", "and", "its", "many", "arguments"];
    await whenReady(startOutrigger(t, ["run", "-a", "long", "--", ...command], { home, cwd: folder }), "long");
    const [headings = "", row = ""] = (await atTerminal(["list"], home, folder)).split("\n");
    assert.ok(headings.startsWith("\x1b[90mAPP ID\x1b[0m"), JSON.stringify(headings));
    assert.match(row, /^\x1b\[36mlong *\x1b\[0m {2}default/);
    assert.match(row, /…$/);
  });

  const REFUSED: [args: string[], says: RegExp][] = [
    [["stop"], /^outrigger: say which app to end: give its id, or the run file of several with -f\n$/],
    [["stop", "a", "-f", "x.yaml"], /^outrigger: give ids of apps, or a run file with -f, not both\n$/],
    [["stop", "-f", "-"], /^outrigger: -f - names no run file/],
  ];

  for (const [args, says] of REFUSED) {
    test(`"outrigger ${args.join(" ")}" is refused in one line`, async (t) => {
      const run = await runToEnd(t, args, { home: ownHome(t) });
      assert.deepEqual([run.code, run.stdout], [1, ""]);
      assert.match(run.stderr, says);
    });
  }
});
