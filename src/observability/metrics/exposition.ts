import type { Family } from "./family.ts";
import { type Counter, type Gauge, Histogram } from "./slots.ts";

/** https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format */

export type AnyFamily = Family<Counter> | Family<Gauge> | Family<Histogram>;

const PREFIX = "dapr_";
// What is written at a time: whoever scrapes takes it in pieces, and calls go on between them.
const PIECE_LENGTH = 64 * 1024;

/** All that the families hold, in pieces. One without a series is left out, as daprd leaves it out. */
export function* exposition(families: Iterable<AnyFamily>): Generator<string> {
  let piece = "";
  for (const family of families) {
    if (family.series.size === 0) continue;
    const { help, type } = family.options;
    const name = PREFIX + family.options.name;
    piece += `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`;
    for (const [labels, slot] of family.series) {
      piece += slot instanceof Histogram ? histogramLines(name, labels, slot) : `${name}{${labels}} ${slot.value}\n`;
      if (piece.length < PIECE_LENGTH) continue;
      yield piece;
      piece = "";
    }
  }
  if (piece !== "") yield piece;
}

function histogramLines(name: string, labels: string, { bounds, counts, sum }: Histogram): string {
  let lines = "";
  let upTo = 0;
  for (const [at, count] of counts.entries()) {
    upTo += count;
    lines += `${name}_bucket{${labels},le="${bounds[at] ?? "+Inf"}"} ${upTo}\n`;
  }
  return `${lines}${name}_sum{${labels}} ${sum}\n${name}_count{${labels}} ${upTo}\n`;
}
