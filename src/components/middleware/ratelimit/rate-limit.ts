import type { Clock } from "../../../core/clock.ts";
import type { ResponseMessage } from "../../../core/message.ts";
import { headerValues, type RawHeaders } from "../../../core/raw-headers.ts";
import { normaliseMethodPath } from "../../../invocation/method-path.ts";
import type { ComponentMetadata } from "../../contract/component-metadata.ts";
import type { Middleware, MiddlewareNext, MiddlewareRequest } from "../../contract/middleware.ts";
import { textAnswer } from "../../contract/text-answer.ts";
import { clientIp } from "./client-ip.ts";
import { type Taken, TokenBuckets } from "./token-buckets.ts";

// contrib's, where the field is left out.
const DEFAULT_PER_SECOND = 100;
// Longer paths with the same beginning count as one: what is kept of a request is bounded.
const MAX_PATH_CHARS = 256;

/**
 * `middleware.http.ratelimit`: so many requests a second of each client, for each path (components-contrib/middleware/http/ratelimit,
 * and tollbooth v7, whose headers and text these are).
 */
export class RateLimit implements Middleware {
  readonly #clock: Clock;
  #perSecond = DEFAULT_PER_SECOND;
  #buckets: TokenBuckets;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#buckets = new TokenBuckets(DEFAULT_PER_SECOND, clock);
  }

  init(metadata: ComponentMetadata): Promise<void> {
    metadata.refuseUnknown(["maxRequestsPerSecond"]);
    const written = metadata.get("maxRequestsPerSecond")?.trim() ?? "";
    const perSecond = written === "" ? DEFAULT_PER_SECOND : Number(written);
    if (!Number.isFinite(perSecond) || perSecond <= 0) {
      const place = metadata.placeOf("maxRequestsPerSecond");
      throw new Error(`${place}: maxRequestsPerSecond is "${written}"; it is a number above 0`);
    }
    this.#perSecond = perSecond;
    this.#buckets = new TokenBuckets(perSecond, this.#clock);
    return Promise.resolve();
  }

  async handle(request: MiddlewareRequest, next: MiddlewareNext): Promise<ResponseMessage> {
    const taken = this.#buckets.take(`${clientIp(request)} ${countedPath(request.path)}`);
    const headers = this.#headers(request, taken);
    if (!taken.isAllowed) return textAnswer(429, "You have reached maximum request limit.", headers);
    const answer = await next(request);
    return { ...answer, headers: [...answer.headers, ...headers] };
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #headers({ headers, remoteAddress }: MiddlewareRequest, { left }: Taken): RawHeaders {
    const limit = ["X-Rate-Limit-Limit", this.#perSecond.toFixed(2), "X-Rate-Limit-Duration", "1"];
    const forwarded = headerValues(headers, "x-forwarded-for")[0] ?? "";
    if (forwarded.trim() !== "") limit.push("X-Rate-Limit-Request-Forwarded-For", forwarded);
    if (remoteAddress !== undefined) limit.push("X-Rate-Limit-Request-Remote-Addr", remoteAddress);
    limit.push("RateLimit-Limit", `${Math.round(this.#perSecond)}`, "RateLimit-Reset", "1");
    limit.push("RateLimit-Remaining", `${left}`);
    return limit;
  }
}

/** However it is written: `/x`, `//x` and `/%78` have one limit, as they come to one path of the app's. */
function countedPath(path: string): string {
  return cleaned(path).slice(0, MAX_PATH_CHARS);
}

function cleaned(path: string): string {
  try {
    return normaliseMethodPath(path, { preserve: false }).decoded;
  } catch {
    // No app gets it.
    return "";
  }
}
