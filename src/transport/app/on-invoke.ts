import { create } from "@bufbuild/protobuf";
import { AnySchema } from "@bufbuild/protobuf/wkt";
import type { RequestMessage, ResponseMessage } from "../../core/message.ts";
import { headerValue, type RawHeaders } from "../../core/raw-headers.ts";
import {
  type HTTPExtension,
  HTTPExtension_Verb,
  HTTPExtensionSchema,
  type InvokeResponse,
} from "../../gen/dapr/proto/common/v1/common_pb.ts";
import { AppCallback } from "../../gen/dapr/proto/runtime/v1/appcallback_pb.ts";
import { streamTooLarge } from "../body-limit.ts";
import { CallEnded, GrpcClient, type UnaryAnswer } from "../grpc/grpc-client.ts";
import { GrpcError, OK, statusTrailers } from "../grpc/status.ts";
import type { Upstream } from "../upstream/upstream.ts";
import { wholeBody } from "../whole-body.ts";
import { onInvokeMetadata } from "./on-invoke-metadata.ts";

/** Ordinary calls as a gRPC app takes them: `AppCallback.OnInvoke`, which has the whole body in one message. */
export class OnInvoke {
  readonly #client: GrpcClient;
  readonly #maxBodyBytes: number;

  constructor(upstream: Upstream, maxBodyBytes: number) {
    this.#client = new GrpcClient(upstream, maxBodyBytes);
    this.#maxBodyBytes = maxBodyBytes;
  }

  /**
   * What the app answers, a status that is not OK included.
   *
   * @throws {UpstreamError} where it could not be reached, or broke off.
   * @throws what the request's body fails with; the signal's reason.
   */
  async call(request: RequestMessage): Promise<ResponseMessage> {
    const { headers, contentLength, signal, deadline, dataType = "" } = request;
    const value = await wholeBody(request.body, this.#maxBodyBytes, signal, streamTooLarge);
    const message = {
      method: decodedMethod(request.path),
      data: create(AnySchema, { typeUrl: dataType, value }),
      contentType: headerValue(headers, "content-type") ?? "",
      ...extensionOf(request),
    };
    const metadata = onInvokeMetadata(headers, contentLength);
    try {
      return answerOf(await this.#client.unary(AppCallback.method.onInvoke, message, { metadata, signal, deadline }));
    } catch (error) {
      if (signal.aborted || !(error instanceof GrpcError)) throw error;
      return refusalOf(error);
    }
  }
}

/** As daprd gives it: no slash before it, and nothing escaped. */
function decodedMethod(path: string): string {
  try {
    return decodeURIComponent(path.slice(1));
  } catch {
    return path.slice(1);
  }
}

function extensionOf({ method, query }: RequestMessage): { readonly httpExtension?: HTTPExtension } {
  const verb = HTTPExtension_Verb[method as keyof typeof HTTPExtension_Verb];
  if (verb === HTTPExtension_Verb.NONE) return {};
  return { httpExtension: create(HTTPExtensionSchema, { verb, querystring: query ?? "" }) };
}

function answerOf({ message, headers, trailers }: UnaryAnswer<InvokeResponse>): ResponseMessage {
  const all = [...statusTrailers(OK), ...trailers];
  const { typeUrl: dataType, value: body } = message.data ?? { typeUrl: "", value: new Uint8Array() };
  const answer = { status: 200, statusText: "", headers: withType(headers, message), body, trailers: () => all };
  return dataType === "" ? answer : { ...answer, dataType };
}

function refusalOf(error: GrpcError): ResponseMessage {
  const [headers, trailers] = error instanceof CallEnded ? [error.headers, error.trailers] : [[], []];
  const all = [...statusTrailers(error.status), ...trailers];
  return { status: 500, statusText: "", headers: ofTheApp(headers), body: undefined, trailers: () => all };
}

function withType(headers: RawHeaders, { contentType, data }: InvokeResponse): RawHeaders {
  const kept = ofTheApp(headers);
  // A message of the app's own, which it has packed into an Any, is protobuf whatever else it said.
  const type = (data?.typeUrl ?? "") === "" ? contentType : "application/x-protobuf";
  if (type !== "" && /^[\t\x20-\x7e]*$/.test(type)) kept.push("Content-Type", type);
  return kept;
}

/** Without what an HTTP answer says about its own body. */
function ofTheApp(metadata: RawHeaders): RawHeaders {
  const kept: RawHeaders = [];
  for (let i = 0; i < metadata.length; i += 2) {
    const name = metadata[i] ?? "";
    if (name !== "content-length" && name !== "content-encoding") kept.push(name, metadata[i + 1] ?? "");
  }
  return kept;
}
