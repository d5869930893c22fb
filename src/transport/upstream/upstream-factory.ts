import type { Clock } from "../../core/clock.ts";
import type { Logger } from "../../core/logger.ts";
import type { HttpCodec } from "../http/http-listener.ts";
import { LeanUpstream } from "./lean-upstream.ts";
import { MalformedAnswers } from "./malformed-answers.ts";
import { NodeUpstream } from "./node-upstream.ts";
import { originOf, type UpstreamFactory } from "./upstream.ts";

/** What is lent to every client of a Host or Sidecar. */
export interface UpstreamSurroundings {
  readonly codec: HttpCodec;
  readonly clock: Clock;
  readonly log: Logger;
}

export function upstreamFactory({ codec, clock, log }: UpstreamSurroundings): UpstreamFactory {
  return (options) => {
    const malformed = new MalformedAnswers(originOf(options), clock, log);
    return codec === "lean" ? new LeanUpstream(options, malformed) : new NodeUpstream(options, malformed);
  };
}
