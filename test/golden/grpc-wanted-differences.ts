import { readFileSync } from "node:fs";
import type { AppCall, GrpcExchange } from "./grpc-exchange.ts";
import type { GrpcRecordedCase, RecordedMessage } from "./grpc-recorded-cases.ts";

/**
 * Where Outrigger is meant to differ, over gRPC, from the daprd that was recorded. As in wanted-differences.ts: whatever
 * differs beyond these entries is a bug, and so is an entry that nothing needs.
 */
export interface GrpcWantedDifference {
  readonly what: string;
  /** Who says so. */
  readonly why: string;
  /** The cases it is for, each of which must need it; without, all that it changes, which must be at least one. */
  readonly cases?: readonly string[];
  /** Gives back the same exchange where there is nothing to change. */
  rewrite(exchange: GrpcExchange, recorded: GrpcRecordedCase): GrpcExchange;
}

const DAPR_VERSION = "1.18.1";

/** In the order in which they are applied. */
export const GRPC_WANTED_DIFFERENCES: readonly GrpcWantedDifference[] = [
  {
    what: "the error about an unknown app says where it was looked for, behind daprd's words",
    why: "code-we-admire.md: a message names the thing, the value and the expectation; as over HTTP",
    cases: ["InvokeService: unknown app", "proxy: unknown app"],
    rewrite: (exchange) =>
      withMessage(
        exchange,
        (message) =>
          `${message}: app "ghost" in namespace "default" is not in the registry at HOME/registry; is it running?`,
      ),
  },
  {
    what: "a body whose length is known is sent with it, not in chunks",
    why: "design.md: Outrigger carries the bytes; what InvokeService carries is all there when the call begins",
    rewrite: (exchange) => ({
      ...exchange,
      app: exchange.app.map((request) => {
        if ("rpc" in request) return request;
        const { "transfer-encoding": chunked, ...headers } = request.headers;
        if (chunked === undefined) return request;
        return { ...request, headers: { ...headers, "content-length": [String(request.body.length)] } };
      }),
    }),
  },
  {
    what: "the error about an app that speaks HTTP/1.1 says so, and what to set",
    why: "code-we-admire.md: what happened, to which thing, what to do next; the recorded words are Go's HTTP/2 client's",
    cases: ["proxy: to an HTTP app"],
    rewrite: (exchange) =>
      withMessage(
        exchange,
        () =>
          "error invoking app channel: http://127.0.0.1:PORT: the app speaks HTTP/1.1, as --app-protocol http says, which carries no gRPC; if it speaks gRPC, give grpc, grpcs or h2c",
      ),
  },
  {
    what: "over HTTP, an error of a gRPC app is 500, with its code and words in headers",
    why: "seed 000; spec.invocation.grpcErrorStatus: mapped gives daprd's statuses",
    cases: [
      "HTTP caller, gRPC app: err/3",
      "HTTP caller, gRPC app: err/5",
      "HTTP caller, gRPC app: err/7",
      "HTTP caller, gRPC app: err/13",
    ],
    rewrite: (exchange) => {
      const { code, message } = JSON.parse(exchange.http?.body ?? "{}") as { code: number; message: string };
      const headers = { ...exchange.headers, "grpc-status": [String(code)], "grpc-message": [message] };
      return { ...exchange, http: { status: 500, body: exchange.http?.body ?? "" }, headers };
    },
  },
  {
    what: "its body is called the JSON that it is, and has no blank that means nothing",
    why: "seed 000; Go's protojson puts blanks in at random, so that nobody relies on them",
    cases: [
      "HTTP caller, gRPC app: err/3",
      "HTTP caller, gRPC app: err/5",
      "HTTP caller, gRPC app: err/7",
      "HTTP caller, gRPC app: err/13",
    ],
    rewrite: (exchange) => {
      const { status = 0, body = "" } = exchange.http ?? {};
      const headers = { ...exchange.headers, "content-type": ["application/json"] };
      return { ...exchange, http: { status, body: JSON.stringify(JSON.parse(body)) }, headers };
    },
  },
  {
    what: "over HTTP, an answer of a gRPC app is sent with its length, not in chunks",
    why: "design.md: Outrigger carries the bytes; the answer is one message, and all there",
    rewrite: (exchange) => {
      if (exchange.http === undefined) return exchange;
      const headers = leaveOut(exchange.headers ?? {}, "transfer-encoding");
      const length = String(exchange.http.body.length);
      return { ...exchange, headers: { ...headers, "content-length": [length] } };
    },
  },
  {
    what: "over HTTP, which compression a gRPC app takes is not said",
    why: "it is about the call between the sidecar and its app; docs/compatibility.md",
    cases: ["HTTP caller, gRPC app: do"],
    rewrite: (exchange) => ({
      ...exchange,
      headers: leaveOut(exchange.headers ?? {}, "dapr-grpc-accept-encoding"),
    }),
  },
  {
    what: "the connection of an HTTP caller is not the gRPC app's business",
    why: "RFC 9110 7.6.1: Connection is about one hop",
    rewrite: (exchange) => withCalls(exchange, "AppCallback/", (metadata) => leaveOut(metadata, "dapr-connection")),
  },
  {
    what: "Outrigger says its own name where it calls the app",
    why: "daprd's is that of its library; user-agent is for whoever sends (gRPC over HTTP/2)",
    rewrite: (exchange) =>
      withCalls(exchange, "AppCallback/", (metadata) => ({ ...metadata, "user-agent": ["outrigger"] })),
  },
  {
    what: "the user-agent of a proxied call is the caller's",
    why: "issue 6: metadata both ways intact; the app sees what the caller sent",
    rewrite: (exchange) =>
      withCalls(exchange, "demo.Echo/", (metadata) => ({ ...metadata, "user-agent": ["grpc-node-js/1.14.7"] })),
  },
  {
    what: "the content type of a proxied answer is the app's",
    why: "issue 6: no message is decoded, so what they are encoded in is the app's to say; daprd writes its own",
    rewrite: (exchange) => {
      // Of the sidecar's own errors, it is the sidecar's.
      if (!exchange.app.some((call) => "rpc" in call && call.rpc.startsWith("demo.Echo/"))) return exchange;
      const type = { "content-type": ["application/grpc+proto"] };
      if (exchange.headers !== undefined) return { ...exchange, headers: { ...exchange.headers, ...type } };
      return { ...exchange, trailers: { ...exchange.trailers, ...type } };
    },
  },
  {
    what: "an answer says when it was given",
    why: "RFC 9110 6.6.1, which gRPC is on top of; Go's server leaves it out",
    rewrite: (exchange, { request }) => {
      // Nothing of the head of a stream is recorded.
      if (request.stream !== undefined) return exchange;
      if (exchange.headers !== undefined) return { ...exchange, headers: { ...exchange.headers, date: ["DATE"] } };
      return { ...exchange, trailers: { ...exchange.trailers, date: ["DATE"] } };
    },
  },
  {
    what: "an event of the publisher's own that does not say its content type keeps its data",
    why: "CloudEvents JSON format 1.0, 3.1: without datacontenttype, data is JSON; daprd hands gRPC apps nothing",
    cases: ["PublishEvent: own cloudevent"],
    rewrite: (exchange) => ({
      ...exchange,
      app: exchange.app.map((call) => {
        if (!("rpc" in call)) return call;
        const request = { ...call.request, data: { $bytes: '{"k":1}' }, data_content_type: "application/json" };
        return { ...call, request };
      }),
    }),
  },
  {
    what: "metadata tells of none of daprd's feature gates",
    why: "HotReload and WorkflowsRemoteActivityReminder are daprd's; a gate that does nothing would be a false promise",
    rewrite: (exchange) => inMetadata(exchange, (metadata) => leaveOut(metadata, "enabled_features")),
  },
  {
    what: "metadata names the release whose wire is spoken, and Outrigger's own version beside it",
    why: "wire-contract A9; whoever reads it must be able to tell the two programs apart",
    rewrite: (exchange) =>
      inMetadata(exchange, (metadata) => ({
        ...metadata,
        runtime_version: DAPR_VERSION,
        extended_metadata: { daprRuntimeVersion: DAPR_VERSION, outriggerVersion: ownVersion() },
      })),
  },
];

