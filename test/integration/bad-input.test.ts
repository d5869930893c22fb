import assert from "node:assert/strict";
import { once } from "node:events";
import { rmSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, type TestContext, test } from "node:test";
import type { AppId, Namespace } from "../../src/core/app-id.ts";
import { identityOf } from "../../src/runtime/registry/process-identity.ts";
import { RegistryStore, registryPathIn } from "../../src/runtime/registry/registry-store.ts";
import type { TestScope } from "../support/cleanup.ts";
import { ownPort } from "../support/own-port.ts";
import { folderWith, nothingRunsUnder, ownHome, runToEnd, startBeside } from "../support/processes.ts";
import { answersUntilClosed, firstAnswers, parseAnswers, RawConnection } from "../support/raw-http.ts";
import { startInTestApp } from "../support/raw-http-app.ts";

/** Calls that cannot be served, and set-ups that cannot start: each is answered by what is wrong and what to do. */

const NODE = process.execPath;

interface DaprError {
  readonly errorCode: string;
  readonly message: string;
}

async function errorOf(response: Response): Promise<[status: number, error: DaprError]> {
  assert.equal(response.headers.get("content-type"), "application/json");
  return [response.status, (await response.json()) as DaprError];
}

test("a call to an app nobody knows says which one, and where it was looked for", async (t) => {
  const home = ownHome(t);
  const { api } = await startBeside(t, "caller", undefined, { home });
  for (const [id, app, namespace] of [
    ["nobody", "nobody", "default"],
    ["nobody.elsewhere", "nobody", "elsewhere"],
    ["Caller", "Caller", "default"],
  ] as const) {
    const [status, error] = await errorOf(await fetch(`${api}/v1.0/invoke/${id}/method/x`));
    assert.deepEqual([status, error.errorCode], [500, "ERR_DIRECT_INVOKE"]);
    const where = `app "${app}" in namespace "${namespace}" is not in the registry at ${registryPathIn(home)}`;
    assert.ok(error.message.startsWith(`failed to invoke, id: ${id}, err: `), error.message);
    assert.ok(error.message.includes(where), error.message);
  }
});

test("a call without a method is 400, one without a target 404", async (t) => {
  const app = await startInTestApp(t);
  const { api } = await startBeside(t, "callee", app.port, { home: ownHome(t) });
  for (const id of ["callee", "nobody"]) {
    const [status, error] = await errorOf(await fetch(`${api}/v1.0/invoke/${id}/method/`));
    assert.deepEqual([status, error.errorCode], [400, "ERR_DIRECT_INVOKE"]);
    assert.match(error.message, /method name not given/);
  }
  for (const path of ["/v1.0/invoke/callee", "/v1.0/invoke/callee/method", "/v1.0/invoke//method/x", "/", "/nothing"]) {
    const [status, error] = await errorOf(await fetch(`${api}${path}`));
    assert.deepEqual([path, status, error.errorCode], [path, 404, "ERR_DIRECT_INVOKE"]);
    const says = "failed getting app id either from the URL path or the header dapr-app-id";
    assert.equal(error.message, says);
  }
  assert.deepEqual(app.begun, []);
});

test("an id with three parts, or an empty one, is no app id", async (t) => {
  const { api } = await startBeside(t, "caller", undefined, { home: ownHome(t) });
  for (const id of ["a.b.c", "a.b.c.d", ".default", "caller."]) {
    const [status, error] = await errorOf(await fetch(`${api}/v1.0/invoke/${id}/method/x`));
    assert.equal(status, 500);
    assert.equal(error.message, `failed to invoke, id: ${id}, err: invalid app id ${id}`);
  }
});

const BAD_METHODS: readonly string[] = ["a%00b", "a%0ab", "a%0d%0aX:%20y", "a%1f", "%7f", "a%23b", "a%3fb", "%09"];
const BAD_ESCAPES: readonly string[] = ["a%zz", "a%2", "%", "a%%20", "a%2 "];

