import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { NO_TRACE } from "../../../test/support/event-apps.ts";
import { isHeaderName } from "../../core/raw-headers.ts";
import { eventHeaders } from "./event-headers.ts";
import { eventMetadata } from "./event-metadata.ts";

/** What a publisher has said beside an event, on its way to the app. */

const TYPE = "application/cloudevents+json";
const TRACE = { traceparent: NO_TRACE, tracestate: "a=b" };
const OF_THE_SIDECAR = ["Content-Type", TYPE, "Traceparent", NO_TRACE, "Tracestate", "a=b"];

test("metadata becomes headers as Go writes them, in the order of their names", () => {
  const metadata = new Map([
    ["ttlInSeconds", "60"],
    ["pubsubName", "mem"],
    ["cloudevent.id", "ü"],
    ["x-own-KEY", " 1 "],
  ]);
  assert.deepEqual(eventHeaders(TYPE, metadata, TRACE), [
    ...["Content-Type", TYPE, "Cloudevent.id", "Ã¼", "Pubsubname", "mem", "Ttlinseconds", "60", "X-Own-Key", "1"],
    ...["Traceparent", NO_TRACE, "Tracestate", "a=b"],
  ]);
});

const NOT_TO_BE_SAID = [
  ...["Content-Length", "content-type", "Transfer-Encoding", "Connection", "Keep-Alive", "Upgrade", "TE", "Trailer"],
  ...["Host", "Expect", "Dapr-Api-Token", "dapr-caller-app-id", "Dapr_Caller_App_Id", "dapr-callee-app-id"],
  ...["outrigger-target", "traceparent", "tracestate", "dapr-app-id", "content-encoding", "grpc-trace-bin"],
];

test("a publisher says nothing of the connection, or in the place of a sidecar", () => {
  const metadata = new Map(NOT_TO_BE_SAID.map((name) => [name, "1"]));
  assert.deepEqual(eventHeaders(TYPE, metadata, TRACE), OF_THE_SIDECAR);
});

test("what can be no header is left out", () => {
  const metadata = new Map([
    ["", "empty"],
    ["a b", "1"],
    ["a:b", "1"],
    ["ü", "1"],
    ["line", "a\r\nx: 1"],
    ["nul", "\0"],
  ]);
  assert.deepEqual(eventHeaders(TYPE, metadata, TRACE), OF_THE_SIDECAR);
  assert.deepEqual(eventHeaders(TYPE, new Map(), { traceparent: "a\r\nb", tracestate: "" }), ["Content-Type", TYPE]);
});

const anyMetadata = fc
  .array(fc.tuple(fc.oneof(fc.string(), fc.constantFrom(...NOT_TO_BE_SAID)), fc.string({ unit: "binary" })))
  .map((entries) => new Map(entries));

test("whatever a publisher says, what comes of it can be sent over HTTP", () => {
  fc.assert(
    fc.property(anyMetadata, fc.string(), fc.string(), (metadata, traceparent, tracestate) => {
      const headers = eventHeaders(TYPE, metadata, { traceparent, tracestate });
      for (let i = 0; i < headers.length; i += 2) {
        assert.ok(isHeaderName(headers[i] ?? ""));
        assert.match(headers[i + 1] ?? "", /^[\t\x20-\x7e\x80-\xff]*$/);
      }
      assert.equal(headers.filter((_, at) => at % 2 === 0).filter((name) => name === "Content-Type").length, 1);
    }),
  );
});

test("metadata goes to a gRPC app in small letters, with the trace in both forms", () => {
  const metadata = new Map([
    ["pubsubName", "mem"],
    ["Own-Bin", "ab"],
    ["text", "ü"],
    ["a b", "1"],
    ...NOT_TO_BE_SAID.filter((name) => !name.includes("_")).map((name) => [name, "1"] as const),
  ]);
  const bin = "AAAAAAAAAAAAAAAAAAAAAAAAAQAAAAAAAAAAAgA";
  assert.deepEqual(eventMetadata(metadata, TRACE), [
    ...["pubsubname", "mem", "own-bin", "YWI", "expect", "1", "content-encoding", "1"],
    ...["traceparent", NO_TRACE, "grpc-trace-bin", bin, "tracestate", "a=b"],
  ]);
  assert.deepEqual(eventMetadata(new Map(), { traceparent: "", tracestate: undefined }), []);
});

test("whatever a publisher says, what comes of it can be sent over gRPC", () => {
  fc.assert(
    fc.property(anyMetadata, fc.string(), fc.string(), (said, traceparent, tracestate) => {
      const metadata = eventMetadata(said, { traceparent, tracestate });
      for (let i = 0; i < metadata.length; i += 2) {
        assert.match(metadata[i] ?? "", /^[0-9a-z_.-]+$/);
        assert.match(metadata[i + 1] ?? "", /^[\x20-\x7e]*$/);
      }
    }),
  );
});
