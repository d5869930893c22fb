import assert from "node:assert/strict";
import { test } from "node:test";
import { readTrailers, writeTrailers } from "./peer-wire.ts";

test("trailers cross in headers, whatever is in them", () => {
  const trailers = ["grpc-status", "5", "grpc-message", "a: b", "x-t", "", "x-t", "2"];
  assert.deepEqual(readTrailers(["X", "1", ...writeTrailers(trailers)]), trailers);
  assert.deepEqual(readTrailers(["outrigger-trailer", "nonsense"]), []);
});
