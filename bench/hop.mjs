// `npm run bench`: what a call costs through Outrigger, in CPU time of the processes that carry it, beside a bare proxy.
// Rounds are interleaved, so that a machine that slows down slows all of them down; the table shows medians.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Pool } from "undici";

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    calls: { type: "string", default: "4000" },
    connections: { type: "string", default: "32" },
    json: { type: "boolean", default: false },
  },
});
const ROUNDS = Number(options.rounds);
const CALLS = Number(options.calls);
const CONNECTIONS = Number(options.connections);
const MAIN = new URL("../dist/cli/main.js", import.meta.url).pathname;
// Linux counts CPU time in ticks of 10 ms.
const TICK_US = 10_000;

const home = mkdtempSync(join(tmpdir(), "outrigger-bench-"));
const children = [];

try {
  const app = await startApp();
  const paths = await startPaths(app);
  for (const path of paths) await measure(path, CALLS);
  const samples = new Map(paths.map((path) => [path, []]));
  for (let round = 1; round <= ROUNDS; round++) {
    progress(`round ${round} of ${ROUNDS}`);
    for (const path of paths) samples.get(path).push(await measure(path, CALLS));
  }
  progress("");
  report(paths.map((path) => ({ name: path.name, ...summary(samples.get(path)), rssMB: rssOf(path.pids) })));
} finally {
  for (const child of children) child.kill("SIGKILL");
  rmSync(home, { recursive: true, force: true });
}

/** The app behind every path: 20 bytes of JSON. */
async function startApp() {
  const code = `require("node:http").createServer((q, r) => { q.resume(); r.end('{"hello":"wide world"}') })
    .listen(0, "127.0.0.1", function () { console.log("port " + this.address().port) })`;
  return Number(await firstMatch(start(process.execPath, ["-e", code]), /port (\d+)/));
}

async function startPaths(app) {
  const bare = start(process.execPath, [new URL("bare-proxy.mjs", import.meta.url).pathname, String(app)]);
  const barePort = await firstMatch(bare, /port (\d+)/);
  const callee = outrigger(["run", "--app-id", "callee", "--app-port", String(app), "--story=false"]);
  await firstMatch(callee, /callee\s+(http:\S+)/);
  const caller = outrigger(["run", "--app-id", "caller", "--story=false"]);
  const callerApi = await firstMatch(caller, /caller\s+(http:\S+)/);
  const runFile = join(home, "dapr.yaml");
  writeFileSync(
    runFile,
    `version: 1\napps:\n- {appID: hosted, appDirPath: ., appPort: ${app}}\n- {appID: beside, appDirPath: .}\n`,
  );
  const host = outrigger(["run", "-f", runFile, "--story=false"]);
  const hostApi = await firstMatch(host, /beside\s+(http:\S+)/);
  return [
    {
      name: "bare node:http + undici proxy, one hop",
      origin: `http://127.0.0.1:${barePort}`,
      path: "/",
      pids: [bare.pid],
    },
    { name: "Outrigger, co-hosted apps", origin: hostApi, path: "/v1.0/invoke/hosted/method/x", pids: [host.pid] },
    {
      name: "Outrigger, two processes",
      origin: callerApi,
      path: "/v1.0/invoke/callee/method/x",
      pids: [caller.pid, callee.pid],
    },
  ];
}

/** @returns {Promise<{ cpuUs: number, p50Ms: number, p99Ms: number, callsPerSecond: number }>} */
async function measure({ origin, path, pids }, calls) {
  const pool = new Pool(origin, { connections: CONNECTIONS });
  const times = [];
  const before = cpuTicks(pids);
  const began = performance.now();
  let left = calls;
  const worker = async () => {
    while (left-- > 0) {
      const sent = performance.now();
      const { statusCode, body } = await pool.request({ path, method: "GET" });
      await body.dump();
      if (statusCode !== 200) throw new Error(`${origin}${path} answered ${statusCode}`);
      times.push(performance.now() - sent);
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, worker));
  const seconds = (performance.now() - began) / 1000;
  const cpuUs = ((cpuTicks(pids) - before) * TICK_US) / calls;
  await pool.close();
  times.sort((a, b) => a - b);
  return { cpuUs, p50Ms: times[calls >> 1], p99Ms: times[Math.floor(calls * 0.99)], callsPerSecond: calls / seconds };
}

function summary(samples) {
  const median = (key) => samples.map((sample) => sample[key]).sort((a, b) => a - b)[samples.length >> 1];
  return {
    cpuUs: median("cpuUs"),
    p50Ms: median("p50Ms"),
    p99Ms: median("p99Ms"),
    callsPerSecond: median("callsPerSecond"),
  };
}

function report(rows) {
  if (options.json) {
    console.log(JSON.stringify(rows, undefined, 2));
    return;
  }
  const [{ cpuUs: base }] = rows;
  console.log(
    `\n${CONNECTIONS} connections, ${CALLS} calls a round, median of ${ROUNDS} rounds, Node ${process.versions.node}\n`,
  );
  console.log("| path | CPU µs/call | ratio | p50 ms | p99 ms | calls/s | RSS MB |\n|---|---|---|---|---|---|---|");
  for (const { name, cpuUs, p50Ms, p99Ms, callsPerSecond, rssMB } of rows) {
    const cells = [
      cpuUs.toFixed(0),
      (cpuUs / base).toFixed(2),
      p50Ms.toFixed(2),
      p99Ms.toFixed(2),
      callsPerSecond.toFixed(0),
      rssMB,
    ];
    console.log(`| ${[name, ...cells].join(" | ")} |`);
  }
}

function cpuTicks(pids) {
  const ticksOf = (pid) => {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return Number(fields[11]) + Number(fields[12]);
  };
  return pids.map(ticksOf).reduce((sum, ticks) => sum + ticks, 0);
}

function rssOf(pids) {
  const mb = (pid) => Math.round(Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))[1]) / 1024);
  return pids.map(mb).join(" + ");
}

function outrigger(args) {
  return start(process.execPath, [MAIN, ...args]);
}

function start(program, args) {
  const env = { ...process.env, OUTRIGGER_HOME: home, NO_COLOR: "1" };
  const child = spawn(program, args, { cwd: home, env, stdio: ["ignore", "pipe", "inherit"] });
  children.push(child);
  return child;
}

async function firstMatch(child, pattern) {
  let output = "";
  for (;;) {
    const [chunk] = await once(child.stdout, "data");
    output += chunk;
    const match = pattern.exec(output);
    if (match !== null) {
      child.stdout.resume();
      return match[1];
    }
  }
}

function progress(text) {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
}
