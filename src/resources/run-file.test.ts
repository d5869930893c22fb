import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { locateRunFile, type RunFile, type RunFileApp, readRunFile } from "./run-file.ts";

const folder = mkdtempSync(join(tmpdir(), "outrigger-test-"));
after(() => {
  rmSync(folder, { recursive: true });
});

const file = join(folder, "dapr.yaml");

/** A run file that stands in `folder`. */
function readAll(text: string): RunFile {
  writeFileSync(file, text);
  return readRunFile(file);
}

function read(text: string): readonly RunFileApp[] {
  return readAll(text).apps;
}

function readOne(text: string): RunFileApp {
  const [app, ...others] = read(text);
  assert.ok(app);
  assert.deepEqual(others, []);
  return app;
}

test("an app is its directory, its command and its environment", () => {
  assert.deepEqual(
    readOne(`
version: 1
apps:
  - appID: math
    appDirPath: ./services/math
    command: [python3, math.py]
    env: { DEBUG: true, LEVEL: 3, NAME: x }
`),
    {
      appId: "math",
      appDirPath: join(folder, "services/math"),
      command: ["python3", "math.py"],
      env: { DEBUG: "true", LEVEL: "3", NAME: "x" },
      flags: { config: [], "resources-path": [] },
      logs: { app: "console", sidecar: "console" },
      warnings: [],
    },
  );
});

test("an app without an id is called like its directory", () => {
  assert.equal(readOne("version: 1\napps:\n  - appDirPath: ./services/math/\n").appId, "math");
});

test("an app without a command is started by somebody else", () => {
  assert.deepEqual(readOne("version: 1\napps:\n  - appDirPath: .\n    appPort: 5001\n").command, []);
});

test("a key without a value is as good as none, and a variable without one is empty", () => {
  const { command, env, flags, warnings, logs } = readOne(`
version: 1
name:
common:
apps:
  - appDirPath: .
    appPort:
    logLevel: ~
    resourcesPaths:
    runtimePath:
    appLogDestination:
    command:
    env: { EMPTY: , TEXT: x }
`);
  assert.deepEqual([command, env, warnings], [[], { EMPTY: "", TEXT: "x" }, []]);
  assert.deepEqual(logs, { app: "console", sidecar: "console" });
  assert.deepEqual(flags, { config: [], "resources-path": [] });
});

test("a key without a value leaves what is in common", () => {
  const text = "version: 1\ncommon: { logLevel: debug }\napps:\n  - { appDirPath: ., logLevel: }\n";
  assert.deepEqual(readOne(text).flags["log-level"], ["debug"]);
});

test("an app without its directory is refused where the key stands, though it has no value", () => {
  assert.throws(() => read("version: 1\napps:\n  - appID: a\n    appDirPath:\n"), {
    name: "ResourceError",
    message: /dapr\.yaml:4: apps\.0\.appDirPath: .*expected string/,
  });
});

test("a directory stands for its dapr.yaml, and paths count from there", () => {
  writeFileSync(file, "version: 1\napps:\n  - { appDirPath: ./math }\n");
  assert.equal(readRunFile(folder).apps[0]?.appDirPath, join(folder, "math"));
  const empty = join(folder, "empty");
  mkdirSync(empty);
  assert.throws(() => readRunFile(empty), {
    name: "ResourceError",
    message: /^cannot read \/.*\/empty\/dapr\.yaml: .*no such file/,
  });
});

test("keys have older names, and an app's own wins over what is in common by whichever name", () => {
  const sizes = "daprMaxBodySize: 1Mi, daprReadBufferSize: 8Ki, daprHTTPMaxRequestSize: 2, daprHTTPReadBufferSize: 16";
  assert.deepEqual(readOne(`version: 1\napps:\n  - { appDirPath: ., ${sizes} }\n`).flags, {
    "max-body-size": ["1Mi"],
    "read-buffer-size": ["8Ki"],
    "dapr-http-max-request-size": ["2"],
    "dapr-http-read-buffer-size": ["16"],
    config: [],
    "resources-path": [],
  });
  const apps = read(`version: 1
common: { maxBodySize: 4Mi }
apps:
  - { appID: a, appDirPath: ., daprMaxBodySize: 1Mi }
  - { appID: b, appDirPath: ., daprMaxBodySize: 1Mi, maxBodySize: 2Mi }
  - { appID: c, appDirPath: . }
`);
  assert.deepEqual(
    apps.map(({ flags }) => flags["max-body-size"]),
    [["1Mi"], ["2Mi"], ["4Mi"]],
  );
});

