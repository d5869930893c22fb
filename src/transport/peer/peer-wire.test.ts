import assert from "node:assert/strict";
import { test } from "node:test";
import { DATA_TYPE_HEADER, escapeDataType, readDataType, readTrailers, writeTrailers } from "./peer-wire.ts";

test("trailers cross in headers, whatever is in them", () => {
  const trailers = ["grpc-status", "5", "grpc-message", "a: b", "x-t", "", "x-t", "2"];
  assert.deepEqual(readTrailers(["X", "1", ...writeTrailers(trailers)]), trailers);
  assert.deepEqual(readTrailers(["outrigger-trailer", "x-empty:"]), ["x-empty", ""]);
  assert.deepEqual(readTrailers(["outrigger-trailer", "nonsense"]), []);
});

test("the type of an Any crosses in a header, whatever is in it", () => {
  for (const dataType of ["type.googleapis.com/test.v1.Thing", "a b/ü%41%2F;,\r\n\u{1f600}", "%"]) {
    const written = escapeDataType(dataType);
    assert.match(written, /^[\x21-\x7e]+$/);
    assert.equal(readDataType([DATA_TYPE_HEADER, written]), dataType);
  }
  assert.equal(readDataType([DATA_TYPE_HEADER, "%zz"]), "%zz");
  assert.equal(readDataType(["X", "1"]), undefined);
});
