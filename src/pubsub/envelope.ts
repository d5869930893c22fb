import { randomUUID } from "node:crypto";
import { goJson } from "../core/go-json.ts";
import { CloudEvent } from "./cloud-event.ts";

// Dapr's (A7).
const DEFAULT_SOURCE = "Dapr";
const DEFAULT_TYPE = "com.dapr.event.sent";
const SPEC_VERSION = '"1.0"';

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

function base64(data: Uint8Array): string {
  return `"${Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("base64")}"`;
}
