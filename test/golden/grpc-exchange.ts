import grpc from "@grpc/grpc-js";
import type { RecordedRequest } from "../support/recording-app.ts";
import { waitFor } from "../support/wait.ts";
import { inEventWords } from "./exact-json.ts";
import { type AppRequest, type HeaderValues, headerValues, inWords, saysSomething } from "./exchange.ts";
import { callStreaming, callUnary, type GrpcAnswer, type GrpcFailure, subscribe } from "./grpc-client.ts";
import type { GrpcRecordedCase, RecordedCall, RecordedMessage } from "./grpc-recorded-cases.ts";
import type { GrpcTopology } from "./grpc-topology.ts";
import { exchangeRaw, type HeaderPair } from "./raw-client.ts";

/** A call in the form in which a recorded and a new one are compared. */
export interface GrpcExchange {
  /** What the app received. */
  readonly app: readonly (AppRequest | AppCall)[];
  /** Over HTTP alone. */
  readonly http: { readonly status: number; readonly body: string } | undefined;
  /** Undefined where the status is all that came. */
  readonly headers: HeaderValues | undefined;
  readonly value: RecordedMessage | undefined;
  readonly received: readonly RecordedMessage[] | undefined;
  readonly failure: Failure | undefined;
  readonly trailers: HeaderValues;
}

