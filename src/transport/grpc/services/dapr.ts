import { BinaryReader } from "@bufbuild/protobuf/wire";
import { messageOf, OutriggerError } from "../../../core/errors.ts";
import type { Logger } from "../../../core/logger.ts";
import { Dapr } from "../../../gen/dapr/proto/runtime/v1/dapr_pb.ts";
import type { Invoker } from "../../../invocation/invoker.ts";
import type { Publisher } from "../../../pubsub/publisher.ts";
import type { Subscriptions } from "../../../pubsub/subscriptions.ts";
import type { HealthSource } from "../../http/routes/health.ts";
import type { MetadataSource } from "../../http/routes/metadata.ts";
import { isForced, type Shutdown } from "../../http/routes/shutdown.ts";
import { statusOfFailed } from "../error-status.ts";
import type { GrpcService } from "../service.ts";
import { grpcError } from "../status.ts";
import { invokeService } from "./invoke-service.ts";
import { metadataMethods } from "./metadata.ts";
import { encode, type Method, traceMetadata } from "./methods.ts";
import { pubsubMethods } from "./pubsub.ts";

export interface DaprServiceParts {
  readonly invoker: Pick<Invoker, "invoke">;
  readonly publisher: Publisher;
  readonly metadata: MetadataSource;
  readonly shutdown: Shutdown;
  /** For clients that subscribe over a stream. */
  readonly subscriptions: Pick<Subscriptions, "stream">;
  readonly health: HealthSource;
  readonly log: Logger;
}

/** The runtime API over gRPC, `dapr.proto.runtime.v1.Dapr` (A10). */
export function daprService({
  invoker,
  metadata,
  shutdown,
  publisher,
  subscriptions,
  health,
  log,
}: DaprServiceParts): GrpcService {
  return {
    name: Dapr.typeName,
    methods: new Map([
      invokeService(invoker),
      ...pubsubMethods({ publisher, subscriptions, health, log }),
      ...metadataMethods(metadata, log),
      shutdownMethod(shutdown),
      getState(log),
    ]),
    explain: (method) =>
      `Outrigger has no ${method}: of Dapr's API it speaks service invocation, publish and subscribe, metadata and shutdown; state, bindings, secrets, configuration, locks, actors, jobs, workflows, cryptography and conversation are none of its`,
  };
}

/** Answers, then ends this sidecar and its app; forced where the metadata says so, as the header does over HTTP. */
function shutdownMethod(stop: Shutdown): Method {
  const { name, output } = Dapr.method.shutdown;
  return [
    name,
    async ({ call, metadata, trace }) => {
      await call.message();
      call.reply(encode(output, {}), traceMetadata(trace));
      stop(isForced(metadata) ? "forced" : "graceful");
    },
  ];
}

const STORE_NAME_FIELD = 1;

/**
 * The one rpc out of scope of which daprd's answer is recorded: without a state store it is another error than UNIMPLEMENTED.
 * Its message is not among ours, so that nobody who asks for what there is finds it.
 */
function getState(log: Logger): Method {
  return [
    "GetState",
    async ({ call, trace }) => {
      try {
        const store = stringField(await call.message(), STORE_NAME_FIELD);
        throw new OutriggerError("stateNotConfigured", `state store ${store} is not configured`);
      } catch (error) {
        if (call.isAnswerable) call.fail(statusOfFailed(call, error, log), traceMetadata(trace));
      }
    },
  ];
}

/** @throws {GrpcError} INTERNAL for what is no message. */
function stringField(message: Uint8Array, wanted: number): string {
  try {
    const reader = new BinaryReader(message);
    let found = "";
    while (reader.pos < reader.len) {
      const [field, wireType] = reader.tag();
      if (field === wanted) found = reader.string();
      else reader.skip(wireType, field);
    }
    return found;
  } catch (cause) {
    throw grpcError("INTERNAL", `grpc: error unmarshalling request: ${messageOf(cause)}`, { cause });
  }
}
