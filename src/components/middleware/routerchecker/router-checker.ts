import { messageOf } from "../../../core/errors.ts";
import { goRegExp } from "../../../core/go-regexp.ts";
import type { RequestMessage, ResponseMessage } from "../../../core/message.ts";
import { hasDotSegments } from "../../../invocation/dot-segments.ts";
import type { ComponentMetadata } from "../../contract/component-metadata.ts";
import type { Middleware, MiddlewareNext, MiddlewareRequest } from "../../contract/middleware.ts";
import { textAnswer } from "../../contract/text-answer.ts";

/**
 * `middleware.http.routerchecker`: refuses requests whose path and query a rule does not match
 * (components-contrib/middleware/http/routerchecker).
 */
export class RouterChecker implements Middleware {
  /** Matches nothing. */
  #rule = /(?!)/;

  init(metadata: ComponentMetadata): Promise<void> {
    metadata.refuseUnknown(["rule"]);
    const rule = metadata.get("rule") ?? "";
    if (rule === "") throw new Error("metadata field rule is missing; give a regular expression for paths");
    try {
      this.#rule = goRegExp(rule);
    } catch (cause) {
      throw new Error(`${metadata.placeOf("rule")}: rule: ${messageOf(cause)}`, { cause });
    }
    return Promise.resolve();
  }

  handle(request: MiddlewareRequest, next: MiddlewareNext): Promise<ResponseMessage> {
    const uri = requestUri(request);
    // What such a path comes to is not what the rule would judge: /public/../private.
    if (uri === undefined || hasDotSegments(request.path) || !this.#rule.test(uri))
      return Promise.resolve(textAnswer(400, "invalid router"));
    return next(request);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** What contrib lets the rule judge: the decoded path, the query as it came. Undefined for an escape that is none. */
function requestUri({ path, query }: RequestMessage): string | undefined {
  try {
    const decoded = decodeURIComponent(path);
    return query === undefined || query === "" ? decoded : `${decoded}?${query}`;
  } catch {
    return undefined;
  }
}
