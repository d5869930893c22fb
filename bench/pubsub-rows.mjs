// What an event costs: published where nobody subscribes, published and delivered, and how long it is on its way.
import { setTimeout as sleep } from "node:timers/promises";
import { interleaved } from "./measure.mjs";
import { nodeScript, startListening } from "./paths.mjs";
import { cpuUs, freePorts } from "./processes.mjs";
import { EVENT_TOPIC, PUBSUB, UNHEARD_TOPIC } from "./published-event.mjs";
import { PUBSUB_PATHS } from "./pubsub-paths.mjs";

// Code that has not run often is not compiled yet, and what a slow disk lets through in a second is not often.
const HEAT = { events: 5000, ms: 1000, mostMs: 8000, quickMostMs: 2000 };
const FIRST_EVENT_MS = 15_000;
const DELIVERED_MS = 30_000;
const PUBLISHERS = 16;
// Low load: a hundred events a second, so that none waits for another.
const LOW_LOAD = { publishers: 1, everyMs: 10 };
const LOW_LOAD_MS = 1500;

const MEASURED_ROWS = [
  { key: "pubsub-publish", topic: UNHEARD_TOPIC, spec: { publishers: PUBLISHERS } },
  { key: "pubsub-deliver", topic: EVENT_TOPIC, spec: { publishers: PUBLISHERS } },
  { key: "pubsub-way", topic: EVENT_TOPIC, spec: LOW_LOAD },
];

export const PUBSUB_HEADLINE = "pubsub-deliver";
export const PUBSUB_ROWS = MEASURED_ROWS.map(({ key }) => key);

/**
 * @param {{ workshop: import("./paths.mjs").Workshop, load: import("./measure.mjs").Load, programs: Set<string>,
 *   say: (text: string) => void }} bench
 * @param {string[]} keys of the rows
 * @returns {Promise<{ key: string, cells: object[] }[]>} a cell for each broker; its times are those of the way to the app, where
 *   there is one, and else those of publishing
 */
export async function measurePubSub(bench, keys, plan) {
  const paths = [];
  try {
    for (const path of PUBSUB_PATHS.filter(({ key }) => plan.paths.includes(key))) {
      if (path.program !== undefined && !bench.programs.has(path.program)) {
        bench.say(`without ${path.title}: ${path.program} is not installed`);
        continue;
      }
      paths.push(await started(bench, path, plan.quick ? HEAT.quickMostMs : HEAT.mostMs));
    }
    const results = [];
    for (const { key, topic, spec } of MEASURED_ROWS.filter((row) => keys.includes(row.key))) {
      const ms = key === "pubsub-way" ? Math.max(plan.ms, LOW_LOAD_MS) : plan.ms;
      const once = (path) => measureOnce(bench.load, path, { ...spec, ms }, topic);
      results.push({ key, cells: await interleaved(paths, plan.rounds, once, (text) => bench.say(`${key}: ${text}`)) });
    }
    return results;
  } finally {
    for (const { processes, beside } of paths) {
      await Promise.all(processes.map((process) => process.end()));
      await Promise.all(beside.map((process) => process.end()));
    }
  }
}

/** One that does not deliver says why in `failed`. */
async function started({ workshop, load, say }, { key, title, start }, mostHeatMs) {
  say(`starting ${title}`);
  const [appPort] = await freePorts(1);
  const app = await startListening(nodeScript("event-app.mjs", [appPort], { ipc: true }), appPort);
  const way = { key, title, app, processes: [], beside: [app] };
  try {
    const { beside = [], ...path } = await start({ workshop, appPort });
    Object.assign(way, path, { beside: [app, ...beside] });
    await firstEvent(load, way);
    await heat(load, way, mostHeatMs);
  } catch (error) {
    way.failed = error.message;
  }
  return way;
}

async function heat(load, path, mostMs) {
  let events = 0;
  for (let ms = 0; ms < mostMs && events < HEAT.events; ms += HEAT.ms) {
    events += (await measureOnce(load, path, { publishers: PUBLISHERS, ms: HEAT.ms }, EVENT_TOPIC)).calls;
  }
}

/** A sidecar subscribes some time after it is ready, and what is published before may never come. */
async function firstEvent(load, path) {
  let arrived = false;
  const waiting = heard(path.app, 1, FIRST_EVENT_MS).then(() => {
    arrived = true;
  });
  const spec = { port: path.port, path: publishPath(EVENT_TOPIC), publishers: 1, ms: 0 };
  const publishing = (async () => {
    while (!arrived && !path.app.hasEnded) {
      await load.publishing(spec);
      await sleep(100);
    }
  })();
  try {
    await waiting;
  } finally {
    arrived = true;
    await publishing;
  }
  // Those behind the first.
  await sleep(1000);
}

/** Until the last event is there: what is published and delivered later costs no less. */
async function measureOnce(load, { port, processes, app }, spec, topic) {
  const pids = processes.flatMap((process) => process.pids);
  const began = app.said(DELIVERED_MS);
  app.tell({ type: "begin" });
  await began;
  const before = cpuUs(pids);
  const published = await load.publishing({ port, path: publishPath(topic), ...spec });
  const { calls, beganAt } = published;
  if (topic !== EVENT_TOPIC) return { ...published, cpuUs: (cpuUs(pids) - before) / calls };
  const { events, lastAt, p50Ms, p99Ms } = await heard(app, calls, DELIVERED_MS);
  if (events > calls) throw new Error(`of ${calls} events ${events} came`);
  const seconds = Number(BigInt(lastAt) - BigInt(beganAt)) / 1e9;
  return { calls, callsPerSecond: calls / seconds, p50Ms, p99Ms, cpuUs: (cpuUs(pids) - before) / calls };
}

async function heard(app, events, ms) {
  const answer = app.said(ms);
  app.tell({ type: "wait", events });
  return await answer;
}

function publishPath(topic) {
  return `/v1.0/publish/${PUBSUB}/${topic}`;
}
