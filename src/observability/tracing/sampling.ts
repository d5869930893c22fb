import type { SpanReference } from "../../core/trace-context.ts";

const SAMPLED = 1;

/**
 * Which spans are sent, by daprd's rule (pkg/diagnostics/tracing_sampler.go): those below a sampled one, and of all others
 * a share that the id of their trace decides. So all sidecars of one rate, daprds among them, decide alike.
 */
export class Sampling {
  readonly #bound: number;

  /** @param rate 0 to 1. */
  constructor(rate: number) {
    this.#bound = rate * 2 ** 52;
  }

  isSampled(traceId: string, parent: SpanReference | undefined): boolean {
    if (parent !== undefined && (parent.flags & SAMPLED) !== 0) return true;
    return lowerHalf(traceId) < this.#bound;
  }

  /** The last two digits of a traceparent. Whatever else the parent's flags say goes on. */
  flags(isSampled: boolean, parent: SpanReference | undefined): string {
    if (parent === undefined) return isSampled ? "01" : "00";
    const others = parent.flags & ~SAMPLED;
    return (isSampled ? others | SAMPLED : others).toString(16).padStart(2, "0");
  }
}

/** The last 8 bytes as Go's SDK counts them, without the lowest bit, as far as a number holds them: 52 bits. */
function lowerHalf(traceId: string): number {
  return Number.parseInt(traceId.slice(16, 29), 16);
}
