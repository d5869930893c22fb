// `npm test`: finds or installs what the tests need, checks, builds, and runs every test, then shows the quick bench. `--long`
// runs the longer forms. The last line is the sum: `N passed, N failed`.
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";

// What the tests start besides Node, and the Debian package that has it.
const PROGRAMS = {
  python3: "python3",
  pip3: "python3-pip",
  go: "golang-go",
  javac: "openjdk-17-jdk-headless",
  mvn: "maven",
  flock: "util-linux",
  curl: "curl",
  openssl: "openssl",
  nghttp: "nghttp2-client",
  ip: "iproute2",
  nginx: "nginx-light",
  "redis-server": "redis-server",
  strace: "strace",
};

// What goes over HTTP must go the same way through Node's own, which our codec hands uncommon connections to.
const TWICE = [
  "test/golden/observed.test.ts",
  ...[
    "app-protocols",
    "balancing",
    "cors",
    "h2c",
    "hostile-answers",
    "http-strictness",
    "limits",
    "polyglot",
    "public-port",
    "sdk",
    "signals",
    "streaming",
    "tokens",
    "trailers",
    "unix-sockets",
    "upgrade",
  ].map((name) => `test/integration/${name}.test.ts`),
];

const long = process.argv.includes("--long");
// A developer may name test files; everything else is then left out.
const named = process.argv.slice(2).filter((argument) => !argument.startsWith("--"));

installMissing();
if (named.length === 0) {
  run("npm", ["run", "--silent", "check"]);
  // What cannot be installed is tried again by the tests that need it, and fails them.
  spawnSync(process.execPath, ["scripts/install-sdks.mjs"], { stdio: "inherit" });
}
run("npm", ["run", "--silent", "build"]);
// Unit tests share nothing, and most of their time is Node's start; what stands in test/ starts programs of its own.
const parts =
  named.length > 0
    ? [[named, 1]]
    : [
        [testFilesIn("src"), availableParallelism()],
        [testFilesIn("test"), 1],
      ];
if (parts.some(([files]) => files.length === 0)) fail("there are no tests; something is wrong with this checkout");
const folder = mkdtempSync(join(tmpdir(), "outrigger-tally-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
const tallies = parts.map(([files, atOnce]) => runTests(files, long ? { OUTRIGGER_TEST_LONG: "1" } : {}, atOnce));
if (named.length === 0) {
  console.log("\nThe tests of HTTP once more, with OUTRIGGER_HTTP_CODEC=node:");
  tallies.push(runTests(TWICE, { OUTRIGGER_HTTP_CODEC: "node" }));
  // Shown, never judged.
  spawnSync("npm", ["run", "--silent", "bench:quick"], { stdio: "inherit" });
}
const [passed, failed] = tallies.reduce((sum, tally) => [sum[0] + tally[0], sum[1] + tally[1]]);
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = tallies.every(([, , isGood]) => isGood) ? 0 : 1;

/** @param atOnce files. @returns how many tests passed and failed, and whether all is well. */
function runTests(files, env, atOnce = 1) {
  const tally = join(folder, "tally");
  const reporters = ["spec", "./scripts/test-tally.mjs"].map((reporter) => `--test-reporter=${reporter}`);
  const destinations = ["stdout", tally].map((destination) => `--test-reporter-destination=${destination}`);
  const options = [
    "--import",
    "tsx",
    "--test",
    "--test-timeout=600000",
    `--test-concurrency=${atOnce}`,
    ...reporters,
    ...destinations,
  ];
  rmSync(tally, { force: true });
  const { status, signal } = spawnSync(process.execPath, [...options, ...files], {
    stdio: "inherit",
    env: { ...process.env, ...env },
  });
  // Ctrl-C ends everything, and what was counted until then is no result.
  if (signal !== null) process.exit(128);
  const [passed, failed] = readFileSync(tally, "utf8").split(" ").map(Number);
  return [passed, failed, status === 0];
}

function installMissing() {
  const missing = Object.keys(PROGRAMS).filter((program) => !isInstalled(program));
  if (missing.length === 0) return;
  const packages = missing.map((program) => PROGRAMS[program]);
  if (process.getuid?.() !== 0 || !isInstalled("apt-get")) {
    fail(`the tests need ${missing.join(" and ")}; install ${packages.join(" ")} and run them again`);
  }
  console.log(`installing ${packages.join(" ")}: the tests need ${missing.join(" and ")}`);
  run("apt-get", ["update", "-q"]);
  run("apt-get", ["install", "-y", "-q", "--no-install-recommends", ...packages]);
}

function isInstalled(program) {
  // Debian keeps servers where only root looks.
  const env = { ...process.env, PATH: `${process.env.PATH ?? ""}:/usr/sbin` };
  try {
    execFileSync("/bin/sh", ["-c", `command -v ${program}`], { stdio: "ignore", env });
    return true;
  } catch {
    return false;
  }
}

function testFilesIn(folder) {
  const entries = readdirSync(folder, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
  return entries.flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return testFilesIn(path);
    return entry.name.endsWith(".test.ts") ? [path] : [];
  });
}

function run(program, args) {
  const { status, signal } = spawnSync(program, args, { stdio: "inherit" });
  if (status !== 0) process.exit(status ?? (signal === null ? 1 : 128));
}

function fail(message) {
  console.error(`test: ${message}`);
  process.exit(1);
}
