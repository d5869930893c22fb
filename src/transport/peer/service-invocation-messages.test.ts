import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { parseAppId, parseNamespace } from "../../core/app-id.ts";
import { CallAbort } from "../../core/call-signal.ts";
import type { RequestMessage } from "../../core/message.ts";
import { headerValue, headerValues } from "../../core/raw-headers.ts";
import { HTTPExtension_Verb } from "../../gen/dapr/proto/common/v1/common_pb.ts";
import {
  InternalInvokeRequestSchema,
  InternalInvokeResponseSchema,
} from "../../gen/dapr/proto/internals/v1/service_invocation_pb.ts";
import {
  callMetadataOf,
  internalRequestOf,
  internalResponseOf,
  requestIn,
  responseIn,
} from "./service-invocation-messages.ts";

const callee = { id: parseAppId("math"), namespace: parseNamespace("default") };
const TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

function request(parts: Partial<RequestMessage> = {}): RequestMessage {
  return {
    method: "POST",
    path: "/do",
    query: undefined,
    headers: [],
    body: undefined,
    contentLength: 0,
    signal: new CallAbort(),
    ...parts,
  };
}

function named(method: string) {
  return create(InternalInvokeRequestSchema, { message: { method, httpExtension: { verb: HTTPExtension_Verb.GET } } });
}

for (const [method, path] of [
  ["a/b", "/a/b"],
  ["", "/"],
  ["a b", "/a%20b"],
  ["a%20b", "/a%20b"],
  ["100%", "/100%25"],
  ["%zz", "/%25zz"],
  ["straße", "/stra%C3%9Fe"],
  ["/do", "/do"],
] as const) {
  test(`the method ${JSON.stringify(method)} of a peer is the path ${path}`, () => {
    assert.equal(requestIn(named(method), []).path, path);
  });
}

for (const method of ["a?b", "a#b", "a\nb", "a%00b"]) {
  test(`the method ${JSON.stringify(method)} of a peer is none`, () => {
    assert.throws(() => requestIn(named(method), []), { code: "InvalidArgument" });
  });
}

test("a query of a peer that could end the request line is none, and one in any language is escaped", () => {
  const asking = (querystring: string) =>
    create(InternalInvokeRequestSchema, { message: { method: "x", httpExtension: { querystring } } });
  assert.throws(() => requestIn(asking("a HTTP/1.1\r\n\r\nDELETE /admin"), []), { code: "InvalidArgument" });
  assert.equal(requestIn(asking("q=ö c"), []).query, "q=%C3%B6%20c");
});

for (const path of ["/a/b", "/a%20b", "/100%25", "/stra%C3%9Fe", "/%FF", "/a%2Fb", "/%61", "//a//", "/"]) {
  test(`the path ${path} reaches another Outrigger as it is`, () => {
    const sent = request({ path });
    assert.equal(requestIn(internalRequestOf(sent, callee), callMetadataOf(sent)).path, path);
  });
}

for (const preserved of [
  ...[
    "adm",
    "nolead",
    "http://evil/x",
    "*",
    "/a b",
    "/x?y",
    "/x#z",
    "/x HTTP/1.1\r\nx:",
    "/x%00",
    "/x%3Fy",
    "/%zz",
    "",
  ],
  ...["/adm", "/x/../adm", "/x%2Fadm", "/X", "/stra\xc3\x9fe"],
]) {
  test(`the preserved path ${JSON.stringify(preserved)} is not that of the method x`, () => {
    assert.throws(() => requestIn(named("x"), ["outrigger-path", preserved]), { code: "InvalidArgument" });
  });
}

test("a daprd gets the path decoded, but for what it would take for something else", () => {
  const methodOf = (path: string) => internalRequestOf(request({ path }), callee).message?.method;
  assert.equal(methodOf("/a%20b/stra%C3%9Fe/%61"), "a b/straße/a");
  assert.equal(methodOf("/100%25/a%2Fb/%FF"), "100%25/a%2Fb/%FF");
});

