import assert from "node:assert/strict";
import { test } from "node:test";
import { SpanKind, SpanStatusCode } from "@opentelemetry/api";
import type { ReadableSpan } from "@opentelemetry/sdk-trace-base";
import { type TraceContext, traceContextOf } from "../../core/trace-context.ts";
import { OtelTracer } from "./otel-tracer.ts";
import type { SpanSink } from "./span-sink.ts";

const TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN_ID = "00f067aa0ba902b7";

class Kept implements SpanSink {
  readonly spans: ReadableSpan[] = [];
  closed = 0;

  add(span: ReadableSpan): void {
    this.spans.push(span);
  }

  flush(): Promise<void> {
    return new Promise(() => undefined);
  }

  close(): Promise<void> {
    this.closed += 1;
    return Promise.resolve();
  }
}

function tracer(samplingRate: number, serviceName = "math"): { readonly tracer: OtelTracer; readonly kept: Kept } {
  const kept = new Kept();
  return { tracer: new OtelTracer({ serviceName, samplingRate, sinks: [kept] }), kept };
}

function context(...headers: string[]): TraceContext {
  return traceContextOf(headers);
}

const SAMPLED = context("traceparent", `00-${TRACE_ID}-${SPAN_ID}-01`, "tracestate", "a=1", "baggage", "k=v");

test("a span goes on with its parent's trace, state and baggage under an id of its own", () => {
  const { tracer: own, kept } = tracer(0.5);
  const span = own.start("client", "/first", SAMPLED);
  const { traceparent, answeredTraceparent, tracestate, baggage } = span.trace;
  assert.match(traceparent, new RegExp(`^00-${TRACE_ID}-(?!${SPAN_ID})[0-9a-f]{16}-01$`));
  assert.deepEqual([answeredTraceparent, tracestate, baggage], [traceparent, "a=1", "k=v"]);
  span.rename("second");
  span.describe({ "dapr.protocol": "http" });
  span.event("retry");
  span.end({ httpStatus: 200 });
  const [recorded] = kept.spans;
  assert.ok(recorded !== undefined);
  assert.deepEqual([recorded.name, recorded.kind, recorded.status.code], ["second", SpanKind.CLIENT, 0]);
  assert.equal(recorded.parentSpanContext?.spanId, SPAN_ID);
  assert.equal(recorded.spanContext().traceState?.serialize(), "a=1");
  assert.equal(`00-${TRACE_ID}-${recorded.spanContext().spanId}-01`, traceparent);
  assert.deepEqual(recorded.attributes, { "dapr.protocol": "http", "dapr.status_code": "200" });
  assert.equal(recorded.resource.attributes["service.name"], "math");
  assert.deepEqual(
    recorded.events.map(({ name }) => name),
    ["retry"],
  );
});

for (const traceparent of ["zz", "00-00000000000000000000000000000000-0000000000000000-00", undefined]) {
  test(`below ${String(traceparent)} a trace begins, and what state there was is dropped with it`, () => {
    const { tracer: own, kept } = tracer(1);
    const headers = traceparent === undefined ? [] : ["traceparent", traceparent];
    const span = own.start("server", "x", context(...headers, "tracestate", "a=1", "baggage", "k=v"));
    assert.match(span.trace.traceparent, /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-01$/);
    assert.deepEqual([span.trace.tracestate, span.trace.baggage], [undefined, "k=v"]);
    span.end({ grpcCode: 0, message: undefined });
    assert.equal(kept.spans[0]?.parentSpanContext, undefined);
    assert.equal(kept.spans[0]?.spanContext().traceId, span.trace.traceparent.slice(3, 35));
  });
}

test("what is not sampled has a name in the headers, and is told to nobody", () => {
  const { tracer: own, kept } = tracer(1e-12);
  const below = own.start("client", "x", context("traceparent", `00-${TRACE_ID}-${SPAN_ID}-00`));
  assert.match(below.trace.traceparent, new RegExp(`^00-${TRACE_ID}-(?!${SPAN_ID})[0-9a-f]{16}-00$`));
  const fresh = own.start("client", "x", context());
  assert.match(fresh.trace.traceparent, /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-00$/);
  for (const span of [below, fresh]) {
    assert.equal(span.isSampled, false);
    span.rename("y");
    span.describe({ a: 1 });
    span.event("e");
    span.end({ httpStatus: 500 });
  }
  assert.deepEqual(kept.spans, []);
});

test("a span ends once, with what was said first", () => {
  const { tracer: own, kept } = tracer(1);
  const span = own.start("client", "x", SAMPLED);
  span.end({ httpStatus: 404 });
  span.end({ error: "the caller has left" });
  assert.deepEqual(
    kept.spans.map(({ status }) => status),
    [{ code: SpanStatusCode.ERROR, message: "Code(404): Not Found" }],
  );
});

test("errors are told in daprd's words: HTTP from 400 on, gRPC other than OK, and no answer at all", () => {
  const { tracer: own, kept } = tracer(1);
  own.start("client", "a", SAMPLED).end({ httpStatus: 399 });
  own.start("client", "b", SAMPLED).end({ httpStatus: 599 });
  own.start("client", "c", SAMPLED).end({ grpcCode: 5, message: "nothing here" });
  own.start("client", "d", SAMPLED).end({ error: "refused" });
  assert.deepEqual(
    kept.spans.map(({ status }) => status.message),
    [undefined, "Code(599): Unknown", "nothing here", "refused"],
  );
  assert.equal(kept.spans[2]?.attributes["rpc.grpc.status_code"], 5);
});

test("tracers of one process know nothing of each other", () => {
  const [one, other] = [tracer(1, "one"), tracer(1, "other")];
  one.tracer.start("client", "x", SAMPLED).end({ httpStatus: 200 });
  assert.deepEqual([one.kept.spans.length, other.kept.spans.length], [1, 0]);
  assert.equal(one.kept.spans[0]?.resource.attributes["service.name"], "one");
});

test("a flush that does not end is waited for no longer than asked", async () => {
  const { tracer: own, kept } = tracer(1);
  await own.flush(1);
  await own.close();
  assert.equal(kept.closed, 1);
});
