import type { AppInstance } from "../../components/contract/name-resolver.ts";
import { type AppIdentity, qualifiedName } from "../../core/app-id.ts";
import { CallError } from "../../core/errors.ts";
import type { RequestMessage, ResponseMessage } from "../../core/message.ts";
import { headerValue } from "../../core/raw-headers.ts";
import { withPreparedMetadata } from "../../invocation/forward-headers.ts";
import { GrpcError, statusIn } from "../grpc/status.ts";
import { discard } from "../whole-body.ts";
import { CALLER_NAMESPACE_HEADER, ERROR_HEADER, NOT_THIS_APP, parseStatusCode, TARGET_HEADER } from "./peer-wire.ts";

/**
 * The caller's end of proxying. A daprd gets the call as it is.
 *
 * @throws as `PeerCaller.call` does.
 */
export async function proxied(
  instance: AppInstance,
  request: RequestMessage,
  caller: AppIdentity | undefined,
  send: (request: RequestMessage) => Promise<ResponseMessage>,
): Promise<ResponseMessage> {
  if (instance.wire === "daprd") return send(request);
  const name = qualifiedName(instance.app);
  // An address that nobody vouches for may be a daprd's, which has the same form and can prove nothing.
  const headers = [...request.headers, TARGET_HEADER, name];
  if (caller !== undefined) headers.push(CALLER_NAMESPACE_HEADER, caller.namespace);
  const response = await send({ ...request, headers });
  const error = headerValue(response.headers, ERROR_HEADER);
  if (error === undefined) return withPreparedMetadata(response);
  discard(response.body);
  throw receiverError(error, response);
}

/** With the status that the callee's sidecar has given it. */
function receiverError(error: string, { headers }: ResponseMessage): CallError {
  const status = statusIn(headers);
  const message = status?.message ?? "the sidecar of the app could not serve the call";
  if (error === NOT_THIS_APP) return new CallError("Unavailable", message);
  return new CallError(parseStatusCode(error), message, { cause: status && new GrpcError(status) });
}
