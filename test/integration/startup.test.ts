import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { TestScope } from "../support/cleanup.ts";
import { residentMiB } from "../support/memory.ts";
import { DEFAULT_PUBSUB, ROOT, startOutrigger } from "../support/outrigger.ts";
import { ownPort } from "../support/own-port.ts";
import { folderWith, ownHome, runToEnd } from "../support/processes.ts";
import { startRedis } from "../support/redis-server.ts";

/** Memory is counted, not timed: a ceiling that is generous to other machines and versions of Node. */
const ONE_APP_MIB = 90;
const FURTHER_APP_MIB = 3;

/** How `sidecar` is told not to meet other sidecars on this machine. */
async function sidecarArgs(...more: string[]): Promise<string[]> {
  const ports = [await ownPort(), await ownPort()];
  return ["sidecar", "--app-id", "a", "--dapr-http-port", `${ports[0]}`, "--dapr-grpc-port", `${ports[1]}`, ...more];
}

/** The files that the process, which has ended, had loaded, by Node's own account. */
function loadedFiles(coverage: string): string[] {
  const files = readdirSync(coverage).map((name) => readFileSync(join(coverage, name), "utf8"));
  const scripts = files.flatMap((text) => (JSON.parse(text) as { result: { url: string }[] }).result);
  const bundled = scripts.flatMap(({ url }) => {
    const map = url.startsWith("file:") ? `${fileURLToPath(url)}.map` : "";
    return existsSync(map) ? (JSON.parse(readFileSync(map, "utf8")) as { sources: string[] }).sources : [];
  });
  return [...scripts.map(({ url }) => url), ...bundled];
}

/** The packages and folders of src/ that they are of. */
function partsOf(paths: readonly string[]): Set<string> {
  const part = /(?:.*node_modules\/((?:@[^/]+\/)?[^/]+)|(?:^|\/)src\/([^/]+))\//;
  return new Set(paths.flatMap((path) => part.exec(path)?.slice(1).filter(Boolean) ?? []));
}

async function partsLoadedBy(t: TestScope, args: readonly string[]): Promise<Set<string>> {
  return partsOf(await filesLoadedBy(t, args));
}

async function filesLoadedBy(t: TestScope, args: readonly string[]): Promise<string[]> {
  const coverage = folderWith(t, {});
  const sidecar = startOutrigger(t, args, { home: ownHome(t), env: { NODE_V8_COVERAGE: coverage } });
  await sidecar.waitForOutput(/is listening|Ctrl-C ends everything/);
  assert.equal(await sidecar.stop(), 0);
  return loadedFiles(coverage);
}

/** What the tarball of this package holds, unpacked as npm would; `node_modules` has what its manifest asks for and no more. */
function installPacked(t: TestScope): string {
  const folder = folderWith(t, {});
  // The scripts would build again, under the other tests.
  const pack = ["pack", "--silent", "--ignore-scripts", "--pack-destination", folder];
  const tarball = execFileSync("npm", pack, { cwd: ROOT, encoding: "utf8" }).trim();
  const installed = join(folder, "node_modules/outrigger");
  mkdirSync(installed, { recursive: true });
  execFileSync("tar", ["-xzf", join(folder, tarball), "--strip-components=1", "-C", installed]);
  const { bin, dependencies } = JSON.parse(readFileSync(join(installed, "package.json"), "utf8")) as {
    bin: { outrigger: string };
    dependencies: Record<string, string>;
  };
  for (const name of Object.keys(dependencies)) {
    symlinkSync(join(ROOT, "node_modules", name), join(folder, "node_modules", name));
  }
  const command = join(folder, "node_modules/.bin/outrigger");
  mkdirSync(join(folder, "node_modules/.bin"));
  symlinkSync(join("../outrigger", bin.outrigger), command);
  return command;
}

