import {
  type CelEnv,
  type CelFunc,
  type CelInput,
  type CelMap,
  CelScalar,
  celEnv,
  celFunc,
  celType,
  isCelError,
  isCelList,
  isCelMap,
  isCelUint,
  parse,
  plan,
} from "@bufbuild/cel";
import { strings } from "@bufbuild/cel/ext";
import { messageOf } from "../core/errors.ts";
import type { CloudEvent } from "./cloud-event.ts";
import type { Evaluated, EventExpression, EventExpressions } from "./event-expressions.ts";
import { celMapOf, celOfJson, type LazyMembers } from "./json-cel.ts";

/**
 * CEL with @bufbuild/cel, whose values are those of cel-go wherever that has any. Beyond it, ints and doubles may be mixed in
 * arithmetic, as JSON has but one kind of number: `event.data.n % 2 == 0`.
 */
export class CelExpressions implements EventExpressions {
  readonly #env: CelEnv = celEnv({ funcs: [...strings, ...mixedArithmetic()] });

  compile(expression: string): EventExpression {
    const evaluate = this.#planned(expression);
    return (event) => {
      try {
        const value = evaluate({ event: celMapOf(new EventMembers(event)) });
        return isCelError(value) ? { error: inWords(value.message) } : { value };
      } catch (error) {
        return thrown(error);
      }
    };
  }

  show(value: unknown): string {
    const shown = write(value, 0);
    return shown.length > LONGEST_SHOWN ? `${shown.slice(0, LONGEST_SHOWN)}…` : shown;
  }

  typeOf(value: unknown): string {
    return celType(value as Parameters<typeof celType>[0]).name;
  }

  #planned(expression: string): ReturnType<typeof plan> {
    try {
      const parsed = parse(expression);
      const unknown = calledFunctions(parsed.expr).find((name) => this.#env.funcs.find(name) === undefined);
      if (unknown !== undefined) throw new Error(`there is no function ${unknown}`);
      return plan(this.#env, parsed);
    } catch (cause) {
      const why = cause instanceof RangeError ? "it is nested too deeply" : messageOf(cause);
      const message = `"${expression.slice(0, LONGEST_SHOWN)}" is no CEL expression: ${why.replace("<input>:1:", "column ")}`;
      throw new Error(message, { cause });
    }
  }
}

const LONGEST_SHOWN = 200;
const DEEPEST_SHOWN = 3;

function thrown(error: unknown): Evaluated {
  return { error: error instanceof RangeError ? "the event is nested too deeply" : messageOf(error) };
}

/** `event`: its members, and of binary data the bytes as `data`. Each is read when it is asked for, once. */
class EventMembers implements LazyMembers {
  readonly #event: CloudEvent;
  readonly #read = new Map<string, CelInput>();

  constructor(event: CloudEvent) {
    this.#event = event;
  }

  get size(): number {
    return this.#event.names.length;
  }

  get(name: string): CelInput | undefined {
    const known = this.#read.get(name);
    if (known !== undefined) return known;
    const value = this.#valueOf(name);
    if (value !== undefined) this.#read.set(name, value);
    return value;
  }

  keys(): Iterable<string> {
    return this.#event.names;
  }

  #valueOf(name: string): CelInput | undefined {
    const raw = this.#event.raw(name);
    if (raw !== undefined) return celOfJson(raw);
    const base64 = name === "data" ? this.#event.text("data_base64") : undefined;
    return base64 === undefined ? undefined : new Uint8Array(Buffer.from(base64, "base64"));
  }
}

function mixedArithmetic(): CelFunc[] {
  const { INT, DOUBLE } = CelScalar;
  const operations: Readonly<Record<string, (left: number, right: number) => number>> = {
    "_+_": (left, right) => left + right,
    "_-_": (left, right) => left - right,
    "_*_": (left, right) => left * right,
    "_/_": (left, right) => left / right,
    "_%_": remainder,
  };
  const mixed = Object.entries(operations).flatMap(([name, operation]) => [
    celFunc(name, [INT, DOUBLE], DOUBLE, (left, right) => operation(Number(left), right)),
    celFunc(name, [DOUBLE, INT], DOUBLE, (left, right) => operation(left, Number(right))),
  ]);
  return [...mixed, celFunc("_%_", [DOUBLE, DOUBLE], DOUBLE, remainder)];
}

function remainder(left: number, right: number): number {
  if (right === 0) throw new Error("modulus by zero");
  return left % right;
}

/** Of a tree of expressions, whatever the kind of its nodes. */
function calledFunctions(node: unknown): string[] {
  if (typeof node !== "object" || node === null) return [];
  const { case: kind, value } = node as { case?: unknown; value?: { function?: unknown } };
  const name = kind === "callExpr" ? value?.function : undefined;
  // Operators have names that no function can have.
  const own = typeof name === "string" && /^[A-Za-z]\w*$/.test(name) ? [name] : [];
  return [...own, ...Object.values(node).flatMap(calledFunctions)];
}

/** An error of the library's, for whoever wrote the rule. */
function inWords(message: string): string {
  const field = /^field not found: (.*)$/s.exec(message);
  if (field !== null) return `there is no field ${field[1] ?? ""}; has() tells beforehand`;
  if (message === "unresolved attribute")
    return "it names something that there is not; what an event has begins with event.";
  const overload = /^found no matching overload for '?(?<what>[^' ]+)'? applied to '\((?<types>.*)\)'$/s.exec(message);
  if (overload?.groups === undefined) return message;
  const { what = "", types = "" } = overload.groups;
  return `${what.replaceAll("_", "")} cannot be applied to ${types.split(", ").join(" and ")}`;
}

function write(value: unknown, depth: number): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "number") return Number.isInteger(value) && Math.abs(value) < 1e21 ? `${value}.0` : `${value}`;
  if (typeof value === "bigint" || typeof value === "boolean" || value === null) return `${value}`;
  if (isCelUint(value)) return `${value.value}u`;
  if (value instanceof Uint8Array) return `${value.length} bytes`;
  const isDeep = depth >= DEEPEST_SHOWN;
  if (isCelList(value)) return isDeep ? "[…]" : `[${written(value, depth)}]`;
  if (isCelMap(value)) return isDeep ? "{…}" : `{${writtenMembers(value, depth)}}`;
  return celType(value as Parameters<typeof celType>[0]).name;
}

function written(values: Iterable<unknown>, depth: number): string {
  return first([...values])
    .map((value) => write(value, depth + 1))
    .join(", ");
}

function writtenMembers(map: CelMap, depth: number): string {
  return first([...map.keys()])
    .map((key) => `${write(key, depth)}: ${write(map.get(key), depth + 1)}`)
    .join(", ");
}

function first<Item>(items: readonly Item[]): readonly Item[] {
  return items.slice(0, LONGEST_SHOWN);
}
