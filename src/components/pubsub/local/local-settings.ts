import { parseGoDuration } from "../../../core/go-duration.ts";
import type { ComponentMetadata } from "../../contract/component-metadata.ts";

export interface LocalSettings {
  /** Handler calls of one subscription at once; 1 means that the whole group has one event in flight. */
  readonly concurrency: number;
  /** How long events are kept, in milliseconds. */
  readonly retentionMs: number;
  /** How much is kept of all topics together; undefined for as much as there is room for. */
  readonly retentionBytes: number | undefined;
  readonly newGroupsStartAt: "earliest" | "latest";
}

const FIELDS = ["concurrency", "retention", "retentionBytes", "newGroupsStartAt"] as const;
const DEFAULT_CONCURRENCY = 10;
const MOST_CONCURRENCY = 1000;
const DEFAULT_RETENTION = "168h";

/** @throws {Error} naming file, line, field and what it can be. */
export function readLocalSettings(metadata: ComponentMetadata): LocalSettings {
  metadata.refuseUnknown(FIELDS);
  const wrong = (field: (typeof FIELDS)[number], what: string): Error =>
    new Error(`${metadata.placeOf(field)}: ${field}: "${metadata.get(field) ?? ""}" is not ${what}`);
  const whole = (field: (typeof FIELDS)[number], most: number): number | undefined => {
    const text = metadata.get(field);
    if (text === undefined) return undefined;
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= 1 && value <= most) return value;
    throw wrong(field, `a whole number from 1 to ${most}`);
  };
  const retentionMs = parseGoDuration(metadata.get("retention") ?? DEFAULT_RETENTION);
  if (retentionMs === undefined || retentionMs < 1000) {
    throw wrong("retention", 'a duration of at least a second; write one like "168h" or "30m"');
  }
  const startAt = metadata.get("newGroupsStartAt") ?? "earliest";
  if (startAt !== "earliest" && startAt !== "latest") throw wrong("newGroupsStartAt", '"earliest" or "latest"');
  return {
    concurrency: whole("concurrency", MOST_CONCURRENCY) ?? DEFAULT_CONCURRENCY,
    retentionMs,
    retentionBytes: whole("retentionBytes", Number.MAX_SAFE_INTEGER),
    newGroupsStartAt: startAt,
  };
}
