// What a sidecar is by itself: how soon it is there, how much it holds at rest, and with much on its hands.
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { GrowthWatch, medians } from "./measure.mjs";
import { answers204, PATHS, sidecarArguments, startCheckingApp, startConstantApp } from "./paths.mjs";
import { freePorts, memoryOf } from "./processes.mjs";

export const SIDECAR_ROWS = ["start", "idle-connections", "giant"];

const STARTS = 9;
const SETTLE_MS = 3000;
const GIANT_BYTES = 1024 ** 3;
const IDLE_CONNECTIONS = 10_000;
const FIRST_CONNECTIONS = 500;
// Files that a process has open besides the connections.
const FILES_KEPT_FREE = 500;
const COMPARED = ["nginx", "undici", "plain"];

export async function measureSidecar(bench, rows) {
  const results = {};
  if (rows.includes("start")) results.start = await measureStart(bench);
  if (rows.includes("idle-connections")) results.idleConnections = await measureIdleConnections(bench);
  if (rows.includes("giant")) results.giant = await measureGiant(bench);
  return results;
}

/** From the start of the process to the first 204 of /v1.0/healthz/outbound, and what it holds some seconds later. */
async function measureStart({ workshop, programs, say }) {
  const [appPort] = await freePorts(1);
  const apps = await startConstantApp(workshop, programs, [appPort]);
  const samples = [];
  try {
    for (let start = 0; start <= STARTS; start++) {
      say(`starting a sidecar, ${start} of ${STARTS}`);
      const sample = await oneStart(workshop, appPort);
      // The first one reads its files from the disk.
      if (start > 0) samples.push(sample);
    }
  } finally {
    await Promise.all(apps.map((app) => app.end()));
  }
  return { ...medians(samples), slowestMs: Math.max(...samples.map(({ readyMs }) => readyMs)) };
}

async function oneStart(workshop, appPort) {
  const home = workshop.subfolder("home");
  const { args, port } = await sidecarArguments("app", appPort);
  const began = performance.now();
  const sidecar = workshop.outrigger(home, args);
  try {
    while (!(await answers204(port, "/v1.0/healthz/outbound"))) {
      if (sidecar.hasEnded || performance.now() - began > 20_000) throw new Error(`no start: ${sidecar.output}`);
      await sleep(1);
    }
    const readyMs = performance.now() - began;
    await sleep(SETTLE_MS);
    return { readyMs, ...memoryOf(sidecar.pid) };
  } finally {
    await sidecar.end();
  }
}

/**
 * Bytes that each connection adds that made one call and then stays. Before them the process made only a few hundred such
 * calls: after more, what V8 kept from those would take in ten thousand connections and show nothing of them.
 */
async function measureIdleConnections(bench) {
  const count = Math.min(IDLE_CONNECTIONS, openFilesAllowed() - FILES_KEPT_FREE);
  const measured = await onFreshPaths(bench, COMPARED, "constant", async (path) => {
    bench.say(`${count} idle connections: ${path.title}`);
    const pids = path.processes.flatMap((process) => process.pids);
    const calls = { port: path.port, paths: [`${path.prefix}/x`] };
    await bench.load.holding({ ...calls, connections: FIRST_CONNECTIONS }, () => undefined);
    const before = await settledRss(pids);
    const held = await bench.load.holding({ ...calls, connections: count }, () => settledRss(pids));
    return { bytesEach: (held - before) / count };
  });
  return { count, paths: measured };
}

/** How far memory grows while a gibibyte passes, in the process where it grows most. */
async function measureGiant(bench) {
  const keys = [...COMPARED, "cohosted", "two"];
  const paths = await onFreshPaths(bench, keys, "checking", async (path) => {
    await bench.load.calls({ port: path.port, paths: [`${path.prefix}/x`], connections: 100, ms: 1500 }, []);
    const down = await growthWhile(bench, path, {
      paths: [`${path.prefix}/bytes/${GIANT_BYTES}`],
      download: GIANT_BYTES,
    });
    const up = await growthWhile(bench, path, { paths: [`${path.prefix}/sink`], upload: GIANT_BYTES });
    return { down, up };
  });
  return { bytes: GIANT_BYTES, paths };
}

async function growthWhile({ load, say }, path, spec) {
  say(`1 GiB ${spec.upload === undefined ? "down" : "up"}: ${path.title}`);
  const pids = path.processes.flatMap((process) => process.pids);
  await settledRss(pids);
  const watch = new GrowthWatch(pids);
  try {
    const { cpuUs, p50Ms } = await load.calls({ port: path.port, connections: 1, ms: 0, ...spec }, pids);
    return { growth: watch.growth(), cpuMs: cpuUs / 1000, tookMs: p50Ms };
  } finally {
    watch.stop();
  }
}

/** Runs `look` on each path in processes that did nothing before. A path that fails says why. */
async function onFreshPaths({ workshop, programs, say }, keys, kind, look) {
  const [appPort] = await freePorts(1);
  const apps =
    kind === "constant" ? await startConstantApp(workshop, programs, [appPort]) : [await startCheckingApp(appPort)];
  const results = [];
  try {
    for (const { key, title, program, start } of PATHS.filter((path) => keys.includes(path.key))) {
      if (program !== undefined && !programs.has(program)) continue;
      say(`starting ${title}`);
      const path = { title, ...(await start({ workshop, appPort })) };
      try {
        results.push({ path: key, ...(await look(path)) });
      } catch (error) {
        results.push({ path: key, failed: error.message });
      } finally {
        await Promise.all(path.processes.map((process) => process.end()));
      }
    }
  } finally {
    await Promise.all(apps.map((app) => app.end()));
  }
  return results;
}

async function settledRss(pids) {
  await sleep(SETTLE_MS);
  return pids.map((pid) => memoryOf(pid).rss).reduce((sum, rss) => sum + rss, 0);
}

/** Node raises its own limit to the hard one when it starts, here and in every process that is started. */
function openFilesAllowed() {
  const [, hard] = /^Max open files\s+\d+\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8")) ?? [];
  return hard === undefined ? Number.POSITIVE_INFINITY : Number(hard);
}