export interface AppCall {
  readonly rpc: string;
  readonly metadata: HeaderValues;
  readonly request: RecordedMessage | undefined;
  readonly deadline: RecordedCall["deadline"];
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
  const { headers, value, messages, received = messages, err, trailers = err?.trailers ?? [] } = response;
  const { status, body = "" } = response;
  return {
    app: inOrder(app).map((request) =>
      "rpc" in request
        ? callOf(request, traceInWords)
        : { ...request, httpVersion: "1.1", headers: headerValues(request.headers) },
    ),
    http: status === undefined ? undefined : { status, body },
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
export async function grpcExchange(topology: GrpcTopology, recorded: GrpcRecordedCase): Promise<GrpcExchange> {
  const { app, grpcApp } = topology;
  const { path, method = "" } = recorded.request;
  const answer = path === undefined ? await callGrpc(topology, recorded) : await callHttp(topology, method, path);
  // Events reach the app behind the answer; what comes beyond those that were recorded is seen by the next case.
  if (isOfEvents(recorded.id)) await waitFor("events", () => grpcApp.waiting >= (recorded.app?.length ?? 0));
  return exchangeSeen(topology, recorded, [...app.takeRequests(), ...grpcApp.takeCalls()], answer);
}

type AnyAnswer = GrpcAnswer & Partial<Pick<GrpcExchange, "http">>;

async function callGrpc({ sidecars }: GrpcTopology, { id, request }: GrpcRecordedCase): Promise<GrpcAnswer> {
  const { to, rpc, message = {}, metadata = {}, stream } = request;
  const { dapr, echo } = sidecars[to];
  if (rpc === undefined) {
    // What the recorded client published meanwhile, which stands in none of its lines.
    const publish = id === ONE_EVENT ? () => callUnary(dapr, "PublishEvent", ONE_PUBLISHED, metadataOf({})) : undefined;
    return subscribe(dapr, (stream ?? []).map(withBytes), publish);
  }
  const sent = metadataOf(metadata);
  if (!isProxied(id)) return callUnary(dapr, rpc, withBytes(message), sent);
  if (rpc === "ServerStream" || rpc === "Bidi") return callStreaming(echo, rpc, sent);
  // All that the recorded client called so had a deadline.
  return callUnary(echo, rpc, message, sent, { deadline: Date.now() + 60_000 });
}

/** With what the recorded client sent beside what was recorded of it. */
async function callHttp({ sidecars }: GrpcTopology, method: string, target: string): Promise<AnyAnswer> {
  const { httpPort } = sidecars.caller;
  const body = '{"a":1}';
  const headers: HeaderPair[] = [
    ["Host", `127.0.0.1:${httpPort}`],
    ["Connection", "keep-alive"],
    ["Content-Type", "application/json"],
    ["Content-Length", String(body.length)],
  ];
  const answer = await exchangeRaw(httpPort, { method, target, headers, body });
  return { http: { status: answer.status, body: answer.body }, headers: answer.headers, err: null };
}

const ONE_EVENT = "SubscribeTopicEventsAlpha1: subscribe, one event";
const ONE_PUBLISHED = {
  pubsub_name: "mem",
  topic: "st",
  data: Buffer.from('{"a":1}'),
  data_content_type: "application/json",
};

function isOfEvents(id: string): boolean {
  return id.startsWith("PublishEvent: ") || id.startsWith("BulkPublishEvent: ");
}

function isProxied(id: string): boolean {
  return id.startsWith("proxy: ");
}

function exchangeSeen(
  here: GrpcTopology,
  { id, request: { to } }: GrpcRecordedCase,
  app: readonly (RecordedRequest | RecordedCall)[],
  { http, headers, value, received, trailers, err }: AnyAnswer,
): GrpcExchange {
  const values = (pairs: readonly HeaderPair[]): HeaderValues => headerValues(pairs.map((pair) => inWords(pair, here)));
  const isSubscription = received !== undefined && !isProxied(id);
  return {
    app: inOrder(app).map((request) => {
      if ("rpc" in request) return callOf(inRecordedForm(request, here), (pair) => inWords(pair, here));
      const said = request.headers.filter(saysSomething);
      return { ...request, headers: headerValues(said.map((pair) => portInWords(inWords(pair, here), here, to))) };
    }),
    http,
    headers: headers === undefined ? undefined : values(headers),
    value: value === undefined ? undefined : inRecordedForm(value, here),
    received: received?.map((message) => inRecordedForm(message, here)),
    failure: err === null ? undefined : failureSeen(err, here, isSubscription),
    // Of a subscription's end, code and message alone are recorded.
    trailers: isSubscription ? {} : values(trailers ?? err?.trailers ?? []),
  };
}

function traceInWords(pair: HeaderPair): HeaderPair {
  return pair[0] === "traceparent" ? inWords(pair, { appPort: 0 }) : pair;
}

function callOf(call: RecordedCall, inWords = (pair: HeaderPair): HeaderPair => pair): AppCall {
  const { rpc, metadata, request, deadline } = call;
  return { rpc, metadata: headerValues(metadata.map(inWords)), request, deadline };
}

function failureSeen({ code, message, details }: GrpcFailure, here: GrpcTopology, isOfStream: boolean): Failure {
  const readable = (details ?? Buffer.alloc(0)).toString("latin1").replaceAll(/[^\x20-\x7e]+/g, "·");
  const inWords = message.replaceAll(here.home, "HOME").replaceAll(`127.0.0.1:${here.appPort}`, "127.0.0.1:PORT");
  return { code, message: inWords, details: isOfStream ? [] : readableRuns(readable) };
}

function portInWords([name, value]: HeaderPair, here: GrpcTopology, to: GrpcRecordedCase["request"]["to"]): HeaderPair {
  const authority = `127.0.0.1:${here.sidecars[to].grpcPort}`;
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

/** Events of one bulk reach the app in whatever order. */
function inOrder<T extends RecordedRequest | RecordedCall>(app: readonly T[]): readonly T[] {
  const dataOf = (call: T): string => JSON.stringify(["rpc" in call ? call.request?.["data"] : call.body]);
  return app.every((call) => "rpc" in call && call.rpc === "AppCallback/OnTopicEvent")
    ? [...app].sort((a, b) => (dataOf(a) < dataOf(b) ? -1 : 1))
    : app;
}

/** The other way, with the recording's words for ports. */
function inRecordedForm<T extends object>(message: T, here: GrpcTopology): T {
  const text = JSON.stringify(message, (_, value: unknown) => {
    const { type, data } = (value ?? {}) as { readonly type?: string; readonly data?: number[] };
    if (type === "Buffer" && Array.isArray(data)) return { $bytes: Buffer.from(data).toString("latin1") };
    return typeof value === "string" ? inEventWords(value) : value;
  });
  return JSON.parse(text.replaceAll(`"port":${here.grpcApp.port},`, `"port":${RECORDED_APP_PORT},`)) as T;
}

function metadataOf(values: NonNullable<GrpcRecordedCase["request"]["metadata"]>): grpc.Metadata {
  const metadata = new grpc.Metadata();
  for (const [name, value] of Object.entries(values)) {
    metadata.set(name, typeof value === "string" ? value : Buffer.from(Object.values(value)));
  }
  return metadata;
}
