// The rows of gRPC, measured on every way of their own: calls, streams of messages, and readers that stop reading.
import { setTimeout as sleep } from "node:timers/promises";
import { checkCall, GRPC_PATHS, startGrpcApp } from "./grpc-paths.mjs";
import { GrowthWatch, interleaved } from "./measure.mjs";
import { freePorts } from "./processes.mjs";

const HEAT_MS = 1500;
const WARM_MS = 300;
const APP_MS = 5000;
const KIB = 1024;

/** `unit` is what is counted, and what CPU time is divided by. */
const MEASURED_ROWS = [
  unary("grpc-unary", "32 at a time", { connections: 1, atOnce: 32, bytes: 20 }),
  unary("grpc-unary-1", "1 at a time", { connections: 1, atOnce: 1, bytes: 20 }),
  unary("grpc-connections-32", "1 on each of 32 connections", { connections: 32, atOnce: 1, bytes: 20 }),
  unary("grpc-down-64k", "64 KiB down, 8 at a time", { connections: 1, atOnce: 8, bytes: 64 * KIB }),
  {
    key: "grpc-server-stream",
    unit: "message",
    title: "1 KiB, of 1,000 to each of 8 streams",
    spec: { connections: 1, atOnce: 8, messages: 1000, bytes: KIB },
  },
  {
    key: "grpc-ping-pong",
    unit: "message",
    title: "20 bytes there and back, on 32 streams",
    spec: { connections: 1, atOnce: 32, pingPong: true },
  },
];
const STALLED_KEY = "grpc-stalled";
// Without HAProxy: where a reader stalls, 2.6.12 at times ends its connection to the app (GOAWAY, internal error) and cuts
// answers short, as in haproxy/haproxy issue 2388; Node's own client sees the same.
const STALLED_PATHS = ["nginx", "http2", "plain", "cohosted", "two"];
const STALLED = { streams: 16, messages: 16 * KIB, bytes: KIB, ms: 2000 };

export const GRPC_HEADLINE = "grpc-unary";
export const GRPC_ROWS = [...MEASURED_ROWS.map(({ key }) => key), STALLED_KEY];

/**
 * @param {{ workshop: import("./paths.mjs").Workshop, load: import("./measure.mjs").Load, programs: Set<string>,
 *   say: (text: string) => void }} bench
 * @param {string[]} keys of the rows
 */
export async function measureGrpc(bench, keys, plan) {
  const rows = MEASURED_ROWS.filter(({ key }) => keys.includes(key));
  const stallable = plan.paths.filter((key) => STALLED_PATHS.includes(key));
  return {
    calls: rows.length === 0 ? [] : await onPaths(bench, plan.paths, (paths) => measureRows(bench, rows, paths, plan)),
    stalled: keys.includes(STALLED_KEY)
      ? await onPaths(bench, stallable, (paths, app) => measureStalled(bench, paths, app))
      : undefined,
  };
}

/** Starts an app and each way to it; a way that does not carry a call says why in `failed`. */
async function onPaths({ workshop, load, programs, say }, keys, look) {
  const [appPort] = await freePorts(1);
  const app = await startGrpcApp(appPort);
  const paths = [];
  try {
    for (const { key, title, program, start } of GRPC_PATHS) {
      if (!keys.includes(key) || (program !== undefined && !programs.has(program))) continue;
      say(`gRPC: starting ${title}`);
      const path = { key, title, processes: [] };
      paths.push(path);
      try {
        Object.assign(path, await start({ workshop, appPort }));
        await checkCall(path);
        await load.grpc({ ...callsOn(path), connections: 1, atOnce: 32, bytes: 20, ms: HEAT_MS }, []);
      } catch (error) {
        path.failed = error.message;
      }
    }
    return await look(paths, app);
  } finally {
    for (const { processes } of paths) await Promise.all(processes.map((process) => process.end()));
    await app.end();
  }
}

async function measureRows({ load, say }, rows, paths, plan) {
  const results = [];
  for (const { key, unit, title, spec } of rows) {
    const once = (path) => load.grpc({ ...callsOn(path), ...spec, warmMs: WARM_MS, ms: plan.ms }, pidsOf(path));
    const cells = await interleaved(paths, plan.rounds, once, (text) => say(`gRPC, ${title}: ${text}`));
    results.push({ key, unit, title, cells });
  }
  return results;
}

/**
 * Callers that read the first window of a long stream and then nothing for a while: by how much the processes grow meanwhile,
 * and how many bytes of each stream the app was rid of that its caller has no room for. Afterwards they read on to the end.
 */
async function measureStalled({ load, say }, paths, app) {
  const { streams, messages, bytes } = STALLED;
  const results = [];
  for (const path of paths) {
    say(`gRPC, callers that do not read: ${path.title}`);
    try {
      if (path.failed !== undefined) throw new Error(path.failed);
      results.push({ path: path.key, ...(await measureStalledOn(path, load, app)) });
    } catch (error) {
      results.push({ path: path.key, failed: error.message });
    }
  }
  return { streams, bytes: messages * bytes, paths: results };
}

async function measureStalledOn(path, load, app) {
  const { streams, messages, bytes, ms } = STALLED;
  const pids = pidsOf(path);
  // What the load before has left behind is to be gone.
  await sleep(ms);
  const sentBefore = await sentBy(app);
  const watch = new GrowthWatch(pids);
  try {
    const spec = { ...callsOn(path), connections: 1, atOnce: streams, messages, bytes };
    return await load.stalling(spec, async ({ window }) => {
      await sleep(ms);
      const ahead = ((await sentBy(app)) - sentBefore) / streams - window;
      return { ahead, growth: watch.growth() };
    });
  } finally {
    watch.stop();
  }
}

async function sentBy(app) {
  const answer = app.said(APP_MS);
  app.tell("sent");
  return (await answer).sent;
}

function callsOn({ port, metadata }) {
  return { port, metadata };
}

function pidsOf({ processes }) {
  return processes.flatMap((process) => process.pids);
}

function unary(key, title, spec) {
  return { key, unit: "call", title, spec };
}
