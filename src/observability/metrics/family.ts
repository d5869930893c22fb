import type { Rewrite } from "../../resources/metrics-spec.ts";

/** What stands in the place of every label of a call that came when its metric had as many series as it may have. */
export const OVERFLOW = "_overflow";
/** Sets of label values of one metric. */
export const MAX_SERIES = 2000;

export interface FamilyOptions<Slot> {
  /** Without `dapr_`. */
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge" | "histogram";
  /** All but `app_id`, which each has. */
  readonly labels: readonly string[];
  readonly appId: string;
  /** By label. */
  readonly rewrites: ReadonlyMap<string, readonly Rewrite[]>;
  create(): Slot;
  /** Called once. */
  onOverflow(name: string): void;
}

/** One metric: a slot for each set of its labels' values, and one for what is too many. */
export class Family<Slot> {
  readonly #options: FamilyOptions<Slot>;
  readonly #slots = new Map<string, Slot>();
  readonly #overflowLabels: string;

  constructor(options: FamilyOptions<Slot>) {
    this.#options = options;
    this.#overflowLabels = this.#labelsOf(options.labels.map(() => OVERFLOW));
  }

  get options(): FamilyOptions<Slot> {
    return this.#options;
  }

  /** By what stands between the braces. */
  get series(): ReadonlyMap<string, Slot> {
    return this.#slots;
  }

  /**
   * Writes text: for a path that is hot, what it gives is to be kept.
   *
   * @param values in the order of the labels.
   */
  slot(...values: readonly string[]): Slot {
    const labels = this.#labelsOf(values.map((value, at) => this.#rewritten(at, value)));
    const known = this.#slots.get(labels);
    if (known !== undefined) return known;
    if (this.#slots.size < MAX_SERIES || values.length === 0) return this.#add(labels);
    const overflow = this.#slots.get(this.#overflowLabels);
    if (overflow !== undefined) return overflow;
    this.#options.onOverflow(this.#options.name);
    return this.#add(this.#overflowLabels);
  }

  #add(labels: string): Slot {
    const slot = this.#options.create();
    this.#slots.set(labels, slot);
    return slot;
  }

  #rewritten(at: number, value: string): string {
    const rewrites = this.#options.rewrites.get(this.#options.labels[at] ?? "");
    if (rewrites === undefined || value === "") return value;
    return rewrites.reduce((text, { pattern, replacement }) => text.replace(pattern, replacement), value);
  }

  /** Sorted by name, as daprd's are. */
  #labelsOf(values: readonly string[]): string {
    const { appId, labels } = this.#options;
    const pairs = labels.map((name, at) => `${name}="${escaped(values[at] ?? "")}"`);
    if (!labels.includes("app_id")) pairs.push(`app_id="${escaped(appId)}"`);
    return pairs.sort().join(",");
  }
}

/** As the text format asks for. */
function escaped(value: string): string {
  if (!/[\\"\n]/.test(value)) return value;
  return value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}
