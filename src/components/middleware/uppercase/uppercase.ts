import type { RequestMessage, ResponseMessage } from "../../../core/message.ts";
import { withoutHeaders } from "../../../core/raw-headers.ts";
import type { ComponentMetadata } from "../../contract/component-metadata.ts";
import type { Middleware, MiddlewareNext, MiddlewareRequest } from "../../contract/middleware.ts";
import { inUpperCase } from "./upper-case-body.ts";

/**
 * `middleware.http.uppercase`: bodies in capital letters, which is of use to see that a pipeline works (daprd:
 * cmd/daprd/components/middleware_http_uppercase.go).
 */
export class Uppercase implements Middleware {
  #ofRequests = true;
  #ofAnswers = false;

  init(metadata: ComponentMetadata): Promise<void> {
    metadata.refuseUnknown(["direction"]);
    const direction = metadata.get("direction")?.toLowerCase() ?? "";
    if (!["", "request", "response", "both"].includes(direction)) {
      const place = metadata.placeOf("direction");
      throw new Error(`${place}: direction is "${direction}"; it is request, response or both`);
    }
    this.#ofRequests = direction !== "response";
    this.#ofAnswers = direction === "response" || direction === "both";
    return Promise.resolve();
  }

  async handle(request: MiddlewareRequest, next: MiddlewareNext): Promise<ResponseMessage> {
    const answer = await next(this.#ofRequests ? withUpperCase(request) : request);
    // What follows a change of protocols is no body.
    if (!this.#ofAnswers || answer.upgrade !== undefined || answer.body === undefined) return answer;
    const headers = withoutHeaders(answer.headers, (name) => name === "content-length");
    return { ...answer, headers, body: inUpperCase(answer.body) };
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

function withUpperCase<Request extends RequestMessage>(request: Request): Request {
  if (request.body === undefined) return request;
  const body = inUpperCase(request.body);
  // A letter may have another length in capitals.
  return { ...request, body, contentLength: body instanceof Uint8Array ? body.byteLength : undefined };
}
