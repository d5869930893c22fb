import type { Clock } from "../../core/clock.ts";
import type { Logger } from "../../core/logger.ts";
import type { HttpCodec } from "../http/http-listener.ts";
import { PlainDialer } from "./dialer.ts";
import { LazyUpstream } from "./lazy-upstream.ts";
import { LeanUpstream } from "./lean-upstream.ts";
import { MalformedAnswers } from "./malformed-answers.ts";
import { NodeUpstream, plainWire } from "./node-upstream.ts";
import { originOf, type TlsTrust, type Upstream, type UpstreamFactory, type UpstreamOptions } from "./upstream.ts";

/** What is lent to every client of a Host or Sidecar. */
export interface UpstreamSurroundings {
  readonly codec: HttpCodec;
  readonly clock: Clock;
  readonly log: Logger;
}

export function upstreamFactory({ codec, clock, log }: UpstreamSurroundings): UpstreamFactory {
  return (options) => {
    const origin = originOf(options);
    const malformed = new MalformedAnswers(origin, clock, log);
    const { wire } = options;
    if (wire?.kind === "https") {
      return new LazyUpstream(origin, () => overTls(codec, options, malformed, wire.trust));
    }
    if (wire !== undefined) return new LazyUpstream(origin, () => overHttp2(options, malformed));
    return codec === "lean"
      ? new LeanUpstream(options, malformed, new PlainDialer(options))
      : new NodeUpstream(options, malformed, plainWire(options));
  };
}

async function overTls(
  codec: HttpCodec,
  options: UpstreamOptions,
  malformed: MalformedAnswers,
  trust: TlsTrust | undefined,
): Promise<Upstream> {
  const { TlsDialer, tlsWire } = await import("./tls-wire.ts");
  return codec === "lean"
    ? new LeanUpstream(options, malformed, new TlsDialer(options, trust))
    : new NodeUpstream(options, malformed, tlsWire(options, trust));
}

/** There is one codec for it, Node's. */
async function overHttp2(options: UpstreamOptions, malformed: MalformedAnswers): Promise<Upstream> {
  const { Http2Upstream } = await import("./http2-upstream.ts");
  return new Http2Upstream(options, malformed);
}