test("keys of Dapr's run file are flags under another name", () => {
  const { flags } = readOne(`
version: 1
apps:
  - appDirPath: .
    appProtocol: http
    appPort: 5001
    appChannelAddress: 127.0.0.2
    appMaxConcurrency: 10
    appMaxQueue: 20
    apiListenAddresses: "127.0.0.1,[::1]"
    daprHTTPPort: 3501
    daprGRPCPort: 50002
    daprInternalGRPCPort: 47301
    metricsPort: 9091
    profilePort: -1
    logLevel: debug
    maxBodySize: 8Mi
    readBufferSize: 8192
    enableProfiling: false
    enableApiLogging: true
    noDefaultPubsub: true
    enableAppHealthCheck: true
    appHealthCheckPath: /health
    appHealthProbeInterval: 1
    appHealthProbeTimeout: 2
    appHealthThreshold: 3
    appSSL: false
    unixDomainSocket: /tmp
    daprHTTPMaxRequestSize: 4
    daprHTTPReadBufferSize: 4
`);
  assert.deepEqual(flags, {
    "app-protocol": ["http"],
    "app-port": ["5001"],
    "app-channel-address": ["127.0.0.2"],
    "app-max-concurrency": ["10"],
    "app-max-queue": ["20"],
    "dapr-listen-addresses": ["127.0.0.1,[::1]"],
    "dapr-http-port": ["3501"],
    "dapr-grpc-port": ["50002"],
    "dapr-internal-grpc-port": ["47301"],
    "metrics-port": ["9091"],
    "profile-port": ["-1"],
    "log-level": ["debug"],
    "max-body-size": ["8Mi"],
    "read-buffer-size": ["8192"],
    "enable-profiling": ["false"],
    "enable-api-logging": ["true"],
    "no-default-pubsub": ["true"],
    "enable-app-health-check": ["true"],
    "app-health-check-path": ["/health"],
    "app-health-probe-interval": ["1"],
    "app-health-probe-timeout": ["2"],
    "app-health-threshold": ["3"],
    "app-ssl": ["false"],
    "unix-domain-socket": ["/tmp"],
    "dapr-http-max-request-size": ["4"],
    "dapr-http-read-buffer-size": ["4"],
    config: [],
    "resources-path": [],
  });
});

test("a directory for sockets counts from the app's own, and an empty one stays empty", () => {
  const [one, two] = read(`version: 1
apps:
  - { appID: one, appDirPath: one, unixDomainSocket: sockets }
  - { appID: two, appDirPath: two, unixDomainSocket: "" }
`);
  assert.deepEqual(one?.flags["unix-domain-socket"], [join(folder, "one", "sockets")]);
  assert.deepEqual(two?.flags["unix-domain-socket"], [""]);
});

test("what common says holds for every app that does not say otherwise", () => {
  const [front, math] = read(`
version: 1
common:
  logLevel: debug
  appMaxConcurrency: 5
  enableApiLogging: true
  env: { A: common, B: common }
apps:
  - appDirPath: ./front
  - appDirPath: ./math
    logLevel: error
    enableApiLogging: false
    env: { B: own, C: own }
`);
  assert.deepEqual(front?.flags["log-level"], ["debug"]);
  assert.deepEqual(math?.flags["log-level"], ["error"]);
  assert.deepEqual(math.flags["app-max-concurrency"], ["5"]);
  assert.deepEqual(math.flags["enable-api-logging"], ["false"]);
  assert.deepEqual(front.env, { A: "common", B: "common" });
  assert.deepEqual(math.env, { A: "common", B: "own", C: "own" });
});