test("control characters, # and ? in a method, and escapes that are none, are InvalidArgument", async (t) => {
  const app = await startInTestApp(t);
  const { listed } = await startBeside(t, "callee", app.port, { home: ownHome(t) });
  for (const method of [...BAD_METHODS, ...BAD_ESCAPES.filter((escape) => !escape.includes(" "))]) {
    const request = `GET /v1.0/invoke/callee/method/${method} HTTP/1.1\r\nHost: x\r\n\r\n`;
    const [answer] = await firstAnswers(t, listed.httpPort, request, 1);
    assert.equal(answer?.status, 500, method);
    const { message } = JSON.parse(answer.body) as DaprError;
    assert.ok(
      message.startsWith("failed to invoke, id: callee, err: rpc error: code = InvalidArgument desc = invalid method"),
      message,
    );
    assert.ok(!/[\0-\x1f\x7f]/.test(message), "the message has the control character itself in it");
  }
  assert.deepEqual(app.begun, []);
});

test("Expect: 100-continue invites the body, on both ports", async (t) => {
  const app = await startInTestApp(t);
  const { listed } = await startBeside(t, "callee", app.port, { home: ownHome(t) });
  const heads: [port: number, head: string][] = [
    [listed.httpPort, "POST /v1.0/invoke/callee/method/first HTTP/1.1\r\n"],
    [listed.internalPort, "POST /first HTTP/1.1\r\noutrigger-target: callee.default\r\n"],
  ];
  for (const [port, head] of heads) {
    for (const [framing, body] of [
      ["Content-Length: 3", "abc"],
      ["Transfer-Encoding: chunked", "3\r\nabc\r\n0\r\n\r\n"],
    ] as const) {
      app.whole.splice(0);
      const connection = await RawConnection.open(t, port);
      connection.write(`${head}Host: x\r\nExpect: 100-continue\r\nConnection: close\r\n${framing}\r\n\r\n`);
      await connection.waitForText(/^HTTP\/1\.1 100 Continue\r\n\r\n$/);
      connection.write(body);
      const answers = parseAnswers(await connection.waitForClose());
      assert.deepEqual(
        answers.map(({ status }) => status),
        [100, 200],
      );
      const [arrived] = app.whole;
      assert.equal(arrived?.body, "abc");
      assert.ok(!arrived.headers.includes("Expect"), "Expect is about one connection, and reached the app");
    }
  }
});

const LIMIT = 1000;

async function startLimited(
  t: TestContext,
): Promise<{ app: Awaited<ReturnType<typeof startInTestApp>>; port: number }> {
  const app = await startInTestApp(t);
  const flags = ["--max-body-size", String(LIMIT)];
  const { listed } = await startBeside(t, "callee", app.port, { home: ownHome(t), flags });
  return { app, port: listed.httpPort };
}

const TO_CALLEE = "POST /v1.0/invoke/callee/method/x HTTP/1.1\r\nHost: x\r\n";

test("a body that is announced to be over --max-body-size is 413, and 100 Continue does not ask for it", async (t) => {
  const { app, port } = await startLimited(t);
  const announced = `${TO_CALLEE}Content-Length: ${LIMIT + 1}\r\n`;
  const [sent] = await firstAnswers(t, port, `${announced}\r\n${"a".repeat(LIMIT + 1)}`, 1);
  const [waited] = await answersUntilClosed(t, port, `${announced}Expect: 100-continue\r\n\r\n`);
  for (const answer of [sent, waited]) {
    assert.equal(answer?.status, 413);
    const { errorCode, message } = JSON.parse(answer.body) as DaprError;
    assert.equal(errorCode, "ERR_DIRECT_INVOKE");
    assert.match(message, new RegExp(`${LIMIT + 1} bytes.*--max-body-size.*${LIMIT}`));
  }
  assert.deepEqual(app.begun, []);
});

test("a body of unknown length that grows over --max-body-size is 500, and never ends for the app", async (t) => {
  const { app, port } = await startLimited(t);
  const chunk = (bytes: number): string => `${bytes.toString(16)}\r\n${"a".repeat(bytes)}\r\n`;
  const chunked = `${TO_CALLEE}Transfer-Encoding: chunked\r\n\r\n`;
  const [over] = await firstAnswers(t, port, `${chunked}${chunk(LIMIT)}${chunk(1)}0\r\n\r\n`, 1);
  assert.equal(over?.status, 500);
  assert.match((JSON.parse(over.body) as DaprError).message, /stream too large/);
  assert.equal(app.whole.length, 0);
  const [fits] = await firstAnswers(t, port, `${chunked}${chunk(LIMIT - 1)}${chunk(1)}0\r\n\r\n`, 1);
  assert.deepEqual([fits?.status, app.whole[0]?.body.length], [200, LIMIT]);
});