function withMessage(exchange: GrpcExchange, rewrite: (message: string) => string): GrpcExchange {
  const { failure } = exchange;
  return failure === undefined ? exchange : { ...exchange, failure: { ...failure, message: rewrite(failure.message) } };
}

/** Only where the answer is metadata. */
function inMetadata(exchange: GrpcExchange, rewrite: (metadata: RecordedMessage) => RecordedMessage): GrpcExchange {
  const { value } = exchange;
  return value?.["runtime_version"] === undefined ? exchange : { ...exchange, value: rewrite(value) };
}

/** What a gRPC app was called with, for the methods of one service. */
function withCalls(
  exchange: GrpcExchange,
  service: string,
  rewrite: (metadata: AppCall["metadata"]) => AppCall["metadata"],
): GrpcExchange {
  const app = exchange.app.map((call) =>
    "rpc" in call && call.rpc.startsWith(service) ? { ...call, metadata: rewrite(call.metadata) } : call,
  );
  return { ...exchange, app };
}

function leaveOut<T>(from: Readonly<Record<string, T>>, ...names: readonly string[]): Readonly<Record<string, T>> {
  return Object.fromEntries(Object.entries(from).filter(([name]) => !names.includes(name)));
}

function ownVersion(): string {
  const manifest = new URL("../../package.json", import.meta.url);
  return (JSON.parse(readFileSync(manifest, "utf8")) as { version: string }).version;
}
