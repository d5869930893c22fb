import type { CallSignal } from "../../core/call-signal.ts";
import { abortReason } from "../../core/call-signal.ts";
import { messageOf } from "../../core/errors.ts";
import { nameOfCode } from "../../core/grpc-code.ts";
import type { AppProbe } from "../../invocation/ports.ts";
import type { GrpcClient } from "../grpc/grpc-client.ts";
import { GrpcError } from "../grpc/status.ts";
import type { Upstream } from "../upstream/upstream.ts";

const CALL = "AppCallbackHealthCheck/HealthCheck";
const MAX_ANSWER_BYTES = 64 * 1024;

export interface GrpcAppProbeParts {
  /** To the app, and no call's: a probe waits behind nothing that a call holds. */
  readonly upstream: Upstream;
  readonly appToken: string | undefined;
}

/** Asks an app over gRPC, by `AppCallbackHealthCheck.HealthCheck`: any answer but an error says that it is well (A6). */
export class GrpcAppProbe implements AppProbe {
  readonly #parts: GrpcAppProbeParts;

  constructor(parts: GrpcAppProbeParts) {
    this.#parts = parts;
  }

  async ask(signal: CallSignal): Promise<string | undefined> {
    try {
      await this.#call(signal);
      return undefined;
    } catch (error) {
      if (signal.aborted) throw abortReason(signal);
      return `${CALL}: ${whatBroke(error)}`;
    }
  }

  async #call(signal: CallSignal): Promise<void> {
    const { upstream, appToken } = this.#parts;
    const [{ GrpcClient }, { AppCallbackHealthCheck }] = await Promise.all([
      import("../grpc/grpc-client.ts"),
      import("../../gen/dapr/proto/runtime/v1/appcallback_pb.ts"),
    ]);
    const client: GrpcClient = new GrpcClient(upstream, MAX_ANSWER_BYTES);
    const metadata = appToken === undefined ? [] : ["dapr-api-token", appToken];
    await client.unary(AppCallbackHealthCheck.method.healthCheck, {}, { metadata, signal });
  }
}

function whatBroke(error: unknown): string {
  if (!(error instanceof GrpcError)) return messageOf(error);
  const { code, message } = error.status;
  const name = nameOfCode(code);
  return name === "UNIMPLEMENTED"
    ? `the app has no such method (${name}); let it answer that, or leave out --enable-app-health-check`
    : `${name}: ${message}`;
}
