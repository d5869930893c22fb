import { CliError } from "./cli-error.ts";
import { FLAGS, type Flag, type FlagKind, type FlagName } from "./flags.ts";

/** What was typed, by flag: every value, in order. A switch without a value is typed as "true". */
export type TypedFlags = Readonly<Partial<Record<string, readonly string[]>>>;

/** The values of flags, read as what they are. */
export class FlagValues {
  readonly #typed: TypedFlags;

  /** @throws {CliError} where a value is not of its flag's kind, whether or not anything asks for it. */
  constructor(typed: TypedFlags) {
    for (const { name, kind } of FLAGS as readonly Flag[]) {
      for (const value of typed[name] ?? []) READERS[kind](name, value);
    }
    this.#typed = typed;
  }

  has(name: FlagName): boolean {
    return this.#typed[name] !== undefined;
  }

  text(name: FlagName): string | undefined {
    return this.#typed[name]?.at(-1) ?? flagNamed(name).default;
  }

  list(name: FlagName): readonly string[] {
    return this.#typed[name] ?? [];
  }

  switch(name: FlagName, fallback = false): boolean {
    const text = this.text(name);
    return text === undefined ? fallback : readSwitch(name, text);
  }

  count(name: FlagName): number | undefined {
    const text = this.text(name);
    return text === undefined ? undefined : readCount(name, text);
  }

  /** The default for 0 or less, as in daprd. For flags that have one. */
  positive(name: FlagName): number {
    const count = this.count(name) ?? 0;
    return count > 0 ? count : readCount(name, flagNamed(name).default ?? "");
  }

  /** Undefined where none was given; in Dapr, 0 and -1 say so too. */
  port(name: FlagName): number | undefined {
    const text = this.text(name);
    return text === undefined ? undefined : readPort(name, text);
  }

  /** Bytes; the default for 0 or less, as in daprd. */
  size(name: FlagName): number {
    const bytes = readBytes(name, this.text(name) ?? "");
    return bytes > 0 ? bytes : readBytes(name, flagNamed(name).default ?? "");
  }
}

const READERS: Readonly<Record<FlagKind, (name: string, text: string) => unknown>> = {
  text: (_, text) => text,
  list: (_, text) => text,
  switch: readSwitch,
  count: readCount,
  port: readPort,
  size: readBytes,
};

function readSwitch(name: string, text: string): boolean {
  if (/^(?:true|t|1)$/i.test(text)) return true;
  if (/^(?:false|f|0)$/i.test(text)) return false;
  throw new CliError(`--${name} is "${text}"; give true or false`);
}

function readCount(name: string, text: string): number {
  if (!/^-?\d{1,9}$/.test(text)) throw new CliError(`--${name} is "${text}"; give a whole number`);
  return Number(text);
}

function readPort(name: string, text: string): number | undefined {
  const port = readCount(name, text);
  if (port <= 0) return undefined;
  if (port > 65_535) throw new CliError(`--${name} is ${port}; ports end at 65535`);
  return port;
}

function readBytes(name: string, text: string): number {
  const match = /^(-?\d+(?:\.\d+)?)(Ki|Mi|Gi|Ti|k|K|M|G|T)?$/.exec(text);
  if (match === null) throw new CliError(`--${name} is "${text}"; give bytes, or a size as 4Ki, 4Mi or 100M`);
  return Math.floor(Number(match[1]) * (UNITS[match[2] ?? ""] ?? 1));
}

// Kubernetes' quantities, which daprd reads these flags as.
const UNITS: Readonly<Record<string, number>> = {
  k: 1e3,
  K: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
};

/**
 * Says which of the flags that were given do nothing in this version.
 *
 * @throws {CliError} where one asks for something that must not be left out silently.
 */
export function judgeFlags(typed: TypedFlags): string[] {
  const warnings: string[] = [];
  for (const [name, values] of Object.entries(typed)) {
    const flag = (FLAGS as readonly Flag[]).find((candidate) => candidate.name === name);
    if (flag === undefined || flag.state === "works" || flag.state === "ignored") continue;
    const value = values?.at(-1) ?? "";
    if (flag.state === "refused") {
      if (asksForNothing(flag, value)) continue;
      throw new CliError(`--${name} ${value} is not supported by this version of Outrigger${only(flag)}`);
    }
    // Also where it is given its default: who types it counts on it.
    warnings.push(`--${name} is accepted and has no effect in this version of Outrigger`);
  }
  return warnings;
}

/** Compared as what they mean: `0` is `false` to Go's flags, and daprd does not mind the case of a protocol. */
function asksForNothing({ name, kind, harmless }: Flag, value: string): boolean {
  if (harmless === undefined) return false;
  if (kind === "switch") return readSwitch(name, value) === readSwitch(name, harmless);
  return value.toLowerCase() === harmless.toLowerCase();
}

function only(flag: Flag): string {
  return flag.harmless === undefined ? "; leave it out" : `; leave it out, or give ${flag.harmless}`;
}

function flagNamed(name: FlagName): Flag {
  const flag = (FLAGS as readonly Flag[]).find((candidate) => candidate.name === name);
  if (flag === undefined) throw new Error(`there is no flag --${name}`);
  return flag;
}
