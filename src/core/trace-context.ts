import { headerValue, headerValues, type RawHeaders, withoutHeaders } from "./raw-headers.ts";

/** W3C Trace Context and Baggage, as far as passing them on needs. */
export interface TraceContext {
  /** As the caller sent it, well-formed or not, or all zeros: what the app receives. */
  readonly traceparent: string;
  /** What the caller gets back: its own traceparent where that was well-formed, else all zeros. */
  readonly answeredTraceparent: string;
  readonly tracestate: string | undefined;
  /** The first `baggage` header; further ones are dropped, as daprd does. */
  readonly baggage: string | undefined;
}

/** daprd sends this wherever no exporter is configured and the caller brought no trace (A4; A12 says copy). */
export const NO_TRACE = "00-00000000000000000000000000000000-0000000000000000-00";

// Version ff is forbidden, and 00 has these four parts and no more (W3C Trace Context 3.2.2, 3.2.3).
const TRACEPARENT = /^(?!ff|00.{54})[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?$/;

/** Never throws: a malformed traceparent is passed on to the app as it is (observed/, "bad traceparent"). */
export function traceContextOf(headers: readonly string[]): TraceContext {
  const sent = headerValue(headers, "traceparent");
  const wellFormed = sent !== undefined && TRACEPARENT.test(sent);
  const states = headerValues(headers, "tracestate");
  return {
    traceparent: sent ?? NO_TRACE,
    answeredTraceparent: wellFormed ? sent : NO_TRACE,
    tracestate: states.length === 0 ? undefined : states.join(","),
    baggage: headerValue(headers, "baggage"),
  };
}

/** The 32 hex digits that name the trace, or undefined where the call belongs to none. */
export function traceIdOf(traceparent: string): string | undefined {
  return TRACEPARENT.test(traceparent) ? traceparent.slice(3, 35) : undefined;
}

/** What a traceparent says of the span that it names. */
export interface SpanReference {
  /** 32 hex digits. */
  readonly traceId: string;
  /** 16 hex digits. */
  readonly spanId: string;
  /** Bit 0: sampled (W3C Trace Context 3.2.2.5). */
  readonly flags: number;
}

/** Undefined where it is malformed or all zeros. */
export function spanReferenceIn(traceparent: string): SpanReference | undefined {
  if (!TRACEPARENT.test(traceparent)) return undefined;
  const flags = Number.parseInt(traceparent.slice(53, 55), 16);
  return { traceId: traceparent.slice(3, 35), spanId: traceparent.slice(36, 52), flags };
}

/** The headers of a request that goes on under another span. */
export function withTraceparent(headers: readonly string[], traceparent: string): RawHeaders {
  const kept = withoutHeaders(headers, (name) => name === "traceparent");
  kept.push("Traceparent", traceparent);
  return kept;
}

// RFC 9110 token, and the octets W3C Baggage allows in a value.
const KEY = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const VALUE = /^[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*$/;
const BAD_ESCAPE = /%(?![0-9A-Fa-f]{2})/;
const MAX_BAGGAGE_BYTES = 8192;

/**
 * What is wrong with a baggage header, in the words of the Go library that daprd uses (callers see them), or undefined.
 * https://www.w3.org/TR/baggage/#definition
 */
export function whyBaggageIsInvalid(baggage: string): string | undefined {
  if (baggage === "") return undefined;
  if (baggage.length > MAX_BAGGAGE_BYTES) return `baggage-string too large: ${baggage.length}`;
  for (const member of baggage.split(",")) {
    const [pair = "", ...properties] = member.split(";");
    if (!isPair(pair, "required")) return `invalid baggage list-member: ${JSON.stringify(member)}`;
    const bad = properties.find((property) => !isPair(property, "optional"));
    if (bad !== undefined) return `invalid baggage list-member property: ${JSON.stringify(bad)}`;
  }
  return undefined;
}

function isPair(text: string, value: "required" | "optional"): boolean {
  const equals = text.indexOf("=");
  if (equals === -1) return value === "optional" && KEY.test(text.trim());
  const right = text.slice(equals + 1).trim();
  return KEY.test(text.slice(0, equals).trim()) && VALUE.test(right) && !BAD_ESCAPE.test(right);
}
