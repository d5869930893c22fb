import type { Rewrite } from "../../resources/metrics-spec.ts";

/** What stands in the place of every label of a call that came when its metric had as many series as it may have. */
const OVERFLOW = "_overflow";
/** Sets of label values of one metric. */
export const MAX_SERIES = 2000;
/** Of a label's value; what is longer is cut. It stands on every line of a histogram, and paths come from outside. */
export const MAX_VALUE_LENGTH = 256;

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

/** A label, and where its value is among those of a call. */
interface Place {
  readonly name: string;
  readonly at: number;
}
const OWN_APP = -1;

/** One metric: a slot for each set of its labels' values, and one for what is too many. */
export class Family<Slot> {
  readonly #options: FamilyOptions<Slot>;
  readonly #slots = new Map<string, Slot>();
  readonly #places: readonly Place[];
  readonly #appId: string;
  readonly #overflowLabels: string;

  constructor(options: FamilyOptions<Slot>) {
    this.#options = options;
    this.#places = placesOf(options.labels);
    this.#appId = escaped(options.appId);
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
    const labels = this.#labelsOf(values.map((value, at) => cut(this.#rewritten(at, value))));
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

  #labelsOf(values: readonly string[]): string {
    let text = "";
    for (const { name, at } of this.#places) {
      const value = at === OWN_APP ? this.#appId : escaped(values[at] ?? "");
      text += `${text === "" ? "" : ","}${name}="${value}"`;
    }
    return text;
  }
}

/** Sorted by name, as daprd's are. */
function placesOf(labels: readonly string[]): readonly Place[] {
  const places = labels.map((name, at) => ({ name, at }));
  if (!labels.includes("app_id")) places.push({ name: "app_id", at: OWN_APP });
  return places.sort((one, other) => (one.name < other.name ? -1 : 1));
}

function cut(value: string): string {
  return value.length <= MAX_VALUE_LENGTH ? value : `${value.slice(0, MAX_VALUE_LENGTH - 1)}…`;
}

/** As the text format asks for. */
function escaped(value: string): string {
  if (!/[\\"\n]/.test(value)) return value;
  return value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}
