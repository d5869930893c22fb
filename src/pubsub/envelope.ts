import { randomUUID } from "node:crypto";
import { goJson } from "../core/go-json.ts";
import { isJson } from "../core/json-text.ts";
import { localRfc3339, utcRfc3339 } from "../core/rfc3339.ts";
import { type TraceContext, traceIdOf } from "../core/trace-context.ts";
import { utf8Text } from "../core/utf8.ts";
import { CloudEvent } from "./cloud-event.ts";
import { contentKindOf } from "./content-kind.ts";
import type { PublishedEvent } from "./publisher.ts";
import { timeToLive } from "./ttl.ts";

/** What stands around an event when it is published. */
export interface EnvelopeContext {
  /** The source of events that do not say theirs. */
  readonly appId: string;
  readonly pubsub: string;
  readonly topic: string;
  /** What the publisher said beside the event: overrides (`cloudevent.*`), how long it lives. */
  readonly metadata: ReadonlyMap<string, string>;
  readonly trace: TraceContext;
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** Whether the broker forgets events by itself: then they do not say when they expire. */
  readonly brokerExpires: boolean;
}

// Dapr's (A7).
const DEFAULT_CONTENT_TYPE = "text/plain";
const DEFAULT_SOURCE = "Dapr";
const DEFAULT_TYPE = "com.dapr.event.sent";
const SPEC_VERSION = '"1.0"';

/**
 * The CloudEvent that carries what is published, by whatever door it came.
 *
 * @throws {Error} in the words of Go's encoding/json, where the publisher's own CloudEvent is no JSON object.
 */
export function envelopeOf({ data, contentType }: PublishedEvent, context: EnvelopeContext): CloudEvent {
  const type = contentType === undefined || contentType === "" ? DEFAULT_CONTENT_TYPE : contentType;
  return contentKindOf(type) === "event" ? ownEvent(data, context) : newEvent(data, type, context);
}

/**
 * What a subscriber to raw payloads gets of one: bytes of which nothing is known (A8). Its id is new each time, as in daprd.
 *
 * @param topic the one that it was published to.
 */
export function rawPayloadEvent(data: Uint8Array, topic: string, pubsub: string): CloudEvent {
  return new CloudEvent(
    new Map([
      ["data_base64", base64(data)],
      ["datacontenttype", '"application/octet-stream"'],
      ["id", goJson(randomUUID())],
      ["pubsubname", goJson(pubsub)],
      ["source", goJson(DEFAULT_SOURCE)],
      ["specversion", SPEC_VERSION],
      ["topic", goJson(topic)],
      ["type", goJson(DEFAULT_TYPE)],
    ]),
  );
}

/** What an event says of its request's trace; nothing where that belongs to none, or to one that is malformed. */
export function traceOf({ traceparent, tracestate = "" }: TraceContext): { traceparent: string; tracestate: string } {
  return traceIdOf(traceparent) === undefined ? NO_TRACE : { traceparent, tracestate };
}

const NO_TRACE = { traceparent: "", tracestate: "" } as const;

/** Made with its names in order, as it is written. */
function newEvent(data: Uint8Array, contentType: string, context: EnvelopeContext): CloudEvent {
  const { appId, pubsub, topic, metadata, now } = context;
  const said = overridesIn(metadata);
  const trace = traceOf(context.trace);
  const traceparent = goJson(orElse(said?.get("traceparent"), said?.get("traceid") ?? trace.traceparent));
  const members = new Map([dataMember(data, contentType), ["datacontenttype", goJson(contentType)]]);
  addExpiration(members, context);
  members.set("id", goJson(orElse(said?.get("id"), randomUUID)));
  members.set("pubsubname", goJson(pubsub));
  members.set("source", goJson(orElse(said?.get("source") ?? appId, DEFAULT_SOURCE)));
  members.set("specversion", SPEC_VERSION);
  const subject = said?.get("subject") ?? "";
  if (subject !== "") members.set("subject", goJson(subject));
  members.set("time", goJson(localRfc3339(now)));
  members.set("topic", goJson(topic));
  // Superseded by traceparent, and still read.
  members.set("traceid", traceparent);
  members.set("traceparent", traceparent);
  members.set("tracestate", goJson(said?.get("tracestate") ?? trace.tracestate));
  members.set("type", goJson(orElse(said?.get("type"), DEFAULT_TYPE)));
  return new CloudEvent(members);
}

/** The publisher's own: kept, but for where it is going and in which trace. No override touches it. */
function ownEvent(data: Uint8Array, context: EnvelopeContext): CloudEvent {
  const event = CloudEvent.parse(data);
  const { pubsub, topic, now } = context;
  const trace = traceOf(context.trace);
  const traceparent = goJson(trace.traceparent);
  const changes = new Map([
    ["pubsubname", goJson(pubsub)],
    ["topic", goJson(topic)],
    ["traceid", traceparent],
    ["traceparent", traceparent],
    ["tracestate", goJson(trace.tracestate)],
  ]);
  addExpiration(changes, context);
  const setDefault = (name: string, json: string): void => {
    if ((event.raw(name) ?? "null") === "null") changes.set(name, json);
  };
  setDefault("source", goJson(DEFAULT_SOURCE));
  setDefault("specversion", SPEC_VERSION);
  setDefault("time", goJson(localRfc3339(now)));
  setDefault("type", goJson(DEFAULT_TYPE));
  return event.with(changes);
}

/**
 * Bytes that are not UTF-8 are not text, whatever they are said to be: daprd would put U+FFFD in their place, here they are kept
 * in base64.
 */
function dataMember(data: Uint8Array, contentType: string): [string, string] {
  const kind = contentKindOf(contentType);
  const text = kind === "binary" ? undefined : utf8Text(data);
  if (text === undefined) return ["data_base64", base64(data)];
  return ["data", kind === "json" && isJson(text) ? text.trim() : goJson(text)];
}

function addExpiration(members: Map<string, string>, { metadata, now, brokerExpires }: EnvelopeContext): void {
  const ttlMs = brokerExpires ? undefined : timeToLive(metadata);
  if (ttlMs !== undefined) members.set("expiration", goJson(utcRfc3339(now + ttlMs)));
}

const OVERRIDE = "cloudevent.";

/** By what they override. A name may be in any case; of two, the one in lower case counts. Undefined where there are none. */
function overridesIn(metadata: ReadonlyMap<string, string>): ReadonlyMap<string, string> | undefined {
  if (metadata.size === 0) return undefined;
  const overrides = new Map<string, string>();
  for (const [name, value] of metadata) {
    const lower = name.toLowerCase();
    if (!lower.startsWith(OVERRIDE)) continue;
    const overridden = lower.slice(OVERRIDE.length);
    if (lower === name || !overrides.has(overridden)) overrides.set(overridden, value);
  }
  return overrides;
}

/** An override that is empty asks for the default. */
function orElse(value: string | undefined, otherwise: string | (() => string)): string {
  if (value !== undefined && value !== "") return value;
  return typeof otherwise === "string" ? otherwise : otherwise();
}

function base64(data: Uint8Array): string {
  return `"${Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("base64")}"`;
}
