import type { Logger } from "../../core/logger.ts";
import type { MetricsRule, Rewrite } from "../../resources/metrics-spec.ts";
import { type AnyFamily, exposition } from "./exposition.ts";
import { Family, MAX_SERIES } from "./family.ts";
import { Counter, Gauge, Histogram } from "./slots.ts";

export interface RegistryOptions {
  readonly appId: string;
  readonly rules: readonly MetricsRule[];
  readonly log: Logger;
}

interface Described {
  readonly name: string;
  readonly help: string;
  readonly labels: readonly string[];
}

/** The metrics of one sidecar. */
export class MetricRegistry {
  readonly #options: RegistryOptions;
  readonly #families: AnyFamily[] = [];

  constructor(options: RegistryOptions) {
    this.#options = options;
  }

  counter(name: string, help: string, ...labels: readonly string[]): Family<Counter> {
    return this.#added(this.#family("counter", { name, help, labels }, () => new Counter()));
  }

  gauge(name: string, help: string, ...labels: readonly string[]): Family<Gauge> {
    return this.#added(this.#family("gauge", { name, help, labels }, () => new Gauge()));
  }

  /** @param bounds ascending. */
  histogram(name: string, help: string, bounds: readonly number[], ...labels: readonly string[]): Family<Histogram> {
    return this.#added(this.#family("histogram", { name, help, labels }, () => new Histogram(bounds)));
  }

  /** In the text format, in pieces. */
  exposition(): Generator<string> {
    return exposition(this.#families);
  }

  #added<F extends AnyFamily>(family: F): F {
    this.#families.push(family);
    return family;
  }

  #family<Slot>(
    type: "counter" | "gauge" | "histogram",
    { name, help, labels }: Described,
    create: () => Slot,
  ): Family<Slot> {
    const { appId, log } = this.#options;
    const remedy = labels.includes("path")
      ? "spec.metrics.http.increasedCardinality: false, or pathMatching, makes them fewer"
      : "spec.metrics.rules can make them fewer";
    const onOverflow = (full: string): void => {
      log.warn(
        `dapr_${full} has ${MAX_SERIES} sets of labels, and further ones are counted together as _overflow; ${remedy}`,
      );
    };
    return new Family<Slot>({ name, help, type, labels, appId, rewrites: this.#rewritesFor(name), create, onOverflow });
  }

  #rewritesFor(name: string): ReadonlyMap<string, readonly Rewrite[]> {
    const rules = this.#options.rules.filter(({ metric }) => metric === name || metric === `dapr_${name}`);
    return new Map(rules.map(({ label, rewrites }) => [label, rewrites]));
  }
}
