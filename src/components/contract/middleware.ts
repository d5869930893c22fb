import type { Clock } from "../../core/clock.ts";
import type { Logger } from "../../core/logger.ts";
import type { RequestMessage, ResponseMessage } from "../../core/message.ts";
import type { ComponentMetadata } from "./component-metadata.ts";

/**
 * A step of a pipeline, `spec.httpPipeline` or `spec.appHttpPipeline` of a Configuration: looks at a request, changes it,
 * passes it on or answers it itself, and looks at the answer.
 *
 * Creating one does nothing; `init` may fail; `close` may be called twice and after a failed `init`.
 */
export interface Middleware {
  /** @throws {Error} in words for the log, where the component cannot be used: which field, and what to do. */
  init(metadata: ComponentMetadata): Promise<void>;
  /**
   * Runs for any number of requests at once. Whoever answers a request without passing it on leaves its body alone, and whoever
   * does not hand on an answer that it got destroys its body.
   *
   * @param request in `spec.httpPipeline` the one that the API was sent, its path that of the API; in `spec.appHttpPipeline`
   *   the one that the app, or the HTTP endpoint, would get.
   * @param next the rest of the pipeline and what lies behind it; to be called once at most.
   * @throws {Error} 500 for the caller, with its message; better answer.
   */
  handle(request: RequestMessage, next: MiddlewareNext): Promise<ResponseMessage>;
  close(): Promise<void>;
}

export type MiddlewareNext = (request: RequestMessage) => Promise<ResponseMessage>;

export interface MiddlewareContext {
  readonly clock: Clock;
  readonly log: Logger;
}

/** What a folder under components/middleware/ exports, checked there with `satisfies`. */
export interface MiddlewareManifest {
  /** As `spec.type` of a Component names it: `middleware.http.uppercase`. */
  readonly type: string;
  /**
   * It keeps out who may not pass. Where it cannot be used and `ignoreErrors` lets the app start all the same, every request
   * is answered 500 in its place: left out, it would let in everybody.
   */
  readonly guards?: true;
  create(context: MiddlewareContext): Middleware;
}

/** A middleware that can be had: its type costs nothing, its module and what that imports are loaded when it is used. */
export interface MiddlewareEntry {
  readonly type: string;
  load(): Promise<MiddlewareManifest>;
}
