import { Command, Option } from "commander";
import { nearestName } from "../core/nearest-name.ts";
import type { TypedFlags } from "./flag-values.ts";
import { type CommandName, type Flag, flagsOf } from "./flags.ts";

/** commander, told about our flags: daprd's single-dash long names, switches that take `=false`, and one-line errors. */

/** Gives `command` the flags of the table. Their values come out of {@link typedFlags}. */
export function addFlags(command: Command, name: CommandName): Command {
  for (const flag of flagsOf(name)) {
    const short = flag.short === undefined ? "" : `-${flag.short}, `;
    const value = flag.kind === "switch" ? "[true|false]" : `<${flag.kind === "list" ? "path" : flag.kind}>`;
    const option = new Option(`${short}--${flag.name} ${value}`, describe(flag));
    // A name that begins with "no-" is a name like any: to commander it would be the other side of an option.
    option.negate = false;
    option.helpGroup(`${flag.group}:`);
    option.argParser((typed: string, before: string[] | undefined) => [...(before ?? []), typed]);
    if (flag.state === "ignored" || flag.state === "refused") option.hideHelp();
    command.addOption(option);
  }
  return command;
}

/** What was typed of the flags of `name`. */
export function typedFlags(command: Command, name: CommandName): TypedFlags {
  const options = command.opts<Record<string, string[] | undefined>>();
  const typed: Record<string, readonly string[]> = {};
  for (const flag of flagsOf(name)) {
    const values = options[camelCase(flag.name)];
    if (values !== undefined) typed[flag.name] = values;
  }
  return typed;
}

/**
 * The command line as commander wants it: `-app-id x` becomes `--app-id x` (Go's flags take both), and a switch is made
 * explicit, so that it does not swallow the word behind it. Nothing after `--` or the first plain word is touched.
 */
export function normaliseArguments(args: readonly string[], name: CommandName): string[] {
  const flags = new Map(flagsOf(name).map((flag) => [flag.name, flag]));
  const shorts = new Map(
    flagsOf(name).flatMap((flag) => (flag.short === undefined ? [] : [[flag.short, flag] as const])),
  );
  const out: string[] = [];
  for (let i = 0; i < args.length; i++) {
    const arg = args[i] ?? "";
    if (arg === "--" || !arg.startsWith("-") || arg === "-") return [...out, ...args.slice(i)];
    const [, dashes = "", long = "", inline] = /^(--?)([^=]*)(=.*)?$/s.exec(arg) ?? [];
    const flag = flags.get(long) ?? (dashes === "-" ? shorts.get(long) : undefined);
    const holder = flag === undefined && dashes === "-" ? shorts.get(arg.charAt(1)) : undefined;
    if (holder !== undefined && isAttachedValue(holder, long, flags.keys())) {
      out.push(`--${holder.name}`, arg.slice(2));
      continue;
    }
    if (flag === undefined) {
      out.push(dashes === "-" && long.length > 1 ? `-${arg}` : arg);
      continue;
    }
    if (inline !== undefined || flag.kind === "switch") {
      out.push(`--${flag.name}${inline ?? "=true"}`);
    } else {
      out.push(`--${flag.name}`, ...args.slice(i + 1, i + 2));
      i++;
    }
  }
  return out;
}

/**
 * Whether `word` is a short flag with its value, as pflag takes them (`-p5001`), rather than a long flag behind one dash
 * that is not known: taking `-app-prot` for the id `pp-prot` would be worse than refusing an id.
 */
function isAttachedValue({ kind }: Flag, word: string, known: Iterable<string>): boolean {
  if (kind === "port" || kind === "size") return /^.-?\d/.test(word);
  const looksLikeName = /^[a-z\d]+(?:-[a-z\d]+)+$/.test(word);
  return word.length > 1 && !looksLikeName && nearestName(word, known) === undefined;
}

function describe(flag: Flag): string {
  const fallback = flag.default === undefined ? "" : ` (default ${flag.default})`;
  const later = flag.state === "later" ? " [no effect yet]" : "";
  return `${flag.help}${fallback}${later}`;
}

function camelCase(name: string): string {
  return name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase());
}
