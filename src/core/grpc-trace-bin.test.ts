import assert from "node:assert/strict";
import { test } from "node:test";
import { traceBinOf, traceparentOfBin } from "./grpc-trace-bin.ts";

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
