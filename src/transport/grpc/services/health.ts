import { abortReason, type CallSignal } from "../../../core/call-signal.ts";
import type { Logger } from "../../../core/logger.ts";
import { Health, HealthCheckResponse_ServingStatus as ServingStatus } from "../../../gen/grpc/health/v1/health_pb.ts";
import type { HealthSource } from "../../http/routes/health.ts";
import type { GrpcService } from "../service.ts";
import { grpcError } from "../status.ts";
import { serverStreaming, unary } from "./methods.ts";

/** gRPC's standard health checks (`grpc.health.v1`): as healthy as `/v1.0/healthz` says. */

/** @param served names of the services that may be asked about; the server as a whole is the empty name. */
export function healthService(source: HealthSource, served: ReadonlySet<string>, log: Logger): GrpcService {
  const isKnown = (service: string): boolean => service === "" || served.has(service);
  return {
    name: Health.typeName,
    isOpen: true,
    appsHaveIt: true,
    methods: new Map([
      unary(Health.method.check, log, ({ service }) => {
        if (!isKnown(service)) throw grpcError("NOT_FOUND", `unknown service "${service}"`);
        return { status: statusNow(source) };
      }),
      serverStreaming(Health.method.watch, log, async ({ service }, send, { call }) => {
        let told: ServingStatus | undefined;
        for (;;) {
          // Before the look, so that no change passes unseen.
          const changed = nextChange(source, call.signal);
          const status = isKnown(service) ? statusNow(source) : ServingStatus.SERVICE_UNKNOWN;
          if (status !== told) await send({ status });
          told = status;
          if (source.isEnding) throw grpcError("UNAVAILABLE", "the sidecar is ending");
          await changed;
          if (call.signal.aborted) throw abortReason(call.signal);
        }
      }),
    ]),
  };
}

function statusNow(source: HealthSource): ServingStatus {
  return source.notReady().length === 0 ? ServingStatus.SERVING : ServingStatus.NOT_SERVING;
}

/** Resolves when something has changed, or nobody asks any more. */
function nextChange(source: HealthSource, signal: CallSignal): Promise<void> {
  return new Promise((resolve) => {
    const left = {
      handleEvent: () => {
        forget();
        resolve();
      },
    };
    const forget = source.onChange(() => {
      forget();
      signal.removeEventListener("abort", left);
      resolve();
    });
    if (signal.aborted) left.handleEvent();
    else signal.addEventListener("abort", left);
  });
}