test("headers cross with their repeats and any character, and the empty type of a message takes away the header's", () => {
  const headers = ["X-Mine", "a", "x-mine", "b", "X-Name", "J\xc3\xb6", "Content-Type", "text/plain"];
  const internal = internalRequestOf(request({ headers }), callee);
  assert.deepEqual(internal.metadata["X-Mine"]?.values, ["a", "b"]);
  assert.deepEqual(internal.metadata["X-Name"]?.values, ["Jö"]);
  const { headers: read } = requestIn(internal, []);
  assert.deepEqual(headerValues(read, "x-mine"), ["a", "b"]);
  assert.equal(headerValue(read, "x-name"), "J\xc3\xb6");
  assert.deepEqual(headerValues(read, "content-type"), ["text/plain"]);
  const untyped = { ...internal, message: create(InternalInvokeRequestSchema, { message: {} }).message };
  assert.equal(headerValue(requestIn(untyped, []).headers, "content-type"), undefined);
});

test("what is about the connection, or between sidecars, stays behind", () => {
  const values = { values: ["1"] };
  const metadata = {
    connection: values,
    "content-length": values,
    "destination-app-id": values,
    host: values,
    "outrigger-from": values,
    "grpc-timeout": values,
    ":authority": values,
  };
  const { headers, contentLength } = requestIn(create(InternalInvokeRequestSchema, { metadata, message: {} }), []);
  assert.deepEqual(
    headers.filter((_, at) => at % 2 === 0).map((name) => name.toLowerCase()),
    ["dapr-grpc-timeout", "dapr-authority", "traceparent"],
  );
  assert.equal(contentLength, 1);
});

test("the trace is that of the caller's headers, else of its sidecar's call, else none", () => {
  const own = create(InternalInvokeRequestSchema, { metadata: { Traceparent: { values: ["own"] } }, message: {} });
  const none = create(InternalInvokeRequestSchema, { message: {} });
  const traceOf = (internal: typeof own, ...metadata: string[]) =>
    headerValue(requestIn(internal, metadata).headers, "traceparent");
  assert.equal(traceOf(own, "traceparent", TRACEPARENT), "own");
  assert.equal(traceOf(none, "traceparent", TRACEPARENT), TRACEPARENT);
  const bin = headerValue(callMetadataOf(request({ headers: ["Traceparent", TRACEPARENT] })), "grpc-trace-bin") ?? "";
  assert.equal(traceOf(none, "grpc-trace-bin", bin), TRACEPARENT);
  assert.equal(traceOf(none, "grpc-trace-bin", "AAAA"), "00-00000000000000000000000000000000-0000000000000000-00");
});

test("a gRPC app's status, details and trailers cross as such", () => {
  const trailers = ["grpc-status", "5", "grpc-message", "no %C3%B6", "grpc-status-details-bin", "CAUSA25v", "x-t", "1"];
  const sent = { status: 500, statusText: "", headers: ["Content-Type", "a/b"], body: undefined };
  const internal = internalResponseOf({ ...sent, trailers: () => trailers });
  assert.deepEqual([internal.status?.code, internal.status?.message], [5, "no ö"]);
  assert.deepEqual(Object.keys(internal.trailers), ["x-t"]);
  const read = responseIn(internal, callee);
  assert.equal(read.status, 500);
  const came = read.trailers?.() ?? [];
  assert.deepEqual(came, ["grpc-status", "5", "grpc-message", "no %C3%B6", ...came.slice(4, -2), "x-t", "1"]);
  assert.equal(responseIn(create(InternalInvokeResponseSchema, { status: { code: 0 } }), callee).status, 200);
});

test("the type of an Any crosses, with the body or without it, and makes the message protobuf", () => {
  const dataType = "type.googleapis.com/test.v1.Thing";
  const plain = internalRequestOf(request({ headers: ["Content-Type", "a/b"] }), callee);
  assert.equal(plain.message?.data, undefined);
  assert.equal("dataType" in requestIn(plain, []), false);
  for (const body of [undefined, Buffer.from("x")]) {
    const sent = request({ headers: ["Content-Type", "a/b"], dataType });
    const { message } = internalRequestOf(sent, callee, body);
    assert.deepEqual([message?.data?.typeUrl, message?.data?.value.length], [dataType, body?.length ?? 0]);
    const read = requestIn(internalRequestOf(sent, callee, body), []);
    assert.equal(read.dataType, dataType);
    assert.deepEqual(headerValues(read.headers, "content-type"), ["application/x-protobuf"]);
    const answer = { status: 200, statusText: "", headers: [], body: undefined, dataType };
    const back = responseIn(internalResponseOf({ ...answer, trailers: () => ["grpc-status", "0"] }, body), callee);
    assert.equal(back.dataType, dataType);
    assert.deepEqual(headerValues(back.headers, "content-type"), ["application/x-protobuf"]);
  }
});

