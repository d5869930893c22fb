import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, cpSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import http from "node:http";
import { join } from "node:path";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { TestScope } from "../support/cleanup.ts";
import { listApps, MAIN, Outrigger, ROOT, startOutrigger } from "../support/outrigger.ts";
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
import { startInTestApp } from "../support/raw-http-app.ts";
import { waitFor } from "../support/wait.ts";

const NODE = process.execPath;
const ESCAPE = "\x1b[";
const TRACE_ID = "0af7651916cd43dd8448eb211c80319c";
const TRACEPARENT = `00-${TRACE_ID}-b7ad6b7169203331-01`;

async function getJson<T>(url: string): Promise<T> {
  const response = await fetch(url);
  assert.equal(response.status, 200, `${url} answered ${response.status}`);
  return (await response.json()) as T;
}

/** `outrigger <args>` at a terminal. */
function startInTerminal(args: readonly string[], home: string, env: NodeJS.ProcessEnv): Outrigger {
  const quoted = [NODE, MAIN, ...args].map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(" ");
  const child = spawn("/usr/bin/script", ["-qec", quoted, "/dev/null"], {
    env: { PATH: process.env["PATH"], TERM: "xterm", OUTRIGGER_HOME: home, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  return new Outrigger(child, home);
}

describe("the command line", { concurrency: 3, timeout: 240_000 }, () => {
  test("an app is told its id, its port and where its sidecar is", async (t) => {
    const home = ownHome(t);
    const appPort = await ownPort();
    const { api, listed } = await startWithApp(t, "greeter", appPort, { home });
    const env = await getJson<Record<string, string>>(`http://127.0.0.1:${appPort}/env`);
    const told = {
      APP_ID: env["APP_ID"],
      SERVICE_ID: env["SERVICE_ID"],
      APP_PORT: env["APP_PORT"],
      DAPR_HTTP_PORT: env["DAPR_HTTP_PORT"],
      DAPR_GRPC_PORT: env["DAPR_GRPC_PORT"],
      DAPR_METRICS_PORT: env["DAPR_METRICS_PORT"],
      DAPR_HTTP_ENDPOINT: env["DAPR_HTTP_ENDPOINT"],
      DAPR_GRPC_ENDPOINT: env["DAPR_GRPC_ENDPOINT"],
    };
    assert.deepEqual(told, {
      APP_ID: "greeter",
      SERVICE_ID: "greeter",
      APP_PORT: String(appPort),
      DAPR_HTTP_PORT: String(listed.httpPort),
      DAPR_GRPC_PORT: String(listed.grpcPort),
      DAPR_METRICS_PORT: String(listed.metricsPort),
      DAPR_HTTP_ENDPOINT: api,
      DAPR_GRPC_ENDPOINT: `http://127.0.0.1:${listed.grpcPort}`,
    });
  });

  test("an app without --app-port has no APP_PORT, not even the one of the shell it was started from", async (t) => {
    const home = ownHome(t);
    const print = "console.log('APP_PORT is', process.env.APP_PORT, 'and APP_ID is', process.env.APP_ID)";
    const run = await runToEnd(t, ["run", "-a", "quiet", "--", NODE, "-e", print], {
      home,
      env: { APP_PORT: "1234", APP_ID: "other" },
    });
    assert.match(run.stdout, /APP_PORT is undefined and APP_ID is quiet/);
  });

  test("an app without --app-id gets an id of its own, which the banner, the list and the app are told", async (t) => {
    const home = ownHome(t);
    const script = "console.log('I am', process.env.APP_ID); setInterval(() => {}, 1000)";
    const outrigger = startOutrigger(t, ["run", "--", NODE, "-e", script], { home });
    const [, id] = await outrigger.waitForOutput(/I am ([a-z]+-[a-z]+-\d{4})$/m);
    assert.match(outrigger.stdout, new RegExp(`^ {2}${id} {2}http://`, "m"));
    assert.deepEqual(
      (await listApps(home)).map(({ appId }) => appId),
      [id],
    );
    assert.equal(await outrigger.stop(), 0);
  });

  test("an app's lines stand under its name, each in its own stream, without colours in a pipe", async (t) => {
    const home = ownHome(t);
    const script = "console.log('to stdout'); console.error('to stderr'); process.stdout.write('no newline')";
    const run = await runToEnd(t, ["run", "-a", "talker", "--", NODE, "-e", script], { home });
    assert.match(run.stdout, /^talker │ to stdout$/m);
    assert.match(run.stdout, /^talker │ no newline$/m);
    assert.match(run.stderr, /^talker │ to stderr$/m);
    assert.ok(!run.stdout.includes("│ to stderr") && !run.stderr.includes("│ to stdout"));
    assert.ok(!(run.stdout + run.stderr).includes(ESCAPE), "colours in a pipe");
  });

  const PRINTS = ["run", "-a", "talker", "--", NODE, "-e", "console.log('hello')"];

  test("FORCE_COLOR=1 colours the name in a pipe, and NO_COLOR wins over it", async (t) => {
    const home = ownHome(t);
    const coloured = await runToEnd(t, PRINTS, { home, env: { NO_COLOR: undefined, FORCE_COLOR: "1" } });
    assert.match(coloured.stdout, /\x1b\[\d+mtalker\x1b\[0m │ hello/);
    const plain = await runToEnd(t, PRINTS, { home, env: { NO_COLOR: "1", FORCE_COLOR: "1" } });
    assert.match(plain.stdout, /^talker │ hello$/m);
    assert.ok(!plain.stdout.includes(ESCAPE));
    const empty = await runToEnd(t, PRINTS, { home, env: { NO_COLOR: "", FORCE_COLOR: "1" } });
    assert.equal(empty.stdout.includes(ESCAPE), true, "an empty NO_COLOR asks for nothing");
  });

  test("a terminal gets colours, and none with NO_COLOR", { skip: !existsSync("/usr/bin/script") }, async (t) => {
    const home = ownHome(t);
    const inTerminal = async (env: NodeJS.ProcessEnv): Promise<string> => {
      const { code, stdout } = await ended(startInTerminal(PRINTS, home, env));
      assert.equal(code, 0, stdout);
      return stdout;
    };
    assert.match(await inTerminal({}), /\x1b\[\d+mtalker\x1b\[0m │ hello/);
    const plain = await inTerminal({ NO_COLOR: "1" });
    assert.match(plain, /^talker │ hello/m);
    assert.ok(!plain.includes(ESCAPE));
  });

  const ENDINGS: [how: string, script: string, code: number][] = [
    ["succeeds", "process.exit(0)", 0],
    ["fails with 3", "process.exit(3)", 3],
    ["is killed", "process.kill(process.pid, 'SIGKILL')", 137],
    ["is ended by a SIGTERM of somebody else", "process.kill(process.pid, 'SIGTERM')", 143],
  ];

  for (const [how, script, code] of ENDINGS) {
    test(`an app that ${how} makes run exit with ${code}`, async (t) => {
      const home = ownHome(t);
      const run = await runToEnd(t, ["run", "-a", "ender", "--", NODE, "-e", script], { home });
      assert.equal(run.code, code);
      await nothingRunsUnder(home);
      assert.deepEqual(await listApps(home), []);
    });
  }

  test("health waits for the app's port, outbound health does not", async (t) => {
    const home = ownHome(t);
    const appPort = await ownPort();
    const outrigger = startOutrigger(t, ["run", "-a", "late", "-p", String(appPort)], { home });
    const api = await outrigger.api("late");
    const health = await fetch(`${api}/v1.0/healthz`);
    assert.equal(health.status, 500);
    assert.match(await health.text(), /"errorCode":"ERR_HEALTH_NOT_READY"/);
    assert.equal((await fetch(`${api}/v1.0/healthz/outbound`)).status, 204);
    await startInTestApp(t, undefined, appPort);
    await waitFor("health", async () => (await fetch(`${api}/v1.0/healthz`)).status === 204);
  });

  const MISTAKES: [args: string[], says: RegExp][] = [
    [["run", "--app-prot", "80", "--", "true"], /--app-port/],
    [["run", "--app-id", "x", "--isolate", "-f", "x.yaml"], /--isolated/],
    [["sidecar", "--dapr-http-prot", "80"], /--dapr-http-port/],
    [["sidecar", "-resource-path", "/tmp"], /--resources-path/],
    [["invoke", "--app-id", "x", "--methd", "y"], /--method/],
    [["list", "--jsn"], /--json/],
    [["stop", "--al", "x"], /--al/],
    [["rnu"], /\brun\b/],
    [["sidcar"], /\bsidecar\b/],
  ];

  for (const [args, says] of MISTAKES) {
    test(`"outrigger ${args.join(" ")}" is refused in one line that names what was meant`, async (t) => {
      const run = await runToEnd(t, args, { home: ownHome(t) });
      assert.notEqual(run.code, 0);
      assert.equal(run.stdout, "");
      assert.equal(run.stderr.trimEnd().split("\n").length, 1, run.stderr);
      assert.match(run.stderr, says);
    });
  }

  test("long flags may have one dash and =values, switches take =false", async (t) => {
    const home = ownHome(t);
    const app = await startInTestApp(t);
    const httpPort = await ownPort();
    const flags = ["-app-id", "dashed", `-app-port=${app.port}`, `-dapr-http-port=${httpPort}`, "-story=false"];
    const outrigger = startOutrigger(t, ["run", ...flags, "--log-as-json=false", "-enable-metrics=false"], { home });
    const { api } = await whenReady(outrigger, "dashed");
    assert.equal(api, `http://127.0.0.1:${httpPort}`);
    assert.equal((await fetch(`${api}/v1.0/invoke/dashed/method/quietly`)).status, 200);
    assert.equal(await outrigger.stop(), 0);
    assert.deepEqual(app.begun, ["GET /quietly"]);
    assert.ok(!outrigger.output.includes("/quietly"), "--story=false tells the story");
  });

  test("a switch does not swallow the word behind it", async (t) => {
    const home = ownHome(t);
    const run = await runToEnd(t, ["run", "--story", "-a", "swallow", NODE, "-e", "process.exit(7)"], { home });
    assert.equal(run.code, 7);
  });

  test("-a, -p and -H are --app-id, --app-port and --dapr-http-port", async (t) => {
    const home = ownHome(t);
    const app = await startInTestApp(t);
    const httpPort = await ownPort();
    const outrigger = startOutrigger(t, ["run", "-a", "short", "-p", String(app.port), "-H", String(httpPort)], {
      home,
    });
    const { listed } = await whenReady(outrigger, "short");
    assert.deepEqual([listed.appId, listed.appPort, listed.httpPort], ["short", app.port, httpPort]);
  });

  const PRINT_ARGS = "console.log(JSON.stringify(process.argv.slice(1)))";

  for (const separator of [["--"], []]) {
    test(`flags behind the app's first word are the app's, ${separator.length > 0 ? "with" : "without"} --`, async (t) => {
      const home = ownHome(t);
      const folder = folderWith(t, { "args.cjs": PRINT_ARGS.replace("slice(1)", "slice(2)") });
      const own = ["--app-port", "1", "-a", "other", "--story=false", "--nonsense", "--", "-f", "x"];
      const args = ["run", "-a", "mine", ...separator, NODE, join(folder, "args.cjs"), ...own];
      const run = await runToEnd(t, args, { home });
      assert.equal(run.code, 0, run.stderr);
      assert.ok(run.stdout.includes(`mine │ ${JSON.stringify(own)}`), run.stdout);
    });
  }

  // Typed from wire-contract A6, not from src/cli/flags.ts: this is what daprd's users will type.
  const DAPRD_FLAGS: readonly string[] = [
    "--mode=standalone",
    "--app-protocol=http",
    "--app-channel-address=127.0.0.1",
    "--app-max-concurrency=-1",
    "--max-body-size=4Mi",
    "--read-buffer-size=4Ki",
    "--allowed-origins=*",
    "--enable-app-health-check=false",
    "--app-health-check-path=/healthz",
    "--app-health-probe-interval=5",
    "--app-health-probe-timeout=500",
    "--app-health-threshold=3",
    "--dapr-graceful-shutdown-seconds=5",
    "--disable-init-endpoints=config,subscribe",
    "--enable-api-logging",
    "--enable-metrics=true",
    "--profile-port=7777",
    "--enable-profiling=false",
    "--enable-mtls=false",
    "--sentry-address=localhost:50003",
    "--control-plane-trust-domain=localhost",
    "--control-plane-namespace=default",
    "--control-plane-address=localhost",
    "--log-level=info",
    "--log-as-json",
    "--placement-host-address=localhost:50005",
    "--scheduler-host-address=localhost:50006",
    "--scheduler-job-streams=3",
    "--actors-service=placement:localhost",
    "--reminders-service=scheduler",
    "--actors-disseminate-timeout=2s",
    "--disable-builtin-k8s-secret-store",
    "--sentry-request-jwt-audiences=a",
    "--app-ssl=false",
    "--dapr-http-max-request-size=4",
    "--dapr-http-read-buffer-size=4",
  ];

  async function sidecarFlags(appId: string): Promise<string[]> {
    return [
      `--app-id=${appId}`,
      `--dapr-http-port=${await ownPort()}`,
      `--dapr-grpc-port=${await ownPort()}`,
      `--dapr-internal-grpc-port=${await ownPort()}`,
      `--metrics-port=${await ownPort()}`,
      "--metrics-listen-address=127.0.0.1",
      "--dapr-internal-grpc-listen-address=127.0.0.1",
      "--dapr-listen-addresses=127.0.0.1",
    ];
  }

  test("sidecar takes every flag of daprd, and starts", async (t) => {
    const home = ownHome(t);
    const app = await startInTestApp(t);
    const folder = folderWith(t, {
      "config.yaml": "apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata: {name: c}\n",
    });
    const files = [
      `--config=${join(folder, "config.yaml")}`,
      `--resources-path=${folder}`,
      `--components-path=${folder}`,
    ];
    const flags = [...(await sidecarFlags("daprish")), `--app-port=${app.port}`, ...files, ...DAPRD_FLAGS];
    const outrigger = startOutrigger(t, ["sidecar", ...flags], { home });
    const api = await outrigger.readyApi("daprish");
    assert.equal((await fetch(`${api}/v1.0/invoke/daprish/method/hi`)).status, 200);
    assert.equal(await outrigger.stop(), 0);
  });

  test("sidecar says of daprd's flags that do nothing yet that they do nothing", async (t) => {
    const home = ownHome(t);
    const outrigger = startOutrigger(t, ["sidecar", ...(await sidecarFlags("warned")), "--enable-profiling"], {
      home,
    });
    await outrigger.waitForOutput(/--enable-profiling is accepted and has no effect/);
  });

  const REFUSED: readonly string[] = ["--mode=kubernetes", "--dapr-block-shutdown-duration=5s", "--enable-mtls"];

  for (const flag of REFUSED) {
    test(`sidecar stops at ${flag}, in one line that names it`, async (t) => {
      const home = ownHome(t);
      const run = await runToEnd(t, ["sidecar", ...(await sidecarFlags("refused")), flag], { home });
      assert.equal(run.code, 1);
      assert.equal(run.stderr.trimEnd().split("\n").length, 1, run.stderr);
      assert.ok(run.stderr.includes(flag.split("=")[0] ?? flag), run.stderr);
    });
  }

  for (const flag of ["--version", "--build-info"]) {
    test(`sidecar ${flag} prints the version`, async (t) => {
      const run = await runToEnd(t, ["sidecar", flag], { home: ownHome(t) });
      assert.deepEqual([run.code, run.stderr], [0, ""]);
      assert.match(run.stdout, /\d+\.\d+\.\d+/);
    });
  }

  /** The lines of `outrigger <command> --help` that show what to type. */
  async function examplesOf(t: TestScope, command: string): Promise<string[]> {
    const { code, stdout } = await runToEnd(t, [command, "--help"], { home: ownHome(t) });
    assert.equal(code, 0);
    return [...stdout.matchAll(/^ *\$ (outrigger .*)$/gm)].map((match) => match[1] ?? "");
  }

  /** A folder with examples/math and an `outrigger` to be found in PATH, on ports of its own. */
  function exampleFolder(t: TestScope, appPort: number): { folder: string; env: NodeJS.ProcessEnv } {
    const folder = folderWith(t, { "bin/outrigger": `#!/bin/sh\nexec '${NODE}' '${MAIN}' "$@"\n` });
    chmodSync(join(folder, "bin/outrigger"), 0o755);
    cpSync(join(ROOT, "examples/math"), folder, { recursive: true });
    const runFile = join(folder, "dapr.yaml");
    writeFileSync(runFile, readFileSync(runFile, "utf8").replace("5001", String(appPort)));
    return { folder, env: { PATH: `${join(folder, "bin")}:${process.env["PATH"] ?? ""}` } };
  }

  /** Runs a line of a help text as a shell does, with the ports it names replaced by free ones. */
  async function startExample(t: TestScope, line: string, appPort: number, home: string): Promise<Outrigger> {
    const { folder, env } = exampleFolder(t, appPort);
    const own = line.replace("5001", String(appPort)).replace("3500", String(await ownPort()));
    const child = spawn("/bin/sh", ["-c", `exec ${own}`], {
      cwd: folder,
      env: { ...env, HOME: home, OUTRIGGER_HOME: home, NO_COLOR: "1" },
      stdio: ["ignore", "pipe", "pipe"],
    });
    return new Outrigger(child, home);
  }

  test("the examples in the help texts of run, invoke, list and stop work as they stand", async (t) => {
    const home = ownHome(t);
    const [runOne, runFile] = await examplesOf(t, "run");
    const [invoke] = await examplesOf(t, "invoke");
    const [list] = await examplesOf(t, "list");
    const [stop] = await examplesOf(t, "stop");
    for (const line of [runOne, runFile]) {
      const appPort = await ownPort();
      const running = await startExample(t, line ?? "", appPort, home);
      await running.waitForOutput(/mathService +● answers/);
      const answer = await ended(await startExample(t, invoke ?? "", appPort, home));
      assert.deepEqual([answer.stdout.trim(), answer.code], ["33", 0], answer.stderr);
      const listed = await ended(await startExample(t, list ?? "", appPort, home));
      assert.match(listed.stdout, /^mathService$/m, listed.stderr);
      const stopped = await ended(await startExample(t, stop ?? "", appPort, home));
      assert.deepEqual([stopped.stdout.trim(), stopped.code], ["mathService has ended.", 0], stopped.stderr);
      await waitFor("mathService to leave the list", async () => {
        return !(await listApps(home)).some(({ appId }) => appId === "mathService");
      });
      kill(running.pid, "SIGTERM");
      await ended(running);
    }
  });

  test("the example in the help text of sidecar works as it stands", async (t) => {
    const home = ownHome(t);
    const [line] = await examplesOf(t, "sidecar");
    const app = await startInTestApp(t);
    const running = await startExample(t, line ?? "", app.port, home);
    await running.waitForOutput(/mathService answers/);
    assert.equal(await running.stop(), 0);
  });

  test("list shows what runs, and as JSON everything but the token that opens the control door", async (t) => {
    const home = ownHome(t);
    const empty = await runToEnd(t, ["list"], { home });
    assert.match(empty.stdout, /^No apps are running/);
    const appPort = await ownPort();
    const { outrigger, listed } = await startWithApp(t, "shown", appPort, { home });
    const text = await runToEnd(t, ["list"], { home });
    const [headings = "", row = ""] = text.stdout.split("\n");
    assert.match(headings, /^APP ID +NAMESPACE +HTTP PORT +GRPC PORT +APP PORT +AGE +CREATED +PID +APP PID +COMMAND$/);
    const { httpPort, grpcPort, pid, appPid } = listed;
    const created = "\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d";
    const cells = ["shown", "default", httpPort, grpcPort, appPort, "\\d+s", created, pid, appPid, `${NODE} ${APP}`];
    assert.match(row, new RegExp(`^${cells.join(" +")}$`));
    assert.equal(pid, outrigger.pid);
    assert.equal((await getJson<{ pid: number }>(`http://127.0.0.1:${appPort}/where`)).pid, appPid);
    const json = await runToEnd(t, ["list", "--json"], { home });
    const [entry] = JSON.parse(json.stdout) as Record<string, unknown>[];
    assert.deepEqual(Object.keys(entry ?? {}).sort(), [
      "age",
      "apiHost",
      "appId",
      "appPid",
      "appPort",
      "cliPid",
      "command",
      "created",
      "daprdPid",
      "grpcPort",
      "httpPort",
      "internalPort",
      "metricsPort",
      "namespace",
      "pid",
      "startedAt",
    ]);
    assert.ok(!/token/i.test(json.stdout + text.stdout));
  });

  test("stop ends an app and its sidecar, and says that it has", async (t) => {
    const home = ownHome(t);
    const { outrigger } = await startWithApp(t, "ending", await ownPort(), { home });
    const stop = await runToEnd(t, ["stop", "ending"], { home });
    assert.deepEqual([stop.code, stop.stdout], [0, "ending has ended.\n"]);
    const run = await ended(outrigger);
    assert.equal(run.code, 0);
    assert.match(run.stdout, /app got SIGTERM/);
    await nothingRunsUnder(home);
  });

  test("stop needs no API token, being of the same user", async (t) => {
    const home = ownHome(t);
    const { outrigger } = await startWithApp(t, "guarded", await ownPort(), {
      home,
      env: { DAPR_API_TOKEN: "secret" },
    });
    const stop = await runToEnd(t, ["stop", "guarded.default"], { home });
    assert.equal(stop.code, 0, stop.stderr);
    assert.equal((await ended(outrigger)).code, 0);
  });

  test("stop waits as long as the sidecar may take to finish its calls, and says so on a terminal", async (t) => {
    const home = ownHome(t);
    const appPort = await ownPort();
    const { api, outrigger } = await startWithApp(t, "busy", appPort, {
      home,
      flags: ["--dapr-graceful-shutdown-seconds", "3600"],
    });
    const held = fetch(`${api}/v1.0/invoke/busy/method/hold`);
    await outrigger.waitForOutput(/app holds a call/);
    const preload = new URL("../fixtures/fast-clock.mjs", import.meta.url).href;
    const env = { NODE_OPTIONS: `--import=${preload}` };
    const stop = existsSync("/usr/bin/script")
      ? startInTerminal(["stop", "busy"], home, env)
      : startOutrigger(t, ["stop", "busy"], { home, env });
    await waitFor("the app to leave the list", async () => (await listApps(home)).length === 0);
    if (existsSync("/usr/bin/script"))
      await stop.waitForOutput(/^busy finishes the calls that run; it may take 3615 s/m);
    // A hundred seconds for who gives up too early.
    await sleep(1000);
    assert.equal(stop.hasExited, false, stop.output);
    await fetch(`http://127.0.0.1:${appPort}/release`);
    assert.equal((await held).status, 200);
    const { code, stdout } = await ended(stop);
    assert.deepEqual([code, /^busy has ended\.\r?$/m.test(stdout)], [0, true], stdout);
    assert.equal((await ended(outrigger)).code, 0);
  });

  test("stop of one of two apps behind one process leaves the other one running", async (t) => {
    const home = ownHome(t);
    const [goingPort, stayingPort] = [await ownPort(), await ownPort()];
    const app = (id: string, port: number): string =>
      `  - {appID: ${id}, appDirPath: ., appPort: ${port}, command: ["${NODE}", "${APP}"]}\n`;
    const folder = folderWith(t, {
      "run.yaml": `version: 1\napps:\n${app("going", goingPort)}${app("staying", stayingPort)}`,
    });
    const outrigger = startOutrigger(t, ["run", "-f", join(folder, "run.yaml")], { home });
    await whenReady(outrigger, "going");
    const { api, listed } = await whenReady(outrigger, "staying");
    assert.equal((await runToEnd(t, ["stop", "going"], { home })).code, 0);
    assert.equal((await fetch(`${api}/v1.0/invoke/staying/method/still-here`)).status, 200);
    assert.deepEqual(await listApps(home), [listed]);
    assert.equal(outrigger.hasExited, false);
    await assert.rejects(fetch(`http://127.0.0.1:${goingPort}/`));
    assert.equal(await outrigger.stop(), 0);
  });

  test("stop of an app that does not run says which do", async (t) => {
    const home = ownHome(t);
    const nobody = await runToEnd(t, ["stop", "absent"], { home });
    assert.equal(nobody.code, 1);
    assert.match(nobody.stderr, /^outrigger: no app "absent" is running under .*; no app is running\n$/);
    await startBeside(t, "present", undefined, { home });
    const other = await runToEnd(t, ["stop", "absent"], { home });
    assert.match(other.stderr, /running are: present\n$/);
  });

  interface Echo {
    readonly method: string;
    readonly url: string;
    readonly body: string;
  }

  test("invoke calls a method with --verb, --data or --data-file, and prints the answer", async (t) => {
    const home = ownHome(t);
    await startWithApp(t, "echo", await ownPort(), { home });
    const folder = folderWith(t, { "body.json": '{"from":"a file"}' });
    const echoOf = async (...args: string[]): Promise<Echo> => {
      const run = await runToEnd(t, ["invoke", "--app-id", "echo", "--method", ...args], { home });
      assert.equal(run.code, 0, run.stderr);
      const { method, url, body } = JSON.parse(run.stdout) as Echo;
      return { method, url, body };
    };
    assert.deepEqual(await echoOf("plain"), { method: "POST", url: "/plain", body: "" });
    assert.deepEqual(await echoOf("/a/b?c=d", "--verb", "get"), { method: "GET", url: "/a/b?c=d", body: "" });
    assert.deepEqual(await echoOf("x", "-v", "PUT", "-d", '{"a":1}'), { method: "PUT", url: "/x", body: '{"a":1}' });
    const fromFile = { method: "POST", url: "/y", body: '{"from":"a file"}' };
    assert.deepEqual(await echoOf("y", "--data-file", join(folder, "body.json")), fromFile);
  });

  test("invoke of a method that fails prints what the app said, and exits with 1", async (t) => {
    const home = ownHome(t);
    const app = await startInTestApp(t, (_request, response) => response.writeHead(418).end("short and stout"));
    await startBeside(t, "teapot", app.port, { home });
    const run = await runToEnd(t, ["invoke", "-a", "teapot", "-m", "brew"], { home });
    assert.deepEqual([run.code, run.stdout], [1, "short and stout"]);
    assert.match(run.stderr, /^teapot answered 418 /);
  });

  test("invoke sends a method with spaces and other letters percent-encoded, and all else as it was typed", async (t) => {
    const home = ownHome(t);
    const app = await startInTestApp(t);
    await startBeside(t, "spaced", app.port, { home });
    const run = await runToEnd(t, ["invoke", "-a", "spaced", "-m", "a b/ü%20c?q=d e", "-v", "get"], { home });
    assert.deepEqual([run.code, run.stdout, run.stderr], [0, "ok", ""]);
    assert.deepEqual(app.begun, ["GET /a%20b/%C3%BC%20c?q=d%20e"]);
  });

  const BAD_VERBS: [verb: string, says: RegExp][] = [
    ["G T", /^outrigger: --verb is "G T"; give an HTTP verb, as GET or POST\n$/],
    ["", /^outrigger: --verb is ""; give an HTTP verb/],
    ["connect", /^outrigger: --verb CONNECT asks for a tunnel, which no method is\n$/],
  ];

  test("invoke refuses a verb that is none, or that asks for something else, in one line", async (t) => {
    const home = ownHome(t);
    await startBeside(t, "idle", undefined, { home });
    for (const [verb, says] of BAD_VERBS) {
      const run = await runToEnd(t, ["invoke", "-a", "idle", "-m", "x", "--verb", verb], { home });
      assert.deepEqual([run.code, run.stdout], [1, ""]);
      assert.match(run.stderr, says);
    }
  });

  test("invoke prints what came of an answer that breaks off, says so in one line, and exits with 1", async (t) => {
    const home = ownHome(t);
    const app = await startInTestApp(t, (_request, response) => {
      response.writeHead(200, { "content-length": 100 }).write("half of ", () => response.destroy());
    });
    await startBeside(t, "breaking", app.port, { home });
    const run = await runToEnd(t, ["invoke", "-a", "breaking", "-m", "x"], { home });
    assert.deepEqual([run.code, run.stdout], [1, "half of "]);
    assert.match(run.stderr, /^outrigger: the answer of breaking broke off before its end: .*\n$/);
  });

  test("invoke says in one line that DAPR_API_TOKEN cannot be sent", async (t) => {
    const home = ownHome(t);
    await startBeside(t, "idle", undefined, { home });
    const run = await runToEnd(t, ["invoke", "-a", "idle", "-m", "x"], { home, env: { DAPR_API_TOKEN: "a\nb" } });
    assert.equal(run.code, 1);
    assert.match(run.stderr, /^outrigger: .*\["dapr-api-token"\]\n$/);
  });

  test("invoke refuses --data together with --data-file, and a file that is not there", async (t) => {
    const home = ownHome(t);
    await startBeside(t, "idle", undefined, { home });
    const invoke = ["invoke", "-a", "idle", "-m", "x"];
    const both = await runToEnd(t, [...invoke, "-d", "1", "-f", "x"], { home });
    assert.deepEqual([both.code, both.stderr], [1, "outrigger: give --data or --data-file, not both\n"]);
    const missing = await runToEnd(t, [...invoke, "-f", "/nowhere/body"], { home });
    assert.equal(missing.code, 1);
    assert.match(missing.stderr, /^outrigger: cannot read --data-file: .*\/nowhere\/body'\n$/);
  });

  test("sidecar --wait ends once the sidecar on that port is ready, and not before", async (t) => {
    const answers = [500, 500, 500, 204];
    const asked: string[] = [];
    const server = http.createServer((request, response) => {
      asked.push(request.url ?? "");
      response.writeHead(answers[asked.length - 1] ?? 204).end();
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    t.after(() => server.close());
    const { port } = server.address() as { port: number };
    const run = await runToEnd(t, ["sidecar", "--wait", "--dapr-http-port", String(port)], { home: ownHome(t) });
    assert.equal(run.code, 0, run.stderr);
    assert.deepEqual(asked, Array(4).fill("/v1.0/healthz/outbound"));
  });

  test("--once ends everything after the first call that an app answered, with 0", async (t) => {
    const home = ownHome(t);
    const appPort = await ownPort();
    const call = `fetch(process.env.DAPR_HTTP_ENDPOINT + '/v1.0/invoke/callee/method/one').then(async (r) => {
    console.log('was answered', r.status); setInterval(() => undefined, 1 << 30); });`;
    const folder = folderWith(t, {
      "call.mjs": call,
      "run.yaml": `version: 1
apps:
  - {appID: callee, appDirPath: ., appPort: ${appPort}, command: ["${NODE}", "${APP}"]}
  - {appID: caller, appDirPath: ., command: ["${NODE}", call.mjs]}
`,
    });
    const run = await runToEnd(t, ["run", "--once", "-f", join(folder, "run.yaml")], { home });
    assert.equal(run.code, 0, run.stderr);
    assert.match(run.stdout, /caller │ was answered 200/);
    assert.match(run.stdout, /callee │ app got SIGTERM/);
    await nothingRunsUnder(home);
  });

  test("the story of a call says who called whom, what came of it, how long it took and in which trace", async (t) => {
    const home = ownHome(t);
    const app = await startInTestApp(t, (_request, response) => response.writeHead(202).end());
    const callee = await startBeside(t, "callee", app.port, { home });
    const caller = await startBeside(t, "caller", undefined, { home });
    const response = await fetch(`${caller.api}/v1.0/invoke/callee/method/greet?name=x`, {
      method: "POST",
      headers: { traceparent: TRACEPARENT },
    });
    assert.equal(response.status, 202);
    const end = ` {2}POST /greet {2}202 {2}\\d+\\.\\d ms {2}trace ${TRACE_ID}$`;
    await caller.outrigger.waitForOutput(new RegExp(`^[\\d:.TZ-]+ {2}caller → callee${end}`, "m"));
    await callee.outrigger.waitForOutput(new RegExp(`^[\\d:.TZ-]+ {2}callee ← caller${end}`, "m"));
    await fetch(`${caller.api}/v1.0/invoke/absent/method/greet`);
    await caller.outrigger.waitForOutput(
      /caller → absent {2}GET \/greet {2}500 {2}\d+\.\d ms {2}no trace {2}failed to invoke/,
    );
  });

  type LogRecord = Readonly<Record<string, unknown>>;

  /** Every line of a stream, each of which must be a log record. */
  function recordsIn(text: string): LogRecord[] {
    const lines = text.split("\n").filter((line) => line !== "");
    return lines.map((line) => {
      const record = JSON.parse(line) as LogRecord;
      assert.equal(record["type"], "log", line);
      return record;
    });
  }

  for (const flags of [[], ["--isolated"]]) {
    test(`with --log-as-json, all that run${flags.map((flag) => ` ${flag}`).join("")} prints is records: places, apps' lines, calls, ends`, async (t) => {
      const home = ownHome(t);
      const port = await ownPort();
      const folder = folderWith(t, {
        "dapr.yaml": `version: 1
apps:
  - {appID: callee, appDirPath: ., appPort: ${port}, profilePort: 7777, command: ["${NODE}", "${APP}"]}
  - {appID: caller, appDirPath: ., command: ["${NODE}", -e, "console.error('to stderr'); setInterval(() => {}, 1000)"]}
`,
      });
      const outrigger = startOutrigger(t, ["run", "-f", folder, "--log-as-json", ...flags], { home });
      await outrigger.waitForOutput(/"msg":"callee answers"/);
      await outrigger.waitForOutput(/to stderr/);
      const listed = (await listApps(home)).find(({ appId }) => appId === "caller");
      const url = `http://127.0.0.1:${listed?.httpPort}/v1.0/invoke/callee/method/greet?x=1`;
      const headers = { traceparent: TRACEPARENT };
      assert.equal((await fetch(url, { method: "POST", headers })).status, 200);
      await outrigger.waitForOutput(/"msg":"call sent"/);
      assert.equal(await outrigger.stop(), 0);
      const [out, err] = [recordsIn(outrigger.stdout), recordsIn(outrigger.stderr)];
      const call = out.find(({ msg }) => msg === "call sent");
      assert.ok(call, outrigger.output);
      assert.equal(typeof call["durationMs"], "number");
      const { caller, target, method, path, status, traceId } = call;
      assert.deepEqual(
        { caller, target, method, path, status, traceId },
        { caller: "caller", target: "callee", method: "POST", path: "/greet", status: 200, traceId: TRACE_ID },
      );
      const place = out.find(({ msg }) => msg === "sidecar of callee is listening");
      assert.deepEqual([place?.["app_id"], place?.["appPort"], place?.["scope"]], ["callee", port, "outrigger"]);
      const line = out.find(({ msg }) => msg === "app got SIGTERM");
      assert.deepEqual([line?.["app_id"], line?.["scope"], line?.["level"]], ["callee", "app", "info"]);
      const error = err.find(({ msg }) => msg === "to stderr");
      assert.deepEqual([error?.["app_id"], error?.["scope"]], ["caller", "app"]);
      assert.ok(err.some(({ msg, level }) => level === "warning" && String(msg).includes("--profile-port")));
      assert.ok(out.some(({ msg }) => String(msg).startsWith("ending: SIGTERM")));
    });
  }

  test("with --log-as-json, the end of an app and a start that fails are records too", async (t) => {
    const home = ownHome(t);
    const exits = await runToEnd(t, ["run", "-a", "x", "--log-as-json", "--", NODE, "-e", "process.exit(3)"], { home });
    assert.equal(exits.code, 3);
    const end = recordsIn(exits.stdout).find(({ exitCode }) => exitCode !== undefined);
    assert.deepEqual([end?.["app_id"], end?.["exitCode"], end?.["level"]], ["x", 3, "error"]);
    for (const command of ["run", "sidecar"]) {
      const fails = await runToEnd(t, [command, "--log-as-json", "--app-id", "a.b"], { home });
      assert.deepEqual([fails.code, fails.stdout], [1, ""]);
      const [mistake, ...others] = recordsIn(fails.stderr);
      assert.deepEqual(others, []);
      assert.match(String(mistake?.["msg"]), /"a\.b" is not a valid app id/);
    }
  });

  test("sidecar --story --log-as-json tells calls as records", async (t) => {
    const home = ownHome(t);
    const flags = [...(await sidecarFlags("told")), "--story", "--log-as-json"];
    const outrigger = startOutrigger(t, ["sidecar", ...flags], { home });
    const api = await outrigger.api("told");
    assert.equal((await fetch(`${api}/v1.0/invoke/absent/method/x`)).status, 500);
    await outrigger.waitForOutput(/"msg":"call sent"/);
    assert.equal(await outrigger.stop(), 0);
    const [call] = recordsIn(outrigger.stdout);
    assert.deepEqual([call?.["caller"], call?.["target"], call?.["status"]], ["told", "absent", 500]);
    assert.match(String(call?.["error"]), /^failed to invoke/);
    recordsIn(outrigger.stderr);
  });

  test("the story of a call cannot be forged by the one who calls", async (t) => {
    const home = ownHome(t);
    const { api, outrigger } = await startBeside(t, "victim", undefined, { home });
    await fetch(`${api}/v1.0/invoke/%1B%5B2Jx%0Afaked%20line/method/%1B%5B31m%0Afaked`);
    await outrigger.waitForOutput(/victim → /);
    assert.equal(await outrigger.stop(), 0);
    assert.ok(!outrigger.output.includes("\x1b"), JSON.stringify(outrigger.output));
    assert.ok(!/^faked/m.test(outrigger.output), outrigger.output);
  });
});
