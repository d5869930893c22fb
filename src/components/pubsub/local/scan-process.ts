import { existsSync, writeSync } from "node:fs";
import { join } from "node:path";
import { positionIn, topicIdIn } from "./keys.ts";
import { StructuralDamage, walk } from "./page-walk.ts";
import { isWhole } from "./record.ts";

/** What the child process says, a line of JSON each. */
export type ScanLine =
  | { readonly kind: "damaged store"; readonly damage: string }
  /** What groups have done since the last checkpoint is lost with it, and nothing else. */
  | { readonly kind: "damaged groups"; readonly damage: string }
  | { readonly kind: "damaged event"; readonly topic: string; readonly position: number }
  /** The last line. */
  | { readonly kind: "over"; readonly events: number; readonly damagedEvents: number };

// Named one by one; the rest are counted.
const MOST_NAMED = 20;

/** Says on standard output what {@link scan} finds. */
export function runScan([log = "", groups = ""]: readonly string[]): void {
  for (const line of scan(log, groups)) writeSync(1, `${JSON.stringify(line)}\n`);
}

/** Looks through a store that nobody has open. */
export function* scan(log: string, groups: string): Generator<ScanLine> {
  const topics = new Map<number, string>();
  const damaged: { topicId: number; position: number }[] = [];
  let events = 0;
  let damagedEvents = 0;
  const damage = damageOf(log, ({ table, key, value }) => {
    const whole = isWhole(key, value);
    if (table !== "events") {
      // Without these no event can be found.
      if (!whole) throw new StructuralDamage(`a row of "${table}" is not what was written`);
      if (table === "topics") topics.set(value.readUInt32LE(4), key.toString());
      return;
    }
    events += 1;
    if (whole) return;
    damagedEvents += 1;
    if (damaged.length < MOST_NAMED) damaged.push({ topicId: topicIdIn(key), position: positionIn(key) });
  });
  if (damage !== undefined) yield { kind: "damaged store", damage };
  for (const { topicId, position } of damaged) {
    yield { kind: "damaged event", topic: topics.get(topicId) ?? `number ${topicId}`, position };
  }
  const damageOfGroups = damageOf(groups, () => undefined);
  if (damageOfGroups !== undefined) yield { kind: "damaged groups", damage: damageOfGroups };
  yield { kind: "over", events, damagedEvents };
}

function damageOf(
  folder: string,
  look: (row: { table: string; key: Buffer; value: Buffer }) => void,
): string | undefined {
  const file = join(folder, "data.mdb");
  if (!existsSync(file)) return undefined;
  try {
    for (const row of walk(file)) look(row);
    return undefined;
  } catch (error) {
    if (error instanceof StructuralDamage || error instanceof RangeError) return error.message;
    throw error;
  }
}