test("a body of exactly --max-body-size goes through", async (t) => {
  const { app, port } = await startLimited(t);
  const request = `${TO_CALLEE}Content-Length: ${LIMIT}\r\n\r\n${"a".repeat(LIMIT)}`;
  const [answer] = await firstAnswers(t, port, request, 1);
  assert.deepEqual([answer?.status, app.whole[0]?.body.length], [200, LIMIT]);
});

test("the callee's own --max-body-size holds for calls from other processes", async (t) => {
  const home = ownHome(t);
  const app = await startInTestApp(t);
  await startBeside(t, "callee", app.port, { home, flags: ["--max-body-size", String(LIMIT)] });
  const { api } = await startBeside(t, "caller", undefined, { home });
  const body = "a".repeat(LIMIT + 1);
  const response = await fetch(`${api}/v1.0/invoke/callee/method/x`, { method: "POST", body });
  const [status, { message }] = await errorOf(response);
  assert.equal(status, 500);
  assert.match(message, /code = ResourceExhausted desc = .*--max-body-size/);
  assert.deepEqual(app.begun, []);
});

test("the internal port refuses a call that is for another app, or for nobody", async (t) => {
  const app = await startInTestApp(t);
  const { listed } = await startBeside(t, "callee", app.port, { home: ownHome(t) });
  const targets = ["other.default", "callee.other", "callee", "Callee.default", "callee.default.x", ""];
  for (const target of [...targets.map((name) => `outrigger-target: ${name}\r\n`), "", "dapr-app-id: callee\r\n"]) {
    const request = `GET /x HTTP/1.1\r\nHost: x\r\n${target}\r\n`;
    const [answer] = await firstAnswers(t, listed.internalPort, request, 1);
    assert.deepEqual([answer?.status, answer?.headers["outrigger-error"]], [500, "not-this-app"], target);
    assert.match(answer?.body ?? "", /^this is the sidecar of callee\.default, /);
  }
  assert.deepEqual(app.begun, []);
});

test("an entry that leads to another app's sidecar never gives that app's answer", async (t) => {
  const home = ownHome(t);
  const app = await startInTestApp(t);
  const { listed } = await startBeside(t, "innocent", app.port, { home });
  await announceAt(home, "gone", listed.internalPort);
  const { api } = await startBeside(t, "caller", undefined, { home });
  const [status, { message }] = await errorOf(await fetch(`${api}/v1.0/invoke/gone/method/secret`));
  assert.equal(status, 500);
  assert.match(message, /this is the sidecar of innocent\.default, the call is for gone\.default/);
  assert.deepEqual(app.begun, []);
});

/** Writes into the registry what a process left there whose port now belongs to somebody else. */
async function announceAt(home: string, id: string, port: number): Promise<void> {
  const store = new RegistryStore(registryPathIn(home), (message) => {
    assert.fail(message);
  });
  const app = { id: id as AppId, namespace: "default" as Namespace };
  const { pid } = process;
  const details = {
    pid,
    apiHost: "127.0.0.1",
    httpPort: 1,
    grpcPort: 1,
    appPort: undefined,
    appPid: undefined,
    command: "",
    startedAtMs: 0,
    gracefulShutdownMs: 5000,
    controlToken: "",
  };
  const instance = { app, instanceId: "left-over", host: "127.0.0.1", port, wire: "lean" } as const;
  await store.put([{ instance, details, process: identityOf(pid), leaseUntilMs: Date.now() + 3_600_000 }]);
  await store.close();
}

const FORGED: Readonly<Record<string, string>> = {
  "outrigger-target": "caller.default",
  "outrigger-error": "Internal",
  "Outrigger-Anything": "forged",
  "dapr-caller-app-id": "forged",
  "Dapr-Caller-Namespace": "forged",
  "dapr-caller-anything": "forged",
  "dapr-callee-app-id": "forged",
  "dapr-callee-namespace": "forged",
  "destination-app-id": "forged",
};

