// The rows that are measured on every path: calls of one shape each, and streams of events.
import { interleaved } from "./measure.mjs";
import { PATHS, startCheckingApp, startConstantApp } from "./paths.mjs";
import { freePorts, memoryOf } from "./processes.mjs";

const HEAT_MS = 1500;
const WARM_MS = 300;
const STREAMS = { streams: 1000, events: 20, everyMs: 100 };

const KIB = 1024;
const MIB = 1024 * KIB;

/**
 * `app` says which one answers: `constant` is nginx, `checking` is the Node app. The headline's row is also the one with 32
 * connections and the one with 5 request headers.
 */
export const CALL_ROWS = [
  { key: "headline", group: "headline", title: "20 bytes", app: "constant", to: "/x" },
  download("down-1k", "1 KiB down", KIB),
  download("down-64k", "64 KiB down", 64 * KIB),
  download("down-1m", "1 MiB down", MIB),
  connections(1),
  connections(200),
  connections(1000),
  headers(20),
  headers(60),
  upload("up-1k", "1 KiB up", KIB),
  upload("up-64k", "64 KiB up", 64 * KIB),
  upload("up-1m", "1 MiB up", MIB),
  {
    key: "chunked",
    group: "bodies",
    title: "16 KiB both ways, chunked",
    app: "checking",
    to: "/echo",
    spec: { upload: 16 * KIB, chunked: true },
  },
  { key: "streams", group: "streams", title: "an event to each of 1,000 streams", app: "checking", to: "/events" },
];

/**
 * @param {{ workshop: import("./paths.mjs").Workshop, load: import("./measure.mjs").Load, programs: Set<string>,
 *   say: (text: string) => void }} bench
 * @param {typeof CALL_ROWS} rows
 * @param {(typeof PATHS)[number]["key"][]} keys of the paths to measure
 */
export async function measureCallRows(bench, rows, keys, plan) {
  const results = [];
  const wanted = PATHS.filter(({ key, program }) => {
    return keys.includes(key) && (program === undefined || bench.programs.has(program));
  });
  for (const kind of ["constant", "checking"]) {
    const ofKind = rows.filter((row) => row.app === kind);
    if (ofKind.length > 0) results.push(...(await measureWithApp(bench, kind, ofKind, wanted, plan)));
  }
  return results;
}

async function measureWithApp(bench, kind, rows, wanted, plan) {
  const { workshop, load, programs, say } = bench;
  const [appPort] = await freePorts(1);
  const apps =
    kind === "constant" ? await startConstantApp(workshop, programs, [appPort]) : [await startCheckingApp(appPort)];
  const paths = [];
  try {
    for (const { start, ...path } of wanted) {
      say(`starting ${path.title}`);
      const way = { ...path, processes: [] };
      paths.push(way);
      try {
        Object.assign(way, await start({ workshop, appPort }));
        await heat(load, way);
      } catch (error) {
        way.failed = error.message;
      }
    }
    const results = [];
    for (const row of rows) {
      const once = (path) => measureOnce(row, path, { load, ms: plan.ms, app: apps[0] });
      const rounds = row.key === "headline" ? plan.headlineRounds : plan.rounds;
      const cells = await interleaved(paths, rounds, once, (text) => say(`${row.title}: ${text}`));
      const memory = cells.map((cell, index) => ({ ...cell, rss: row.key === "headline" ? rssOf(paths[index]) : [] }));
      results.push({ key: row.key, group: row.group, title: row.title, cells: memory });
    }
    return results;
  } finally {
    for (const { processes } of paths) await Promise.all(processes.map((process) => process.end()));
    await Promise.all(apps.map((app) => app.end()));
  }
}

/** Code that has not run often is not compiled yet; nobody's first second counts. */
async function heat(load, { port, prefix }) {
  await load.calls({ port, paths: [`${prefix}/x`], connections: 32, ms: HEAT_MS }, []);
}

async function measureOnce(row, { port, prefix, processes }, { load, ms, app }) {
  const pids = processes.flatMap((process) => process.pids);
  const path = `${prefix}${row.to}`;
  if (row.key !== "streams") {
    return load.calls({ port, paths: [path], connections: 32, ms, warmMs: WARM_MS, ...row.spec }, pids);
  }
  const { streams, events, everyMs } = STREAMS;
  return load.streams({ port, path, streams, events }, pids, () => app.tell({ events, everyMs }), events * everyMs);
}

function rssOf({ processes }) {
  const ofAll = (process) => process.pids.map((pid) => memoryOf(pid).rss);
  return processes.map((process) => ofAll(process).reduce((sum, rss) => sum + rss, 0));
}

function download(key, title, bytes) {
  return { key, group: "bodies", title, app: "constant", to: `/bytes/${bytes}`, spec: { download: bytes } };
}

function upload(key, title, bytes) {
  return { key, group: "bodies", title, app: "checking", to: "/sink", spec: { upload: bytes } };
}

function connections(count) {
  const title = count === 1 ? "1 connection" : `${count.toLocaleString("en")} connections`;
  const key = `connections-${count}`;
  return { key, group: "connections", title, app: "constant", to: "/x", spec: { connections: count } };
}

function headers(count) {
  const key = `headers-${count}`;
  return { key, group: "headers", title: `${count} headers`, app: "constant", to: "/x", spec: { headers: count } };
}
