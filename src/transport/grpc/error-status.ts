import { CallError, messageOf, OutriggerError } from "../../core/errors.ts";
import { GRPC_CODE, numberOfStatus } from "../../core/grpc-code.ts";
import type { Logger } from "../../core/logger.ts";
import { GrpcError, type GrpcStatus } from "./status.ts";

/** The one place where errors become a status of gRPC. */
export function statusOf(error: unknown, log: Logger): GrpcStatus {
  if (error instanceof GrpcError) return error.status;
  if (error instanceof OutriggerError) return { code: GRPC_CODE[error.grpcCode], message: error.message };
  if (error instanceof CallError) return { code: numberOfStatus(error.code), message: error.message };
  log.error("a gRPC call failed inside Outrigger", {
    error: messageOf(error),
    stack: error instanceof Error ? error.stack : undefined,
  });
  return { code: GRPC_CODE.INTERNAL, message: `Outrigger failed to handle this call: ${messageOf(error)}` };
}
