import parse from "parse-prometheus-text-format";

/** What a sidecar's metrics port says, read by a parser that is not ours. */

export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  /** Of a histogram, how many values it has. */
  readonly value: number;
  readonly sum: number;
  /** Of a histogram: how many values up to each bound. */
  readonly buckets: Readonly<Record<string, number>>;
}

export interface Metric {
  readonly type: string;
  readonly samples: readonly Sample[];
}

export class Scrape {
  readonly #metrics: ReadonlyMap<string, Metric>;

  /** @param text in Prometheus' format. */
  constructor(text: string) {
    const types = new Map(parse(text).map(({ name, type }) => [name, type.toLowerCase()]));
    // The parser makes one series of all that a histogram has; of what it takes for plain samples, it keeps the labels.
    const plain = parse(text.replaceAll(/^# .*\n/gm, ""));
    // Series whose lines stand between those of others come in several pieces.
    const samplesOf = (name: string): readonly PlainSample[] =>
      plain
        .filter((metric) => metric.name === name)
        .flatMap(({ metrics }) => metrics)
        .map(({ labels = {}, value }) => ({ labels, value: Number(value) }));
    this.#metrics = new Map(
      [...types].map(([name, type]) => {
        const samples =
          type === "histogram"
            ? histogramsOf(samplesOf(`${name}_count`), samplesOf(`${name}_sum`), samplesOf(`${name}_bucket`))
            : samplesOf(name).map((sample) => ({ ...sample, sum: Number.NaN, buckets: {} }));
        return [name, { type, samples }];
      }),
    );
  }

  get metrics(): ReadonlyMap<string, Metric> {
    return this.#metrics;
  }

  /** Those of `dapr_<name>` with these labels among theirs. */
  samples(name: string, labels: Readonly<Record<string, string>> = {}): readonly Sample[] {
    const all = this.#metrics.get(`dapr_${name}`)?.samples ?? [];
    return all.filter((sample) => Object.entries(labels).every(([label, value]) => sample.labels[label] === value));
  }

  /** The sum over those; of a histogram, of how many values they have. */
  count(name: string, labels: Readonly<Record<string, string>> = {}): number {
    return this.samples(name, labels).reduce((sum, { value }) => sum + value, 0);
  }
}

export async function scrape(port: number | undefined, path = "/"): Promise<Scrape> {
  const response = await fetch(`http://127.0.0.1:${String(port)}${path}`);
  return new Scrape(await response.text());
}

type PlainSample = Pick<Sample, "labels" | "value">;

function histogramsOf(
  counts: readonly PlainSample[],
  sums: readonly PlainSample[],
  buckets: readonly PlainSample[],
): readonly Sample[] {
  return counts.map(({ labels, value }) => {
    const own = buckets.filter((bucket) => sameLabels(withoutBound(bucket.labels), labels));
    return {
      labels,
      value,
      sum: sums.find((sum) => sameLabels(sum.labels, labels))?.value ?? Number.NaN,
      buckets: Object.fromEntries(own.map((bucket) => [bucket.labels["le"] ?? "", bucket.value])),
    };
  });
}

function withoutBound(labels: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(labels).filter(([name]) => name !== "le"));
}

function sameLabels(a: Readonly<Record<string, string>>, b: Readonly<Record<string, string>>): boolean {
  return JSON.stringify(Object.entries(a).sort()) === JSON.stringify(Object.entries(b).sort());
}
