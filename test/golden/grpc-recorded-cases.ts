import { readFileSync } from "node:fs";
import type { RecordedRequest } from "../support/recording-app.ts";
import type { HeaderPair } from "./raw-client.ts";

/** What a real daprd 1.18.1 was seen to do over gRPC: one case a line of the recording. */

export type GrpcSidecarName = "caller" | "grpcapp" | "httpapp" | "tokened";

/** A message as the recording writes it: names as in the protocol, bytes as `{"$bytes": latin1}`. */
export type RecordedMessage = Readonly<Record<string, unknown>>;

export interface GrpcRecordedCase {
  /** `group: name`, unique in the recording. */
  readonly id: string;
  readonly request: {
    readonly to: GrpcSidecarName;
    /** Of `dapr.proto.runtime.v1.Dapr`, or of `demo.Echo` in the group `proxy`; absent where it is over HTTP or `stream` is sent. */
    readonly rpc?: string;
    readonly message?: RecordedMessage;
    /** Bytes by their index where they are bytes. */
    readonly metadata?: Readonly<Record<string, string | Readonly<Record<string, number>>>>;
    /** To SubscribeTopicEventsAlpha1. */
    readonly stream?: readonly RecordedMessage[];
    /** Over HTTP, with `path`. */
    readonly method?: string;
    readonly path?: string;
  };
  /** What the app received, over HTTP or over gRPC. Absent from streams. */
  readonly app?: readonly (RecordedRequest | RecordedCall)[];
  readonly response: GrpcRecordedResponse;
}

/** What a gRPC app was called with. */
export interface RecordedCall {
  /** With the last part of its package at most. */
  readonly rpc: string;
  readonly metadata: readonly HeaderPair[];
  /** Absent where it is a stream. */
  readonly request?: RecordedMessage;
  readonly deadline: "none" | "set";
}

export interface GrpcRecordedResponse {
  /** Absent where the status is all that came. */
  readonly headers?: readonly HeaderPair[];
  readonly value?: RecordedMessage;
  readonly trailers?: readonly HeaderPair[];
  /** Of SubscribeTopicEventsAlpha1. */
  readonly received?: readonly RecordedMessage[];
  /** Of a stream through the proxy. */
  readonly messages?: readonly RecordedMessage[];
  /** Over HTTP, with `body`. */
  readonly status?: number;
  readonly body?: string;
  readonly err?: {
    readonly code: string;
    readonly message: string;
    readonly trailers?: readonly HeaderPair[];
    readonly "details (readable bytes)"?: readonly string[];
  } | null;
}

interface RecordedLine {
  readonly group: string;
  readonly name: string;
}

const recording = new URL("../fixtures/observed/daprd-1.18.1-grpc.jsonl", import.meta.url);

const lines: readonly RecordedLine[] = readFileSync(recording, "utf8")
  .trimEnd()
  .split("\n")
  .map((line) => JSON.parse(line) as RecordedLine);

/** In the order of the recording. */
export const grpcCases: readonly GrpcRecordedCase[] = lines.map((line) => {
  return { ...(line as unknown as GrpcRecordedCase), id: idOf(line) };
});

function idOf({ group, name }: RecordedLine): string {
  return `${group}: ${name}`;
}