test("a path in common counts from the run file", () => {
  const { flags } = readOne(`
version: 1
common: { resourcesPaths: [./res, more], configFilePath: config.yaml }
apps: [{ appDirPath: ./math }]
`);
  assert.deepEqual(flags["resources-path"], [join(folder, "res"), join(folder, "more")]);
  assert.deepEqual(flags["config"], [join(folder, "config.yaml")]);
});

test("a path of an app counts from the app's directory", () => {
  const { flags } = readOne(`
version: 1
apps: [{ appDirPath: ./math, resourcesPath: ./res, configFilePath: ../config.yaml }]
`);
  assert.deepEqual(flags["resources-path"], [join(folder, "math/res")]);
  assert.deepEqual(flags["config"], [join(folder, "config.yaml")]);
});

test("an app's own Configuration replaces the common one", () => {
  const { flags } = readOne(`
version: 1
common: { configFilePath: common.yaml }
apps: [{ appDirPath: ./math, configFilePath: own.yaml }]
`);
  assert.deepEqual(flags["config"], [join(folder, "math/own.yaml")]);
});

test("an app's own resources replace the common ones", () => {
  const [front, math] = read(`
version: 1
common: { resourcesPaths: [./common] }
apps:
  - { appDirPath: ./front }
  - { appDirPath: ./math, resourcesPaths: [./own] }
`);
  assert.deepEqual(front?.flags["resources-path"], [join(folder, "common")]);
  assert.deepEqual(math?.flags["resources-path"], [join(folder, "math/own")]);
});

test("resourcesPath is one more of resourcesPaths, of an app and in common", () => {
  const [front, math] = read(`
version: 1
common: { resourcesPaths: [./a, ./b], resourcesPath: ./c }
apps:
  - { appDirPath: ./front }
  - { appDirPath: ./math, resourcesPath: ./z, resourcesPaths: [./x, ./y] }
`);
  assert.deepEqual(
    front?.flags["resources-path"],
    ["a", "b", "c"].map((name) => join(folder, name)),
  );
  assert.deepEqual(
    math?.flags["resources-path"],
    ["x", "y", "z"].map((name) => join(folder, "math", name)),
  );
});

test("an app that lists no resources has those in common", () => {
  const { flags } = readOne(`
version: 1
common: { resourcesPath: ./common }
apps: [{ appDirPath: ./math, resourcesPaths: [] }]
`);
  assert.deepEqual(flags["resources-path"], [join(folder, "common")]);
});

// Each in a directory that has both, one, or neither of what Dapr's CLI looks for in it.
mkdirSync(join(folder, "both/.dapr/resources"), { recursive: true });
writeFileSync(join(folder, "both/.dapr/config.yaml"), "");
mkdirSync(join(folder, "resources-only/.dapr/resources"), { recursive: true });
mkdirSync(join(folder, "config-only/.dapr"), { recursive: true });
writeFileSync(join(folder, "config-only/.dapr/config.yaml"), "");

const COMMON = "common: { resourcesPaths: [./common], configFilePath: common.yaml }\n";
const OWN = ", resourcesPath: own, configFilePath: own.yaml";

const PRECEDENCE: [promise: string, common: string, app: string, resources: string[], config: string[]][] = [
  ["what an app names comes before its .dapr/", COMMON, `both${OWN}`, ["both/own"], ["both/own.yaml"]],
  [
    "what stands in an app's .dapr/ comes before what is common",
    COMMON,
    "both",
    ["both/.dapr/resources"],
    ["both/.dapr/config.yaml"],
  ],
  ["an app's .dapr/ needs nothing in the file", "", "both", ["both/.dapr/resources"], ["both/.dapr/config.yaml"]],
  ["common comes where there is no .dapr/", COMMON, "neither", ["common"], ["common.yaml"]],
  [
    "resources in .dapr/ do not replace the Configuration",
    COMMON,
    "resources-only",
    ["resources-only/.dapr/resources"],
    ["common.yaml"],
  ],
  [
    "a Configuration in .dapr/ does not replace the resources",
    COMMON,
    "config-only",
    ["common"],
    ["config-only/.dapr/config.yaml"],
  ],
  [
    "naming resources leaves the Configuration in .dapr/",
    COMMON,
    "both, resourcesPath: own",
    ["both/own"],
    ["both/.dapr/config.yaml"],
  ],
  [
    "naming a Configuration leaves the resources in .dapr/",
    COMMON,
    "both, configFilePath: own.yaml",
    ["both/.dapr/resources"],
    ["both/own.yaml"],
  ],
  ["where nothing is named, nothing is", "", "neither", [], []],
];

