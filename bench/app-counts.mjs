// What a further co-hosted app costs: memory at rest, and CPU time of a call when calls go to all of them in turn.

import { setTimeout as sleep } from "node:timers/promises";
import { interleaved, medians } from "./measure.mjs";
import { startConstantApp, startHost } from "./paths.mjs";
import { freePorts, memoryOf } from "./processes.mjs";

export const APP_COUNTS_KEY = "apps";

const COUNTS = [1, 2, 8, 16];
const SETTLE_MS = 2000;
const STARTS = 3;
const WARM_MS = 1000;

export async function measureAppCounts({ workshop, load, programs, say }, { rounds, ms }) {
  const ports = await freePorts(Math.max(...COUNTS));
  const apps = await startConstantApp(workshop, programs, ports);
  const hosts = [];
  try {
    const memory = [];
    for (const count of COUNTS) {
      const samples = [];
      for (let start = 1; start <= STARTS; start++) {
        say(`${count} co-hosted apps: start ${start} of ${STARTS}`);
        const host = await startHost(
          workshop,
          ports.slice(0, count).map((port, index) => [`app${index}`, port]),
        );
        await sleep(SETTLE_MS);
        samples.push(memoryOf(host.process.pid));
        if (start < STARTS) await host.process.end();
        else hosts.push({ key: count, title: `${count} co-hosted apps`, count, ...host });
      }
      memory.push(medians(samples));
    }
    const once = ({ port, process, count }) => {
      const paths = Array.from({ length: count }, (_, index) => `/v1.0/invoke/app${index}/method/x`);
      return load.calls({ port, paths, connections: 32, ms, warmMs: WARM_MS }, [process.pid]);
    };
    const cells = await interleaved(hosts, rounds, once, say);
    return cells.map((cell, index) => ({ count: COUNTS[index], ...memory[index], ...cell }));
  } finally {
    await Promise.all([...hosts.map(({ process }) => process.end()), ...apps.map((app) => app.end())]);
  }
}

/** Bytes of memory that each app after the first adds. */
export function bytesPerFurtherApp(rows) {
  const first = rows[0];
  const last = rows.at(-1);
  return (last.rss - first.rss) / (last.count - first.count);
}
