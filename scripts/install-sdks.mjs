// Installs what the tests of foreign clients run, from the registries of their languages into .test-tmp/sdk, once for each
// checkout: node scripts/install-sdks.mjs [go|grpcurl|python|java]…  What is there already costs nothing. Versions are those that
// test/fixtures/sdk names. Two of these at once wait for each other.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dirname, "..");
const fixtures = join(root, "test/fixtures/sdk");
const target = join(root, ".test-tmp/sdk");
const PATIENCE_MS = 8 * 60_000;

const GRPCURL = "github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.3";
// What go.mod asks for.
const GO_TOOLCHAIN = "go1.24.13";
// GOGC: the compiler spends a quarter less time.
const GO_ENV = { GOFLAGS: "", GOWORK: "off", GOTOOLCHAIN: "auto", GOGC: "400" };
// Without optimising, it spends a quarter less again; these programs live for seconds.
const GO_BUILD = ["-gcflags=all=-N -l", "-ldflags=-s -w"];

const INSTALLS = {
  go: {
    what: "Dapr's SDK for Go",
    inputs: () => filesIn("go"),
    install: async (folder) => {
      const args = ["build", "-mod=readonly", "-buildvcs=false", ...GO_BUILD, "-o", join(folder, "program"), "."];
      await run(await goProgram(), args, { cwd: join(fixtures, "go"), env: GO_ENV });
    },
  },
  grpcurl: {
    what: "grpcurl",
    inputs: () => [Buffer.from(GRPCURL)],
    install: async (folder) => {
      await run(await goProgram(), ["install", ...GO_BUILD, GRPCURL], { env: { ...GO_ENV, GOBIN: folder } });
    },
  },
  python: {
    what: "Dapr's SDK for Python",
    inputs: () => [readFileSync(join(fixtures, "python/requirements.txt"))],
    install: async (folder) => {
      const exactly = [
        "--no-deps",
        "--only-binary=:all:",
        "--no-compile",
        "-r",
        join(fixtures, "python/requirements.txt"),
      ];
      const quietly = ["--quiet", "--disable-pip-version-check", "--root-user-action=ignore"];
      await run("python3", ["-m", "pip", "install", ...quietly, ...exactly, "--target", join(folder, "packages")]);
    },
  },
  java: {
    what: "Dapr's SDK for Java",
    inputs: () => filesIn("java"),
    install: async (folder) => {
      const copy = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies";
      const quietly = ["--batch-mode", "--quiet", "--no-transfer-progress", "-Dstyle.color=never"];
      const lib = join(folder, "lib");
      await run("mvn", [...quietly, "-f", join(fixtures, "java/pom.xml"), copy, `-DoutputDirectory=${lib}`]);
      const sources = readdirSync(join(fixtures, "java")).filter((name) => name.endsWith(".java"));
      const options = ["-encoding", "UTF-8", "-proc:none", "-d", join(folder, "classes"), "-cp", join(lib, "*")];
      await run("javac", [...options, ...sources], { cwd: join(fixtures, "java") });
    },
  },
};

const [flag, ...rest] = process.argv.slice(2);
if (flag === "--locked") {
  await install(rest[0]);
} else {
  const named = process.argv.slice(2);
  const missing = (named.length > 0 ? named : Object.keys(INSTALLS)).filter((kind) => !isInstalled(kind));
  // Go's two compile much the same packages, and all have two cores.
  const isGo = (kind) => kind === "go" || kind === "grpcurl";
  const queues = [missing.filter(isGo), missing.filter((kind) => !isGo(kind))];
  await Promise.all(queues.map(installOneByOne));
}

async function installOneByOne(kinds) {
  for (const kind of kinds) {
    try {
      await installAlone(kind);
    } catch (error) {
      console.error(`install-sdks: ${error.message}`);
      process.exitCode = 1;
    }
  }
}

/** The kernel lets go of the lock when its process ends, however that comes about. */
async function installAlone(kind) {
  mkdirSync(target, { recursive: true });
  const script = [process.execPath, import.meta.filename, "--locked", kind];
  await run("flock", [join(target, `${kind}.lock`), ...script], { shows: true });
}

async function install(kind) {
  // Another one may have done it while this one waited.
  if (isInstalled(kind)) return;
  const { what, install } = INSTALLS[kind];
  const folder = join(target, kind);
  const startedAt = performance.now();
  console.log(`installing ${what} for the tests`);
  try {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    await install(folder);
    writeFileSync(stampOf(kind), digestOf(kind));
  } catch (error) {
    console.error(`${what} could not be installed: ${error.message}`);
    process.exitCode = 1;
    return;
  }
  console.log(`installed ${what} in ${((performance.now() - startedAt) / 1000).toFixed(1)} s`);
}

function isInstalled(kind) {
  if (!(kind in INSTALLS)) throw new Error(`there is no ${kind}; there are ${Object.keys(INSTALLS).join(", ")}`);
  return existsSync(stampOf(kind)) && readFileSync(stampOf(kind), "utf8") === digestOf(kind);
}

function stampOf(kind) {
  return join(target, kind, "installed");
}

function digestOf(kind) {
  const hash = createHash("sha256");
  for (const input of INSTALLS[kind].inputs()) hash.update(input);
  return hash.digest("hex");
}

function filesIn(name) {
  const folder = join(fixtures, name);
  const names = readdirSync(folder).sort();
  return names.flatMap((name) => [Buffer.from(name), readFileSync(join(folder, name))]);
}

/**
 * A Go that understands the go.mod of today. Since 1.21 it fetches a newer toolchain where one is needed; for the 1.19 of
 * Debian 12 this does what that would do: toolchains are modules, whose programs are not executable yet.
 */
async function goProgram() {
  const version = await run("go", ["env", "GOVERSION"], { env: { GOTOOLCHAIN: "local" } });
  const [, minor = "0"] = /^go1\.(\d+)/.exec(version) ?? [];
  if (Number(minor) >= 21) return "go";
  const platform = await run("go", ["env", "GOOS", "GOARCH"]);
  const toolchain = `golang.org/toolchain@v0.0.1-${GO_TOOLCHAIN}.${platform.trim().replace("\n", "-")}`;
  // Somewhere else than in a module: its go.mod would be read.
  const { Dir: folder } = JSON.parse(await run("go", ["mod", "download", "-json", toolchain], { cwd: target }));
  const tools = join(folder, "pkg/tool", platform.trim().replace("\n", "_"));
  for (const tool of readdirSync(tools)) chmodSync(join(tools, tool), 0o755);
  chmodSync(join(folder, "bin/go"), 0o755);
  return join(folder, "bin/go");
}

/** @returns what it wrote to stdout. @throws Error with the last lines of what it said. */
function run(program, args, { cwd = root, env = {}, shows = false } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd,
      env: { ...process.env, ...env },
      stdio: ["ignore", shows ? "inherit" : "pipe", "pipe"],
      timeout: PATIENCE_MS,
    });
    let stdout = "";
    let output = "";
    child.stdout?.on("data", (chunk) => {
      stdout += chunk;
      output += chunk;
    });
    child.stderr.on("data", (chunk) => {
      output += chunk;
    });
    child.on("error", (error) => {
      reject(new Error(`${program} cannot be started: ${error.message}`));
    });
    child.on("close", (code, signal) => {
      if (code === 0) {
        resolve(stdout);
        return;
      }
      const last = output.trim().split("\n").slice(-20).join("\n");
      reject(new Error(shows ? last : `${program} ${args[0]} ended with ${code ?? signal}:\n${last}`));
    });
  });
}