for (const [promise, common, app, resources, config] of PRECEDENCE) {
  test(promise, () => {
    const { flags } = readOne(`version: 1\n${common}apps: [{ appDirPath: ${app} }]\n`);
    const inFolder = (path: string): string => join(folder, path);
    assert.deepEqual(flags["resources-path"], resources.map(inFolder));
    assert.deepEqual(flags["config"], config.map(inFolder));
  });
}

test("each app looks into its own directory", () => {
  const [both, neither] = read("version: 1\napps: [{ appDirPath: both }, { appDirPath: neither }]\n");
  assert.deepEqual(both?.flags["config"], [join(folder, "both/.dapr/config.yaml")]);
  assert.deepEqual(neither?.flags["config"], []);
});

test("absolute paths stay as they are", () => {
  const { appDirPath, flags } = readOne(`
version: 1
common: { resourcesPaths: [/etc/common] }
apps: [{ appDirPath: /srv/math, configFilePath: /etc/config.yaml }]
`);
  assert.equal(appDirPath, "/srv/math");
  assert.deepEqual(flags["resources-path"], ["/etc/common"]);
  assert.deepEqual(flags["config"], ["/etc/config.yaml"]);
});

test("keys without meaning here are told with their reason, those of common once", () => {
  const { apps, warnings } = readAll(`
version: 1
name: shop
common: { runtimePath: /opt/dapr, placementHostAddress: localhost, schedulerHostAddress: localhost }
apps:
  - { appID: a, appDirPath: ., containerImage: x, containerImagePullPolicy: Always, createService: true }
  - { appID: b, appDirPath: ., createService: false, runtimePath: /own }
`);
  const keysOf = (texts: readonly string[]): (string | undefined)[] => texts.map((text) => text.split(" ")[0]);
  assert.deepEqual(keysOf(warnings), ["runtimePath", "placementHostAddress", "schedulerHostAddress"]);
  assert.deepEqual(
    apps.map((app) => keysOf(app.warnings)),
    [["containerImage", "containerImagePullPolicy", "createService"], ["runtimePath"]],
  );
  assert.equal(warnings[1], "placementHostAddress of common in the run file has no effect: there are no actors here");
  assert.match(apps[1]?.warnings[0] ?? "", /^runtimePath of b in the run file has no effect: /);
  assert.deepEqual(apps[0]?.flags, { config: [], "resources-path": [] });
});

test("where lines go is said in common and by each app, and otherwise they go to the console", () => {
  const command = "command: [x]";
  const apps = read(`
version: 1
common: { appLogDestination: fileAndConsole, daprdLogDestination: file }
apps:
  - { appID: a, appDirPath: ., ${command} }
  - { appID: b, appDirPath: ., ${command}, appLogDestination: console, daprdLogDestination: fileAndConsole }
`);
  assert.deepEqual(
    apps.map(({ logs }) => logs),
    [
      { app: "fileAndConsole", sidecar: "file" },
      { app: "console", sidecar: "fileAndConsole" },
    ],
  );
});

test("an app that is not started here has no lines to put into a file, which is said where it asks for one itself", () => {
  const { warnings } = readOne("version: 1\napps: [{ appID: a, appDirPath: ., appLogDestination: file }]\n");
  assert.equal(warnings.length, 1);
  assert.match(warnings[0] ?? "", /^appLogDestination of a in the run file has no effect: it has no command/);
  const inCommon = readAll("version: 1\ncommon: { appLogDestination: file }\napps: [{ appID: a, appDirPath: . }]\n");
  assert.deepEqual([inCommon.warnings, inCommon.apps[0]?.warnings], [[], []]);
});

