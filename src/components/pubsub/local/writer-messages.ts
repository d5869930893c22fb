import type { Checkpoint, Expiry, GroupRow } from "./event-log.ts";

/** What the process's main thread asks of the thread that writes, and what it is told. */

export interface WriterSetup {
  readonly log: string;
  readonly mapBytes: number | undefined;
  /** Touched after each append, for other processes to see. */
  readonly wakeFile: string;
}

export type WriterRequest =
  | AppendRequest
  | {
      readonly kind: "group";
      readonly topic: string;
      readonly group: string;
      readonly startsAt: "earliest" | "latest";
    }
  | { readonly kind: "checkpoint"; readonly checkpoints: readonly Checkpoint[] }
  | { readonly kind: "remove"; readonly topic: string; readonly position: number }
  | { readonly kind: "expire"; readonly expiry: Expiry }
  | { readonly kind: "close" };

/** Many events in one piece, which is handed over and not copied. */
export interface AppendRequest {
  readonly kind: "append";
  readonly topics: readonly string[];
  /** Of each event, its place in `topics`. */
  readonly topicOf: readonly number[];
  /** Of each event, where its record ends in `records`. */
  readonly ends: readonly number[];
  readonly records: Uint8Array;
}

export interface NumberedRequest {
  readonly id: number;
  readonly request: WriterRequest;
}

/** The row of a group; whether an event was removed, or how many; nothing for the rest. */
export type WriterResult = GroupRow | boolean | number | undefined;

export interface WriterAnswer {
  readonly id: number;
  readonly result: WriterResult;
  /** Why it could not be done. */
  readonly failure: string | undefined;
}
