import type { AppInstance } from "../../components/contract/name-resolver.ts";
import { type AppIdentity, qualifiedName } from "../../core/app-id.ts";
import { discard } from "../../core/body.ts";
import { CallError } from "../../core/errors.ts";
import { GRPC_CODE } from "../../core/grpc-code.ts";
import type { RequestMessage, ResponseMessage } from "../../core/message.ts";
import { headerValue } from "../../core/raw-headers.ts";
import { withPreparedMetadata } from "../../invocation/forward-headers.ts";
import { statusOfForeign } from "../grpc/answer-status.ts";
import { GrpcError, statusIn } from "../grpc/status.ts";
import type { Peer } from "./peer-connections.ts";
import {
  ASKS_FOR_PROOF,
  CALLER_NAMESPACE_HEADER,
  ERROR_HEADER,
  NOT_THIS_APP,
  PROOF_HEADER,
  parseStatusCode,
  TARGET_HEADER,
  UNSENT_HEADER,
} from "./peer-wire.ts";

/**
 * The caller's end of proxying. A daprd gets the call as it is. An address that nothing vouches for is asked for proof, for a
 * daprd has the same form and passes on what its app says: only who proves to be an Outrigger is believed its errors.
 *
 * @throws as `PeerCaller.call` does.
 */
export async function proxied(
  peer: Pick<Peer, "nature" | "noteAnswer" | "forget">,
  instance: AppInstance,
  request: RequestMessage,
  caller: AppIdentity | undefined,
  send: (request: RequestMessage) => Promise<ResponseMessage>,
): Promise<ResponseMessage> {
  const toProve = instance.wire === "unproven";
  if (instance.wire === "daprd" || (toProve && peer.nature.kind === "daprd")) {
    const answered = await send(request);
    if (isGrpcAnswer(answered)) peer.noteAnswer();
    return withPreparedMetadata(answered);
  }
  const name = qualifiedName(instance.app);
  const headers = [...request.headers, TARGET_HEADER, toProve ? name + ASKS_FOR_PROOF : name];
  if (caller !== undefined) headers.push(CALLER_NAMESPACE_HEADER, caller.namespace);
  const response = await send({ ...request, headers });
  if (isGrpcAnswer(response)) peer.noteAnswer();
  const error = headerValue(response.headers, ERROR_HEADER);
  const provedAs = headerValue(response.headers, PROOF_HEADER);
  if (toProve) learn(peer, name, provedAs, response);
  const isBelieved = !toProve || provedAs === name || (provedAs !== undefined && error === NOT_THIS_APP);
  if (error === undefined || !isBelieved) return withPreparedMetadata(response);
  discard(response.body);
  if (error === NOT_THIS_APP) peer.forget();
  throw receiverError(error, response);
}

/** What has answered an address's call. An error may be anybody's, and proves nothing. */
function learn(
  peer: Pick<Peer, "nature">,
  name: string,
  provedAs: string | undefined,
  response: ResponseMessage,
): void {
  if (provedAs === name) peer.nature = { kind: "outrigger", name };
  else if (provedAs === undefined && hasServed(response)) peer.nature = { kind: "daprd" };
}

function hasServed(response: ResponseMessage): boolean {
  return isGrpcAnswer(response) && (response.body !== undefined || statusIn(response.headers)?.code === GRPC_CODE.OK);
}

function isGrpcAnswer(response: ResponseMessage): boolean {
  return statusOfForeign(response) === undefined;
}

/** With the status that the callee's sidecar has given it. */
function receiverError(error: string, { headers }: ResponseMessage): CallError {
  const status = statusIn(headers);
  const message = status?.message ?? "the sidecar of the app could not serve the call";
  if (error === NOT_THIS_APP) return new CallError("Unavailable", message, { nothingSent: true });
  const nothingSent = headerValue(headers, UNSENT_HEADER) !== undefined;
  return new CallError(parseStatusCode(error), message, { cause: status && new GrpcError(status), nothingSent });
}
