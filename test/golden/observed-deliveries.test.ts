import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { CloudEvent } from "../../src/pubsub/cloud-event.ts";
import type { BulkDelivery, BulkEntry, Delivery } from "../../src/pubsub/ports.ts";
import { bulkDeliveryOf, deliveryOf, grpcEventApp, httpEventApp, patient } from "../support/event-apps.ts";
import { type RecordedRequest, startRecordingApp } from "../support/recording-app.ts";
import { inEventWords, inExactForm } from "./exact-json.ts";
import { type HeaderValues, headerValues } from "./exchange.ts";
import { grpcCases, type RecordedCall, type RecordedMessage } from "./grpc-recorded-cases.ts";
import { startGrpcRecordingApp } from "./grpc-recording-app.ts";
import type { HeaderPair } from "./raw-client.ts";

/** What apps were handed by a real daprd: the same events, handed over by this sidecar, look the same. */

const APP_TOKEN = "app-token";

interface Line {
  readonly group: string;
  readonly name: string;
  readonly app: readonly RecordedRequest[];
}

const recording = new URL("../fixtures/observed/daprd-1.18.1.jsonl", import.meta.url);
const published = readFileSync(recording, "utf8")
  .trimEnd()
  .split("\n")
  .map((line) => JSON.parse(line) as Line)
  .filter(({ group, app }) => group === "publish" && app.length > 0);

// Node's server holds the length to the body; the rest is Go's, of its own connection.
const OF_THE_CONNECTION = new Set(["host", "connection", "content-length", "user-agent", "accept-encoding"]);
const OF_THE_SIDECAR = new Set(["content-type", "dapr-api-token", "traceparent", "tracestate", "grpc-trace-bin"]);

for (const { name, app } of published) {
  test(`publish: ${name}: what an HTTP app gets`, async (t) => {
    const recorder = await startRecordingApp(t);
    const handed = httpEventApp(t, recorder.port, APP_TOKEN).app;
    for (const { path, headers, body } of app) {
      const said = headerValues(headers);
      const beside = { path, metadata: metadataIn(said) };
      if (path === "/bulk") await handed.deliverBulk(batchOf(body, path), patient);
      else await handed.deliver(deliveryOf({ ...beside, ...traceIn(said), event: eventOf(body) }), patient);
    }
    assert.deepEqual(recorder.takeRequests().map(comparable), app.map(comparable));
  });
}

/** What stood beside the event at the broker. */
function metadataIn(said: HeaderValues): ReadonlyMap<string, string> {
  const own = Object.entries(said).filter(([name]) => !OF_THE_CONNECTION.has(name) && !OF_THE_SIDECAR.has(name));
  return new Map(own.map(([name, values]) => [name, values.join()]));
}

function traceIn(said: HeaderValues): Pick<Delivery, "traceparent" | "tracestate"> {
  return { traceparent: said["traceparent"]?.[0] ?? "", tracestate: said["tracestate"]?.[0] };
}

function comparable({ method, path, headers, body }: RecordedRequest): RecordedMessage {
  // daprd says of nothing that it is null, or an empty object, as it happens.
  const json = inExactForm(body.replaceAll('"metadata":null', '"metadata":{}'));
  return { method, path, headers: withoutConnection(headers), body: json };
}

function withoutConnection(headers: readonly HeaderPair[]): HeaderValues {
  return headerValues(headers.filter(([name]) => !OF_THE_CONNECTION.has(name.toLowerCase())).sort());
}

function eventOf(json: string): CloudEvent {
  return CloudEvent.parse(Buffer.from(json));
}

function batchOf(body: string, path: string): BulkDelivery {
  const { topic, entries } = JSON.parse(body) as { topic: string; entries: readonly { readonly event: object }[] };
  const events = entries.map(({ event }) => eventOf(JSON.stringify(event)));
  return bulkDeliveryOf({ id: randomUUID(), path, topic, entries: events.map(entryOf) });
}

function entryOf(event: CloudEvent): BulkEntry {
  return { entryId: randomUUID(), event, contentType: undefined, metadata: new Map() };
}

const handedOut = grpcCases.filter(({ id, app }) => /^(?:Bulk)?PublishEvent: /.test(id) && (app?.length ?? 0) > 0);

for (const { id, app = [] } of handedOut) {
  test(`${id}: what a gRPC app gets`, async (t) => {
    const recorder = await startGrpcRecordingApp(t);
    const handed = grpcEventApp(t, recorder.port, APP_TOKEN).app;
    const calls = app.filter((each) => "rpc" in each);
    for (const { rpc, metadata, request = {} } of calls) {
      const said = headerValues(metadata);
      const place = {
        topic: String(request["topic"]),
        path: typeof request["path"] === "string" ? request["path"] : "",
      };
      if (rpc === "AppCallback/OnTopicEvent") {
        const event = eventIn(request);
        await handed.deliver(deliveryOf({ ...place, ...traceIn(said), metadata: metadataIn(said), event }), patient);
      } else {
        const entries = (request["entries"] as readonly RecordedMessage[]).map((entry) =>
          entryOf(eventIn(entry["cloud_event"] as RecordedMessage)),
        );
        await handed.deliverBulk(bulkDeliveryOf({ ...place, id: randomUUID(), entries }), patient);
      }
    }
    assert.deepEqual(recorder.takeCalls().map(comparableCall), calls.map(comparableCall));
  });
}

/** The event that such a message was made of. */
function eventIn(message: RecordedMessage): CloudEvent {
  const { fields } = message["extensions"] as { readonly fields: Readonly<Record<string, { stringValue: string }>> };
  const members = new Map(Object.entries(fields).map(([name, { stringValue }]) => [name, JSON.stringify(stringValue)]));
  for (const [field, name] of Object.entries(MEMBERS)) {
    if (message[field] !== undefined) members.set(name, JSON.stringify(message[field]));
  }
  const data = (message["data"] as { readonly $bytes: string } | undefined)?.$bytes;
  const base64 = message["data_content_type"] === "application/octet-stream";
  if (data !== undefined && base64)
    members.set("data_base64", JSON.stringify(Buffer.from(data, "latin1").toString("base64")));
  else if (data !== undefined)
    members.set("data", message["data_content_type"] === "application/json" ? data : JSON.stringify(data));
  return new CloudEvent(members);
}

const MEMBERS = {
  id: "id",
  source: "source",
  type: "type",
  spec_version: "specversion",
  data_content_type: "datacontenttype",
} as const;

function comparableCall({ rpc, metadata, request, deadline }: RecordedCall): RecordedMessage {
  return { rpc, deadline, metadata: withoutConnection(metadata), request: inWords(request) };
}

/** With bytes as the recording writes them, without what is empty, and ids in words. */
function inWords(value: unknown): unknown {
  if (value instanceof Uint8Array) return { $bytes: Buffer.from(value).toString("latin1") };
  if (typeof value === "string") return inEventWords(value);
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(inWords);
  const entries = Object.entries(value).map(([name, inner]) => [name, inWords(inner)] as const);
  return Object.fromEntries(entries.filter(([, inner]) => !isEmpty(inner)).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function isEmpty(value: unknown): boolean {
  if (value === undefined || value === null) return true;
  return typeof value === "object" && Object.keys(value).length === 0;
}
