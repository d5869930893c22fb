import grpc from "@grpc/grpc-js";
import type { RecordedRequest } from "../support/recording-app.ts";
import { type AppRequest, type HeaderValues, headerValues, inWords, saysSomething } from "./exchange.ts";
import { callUnary, type GrpcAnswer, type GrpcFailure, subscribe } from "./grpc-client.ts";
import type { GrpcRecordedCase, RecordedMessage } from "./grpc-recorded-cases.ts";
import type { GrpcTopology } from "./grpc-topology.ts";
import type { HeaderPair } from "./raw-client.ts";

/** A call in the form in which a recorded and a new one are compared. */
export interface GrpcExchange {
  /** What the app received. */
  readonly app: readonly AppRequest[];
  /** Undefined where the status is all that came. */
  readonly headers: HeaderValues | undefined;
  readonly value: RecordedMessage | undefined;
  readonly received: readonly RecordedMessage[] | undefined;
  readonly failure: Failure | undefined;
  readonly trailers: HeaderValues;
}

export interface Failure {
  readonly code: string;
  readonly message: string;
  /** The runs of readable bytes in google.rpc.Status, in order: those of a map have none. */
  readonly details: readonly string[];
}

// The port of the recorded gRPC app, which the recording left as it was.
const RECORDED_APP_PORT = 18_090;

export function grpcRecordedExchange({ app = [], response }: GrpcRecordedCase): GrpcExchange {
  const { headers, value, received, err, trailers = err?.trailers ?? [] } = response;
  return {
    app: app.map((request) => ({ ...request, httpVersion: "1.1", headers: headerValues(request.headers) })),
    headers: headers === undefined ? undefined : headerValues(headers),
    value,
    received,
    failure:
      err == null
        ? undefined
        : {
            code: err.code,
            message: err.message,
            details: readableRuns(err["details (readable bytes)"]?.[0] ?? ""),
          },
    trailers: headerValues(trailers),
  };
}

/** Sends what was sent when the case was recorded. */
export async function grpcExchange(topology: GrpcTopology, { request }: GrpcRecordedCase): Promise<GrpcExchange> {
  const { to, rpc, message = {}, metadata = {}, stream } = request;
  const client = topology.clients[to];
  const answer =
    rpc === undefined
      ? await subscribe(client, (stream ?? []).map(withBytes))
      : await callUnary(client, rpc, withBytes(message), metadataOf(metadata));
  return exchangeSeen(topology, to, topology.app.takeRequests(), answer);
}

function exchangeSeen(
  here: GrpcTopology,
  to: GrpcRecordedCase["request"]["to"],
  app: readonly RecordedRequest[],
  { headers, value, received, trailers, err }: GrpcAnswer,
): GrpcExchange {
  const values = (pairs: readonly HeaderPair[]): HeaderValues => headerValues(pairs.map((pair) => inWords(pair, here)));
  return {
    app: app.map((request) => ({
      ...request,
      headers: headerValues(
        request.headers.filter(saysSomething).map((pair) => portInWords(inWords(pair, here), here, to)),
      ),
    })),
    headers: headers === undefined ? undefined : values(headers),
    value: value === undefined ? undefined : inRecordedForm(value, here),
    received,
    failure: err === null ? undefined : failureSeen(err, here, received !== undefined),
    // Of a stream's end, code and message alone are recorded.
    trailers: received === undefined ? values(trailers ?? err?.trailers ?? []) : {},
  };
}

function failureSeen({ code, message, details }: GrpcFailure, here: GrpcTopology, isOfStream: boolean): Failure {
  const readable = (details ?? Buffer.alloc(0)).toString("latin1").replaceAll(/[^\x20-\x7e]+/g, "·");
  return { code, message: message.replaceAll(here.home, "HOME"), details: isOfStream ? [] : readableRuns(readable) };
}

function portInWords([name, value]: HeaderPair, here: GrpcTopology, to: GrpcRecordedCase["request"]["to"]): HeaderPair {
  const authority = `127.0.0.1:${here.grpcPorts[to]}`;
  return [name, name.toLowerCase() === "dapr-authority" && value === authority ? "127.0.0.1:PORT" : value];
}

function readableRuns(text: string): string[] {
  return text
    .split("·")
    .filter((run) => run !== "")
    .sort();
}

/** `{"$bytes": latin1}` becomes bytes. */
function withBytes(message: RecordedMessage): RecordedMessage {
  const revive = (_: string, value: unknown): unknown => {
    const bytes = (value as { readonly $bytes?: string } | null)?.$bytes;
    return bytes === undefined ? value : { type: "Buffer", data: [...Buffer.from(bytes, "latin1")] };
  };
  return JSON.parse(JSON.stringify(message, revive), (_, value: unknown) => {
    const { type, data } = (value ?? {}) as { readonly type?: string; readonly data?: number[] };
    return type === "Buffer" && Array.isArray(data) ? Buffer.from(data) : value;
  }) as RecordedMessage;
}

/** The other way, with the recording's words for ports. */
function inRecordedForm(message: RecordedMessage, here: GrpcTopology): RecordedMessage {
  const text = JSON.stringify(message, (_, value: unknown) => {
    const { type, data } = (value ?? {}) as { readonly type?: string; readonly data?: number[] };
    return type === "Buffer" && Array.isArray(data) ? { $bytes: Buffer.from(data).toString("latin1") } : value;
  });
  return JSON.parse(text.replaceAll(`"port":${here.deadPort},`, `"port":${RECORDED_APP_PORT},`)) as RecordedMessage;
}

function metadataOf(values: Readonly<Record<string, string>>): grpc.Metadata {
  const metadata = new grpc.Metadata();
  for (const [name, value] of Object.entries(values)) metadata.set(name, value);
  return metadata;
}
