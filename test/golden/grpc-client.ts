import { fileURLToPath } from "node:url";
import grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import type { TestScope } from "../support/cleanup.ts";
import type { RecordedMessage } from "./grpc-recorded-cases.ts";
import type { HeaderPair } from "./raw-client.ts";

/** gRPC's own client, with the options of the one that was recorded. */

const PROTO = fileURLToPath(new URL("../../proto", import.meta.url));

type Call = grpc.requestCallback<RecordedMessage>;

type DaprClient = grpc.Client & Readonly<Record<string, unknown>>;

export interface GrpcAnswer {
  readonly headers?: readonly HeaderPair[];
  readonly value?: RecordedMessage;
  readonly trailers?: readonly HeaderPair[];
  readonly received?: readonly RecordedMessage[];
  readonly err: GrpcFailure | null;
}

export interface GrpcFailure {
  readonly code: string;
  readonly message: string;
  readonly trailers: readonly HeaderPair[];
  /** Of `grpc-status-details-bin`. */
  readonly details?: Buffer;
}

/** A client of `dapr.proto.runtime.v1.Dapr`. Closed with the test. */
export function daprClient(t: TestScope, address: string): DaprClient {
  const options = { keepCase: true, enums: String, oneofs: true, includeDirs: [PROTO] };
  const definition = loadSync("dapr/proto/runtime/v1/dapr.proto", options);
  const Dapr = grpc.loadPackageDefinition(definition) as unknown as {
    dapr: { proto: { runtime: { v1: { Dapr: grpc.ServiceClientConstructor } } } };
  };
  const client = new Dapr.dapr.proto.runtime.v1.Dapr(address, grpc.credentials.createInsecure());
  t.after(() => {
    client.close();
  });
  return client;
}

/** @param rpc by its name; one that is not in our protocol files has strings for its fields, in order. */
export async function callUnary(
  client: DaprClient,
  rpc: string,
  message: RecordedMessage,
  metadata: grpc.Metadata,
): Promise<GrpcAnswer> {
  let headers: readonly HeaderPair[] | undefined;
  let trailers: readonly HeaderPair[] = [];
  return new Promise((resolve) => {
    const done: Call = (error, value) => {
      // The status comes behind the callback.
      setImmediate(() => {
        const head = headers === undefined ? {} : { headers };
        if (error !== null) resolve({ ...head, err: failureOf(error) });
        else resolve({ ...head, err: null, value: value ?? {}, trailers });
      });
    };
    const call = begin(client, rpc, message, metadata, done);
    call.on("metadata", (sent: grpc.Metadata) => {
      headers = pairsOf(sent);
    });
    call.on("status", (status: grpc.StatusObject) => {
      trailers = pairsOf(status.metadata);
    });
  });
}

function begin(
  client: DaprClient,
  rpc: string,
  message: RecordedMessage,
  metadata: grpc.Metadata,
  done: Call,
): grpc.ClientUnaryCall {
  const method = client[rpc];
  if (typeof method === "function") {
    return Reflect.apply(method, client, [message, metadata, done]) as grpc.ClientUnaryCall;
  }
  const path = `/dapr.proto.runtime.v1.Dapr/${rpc}`;
  return client.makeUnaryRequest(path, encodeStrings, () => ({}), message, metadata, done);
}

/** Of a message that our protocol files do not have, whose fields are strings in the order of their numbers. */
function encodeStrings(message: RecordedMessage): Buffer {
  const fields = Object.values(message).map((value, at) => {
    const bytes = Buffer.from(String(value));
    return Buffer.concat([Buffer.from([((at + 1) << 3) | 2, bytes.length]), bytes]);
  });
  return Buffer.concat(fields);
}

/** Sends the messages, and keeps its half of the stream open until the sidecar ends the call. */
export async function subscribe(client: DaprClient, messages: readonly RecordedMessage[]): Promise<GrpcAnswer> {
  const method = client["SubscribeTopicEventsAlpha1"] as () => grpc.ClientDuplexStream<
    RecordedMessage,
    RecordedMessage
  >;
  const call = method.call(client);
  const received: RecordedMessage[] = [];
  return new Promise((resolve) => {
    call.on("data", (message: RecordedMessage) => received.push(message));
    call.on("error", (error: grpc.ServiceError) => {
      resolve({ received, err: failureOf(error) });
    });
    call.on("end", () => undefined);
    for (const message of messages) call.write(message);
  });
}

function failureOf({ code, details: message, metadata }: grpc.ServiceError): GrpcFailure {
  const [details] = metadata.get("grpc-status-details-bin");
  metadata.remove("grpc-status-details-bin");
  const failure = { code: grpc.status[code], message, trailers: pairsOf(metadata) };
  return Buffer.isBuffer(details) ? { ...failure, details } : failure;
}

function pairsOf(metadata: grpc.Metadata): HeaderPair[] {
  const names = Object.keys(metadata.getMap());
  return names.flatMap((name) =>
    metadata.get(name).map((value): HeaderPair => {
      return [name, Buffer.isBuffer(value) ? `<bin ${value.toString("base64")}>` : value];
    }),
  );
}
