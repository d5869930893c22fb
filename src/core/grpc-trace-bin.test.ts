import assert from "node:assert/strict";
import { test } from "node:test";
import { metadataWithTraceparent, traceBinOf, traceContextOfMetadata, traceparentOfBin } from "./grpc-trace-bin.ts";

const TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const BIN = "AABL+S81d7NNpqPOkp0ODkc2AQDwZ6oLqQK3AgE";
// observed/, "proxy"
const NONE = "AAAAAAAAAAAAAAAAAAAAAAAAAQAAAAAAAAAAAgA";

test("both forms of a trace context say the same", () => {
  assert.equal(traceBinOf(TRACEPARENT), BIN);
  assert.equal(traceparentOfBin(BIN), TRACEPARENT);
  assert.equal(traceparentOfBin(`${BIN}=`), TRACEPARENT);
});

test("no trace is all zeros, as daprd sends it, and so is a malformed one", () => {
  assert.equal(traceBinOf("00-00000000000000000000000000000000-0000000000000000-00"), NONE);
  assert.equal(traceBinOf("zz"), NONE);
});

test("what is not of the form says nothing", () => {
  for (const value of ["", "AAAA", BIN.slice(4), `AQ${BIN.slice(2)}`]) assert.equal(traceparentOfBin(value), undefined);
});

test("of metadata that names a trace in both forms, W3C's is believed; gRPC's own does where it is alone", () => {
  assert.equal(traceContextOfMetadata(["grpc-trace-bin", BIN]).traceparent, TRACEPARENT);
  assert.equal(traceContextOfMetadata(["grpc-trace-bin", BIN, "traceparent", "zz"]).traceparent, "zz");
});

test("a call goes on under another span in both forms", () => {
  const metadata = ["grpc-trace-bin", NONE, "x-mine", "1", "traceparent", "zz"];
  const passedOn = ["x-mine", "1", "traceparent", TRACEPARENT, "grpc-trace-bin", BIN];
  assert.deepEqual(metadataWithTraceparent(metadata, TRACEPARENT), passedOn);
});
