import { traceBinOf } from "../../core/grpc-trace-bin.ts";
import type { RawHeaders } from "../../core/raw-headers.ts";
import { encodeBinary } from "../grpc/metadata.ts";
import type { EventTrace } from "./event-headers.ts";

/** What goes beside an event to an app that speaks gRPC (observed-grpc, "PublishEvent"). */

// gRPC over HTTP/2, "Custom-Metadata". What is anything else, no gRPC library takes.
const NAME = /^[0-9a-z_.-]+$/;
const VALUE = /^[\x20-\x7e]*$/;

/** About the call, or the sidecar's own to say, whatever a publisher has said. */
const NOT_PASSED =
  /^(?:grpc-|outrigger-|dapr-caller-|dapr-callee-|(?:dapr-api-token|dapr-app-id|destination-app-id|traceparent|tracestate|user-agent|content-type|content-length|host|te|trailer|connection|keep-alive|proxy-connection|transfer-encoding|upgrade|http2-settings)$)/;

/** What cannot be metadata is left out. */
export function eventMetadata(said: ReadonlyMap<string, string>, { traceparent, tracestate }: EventTrace): RawHeaders {
  const metadata: RawHeaders = [];
  for (const [spelled, value] of said) {
    const name = spelled.toLowerCase();
    if (!NAME.test(name) || NOT_PASSED.test(name)) continue;
    if (name.endsWith("-bin")) metadata.push(name, encodeBinary(Buffer.from(value)));
    else if (VALUE.test(value)) metadata.push(name, value);
  }
  if (traceparent !== "" && VALUE.test(traceparent)) {
    metadata.push("traceparent", traceparent, "grpc-trace-bin", traceBinOf(traceparent));
  }
  if (tracestate !== undefined && tracestate !== "" && VALUE.test(tracestate)) metadata.push("tracestate", tracestate);
  return metadata;
}
