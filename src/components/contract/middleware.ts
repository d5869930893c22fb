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
  /** Called once. @throws {Error} in words for the log, where the component cannot be used: which field, and what to do. */
  init(metadata: ComponentMetadata): Promise<void>;
  /**
   * Runs for any number of requests at once. Neither the request nor what is in it is changed: what is passed on is a copy
   * (`{ ...request, path }`). Whoever gives a request another body says how long that is, and whoever answers a request
   * without passing it on leaves its body alone. Whoever does not hand on an answer that it got destroys its body; whoever
   * gives it another body takes out its `Content-Length`.
   *
   * @param request in `spec.httpPipeline` the one that the API was sent, its path that of the API, headers of the connection
   *   among its own; in `spec.appHttpPipeline` the one that the app, or the HTTP endpoint, would get.
   * @param next the rest of the pipeline and what lies behind it; to be called once at most.
   * @throws {Error} 500 for the caller, with its message; better answer.
   */
  handle(request: MiddlewareRequest, next: MiddlewareNext): Promise<ResponseMessage>;
  /** Requests may still be under way: they go on. */
  close(): Promise<void>;
}

/** What a pipeline knows of a request beside the message. */
export interface MiddlewareRequest extends RequestMessage {
  /**
   * The IP address that the API was called from. Absent behind a Unix socket, and in `spec.appHttpPipeline`, where callers
   * come through their sidecars: the last entry of `X-Forwarded-For` is what the caller's sidecar says.
   */
  readonly remoteAddress?: string;
}

export type MiddlewareNext = (request: MiddlewareRequest) => Promise<ResponseMessage>;

export interface MiddlewareContext {
  readonly clock: Clock;
  readonly log: Logger;
}

/** What a folder under components/middleware/ exports, checked there with `satisfies`. */
export interface MiddlewareManifest {
  /** As `spec.type` of a Component names it: `middleware.http.uppercase`. */
  readonly type: string;
  /**
   * It keeps out who may not pass, or may do so: left out, it would let in everybody. A pipeline that names one for which
   * there is no Component stops the start. Where one cannot be used and `ignoreErrors` lets the app start all the same, every
   * request is answered 500 in its place.
   */
  readonly guards?: true;
  create(context: MiddlewareContext): Middleware;
}

/** A middleware that can be had: its type costs nothing, its module and what that imports are loaded when it is used. */
export interface MiddlewareEntry {
  readonly type: string;
  load(): Promise<MiddlewareManifest>;
}
