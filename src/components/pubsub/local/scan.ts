import { statSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Logger } from "../../../core/logger.ts";
import { startChild } from "./entry.ts";
import type { ScanLine } from "./scan-process.ts";

export interface ScanReport {
  /** Undefined where the store can be used. */
  readonly damage: string | undefined;
  /** Undefined where that part can be used. */
  readonly damageOfGroups: string | undefined;
}

// After it, somebody who waits for the store to open is told why.
const SILENT_MS = 2000;

/**
 * Looks through a store that nobody has open, in a child process: a large one takes a while, and this process has other things
 * to do. Events that are damaged are told to `log`; they will not be handed out.
 */
export async function scanStore(path: string, log: string, groups: string, logger: Logger): Promise<ScanReport> {
  if (isEmpty(log)) return { damage: undefined, damageOfGroups: isEmpty(groups) ? undefined : NO_LOG };
  const child = startChild([log, groups]);
  const notice = setTimeout(() => {
    logger.info("the store is being looked through; events are taken and handed out once that is done", {
      store: path,
    });
  }, SILENT_MS);
  const report: { damage: string | undefined; damageOfGroups: string | undefined } = {
    damage: undefined,
    damageOfGroups: undefined,
  };
  let isOver = false;
  try {
    const ended = new Promise<string>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (code, signal) => {
        resolve(signal ?? `exit code ${code ?? 0}`);
      });
    });
    const lines = child.stdout === null ? [] : createInterface({ input: child.stdout });
    for await (const text of lines) {
      const line = JSON.parse(text) as ScanLine;
      switch (line.kind) {
        case "damaged store":
          report.damage = line.damage;
          break;
        case "damaged groups":
          report.damageOfGroups = line.damage;
          break;
        case "damaged event":
          logger.error("a damaged event was found; it will not be handed out", {
            store: path,
            topic: line.topic,
            event: `${line.position}`,
          });
          break;
        case "over":
          isOver = true;
          if (line.damagedEvents > 0) {
            logger.error("events in the store are damaged; the others are handed out", {
              store: path,
              damaged: line.damagedEvents,
              events: line.events,
            });
          }
          break;
      }
    }
    const ending = await ended;
    if (!isOver) throw new Error(`the process that looks through the store at ${path} ended early (${ending})`);
    return report;
  } finally {
    clearTimeout(notice);
  }
}

const NO_LOG = "the events that it is about are gone";

function isEmpty(folder: string): boolean {
  return (statSync(join(folder, "data.mdb"), { throwIfNoEntry: false })?.size ?? 0) === 0;
}