test("a file has a name where it is given one, and one path by whichever way it is named", () => {
  const { name, path, realPath, label } = readAll("version: 1\nname: shop\napps: [{ appDirPath: . }]\n");
  assert.deepEqual([name, path, realPath, label], ["shop", file, realpathSync(file), file]);
  const link = join(folder, "link.yaml");
  symlinkSync(file, link);
  for (const named of [file, folder, `${folder}/./dapr.yaml`, link]) assert.equal(locateRunFile(named), realPath);
  const elsewhere = join(folder, "elsewhere");
  mkdirSync(elsewhere);
  symlinkSync(file, join(elsewhere, "run.yaml"));
  const linked = readRunFile(join(elsewhere, "run.yaml"));
  assert.deepEqual([linked.realPath, linked.apps[0]?.appDirPath], [realPath, elsewhere]);
  assert.equal(locateRunFile("-"), undefined);
  assert.equal(locateRunFile("/nowhere/run.yaml"), "/nowhere/run.yaml");
});

test("~ in a path is the home directory", () => {
  const { appDirPath, flags } = readOne(
    "version: 1\napps: [{ appDirPath: ~/math, configFilePath: ~/c.yaml, resourcesPaths: [~/r, ~x] }]\n",
  );
  assert.deepEqual([appDirPath, flags["config"]], [join(homedir(), "math"), [join(homedir(), "c.yaml")]]);
  assert.deepEqual(flags["resources-path"], [join(homedir(), "r"), join(homedir(), "math", "~x")]);
});

test("resourcesPaths may be one text with commas, and words of a command may be numbers and switches", () => {
  const { command, flags } = readOne(
    "version: 1\napps: [{ appDirPath: ., resourcesPaths: 'a, ./b', command: [serve, 3000, true] }]\n",
  );
  assert.deepEqual(flags["resources-path"], [join(folder, "a"), join(folder, "b")]);
  assert.deepEqual(command, ["serve", "3000", "true"]);
});

test("apps may have one port at two addresses, and any number of them none", () => {
  const apps = read(`
version: 1
apps:
  - { appDirPath: a, appPort: 80 }
  - { appDirPath: b, appPort: 80, appChannelAddress: 127.0.0.2 }
  - { appDirPath: c, appPort: 0, daprHTTPPort: -1 }
  - { appDirPath: d, appPort: -1 }
  - { appDirPath: e, appPort: 0 }
`);
  assert.equal(apps.length, 5);
});

/** `common` with one key on line 3, an app without it. */
const inCommon = (line: string): string => `version: 1\ncommon:\n  ${line}\napps: [{ appDirPath: . }]\n`;
const inApp = (line: string): string => `version: 1\napps:\n  - appDirPath: .\n    ${line}\n`;

