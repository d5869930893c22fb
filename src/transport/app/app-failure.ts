import { CallError } from "../../core/errors.ts";
import type { RequestMessage } from "../../core/message.ts";
import type { UpstreamError } from "../upstream/upstream.ts";
import { APP_PROTOCOLS, type AppProtocol } from "./app-protocol.ts";

/** What a call fails with whose app does not answer, and what the app's owner can do about it. */

const SPOKEN: Readonly<Record<AppProtocol, string>> = {
  http: "HTTP/1.1 without TLS",
  https: "HTTP/1.1 over TLS",
  h2c: "HTTP/2 without TLS",
  grpc: "gRPC (HTTP/2) without TLS",
  grpcs: "gRPC (HTTP/2) over TLS",
};

const PROTOCOL_CHOICE = `${APP_PROTOCOLS.slice(0, -1).join(", ")} or ${APP_PROTOCOLS.at(-1) ?? ""}`;

export interface AppFailure {
  readonly request: RequestMessage;
  readonly error: UpstreamError;
  readonly origin: string;
  readonly protocol: AppProtocol;
  /** Once the app has answered, a connection that breaks has another cause than the wrong protocol. */
  readonly hasAnswered: boolean;
}

/** Internal, as daprd has it, and so not tried again. Who calls in gRPC is told by the cause: UNAVAILABLE. */
export function appFailure(failure: AppFailure): CallError {
  const { request, error, origin } = failure;
  const what =
    request.grpc === true
      ? `error invoking app channel: ${origin}${request.path}: ${error.message}`
      : `error invoking app channel: ${verbOf(request)} "${origin}${request.path}": ${error.message}`;
  return new CallError("Internal", what + adviceFor(failure), { cause: error });
}

function verbOf({ method }: RequestMessage): string {
  return method.charAt(0) + method.slice(1).toLowerCase();
}

function adviceFor({ error: { kind }, protocol, hasAnswered }: AppFailure): string {
  if (kind === "untrusted") return "; whose certificates are taken is said by spec.invocation.appTLS";
  if (kind !== "foreign" && (kind !== "broken" || hasAnswered)) return "";
  return `; it was spoken to in ${SPOKEN[protocol]}, as --app-protocol ${protocol} says; if the app speaks something else, give that: ${PROTOCOL_CHOICE}`;
}
