import { goJsonError } from "../core/go-json-error.ts";
import { isJson, type JsonKind, jsonElements, jsonMembers, kindOfJson, stringOf } from "../core/json-text.ts";
import { utf8Text } from "../core/utf8.ts";
import { contentKindOf } from "./content-kind.ts";
import { fromGoBase64 } from "./go-base64.ts";
import { bulkEntryIdsMalformed, bulkEventMismatch, bulkRequestMalformed, type PublishPlace } from "./publish-errors.ts";
import type { PublishedEntry } from "./publisher.ts";

/**
 * The entries of a bulk publish over HTTP: `[{entryId, event, contentType, metadata}]`. The event is what its content type says
 * (A7): base64 in a string, a string, or any JSON, whose text is kept as it was written.
 *
 * @throws {OutriggerError} bulkRequestMalformed, bulkEventMismatch, bulkEntryIdsMalformed.
 */
export function bulkEntriesIn(body: Uint8Array, place: PublishPlace): readonly PublishedEntry[] {
  const ids = new Set<string>();
  return rawEntries(body, place).map(({ entryId, event, contentType, metadata }) => {
    const data = dataOf(event, contentType, place);
    if (entryId === "" || ids.has(entryId)) throw bulkEntryIdsMalformed(place);
    ids.add(entryId);
    return { entryId, data, contentType, metadata };
  });
}

interface RawEntry {
  readonly entryId: string;
  /** JSON text; `null` where there is none. */
  readonly event: string;
  readonly contentType: string;
  readonly metadata: ReadonlyMap<string, string>;
}

function rawEntries(body: Uint8Array, place: PublishPlace): readonly RawEntry[] {
  try {
    return elementsOf(body).map(rawEntry);
  } catch (cause) {
    throw bulkRequestMalformed(place, cause);
  }
}

/** @throws {Error} in Go's words. */
function elementsOf(body: Uint8Array): readonly string[] {
  const sent = utf8Text(body);
  if (sent === undefined) throw new Error("the request is not UTF-8");
  if (!isJson(sent)) throw new Error(goJsonError(body));
  const text = sent.trim();
  const kind = kindOfJson(text);
  // As Go, to which null is an empty list.
  if (kind === "null") return [];
  if (kind !== "array") throw new Error(`json: cannot unmarshal ${kind} into Go value of type []${ENTRY}`);
  return jsonElements(text);
}

const ENTRY = "http.bulkPublishMessageEntry";

function rawEntry(text: string): RawEntry {
  const kind = kindOfJson(text);
  if (kind !== "object" && kind !== "null") {
    throw new Error(`json: cannot unmarshal ${kind} into Go value of type ${ENTRY}`);
  }
  const members = kind === "null" ? new Map<string, string>() : jsonMembers(text);
  return {
    entryId: stringField(members, "entryId"),
    event: field(members, "event") ?? "null",
    contentType: stringField(members, "contentType"),
    metadata: metadataIn(members),
  };
}

/** As Go finds it: where the name is there in another case only, by that. */
function field(members: ReadonlyMap<string, string>, name: string): string | undefined {
  const exact = members.get(name);
  if (exact !== undefined) return exact;
  for (const [other, raw] of members) if (other.toLowerCase() === name.toLowerCase()) return raw;
  return undefined;
}

function stringField(members: ReadonlyMap<string, string>, name: string): string {
  const raw = field(members, name) ?? "null";
  if (raw === "null") return "";
  const kind = kindOfJson(raw);
  if (kind !== "string") throw wrongField(kind, name, "string");
  return stringOf(raw);
}

function metadataIn(members: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  const raw = field(members, "metadata") ?? "null";
  const kind = kindOfJson(raw);
  if (kind === "null") return new Map();
  if (kind !== "object") throw wrongField(kind, "metadata", "map[string]string");
  return new Map([...jsonMembers(raw)].map(([name, value]) => [name, metadataValue(value)]));
}

function metadataValue(raw: string): string {
  const kind = kindOfJson(raw);
  if (kind === "null") return "";
  if (kind !== "string") throw wrongField(kind, "metadata", "string");
  return stringOf(raw);
}

function wrongField(kind: JsonKind, name: string, type: string): Error {
  return new Error(
    `json: cannot unmarshal ${kind} into Go struct field bulkPublishMessageEntry.${name} of type ${type}`,
  );
}

function dataOf(event: string, contentType: string, place: PublishPlace): Uint8Array {
  const kind = contentKindOf(contentType);
  if (kind === "json" || kind === "event") return Buffer.from(event);
  if (kind === "other" || kindOfJson(event) !== "string") {
    throw bulkEventMismatch(place, new Error("error: mismatch between contentType and event"));
  }
  const text = stringOf(event);
  if (kind === "text") return Buffer.from(text);
  try {
    return fromGoBase64(text);
  } catch (cause) {
    // "octect" is daprd's.
    const what = `error: unable to decode base64 application/octect-stream data: ${(cause as Error).message}`;
    throw bulkEventMismatch(place, new Error(what, { cause }));
  }
}
