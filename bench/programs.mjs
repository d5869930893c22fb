// nginx and HAProxy come from the system's packages: found, or installed where that can be done without asking.
import { spawnSync } from "node:child_process";
import { existsSync, rmSync, writeFileSync } from "node:fs";

const PACKAGES = { nginx: "nginx-light", haproxy: "haproxy" };
// Debian asks this program whether a freshly installed service may start; 101 is no (invoke-rc.d(8)).
const SERVICE_POLICY = "/usr/sbin/policy-rc.d";
// A package mirror that does not answer must not hold up the tests.
const INSTALL_MS = 180_000;

/** @returns {Set<string>} those of the programs that can be started. */
export function programsThatWork(names, say) {
  const missing = names.filter((name) => !isInstalled(name));
  if (missing.length > 0) install(missing, say);
  return new Set(names.filter(isInstalled));
}

/** @returns {string} as the program tells it: `nginx 1.22.1`, or nothing where it cannot be asked. */
export function versionOf(name) {
  const { stdout, stderr } = spawnSync(name, ["-v"], { encoding: "utf8", env: withSbin() });
  return /\d+\.\d+(?:\.\d+)*/.exec(`${stdout}${stderr}`)?.[0] ?? "";
}

/** Debian keeps both where a user's PATH does not look. */
export function withSbin(env = process.env) {
  return { ...env, PATH: `${env.PATH}:/usr/sbin:/usr/local/sbin` };
}

function install(missing, say) {
  if (process.getuid?.() !== 0 || !isInstalled("apt-get")) {
    say(`without ${missing.join(" and ")}: not installed, and installing takes root and apt-get`);
    return;
  }
  const packages = missing.map((name) => PACKAGES[name]);
  say(`installing ${packages.join(" and ")}`);
  const holdBack = !existsSync(SERVICE_POLICY);
  if (holdBack) writeFileSync(SERVICE_POLICY, "#!/bin/sh\nexit 101\n", { mode: 0o755 });
  try {
    const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
    const run = (...args) => spawnSync("apt-get", ["-q", ...args], { encoding: "utf8", env, timeout: INSTALL_MS });
    run("update");
    const { status, stderr } = run("install", "-y", "--no-install-recommends", ...packages);
    if (status !== 0) say(`apt-get did not install them: ${stderr.trim().split("\n").at(-1)}`);
  } finally {
    if (holdBack) rmSync(SERVICE_POLICY);
  }
}

export function isInstalled(name) {
  return spawnSync("/bin/sh", ["-c", `command -v ${name}`], { env: withSbin() }).status === 0;
}
