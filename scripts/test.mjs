// `npm test`: finds or installs what the tests need, checks, builds, and runs every test. `--long` runs the longer forms.
import { execFileSync, spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";

// What the tests start besides Node, and the Debian package that has it.
const PROGRAMS = { python3: "python3", go: "golang-go" };

const long = process.argv.includes("--long");
// A developer may name test files; everything else is then left out.
const named = process.argv.slice(2).filter((argument) => !argument.startsWith("--"));

installMissing();
if (named.length === 0) run("npm", ["run", "--silent", "check"]);
run("npm", ["run", "--silent", "build"]);
const files = named.length > 0 ? named : [...testFilesIn("src"), ...testFilesIn("test")];
if (files.length === 0) fail("there are no tests; something is wrong with this checkout");
run(process.execPath, ["--import", "tsx", "--test", "--test-reporter=spec", "--test-timeout=600000", ...files], {
  ...process.env,
  ...(long ? { OUTRIGGER_TEST_LONG: "1" } : {}),
});

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
  try {
    execFileSync("/bin/sh", ["-c", `command -v ${program}`], { stdio: "ignore" });
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

function run(program, args, env = process.env) {
  const { status, signal } = spawnSync(program, args, { stdio: "inherit", env });
  if (status !== 0) process.exit(status ?? (signal === null ? 1 : 128));
}

function fail(message) {
  console.error(`test: ${message}`);
  process.exit(1);
}