for (const code of [101, 199, 1000, 100_000]) {
  test(`an answer with the status ${code} is none`, () => {
    const internal = create(InternalInvokeResponseSchema, { status: { code } });
    assert.throws(() => responseIn(internal, callee), { code: "Internal" });
  });
}

test("of a peer's trailers, what is about its connection stays behind, and the status is said once", () => {
  const values = { values: ["1"] };
  const trailers = { "http2-settings": values, "Proxy-Connection": values, "grpc-status": values, "x-t": values };
  const { trailers: read } = responseIn(
    create(InternalInvokeResponseSchema, { status: { code: 5 }, trailers }),
    callee,
  );
  assert.deepEqual(read?.(), ["grpc-status", "5", "x-t", "1"]);
});

test("what an app behind a daprd says of who calls counts for nothing beside what the daprd says", () => {
  const metadata = {
    "dapr-caller-app-id": { values: ["liar", "caller"] },
    "Dapr-Caller-App-Id": { values: ["liar"] },
    Dapr_Caller_App_Id: { values: ["liar"] },
  };
  const { headers } = requestIn(create(InternalInvokeRequestSchema, { metadata, message: {} }), []);
  assert.deepEqual(headers.slice(0, 2), ["dapr-caller-app-id", "caller"]);
  assert.ok(!headers.includes("liar"));
});

test("no Connection header in a peer's message takes anything out of it", () => {
  const metadata = {
    Connection: { values: ["dapr-caller-app-id, x-forwarded-for, x-own"] },
    "dapr-caller-app-id": { values: ["caller"] },
    "x-forwarded-for": { values: ["10.0.0.7"] },
    "x-own": { values: ["1"] },
  };
  const { headers } = requestIn(create(InternalInvokeRequestSchema, { metadata, message: {} }), []);
  for (const name of ["dapr-caller-app-id", "x-forwarded-for", "x-own"]) assert.ok(headers.includes(name), name);
  assert.ok(!headers.includes("Connection"));
});

for (const [what, name, value, words] of [
  ["line break in its value", "X-Mine", "a\r\nX-Evil: 1", "the header X-Mine with a character that no header may have"],
  ["NUL in its value", "X-Mine", "a\0", "the header X-Mine with a character that no header may have"],
  [
    "line break in the trace",
    "Traceparent",
    "a\r\nb",
    "the header Traceparent with a character that no header may have",
  ],
  ["space in its name", "X Mine", "a", '"X Mine", which is not a header name'],
  ["name that is empty", "", "a", '"", which is not a header name'],
  ["line break in the type", "", "", "the header Content-Type with a character that no header may have"],
] as const) {
  test(`a header of a peer that no message can have is refused, and who sent it is named: ${what}`, () => {
    const metadata = words.includes("Content-Type") ? {} : { [name]: { values: [value] } };
    const message = words.includes("Content-Type") ? { contentType: "a\r\nb" } : {};
    assert.throws(() => requestIn(create(InternalInvokeRequestSchema, { metadata, message }), []), {
      code: "InvalidArgument",
      message: `the calling sidecar sent ${words}`,
    });
    const refused = { code: "Internal", message: `the sidecar of math answered with ${words}` };
    const status = { code: 200 };
    const answered = create(InternalInvokeResponseSchema, { status, headers: metadata, message });
    assert.throws(() => responseIn(answered, callee), refused);
    if (words.includes("Content-Type")) return;
    const behind = create(InternalInvokeResponseSchema, { status: { code: 0 }, trailers: metadata });
    assert.throws(() => responseIn(behind, callee), refused);
  });
}

test("what an answer says of its length is not passed on: its pieces are what there is", () => {
  const headers = { "content-length": { values: ["3"] }, "X-Mine": { values: ["1"] } };
  const internal = create(InternalInvokeResponseSchema, { status: { code: 200 }, headers });
  assert.deepEqual(responseIn(internal, callee).headers, ["X-Mine", "1"]);
});
