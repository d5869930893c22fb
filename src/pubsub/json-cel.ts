import { type CelInput, type CelMap, celMap } from "@bufbuild/cel";

/**
 * JSON as CEL sees it, as cel-go sees what Go's encoding/json has read: numbers are doubles. Only integers that a double
 * cannot hold are ints, so that they differ from their neighbours. Objects are read as far as they are asked about.
 *
 * @throws {SyntaxError} where the text is no JSON. {RangeError} where arrays are nested thousands deep.
 */
export function celOfJson(text: string): CelInput {
  if (!MAY_HAVE_LARGE_INTEGER.test(text)) return celOf(JSON.parse(text) as Json, "");
  return celOf(JSON.parse(marked(text)) as Json, MARK);
}

type Json = null | boolean | number | string | readonly Json[] | JsonObject;

interface JsonObject {
  readonly [name: string]: Json;
}

/** What has the members of an object: a map whose values are made when they are asked for. */
export interface LazyMembers {
  readonly size: number;
  get(name: string): CelInput | undefined;
  keys(): Iterable<string>;
}

export function celMapOf(members: LazyMembers): CelMap {
  const map = celMap(new LazyMap(members));
  // The library's own takes a member that is null for one that is not there; cel-go does not.
  map.has = (key) => typeof key === "string" && map.get(key) !== undefined;
  return map;
}

// 2^53 has 16 digits.
const MAY_HAVE_LARGE_INTEGER = /\d{16}/;
const STRING_OR_NUMBER = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
// Far more digits than any number has that means something, and few enough that reading them takes no time.
const MOST_DIGITS = 1000;
const MARK = "s";
const INTEGER_MARK = "i";

/** Puts large integers into strings, and a mark at the beginning of every string, so that the two are told apart. */
function marked(text: string): string {
  return text.replace(STRING_OR_NUMBER, (token) => {
    if (token.startsWith('"')) return `"${MARK}${token.slice(1)}`;
    const isLarge = /^-?\d+$/.test(token) && token.length <= MOST_DIGITS && !Number.isSafeInteger(Number(token));
    return isLarge ? `"${INTEGER_MARK}${token}"` : token;
  });
}

/** @param mark that all strings begin with. */
function celOf(json: Json, mark: string): CelInput {
  if (typeof json === "string") {
    if (mark === "") return json;
    return json.startsWith(INTEGER_MARK) ? BigInt(json.slice(1)) : json.slice(1);
  }
  if (typeof json !== "object" || json === null) return json;
  if (isArray(json)) return json.map((item) => celOf(item, mark));
  return celMapOf(new JsonMembers(json, mark));
}

function isArray(json: object): json is readonly Json[] {
  return Array.isArray(json);
}

class JsonMembers implements LazyMembers {
  readonly #object: JsonObject;
  readonly #mark: string;

  constructor(object: JsonObject, mark: string) {
    this.#object = object;
    this.#mark = mark;
  }

  get size(): number {
    return Object.keys(this.#object).length;
  }

  get(name: string): CelInput | undefined {
    const key = this.#mark + name;
    const json = Object.hasOwn(this.#object, key) ? this.#object[key] : undefined;
    return json === undefined ? undefined : celOf(json, this.#mark);
  }

  keys(): Iterable<string> {
    return Object.keys(this.#object).map((key) => key.slice(this.#mark.length));
  }
}

type MapKey = Parameters<CelMap["has"]>[0];

/** The part of a map that CEL asks for. */
class LazyMap implements ReadonlyMap<string, CelInput> {
  readonly #members: LazyMembers;

  constructor(members: LazyMembers) {
    this.#members = members;
  }

  get size(): number {
    return this.#members.size;
  }

  get(key: MapKey): CelInput | undefined {
    return typeof key === "string" ? this.#members.get(key) : undefined;
  }

  has(key: MapKey): boolean {
    return this.get(key) !== undefined;
  }

  *keys(): MapIterator<string> {
    yield* this.#members.keys();
  }

  *entries(): MapIterator<[string, CelInput]> {
    for (const key of this.#members.keys()) yield [key, this.get(key) ?? null];
  }

  *values(): MapIterator<CelInput> {
    for (const [, value] of this.entries()) yield value;
  }

  [Symbol.iterator](): MapIterator<[string, CelInput]> {
    return this.entries();
  }

  forEach(callback: (value: CelInput, key: string, map: ReadonlyMap<string, CelInput>) => void): void {
    for (const [key, value] of this.entries()) callback(value, key, this);
  }
}
