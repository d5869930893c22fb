import assert from "node:assert/strict";
import { test } from "node:test";
import { onInvokeMetadata } from "./on-invoke-metadata.ts";

const NO_TRACE = ["traceparent", "00-00000000000000000000000000000000-0000000000000000-00"];
const NO_TRACE_BIN = ["grpc-trace-bin", "AAAAAAAAAAAAAAAAAAAAAAAAAQAAAAAAAAAAAgA"];

/** Without the trace. */
function metadataOf(headers: readonly string[], bytes?: number): string[] {
  const metadata = onInvokeMetadata(headers, bytes);
  assert.deepEqual(metadata.splice(-4), [...NO_TRACE, ...NO_TRACE_BIN]);
  return metadata;
}

test("names are in lower case, and repeats stay", () => {
  assert.deepEqual(metadataOf(["X-A", "1", "x-a", "2", "Dapr-Caller-App-Id", "c"]), [
    ...["x-a", "1", "x-a", "2", "dapr-caller-app-id", "c"],
  ]);
});

test("what HTTP has of its own is told by another name to the callee of an HTTP call", () => {
  const sent = ["Content-Type", "text/plain", "Cookie", "a=b", "Authorization", "Bearer x"];
  const told = ["dapr-content-type", "text/plain", "dapr-cookie", "a=b", "authorization", "Bearer x"];
  assert.deepEqual(metadataOf(sent, 3), [...told, "dapr-content-length", "3"]);
  assert.deepEqual(metadataOf(["X", "1"], 0), ["x", "1"]);
});

test("metadata of a gRPC caller is left as it is, and what its wire said of itself stays behind", () => {
  const sent = ["dapr-authority", "a:1", "Dapr-Grpc-Accept-Encoding", "gzip", "Content-Type", "text/plain"];
  assert.deepEqual(metadataOf([...sent, "cookie", "a=b"], 3), ["cookie", "a=b"]);
});

test("what is no metadata is left out", () => {
  const bad = ["x'odd", "1", "x-latin", "\u00e9", "x-tab", "a\tb", "x-b-bin", "%%", "", "", ":path", "/"];
  const reserved = ["grpc-status", "1", "Te", "trailers", "Host", "h", "User-Agent", "u", "Content-Length", "7"];
  assert.deepEqual(metadataOf([...bad, ...reserved]), []);
});

test("bytes go out as gRPC writes them, several in one value too", () => {
  assert.deepEqual(metadataOf(["X-B-Bin", "eno=", "x-c-bin", "eno=, AA==", "x-d-bin", ""]), [
    ...["x-b-bin", "eno", "x-c-bin", "eno,AA", "x-d-bin", ""],
  ]);
});

test("the trace is told as text and in binary; a malformed one is none", () => {
  const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  const binary = Buffer.from("00004bf92f3577b34da6a3ce929d0e0e47360100f067aa0ba902b70201", "hex");
  assert.deepEqual(onInvokeMetadata(["Traceparent", traceparent, "Tracestate", "a=b"], undefined), [
    ...["traceparent", traceparent, "tracestate", "a=b"],
    ...["grpc-trace-bin", binary.toString("base64").replace(/=+$/, "")],
  ]);
  assert.deepEqual(metadataOf(["traceparent", "zz"]), []);
});