test("what only Outrigger may say is not believed when a caller says it", async (t) => {
  const home = ownHome(t);
  const app = await startInTestApp(t);
  const callee = await startBeside(t, "callee", app.port, { home });
  const caller = await startBeside(t, "caller", undefined, { home });
  for (const [{ api }, toldByOutrigger] of [
    [callee, []],
    [caller, ["dapr-callee-app-id=callee", "dapr-caller-app-id=caller", "dapr-caller-namespace=default"]],
  ] as const) {
    app.whole.length = 0;
    const headers = { ...FORGED, "x-plain": "kept" };
    const response = await fetch(`${api}/v1.0/invoke/callee/method/x`, { headers });
    assert.equal(response.status, 200);
    const { headers: flat = [] } = app.whole[0] ?? {};
    const pairs = flat.flatMap((name, index) =>
      index % 2 === 0 ? [`${name.toLowerCase()}=${flat[index + 1] ?? ""}`] : [],
    );
    assert.ok(pairs.includes("x-plain=kept"));
    const special = pairs.filter((pair) => /^(?:outrigger-|dapr-call|destination-app-id)/.test(pair));
    assert.deepEqual(special.sort(), toldByOutrigger);
  }
});

test("an app cannot pass its answer off as an error of its sidecar", async (t) => {
  const home = ownHome(t);
  const app = await startInTestApp(t, (_request, response) => {
    response.writeHead(200, { "outrigger-error": "not-this-app" }).end("an answer");
  });
  await startBeside(t, "callee", app.port, { home });
  const { api } = await startBeside(t, "caller", undefined, { home });
  const response = await fetch(`${api}/v1.0/invoke/callee/method/x`);
  assert.deepEqual([response.status, await response.text()], [200, "an answer"]);
  assert.equal(response.headers.get("outrigger-error"), null);
  assert.equal(app.whole.length, 1);
});

/** A command that must fail: its arguments, and what its one line must name. */
interface BadStart {
  readonly name: string;
  readonly args: (t: TestScope) => Promise<readonly string[]> | readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  readonly says: readonly RegExp[];
}

async function takenPort(t: TestScope): Promise<number> {
  const server = net.createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  return (server.address() as net.AddressInfo).port;
}

const RUN_X = ["run", "--app-id", "x"];
const APP_THAT_STAYS = ["--", NODE, "-e", "setInterval(() => {}, 1000)"];

const inUse = (flag: string, purpose: string): BadStart => ({
  name: `${flag} is in use`,
  args: async (t) => [...RUN_X, flag, String(await takenPort(t)), ...APP_THAT_STAYS],
  says: [
    new RegExp(`cannot listen on 127\\.0\\.0\\.1:\\d+ for the ${purpose} of x: the port is in use`),
    new RegExp(flag),
  ],
});

const badValue = (flag: string, value: string, advice: RegExp): BadStart => ({
  name: `${flag} is "${value}"`,
  args: () => [...RUN_X, flag, value, ...APP_THAT_STAYS],
  says: [new RegExp(`${flag} is "?${value.replace(/[.]/g, "\\.")}`), advice],
});

/** `flag` names `file` of a folder with `files`. */
const badFile = (
  name: string,
  flag: string,
  file: string,
  files: Record<string, string>,
  ...says: RegExp[]
): BadStart => ({
  name,
  args: (t) => {
    const path = join(folderWith(t, files), file);
    return flag === "-f" ? ["run", flag, path] : [...RUN_X, flag, path, ...APP_THAT_STAYS];
  },
  says,
});

const BROKEN_YAML = "a: 1\nb: [1, 2\nc: 3\n";
const CONFIG_HEAD = "apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata:\n  name: c\n";

