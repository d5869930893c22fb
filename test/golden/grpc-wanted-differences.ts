import { readFileSync } from "node:fs";
import type { GrpcExchange } from "./grpc-exchange.ts";
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
    cases: ["InvokeService: unknown app"],
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
        const { "transfer-encoding": chunked, ...headers } = request.headers;
        if (chunked === undefined) return request;
        return { ...request, headers: { ...headers, "content-length": [String(request.body.length)] } };
      }),
    }),
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
    what: "metadata does not tell of the components and subscriptions of pub/sub",
    why: "pub/sub (seed 002) is an issue of its own; the fields come with it",
    cases: ["system: GetMetadata"],
    rewrite: (exchange) =>
      inMetadata(exchange, (metadata) => leaveOut(metadata, "registered_components", "subscriptions")),
  },
  {
    what: "the recorded app spoke gRPC, this one HTTP",
    why: "apps that speak gRPC have their own tests",
    cases: ["system: GetMetadata"],
    rewrite: (exchange) =>
      inMetadata(exchange, (metadata) => ({
        ...metadata,
        app_connection_properties: { ...(metadata["app_connection_properties"] as RecordedMessage), protocol: "http" },
      })),
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

function leaveOut(metadata: RecordedMessage, ...names: readonly string[]): RecordedMessage {
  return Object.fromEntries(Object.entries(metadata).filter(([name]) => !names.includes(name)));
}

function ownVersion(): string {
  const manifest = new URL("../../package.json", import.meta.url);
  return (JSON.parse(readFileSync(manifest, "utf8")) as { version: string }).version;
}
