import assert from "node:assert/strict";
import { test } from "node:test";
import { spanReferenceIn, traceContextOf, traceIdOf, whyBaggageIsInvalid, withTraceparent } from "./trace-context.ts";

const NO_TRACE = "00-00000000000000000000000000000000-0000000000000000-00";
const TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN_ID = "00f067aa0ba902b7";

test("without a trace, the app and the caller get all zeros", () => {
  assert.deepEqual(traceContextOf(["Accept", "*/*"]), {
    traceparent: NO_TRACE,
    answeredTraceparent: NO_TRACE,
    tracestate: undefined,
    baggage: undefined,
  });
});

const WELL_FORMED: [text: string, what: string][] = [
  [`00-${TRACE_ID}-${SPAN_ID}-01`, "of today's version"],
  [`00-${TRACE_ID}-${SPAN_ID}-02`, "with a flag that is not known"],
  [`cc-${TRACE_ID}-${SPAN_ID}-01`, "of a later version"],
  [`cc-${TRACE_ID}-${SPAN_ID}-01-more`, "of a later version, with more parts"],
];

for (const [text, what] of WELL_FORMED) {
  test(`a traceparent ${what} passes verbatim to the app and back`, () => {
    const trace = traceContextOf(["TraceParent", text]);
    assert.equal(trace.traceparent, text);
    assert.equal(trace.answeredTraceparent, text);
    assert.equal(traceIdOf(text), TRACE_ID);
  });
}

const MALFORMED: [text: string, what: string][] = [
  ["zz", "that is none"],
  ["", "that is empty"],
  [`00-${TRACE_ID.toUpperCase()}-${SPAN_ID}-01`, "in upper case"],
  [`00-${"0".repeat(32)}-${SPAN_ID}-01`, "without a trace id"],
  [`00-${TRACE_ID}-${"0".repeat(16)}-01`, "without a span id"],
  [`ff-${TRACE_ID}-${SPAN_ID}-01`, "of the forbidden version"],
  [`00-${TRACE_ID}-${SPAN_ID}`, "without flags"],
  [`00-${TRACE_ID}-${SPAN_ID}-01-more`, "of today's version with more parts"],
  [`00-${TRACE_ID}-${SPAN_ID}-01,00-${TRACE_ID}-${SPAN_ID}-01`, "that is two"],
];

for (const [text, what] of MALFORMED) {
  test(`a traceparent ${what} reaches the app as it is, and the caller gets zeros`, () => {
    const trace = traceContextOf(["traceparent", text]);
    assert.equal(trace.traceparent, text);
    assert.equal(trace.answeredTraceparent, NO_TRACE);
    assert.equal(traceIdOf(text), undefined);
  });
}

test("all zeros name no trace", () => {
  assert.equal(traceIdOf(NO_TRACE), undefined);
});

test("several tracestate headers are one list, in their order", () => {
  assert.equal(traceContextOf(["tracestate", "a=1", "X", "x", "Tracestate", "b=2"]).tracestate, "a=1,b=2");
});

test("of several baggage headers the first counts", () => {
  assert.equal(traceContextOf(["Baggage", "a=1", "baggage", "b=2"]).baggage, "a=1");
});

const VALID_BAGGAGE = [
  "k=v",
  "k=",
  "a=1,b=2",
  " k = v , l = w ",
  "k=v;property",
  "k=v;property=1;other",
  "k=a%20b%E4%BD%A0",
  "k=a=b",
  "!#$%&'*+-.^_`|~0Az=v",
  `k=${"v".repeat(8190)}`,
];

for (const baggage of VALID_BAGGAGE) {
  test(`valid baggage: ${shortened(baggage)}`, () => {
    assert.equal(whyBaggageIsInvalid(baggage), undefined);
  });
}

const INVALID_BAGGAGE: [baggage: string, why: string][] = [
  ["%%%", 'invalid baggage list-member: "%%%"'],
  ["k", 'invalid baggage list-member: "k"'],
  ["=v", 'invalid baggage list-member: "=v"'],
  ["a=1,,b=2", 'invalid baggage list-member: ""'],
  ["a=1,", 'invalid baggage list-member: ""'],
  ["a=1,b", 'invalid baggage list-member: "b"'],
  ["a b=1", 'invalid baggage list-member: "a b=1"'],
  ["k=a b", 'invalid baggage list-member: "k=a b"'],
  ["k=a\\b", 'invalid baggage list-member: "k=a\\\\b"'],
  ['k="v"', 'invalid baggage list-member: "k=\\"v\\""'],
  ["k=%zz", 'invalid baggage list-member: "k=%zz"'],
  ["k=%2", 'invalid baggage list-member: "k=%2"'],
  ["k=v;=x", 'invalid baggage list-member property: "=x"'],
  ["k=v;a b", 'invalid baggage list-member property: "a b"'],
  ["k=v;p=%zz", 'invalid baggage list-member property: "p=%zz"'],
  [`k=${"v".repeat(8191)}`, "baggage-string too large: 8193"],
];

for (const [baggage, why] of INVALID_BAGGAGE) {
  test(`invalid baggage: ${shortened(baggage)}`, () => {
    assert.equal(whyBaggageIsInvalid(baggage), why);
  });
}

function shortened(text: string): string {
  return text.length > 60 ? `${text.slice(0, 10)}… of ${text.length} bytes` : JSON.stringify(text);
}

test("a traceparent names a span, unless it is malformed or all zeros", () => {
  assert.deepEqual(spanReferenceIn(`00-${TRACE_ID}-${SPAN_ID}-03`), { traceId: TRACE_ID, spanId: SPAN_ID, flags: 3 });
  assert.equal(spanReferenceIn(NO_TRACE), undefined);
  assert.equal(spanReferenceIn("zz"), undefined);
});

test("a request goes on under one traceparent, however many it had", () => {
  const headers = ["TraceParent", "zz", "X-Mine", "1", "traceparent", NO_TRACE];
  assert.deepEqual(withTraceparent(headers, "new"), ["X-Mine", "1", "Traceparent", "new"]);
});