const BAD_STARTS: readonly BadStart[] = [
  inUse("--dapr-http-port", "HTTP API"),
  inUse("--dapr-grpc-port", "gRPC API"),
  inUse("--dapr-internal-grpc-port", "internal port"),
  {
    name: "--app-port is a port of the sidecar",
    args: async () => {
      const port = String(await ownPort());
      return [...RUN_X, "--app-port", port, "--dapr-http-port", port];
    },
    says: [/--app-port and --dapr-http-port are both \d+; the app and its sidecar need different ports/],
  },
  {
    name: "the port of the app is taken by another program",
    args: async (t) => [...RUN_X, "--app-port", String(await takenPort(t)), ...APP_THAT_STAYS],
    says: [/port \d+ on 127\.0\.0\.1 answers before x has been started/, /another port with --app-port/],
  },
  {
    name: "an address to listen on is not this host's",
    args: () => [...RUN_X, "--dapr-listen-addresses", "192.0.2.1"],
    says: [/192\.0\.2\.1/, /this host has no such address/],
  },
  badValue("--app-port", "abc", /whole number/),
  badValue("--app-port", "70000", /65535/),
  badValue("--app-max-concurrency", "1.5", /whole number/),
  badValue("--max-body-size", "4Xi", /4Mi/),
  badValue("--metrics-port", "abc", /whole number/),
  badValue("--app-health-threshold", "x", /whole number/),
  badValue("--dapr-http-max-request-size", "junk", /whole number/),
  badValue("--log-level", "loud", /debug, info, warn, error/),
  {
    name: "a switch is neither true nor false",
    args: () => [...RUN_X, "--story=maybe", ...APP_THAT_STAYS],
    says: [/--story is "maybe"; give true or false/],
  },
  { name: "sidecar has no --app-id", args: () => ["sidecar"], says: [/--app-id is missing/] },
  {
    name: "--app-id has a dot",
    args: () => ["run", "--app-id", "a.b", ...APP_THAT_STAYS],
    says: [/"a\.b" is not a valid app id: a dot separates id and namespace/],
  },
  {
    name: "NAMESPACE is none",
    args: () => [...RUN_X, ...APP_THAT_STAYS],
    env: { NAMESPACE: "a b" },
    says: [/"a b" is not a valid namespace/],
  },
  { name: "a flag has no value", args: () => ["run", "--app-id"], says: [/--app-id/, /missing/] },
  badFile("--config is not there", "--config", "config.yaml", {}, /config\.yaml/, /no such file/),
  badFile("--config is a folder", "--config", ".", { "a.yaml": "" }, /cannot read /, /directory/),
  badFile("--config is not YAML", "--config", "c.yaml", { "c.yaml": BROKEN_YAML }, /\/c\.yaml:[23]: not valid YAML/),
  badFile(
    "--config has a field nobody knows",
    "--config",
    "c.yaml",
    { "c.yaml": `${CONFIG_HEAD}spec:\n  invocation:\n    preservPath: true\n` },
    /\/c\.yaml:7: unknown field "spec\.invocation\.preservPath"; did you mean "preservePath"\?/,
  ),
  badFile(
    "--config has an alias without an anchor",
    "--config",
    "c.yaml",
    { "c.yaml": `${CONFIG_HEAD}spec: *nowhere\n` },
    /\/c\.yaml:5: .*nowhere/,
  ),
  badFile(
    "--config asks for rules that this version would not keep",
    "--config",
    "c.yaml",
    { "c.yaml": `${CONFIG_HEAD}spec:\n  api: {allowed: []}\n` },
    /\/c\.yaml:6: spec\.api is not supported/,
    /remove it/,
  ),
  badFile(
    "--config has an access policy that names nobody",
    "--config",
    "c.yaml",
    { "c.yaml": `${CONFIG_HEAD}spec:\n  accessControl:\n    policies:\n    - {appId: shop, namespace: prod}\n` },
    /\/c\.yaml:8: spec\.accessControl\.policies\.0: invalid access control spec\. missing trustdomain for apps: \[shop\]/,
    /give each policy an appId, a trustDomain/,
  ),
  badFile(
    "--config has an access rule that would never match",
    "--config",
    "c.yaml",
    {
      "c.yaml": `${CONFIG_HEAD}spec:\n  accessControl:\n    policies:\n    - appId: shop\n      operations:\n      - {name: /a/**, httpVerb: [post], action: deny}\n`,
    },
    /\/c\.yaml:10: spec\.accessControl\.policies\.0\.operations\.0\.httpVerb\.0: is not a verb; use GET/,
  ),
  badFile(
    "the resources path is not there",
    "--resources-path",
    "nowhere",
    {},
    /the resources path \/.*nowhere/,
    /no such file/,
  ),
  badFile("the resources path is a file", "--resources-path", "a.yaml", { "a.yaml": "" }, /a\.yaml/, /not a directory/),
  badFile(
    "a resource is not YAML",
    "--resources-path",
    ".",
    { "r.yaml": BROKEN_YAML },
    /\/r\.yaml:[23]: not valid YAML/,
  ),
  badFile("the run file is not there", "-f", "run.yaml", {}, /cannot read .*run\.yaml/, /no such file/),
  badFile(
    "the run file is not YAML",
    "-f",
    "run.yaml",
    { "run.yaml": BROKEN_YAML },
    /\/run\.yaml:[23]: not valid YAML/,
  ),
  badFile("the run file is empty", "-f", "run.yaml", { "run.yaml": "" }, /run\.yaml: the file is empty/),
  {
    name: "the app's program is not in PATH",
    args: () => [...RUN_X, "--", "no-such-program"],
    says: [/cannot start "no-such-program": no such program in PATH/],
  },
  {
    name: "the app's program is not there",
    args: () => [...RUN_X, "--", "/nowhere/program"],
    says: [/cannot start "\/nowhere\/program": \/nowhere\/program does not exist or is not executable/],
  },
  {
    name: "the app's program is a folder",
    args: () => [...RUN_X, "--", tmpdir()],
    says: [/cannot start ".*": .* does not exist or is not executable/],
  },
  {
    name: "OUTRIGGER_HOME is a file",
    args: () => [...RUN_X, ...APP_THAT_STAYS],
    env: { OUTRIGGER_HOME: "/etc/hostname" },
    says: [/cannot use \/etc\/hostname as Outrigger's home/, /set OUTRIGGER_HOME to a writable directory/],
  },
  {
    name: "OUTRIGGER_HOME cannot be made",
    args: () => [...RUN_X, ...APP_THAT_STAYS],
    env: { OUTRIGGER_HOME: "/proc/outrigger" },
    says: [/cannot use \/proc\/outrigger as Outrigger's home/, /set OUTRIGGER_HOME to a writable directory/],
  },
  {
    name: "OUTRIGGER_HOME is relative",
    args: () => [...RUN_X, ...APP_THAT_STAYS],
    env: { OUTRIGGER_HOME: "here" },
    says: [/OUTRIGGER_HOME is "here"; give it as an absolute path/],
  },
  {
    name: "with -f an app's flags are given",
    args: () => ["run", "-f", "dapr.yaml", "--app-port", "80"],
    says: [/--app-port cannot be given with -f; set it for the app in the run file/],
  },
];

describe("run does not start, and says in one line why and what to do, where", {
  concurrency: 3,
  timeout: 240_000,
}, () => {
  for (const { name, args, env, says } of BAD_STARTS) {
    test(name, async (t) => {
      const home = ownHome(t);
      const run = await runToEnd(t, await args(t), { home, ...(env === undefined ? {} : { env }) });
      assert.equal(run.code, 1, run.stdout + run.stderr);
      const lines = run.stderr.split("\n");
      assert.deepEqual([lines.length, lines.at(-1)], [2, ""], run.stderr);
      for (const said of says) assert.match(run.stderr, said);
      await nothingRunsUnder(env?.["OUTRIGGER_HOME"] ?? home);
    });
  }
});

test("sidecar says the same of its ports and its files", async (t) => {
  const home = ownHome(t);
  const port = await takenPort(t);
  const local = ["--dapr-listen-addresses", "127.0.0.1", "--dapr-internal-grpc-listen-address", "127.0.0.1"];
  const inUse = await runToEnd(t, ["sidecar", "--app-id", "x", ...local, "--dapr-http-port", String(port)], { home });
  assert.equal(inUse.code, 1);
  assert.match(inUse.stderr, /^outrigger: cannot listen on 127\.0\.0\.1:\d+ .*--dapr-http-port\n$/);
  const noFile = await runToEnd(t, ["sidecar", "--app-id", "x", ...local, "--config", "/nowhere/c.yaml"], { home });
  assert.equal(noFile.code, 1);
  assert.match(noFile.stderr, /^outrigger: cannot read \/nowhere\/c\.yaml: .*\n$/);
});

test("a registry that cannot be opened is named, with what to do", async (t) => {
  const home = ownHome(t);
  rmSync(home, { recursive: true });
  const folder = folderWith(t, { registry: "a file where a folder should be" });
  const run = await runToEnd(t, [...RUN_X, ...APP_THAT_STAYS], { home: folder });
  assert.equal(run.code, 1);
  assert.match(run.stderr, /^outrigger: cannot open the registry at \/.*registry: .*OUTRIGGER_HOME.*\n$/);
  await nothingRunsUnder(folder);
});