describe("starting", { concurrency: 2, timeout: 240_000 }, () => {
  test("a sidecar without resources loads neither yaml nor zod, and no CEL, though it has a broker", async (t) => {
    const parts = await partsLoadedBy(t, await sidecarArgs(DEFAULT_PUBSUB));
    for (const used of ["runtime", "transport", "lmdb"])
      assert.ok(parts.has(used), `${used} is among ${[...parts].join(", ")}`);
    for (const unused of ["yaml", "zod", "@bufbuild/cel", "ioredis"])
      assert.ok(!parts.has(unused), `${unused} was loaded`);
  });

  test("a sidecar without pub/sub loads no broker, and nothing that hands out events", async (t) => {
    const files = await filesLoadedBy(t, await sidecarArgs("--no-default-pubsub"));
    const loaded = (file: string): boolean => files.some((path) => path.endsWith(`src/${file}`));
    assert.ok(loaded("pubsub/subscriptions.ts"));
    for (const unused of [
      "pubsub/deliverer.ts",
      "pubsub/routing.ts",
      "components/pubsub/local/local-broker.ts",
      "runtime/resources/load-resources.ts",
      "transport/app/http-event-app.ts",
      "transport/grpc/event-stream.ts",
    ]) {
      assert.ok(!loaded(unused), `${unused} was loaded`);
    }
  });

  test("ioredis is loaded by who has events in Redis, and nobody else", async (t) => {
    const component = (type: string, metadata: string): string =>
      `apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {name: events}\nspec: {type: ${type}, metadata: ${metadata}}\n`;
    const redis = await startRedis(t);
    for (const [type, metadata, isLoaded] of [
      ["pubsub.in-memory", "[]", false],
      ["pubsub.local", "[]", false],
      ["pubsub.redis", `[{name: redisHost, value: "${redis.host}"}]`, true],
    ] as const) {
      const folder = folderWith(t, { "events.yaml": component(type, metadata) });
      const parts = await partsLoadedBy(t, await sidecarArgs("--resources-path", folder));
      assert.equal(parts.has("ioredis"), isLoaded, type);
    }
  });

  test("whoever has a Configuration or a run file loads both", async (t) => {
    const folder = folderWith(t, {
      "config.yaml": "apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata: { name: x }\n",
      "dapr.yaml": "version: 1\napps:\n- { appID: a, appDirPath: . }\n",
    });
    const sidecar = await sidecarArgs("--config", join(folder, "config.yaml"));
    for (const args of [sidecar, ["run", "-f", join(folder, "dapr.yaml")]]) {
      const parts = await partsLoadedBy(t, args);
      for (const used of ["yaml", "zod"]) assert.ok(parts.has(used), `${used} is among ${[...parts].join(", ")}`);
    }
  });

  test("the package that npm packs runs on its dependencies alone", (t) => {
    const command = installPacked(t);
    const run = (...args: string[]): string =>
      execFileSync(command, args, { encoding: "utf8", env: { ...process.env, OUTRIGGER_HOME: ownHome(t) } });
    const { version } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { version: string };
    assert.equal(run("--version").trim(), version);
    const folder = folderWith(t, { "dapr.yaml": "version: 1\napps:\n- { appID: a, appDirPath: ., command: [env] }\n" });
    assert.match(run("run", "-f", join(folder, "dapr.yaml")), /^a │ APP_ID=a$/m);
    assert.match(run("list"), /No apps are running/);
  });

  test("the stack of a failure names the sources", async (t) => {
    // What the sidecar cannot expect to fail; only so is its failure ours.
    const folder = folderWith(t, {
      "broken.mjs": `import crypto from "node:crypto"; import { syncBuiltinESMExports } from "node:module";
        crypto.randomBytes = () => { throw new Error("broken"); }; syncBuiltinESMExports();`,
    });
    const broken = pathToFileURL(join(folder, "broken.mjs")).href;
    const env = { NODE_OPTIONS: `--import=${broken}` };
    const { code, stderr } = await runToEnd(t, await sidecarArgs(), { home: ownHome(t), env });
    assert.equal(code, 1);
    assert.match(stderr, /^outrigger: Error: broken\n/);
    assert.match(stderr, new RegExp(`at Host\\.add \\(${join(ROOT, "src/runtime/host.ts")}:\\d+:\\d+\\)`));
    assert.doesNotMatch(stderr, /dist\//);
  });
});

describe("at rest", { timeout: 240_000 }, () => {
  /** Of `run` with this many apps that somebody else starts. */
  async function memoryWith(t: TestScope, count: number): Promise<number> {
    const apps = Array.from({ length: count }, (_, i) => `- { appID: app${i}, appDirPath: . }\n`);
    const folder = folderWith(t, { "dapr.yaml": `version: 1\napps:\n${apps.join("")}` });
    const run = startOutrigger(t, ["run", "-f", join(folder, "dapr.yaml")], { home: ownHome(t) });
    await run.waitForOutput(/Ctrl-C ends everything/);
    const resident = residentMiB(run.pid);
    await run.stop();
    return resident;
  }

  test(`one app takes at most ${ONE_APP_MIB} MiB, each further one at most ${FURTHER_APP_MIB}`, async (t) => {
    const [one, nine] = [await memoryWith(t, 1), await memoryWith(t, 9)];
    t.diagnostic(`one app: ${one.toFixed(1)} MiB; nine: ${nine.toFixed(1)} MiB`);
    assert.ok(one <= ONE_APP_MIB, `one app takes ${one.toFixed(1)} MiB`);
    assert.ok(nine - one <= 8 * FURTHER_APP_MIB, `eight more apps take ${(nine - one).toFixed(1)} MiB more`);
  });
});
