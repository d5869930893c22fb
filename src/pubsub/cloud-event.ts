import { goJson } from "../core/go-json.ts";
import { goJsonError } from "../core/go-json-error.ts";
import { isTooDeep, jsonMembers, kindOfJson, stringOf } from "../core/json-text.ts";
import { utf8Text } from "../core/utf8.ts";
import { contentKindOf } from "./content-kind.ts";

/** What an event carries, for whoever does not take JSON. */
export interface EventData {
  readonly bytes: Uint8Array;
  /** Undefined where the event does not say, and nothing follows from it. */
  readonly contentType: string | undefined;
}

/**
 * An event as the wire has it: the members of a JSON object, each as the text that was written, so that numbers stay as
 * large and as exact as they came. Immutable.
 */
export class CloudEvent {
  /** Undefined until somebody asks for one, of an event that was parsed. */
  #byName: ReadonlyMap<string, string> | undefined;
  readonly #sent: Parsed | undefined;

  /** @param members JSON texts by name. */
  constructor(members: ReadonlyMap<string, string> | Parsed) {
    if ("text" in members) this.#sent = members;
    else this.#byName = members;
  }

  /** @throws {Error} in the words of Go's encoding/json, where it is not a JSON object. */
  static parse(data: Uint8Array): CloudEvent {
    const sent = utf8Text(data);
    if (sent === undefined) throw new Error("the event is not UTF-8");
    const values = valueOf(sent);
    if (values === undefined || isTooDeep(sent)) throw new Error(goJsonError(data));
    const text = sent.trim();
    const kind = kindOfJson(text);
    if (kind !== "object") {
      throw new Error(`json: cannot unmarshal ${kind} into Go value of type map[string]interface {}`);
    }
    // Most events are passed on as they came, and asked for a text or two: taking them apart would be most of the work.
    return new CloudEvent({ text, values: values.value as Readonly<Record<string, unknown>> });
  }

  get #members(): ReadonlyMap<string, string> {
    this.#byName ??= jsonMembers(this.#sent?.text ?? "{}");
    return this.#byName;
  }

  has(name: string): boolean {
    return this.#sent === undefined ? this.#members.has(name) : Object.hasOwn(this.#sent.values, name);
  }

  /** The JSON text of a member; undefined where it is not there. */
  raw(name: string): string | undefined {
    return this.#members.get(name);
  }

  /** A member that is a string; undefined where it is not there, or something else. */
  text(name: string): string | undefined {
    if (this.#sent !== undefined) {
      const { values } = this.#sent;
      const value = Object.hasOwn(values, name) ? values[name] : undefined;
      return typeof value === "string" ? value : undefined;
    }
    const raw = this.#members.get(name);
    return raw?.startsWith('"') === true ? stringOf(raw) : undefined;
  }

  /** In no particular order. */
  get names(): readonly string[] {
    return [...this.#members.keys()];
  }

  /** @param changes JSON texts by name; undefined removes. */
  with(changes: ReadonlyMap<string, string | undefined>): CloudEvent {
    const members = new Map(this.#members);
    for (const [name, raw] of changes) {
      if (raw === undefined) members.delete(name);
      else members.set(name, raw);
    }
    return new CloudEvent(members);
  }

  /** As it was parsed; of an event that was made, names in order, as Go writes maps. */
  toJson(): string {
    if (this.#sent !== undefined) return this.#sent.text;
    let json = "";
    for (const [name, raw] of inOrder(this.#members)) json += `${json === "" ? "{" : ","}${goJson(name)}:${raw}`;
    return json === "" ? "{}" : `${json}}`;
  }

  /**
   * The bytes that were published: what stands in `data_base64`, a string's characters where the content type is not
   * JSON's, else the text of `data`. Data without a type is JSON (CloudEvents 1.0, JSON format, 3.1).
   */
  dataBytes(): EventData {
    const said = this.text("datacontenttype");
    const base64 = this.text("data_base64");
    if (base64 !== undefined) return { bytes: Buffer.from(base64, "base64"), contentType: said };
    const raw = this.raw("data");
    if (raw === undefined) return { bytes: new Uint8Array(), contentType: said };
    const contentType = said ?? "application/json";
    const kind = contentKindOf(contentType);
    const isText = raw.startsWith('"') && kind !== "json" && kind !== "event";
    return { bytes: Buffer.from(isText ? stringOf(raw) : raw), contentType };
  }
}

/** What an event was parsed from. */
interface Parsed {
  /** A JSON object, without white space around it. */
  readonly text: string;
  readonly values: Readonly<Record<string, unknown>>;
}

/** Undefined for what is no JSON. */
function valueOf(text: string): { readonly value: unknown } | undefined {
  try {
    return { value: JSON.parse(text) };
  } catch {
    return undefined;
  }
}

/** Most events are made with their names in order. */
function inOrder(members: ReadonlyMap<string, string>): Iterable<readonly [string, string]> {
  let last = "";
  for (const name of members.keys()) {
    if (name < last) return [...members].sort(([a], [b]) => (a < b ? -1 : 1));
    last = name;
  }
  return members;
}