const REFUSED: [what: string, text: string, message: string][] = [
  ["an empty file", "# nothing\n", `${file}: the file is empty`],
  [
    "a second document",
    "version: 1\napps: [{ appDirPath: . }]\n---\na: 1\n",
    `${file}: a run file is one YAML document, this has several`,
  ],
  ["another version", "version: 2\napps: [{ appDirPath: . }]\n", `${file}:1: version: only version 1 is known`],
  ["no version", "apps: [{ appDirPath: . }]\n", `${file}:1: version: only version 1 is known`],
  ["no app", "version: 1\napps: []\n", `${file}:2: apps: names no app`],
  [
    "an unknown key of an app",
    "version: 1\napps:\n  - appDirPath: .\n    appprt: 1\n",
    `${file}:4: unknown field "apps.0.appprt"; did you mean "appPort"?`,
  ],
  [
    "a required key that is misspelled",
    "version: 1\napps:\n  - appID: math\n    appDirpath: .\n",
    `${file}:4: unknown field "apps.0.appDirpath"; did you mean "appDirPath"?`,
  ],
  [
    "a required key that is missing",
    "version: 1\napps:\n  - appID: front\n    appDirPath: .\n  - appID: math\n",
    `${file}:5: apps.1.appDirPath: Invalid input: expected string, received undefined`,
  ],
  [
    "a key of an app in common",
    "version: 1\ncommon:\n  appID: x\napps: [{ appDirPath: . }]\n",
    `${file}:3: unknown field "common.appID"`,
  ],
  [
    "a port that is none",
    "version: 1\napps:\n  - appDirPath: .\n    appPort: 65536\n",
    `${file}:4: apps.0.appPort: Too big: expected number to be <=65535`,
  ],
  [
    "a misspelled log destination of common",
    inCommon("appLogDestinaton: file"),
    `${file}:3: unknown field "common.appLogDestinaton"; did you mean "appLogDestination"?`,
  ],
  [
    "a log destination that is none, in common",
    inCommon("daprdLogDestination: disk"),
    `${file}:3: common.daprdLogDestination: Invalid option: expected one of "console"|"file"|"fileAndConsole"`,
  ],
  [
    "a log destination that is none, of an app",
    inApp("appLogDestination: File"),
    `${file}:4: apps.0.appLogDestination: Invalid option: expected one of "console"|"file"|"fileAndConsole"`,
  ],
  [
    "common that is a list",
    "version: 1\ncommon: []\napps: [{ appDirPath: . }]\n",
    `${file}:2: common: Invalid input: expected object, received array`,
  ],
  [
    "variables that are a list, in common",
    inCommon("env: [A=b]"),
    `${file}:3: common.env: Invalid input: expected record, received array`,
  ],
  [
    "a switch that is a text",
    inCommon("enableApiLogging: maybe"),
    `${file}:3: common.enableApiLogging: Invalid input: expected boolean, received string`,
  ],
  [
    "a command that is a line",
    inApp("command: python3 app.py"),
    `${file}:4: apps.0.command: expected a list of words, as ["python3", "app.py"]`,
  ],
  ["a word of a command that is a list", inApp("command: [a, [b]]"), `${file}:4: apps.0.command.1: a word is expected`],
  [
    "resources that are a map",
    inApp("resourcesPaths: { a: b }"),
    `${file}:4: apps.0.resourcesPaths: expected a list of paths`,
  ],
  [
    "a version that is a text",
    "version: '1'\napps: [{ appDirPath: . }]\n",
    `${file}:1: version: only version 1 is known`,
  ],
  [
    "two apps with one id",
    "version: 1\napps: [{ appDirPath: ./math }, { appDirPath: ./other, appID: math }]\n",
    `${file}: two apps have the id "math"; give each its own appID`,
  ],
  [
    "two apps with one port",
    "version: 1\napps: [{ appDirPath: a, appPort: 80 }, { appDirPath: b, appPort: 81 }, { appDirPath: c, appPort: 80 }]\n",
    `${file}: appPort of "a" and appPort of "c" are both 80; give each its own`,
  ],
  [
    "two sidecars with one port",
    "version: 1\napps: [{ appDirPath: a, daprHTTPPort: 80 }, { appDirPath: b, daprGRPCPort: 80 }]\n",
    `${file}: daprHTTPPort of "a" and daprGRPCPort of "b" are both 80; give each its own`,
  ],
  ...["daprHTTPPort", "daprGRPCPort", "daprInternalGRPCPort"].flatMap((key): [string, string, string][] => [
    [
      `an app whose port is ${key} of another`,
      `version: 1\napps: [{ appDirPath: a, appPort: 80 }, { appDirPath: b, ${key}: 80 }]\n`,
      `${file}: ${key} of "b" and appPort of "a" are both 80; give each its own`,
    ],
    [
      `an app whose port is its own ${key}`,
      `version: 1\napps: [{ appDirPath: a, appPort: 80, ${key}: 80 }]\n`,
      `${file}: ${key} of "a" and appPort of "a" are both 80; give each its own`,
    ],
  ]),
];

for (const [what, text, message] of REFUSED) {
  test(`refused, and said where: ${what}`, () => {
    assert.throws(() => read(text), { name: "ResourceError", message });
  });
}
