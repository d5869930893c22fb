import assert from "node:assert/strict";
import { once } from "node:events";
import { Readable } from "node:stream";
import { type TestContext, test } from "node:test";
import {
  create,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
  toJson,
} from "@bufbuild/protobuf";
import { anyUnpack, FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import grpc from "@grpc/grpc-js";
import { OutriggerError } from "../../core/errors.ts";
import type { Logger } from "../../core/logger.ts";
import type { ResponseMessage } from "../../core/message.ts";
import { headerValue, headerValues } from "../../core/raw-headers.ts";
import { HTTPExtension_Verb } from "../../gen/dapr/proto/common/v1/common_pb.ts";
import { Dapr } from "../../gen/dapr/proto/runtime/v1/dapr_pb.ts";
import { GetMetadataResponseSchema } from "../../gen/dapr/proto/runtime/v1/metadata_pb.ts";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "../../gen/google/rpc/status_pb.ts";
import {
  Health,
  HealthCheckResponseSchema,
  HealthCheckResponse_ServingStatus as Serving,
} from "../../gen/grpc/health/v1/health_pb.ts";
import { ServerReflection } from "../../gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ServerReflectionAlpha } from "../../gen/grpc/reflection/v1alpha/reflection_pb.ts";
import type { Invocation } from "../../invocation/invoker.ts";
import { Publisher } from "../../pubsub/publisher.ts";
import { Readiness } from "../../runtime/readiness.ts";
import { systemClock } from "../../runtime/system-clock.ts";
import { ApiTokens } from "../../security/api-token.ts";
import type { SidecarDescription } from "../http/routes/metadata.ts";
import { GrpcServer } from "./grpc-server.ts";

/** The gRPC port over real connections, with a stand-in for whoever carries the calls. */

const ZERO_TRACE = "00-00000000000000000000000000000000-0000000000000000-00";
const NOT_SERVING = create(HealthCheckResponseSchema, { status: Serving.NOT_SERVING });
const GRPC_OK = ["grpc-status", "0"];
const ignore = (): void => undefined;
const log: Logger = { debug: ignore, info: ignore, warn: ignore, error: ignore };

interface Served {
  readonly client: grpc.Client;
  readonly port: number;
  readonly readiness: Readiness;
  readonly invoked: Invocation[];
  readonly stopped: string[];
}

interface ServeOptions {
  readonly answer?: (invocation: Invocation) => ResponseMessage | Promise<ResponseMessage>;
  readonly token?: string;
  readonly maxMessageBytes?: number;
  readonly describe?: () => SidecarDescription;
}

async function served(t: TestContext, options: ServeOptions = {}): Promise<Served> {
  const { answer = () => response(200, []), token, maxMessageBytes = 4096 } = options;
  const { describe = () => assert.fail("nobody asks") } = options;
  const invoked: Invocation[] = [];
  const stopped: string[] = [];
  const readiness = new Readiness("front", true);
  const rules = { pubsubs: new Map<string, never>(), policies: undefined };
  const server = new GrpcServer({
    invoker: {
      invoke: async (invocation) => {
        invoked.push(invocation);
        return answer(invocation);
      },
    },
    publisher: new Publisher({ appId: "front", rules, observer: undefined, clock: systemClock }),
    subscriptions: { stream: () => assert.fail("nobody subscribes") },
    health: readiness,
    metadata: { describe, setExtended: ignore },
    shutdown: (mode) => stopped.push(mode),
    tokens: new ApiTokens([token]),
    maxMessageBytes,
    codec: "lean",
    tracer: undefined,
    readBufferBytes: 4096,
    clock: systemClock,
    log,
  });
  const port = await server.listener.listen("127.0.0.1", 0);
  t.after(() => {
    server.listener.destroy();
  });
  return { client: clientOf(t, port), port, readiness, invoked, stopped };
}

function clientOf(t: TestContext, port: number, options: grpc.ChannelOptions = {}): grpc.Client {
  const client = new grpc.Client(`127.0.0.1:${port}`, grpc.credentials.createInsecure(), options);
  t.after(() => {
    client.close();
  });
  return client;
}

function response(status: number, headers: readonly string[], text = ""): ResponseMessage {
  return { status, statusText: "", headers: [...headers], body: Buffer.from(text) };
}

interface Method<I extends DescMessage, O extends DescMessage> {
  readonly name: string;
  readonly input: I;
  readonly output: O;
  readonly parent: { readonly typeName: string };
}

interface Answered<O extends DescMessage> {
  readonly value: MessageShape<O> | undefined;
  readonly error: grpc.ServiceError | undefined;
  readonly headers: grpc.Metadata | undefined;
  readonly trailers: grpc.Metadata | undefined;
}

async function call<I extends DescMessage, O extends DescMessage>(
  { client }: Pick<Served, "client">,
  method: Method<I, O>,
  message: MessageInitShape<I>,
  { metadata = new grpc.Metadata(), ...options }: grpc.CallOptions & { readonly metadata?: grpc.Metadata } = {},
): Promise<Answered<O>> {
  const [serialize, deserialize] = [encoder(method.input), decoder(method.output)];
  return new Promise((resolve) => {
    let headers: grpc.Metadata | undefined;
    let answered: Pick<Answered<O>, "value" | "error"> = { value: undefined, error: undefined };
    client
      .makeUnaryRequest(
        `/${method.parent.typeName}/${method.name}`,
        serialize,
        deserialize,
        message,
        metadata,
        options,
        (error, value) => {
          answered = { value, error: error ?? undefined };
        },
      )
      .on("metadata", (sent: grpc.Metadata) => {
        headers = sent;
      })
      .on("status", ({ metadata: trailers }) => {
        setImmediate(() => {
          resolve({ ...answered, headers, trailers });
        });
      });
  });
}

function encoder<M extends DescMessage>(schema: M): (message: MessageInitShape<M>) => Buffer {
  return (message) => Buffer.from(toBinary(schema, create(schema, message)));
}

function decoder<M extends DescMessage>(schema: M): (bytes: Buffer) => MessageShape<M> {
  return (bytes) => fromBinary(schema, bytes);
}

function metadataOf(...pairs: readonly (readonly [name: string, value: string | Buffer])[]): grpc.Metadata {
  const metadata = new grpc.Metadata();
  for (const [name, value] of pairs) metadata.add(name, value);
  return metadata;
}

const POST = { verb: HTTPExtension_Verb.POST };

test("InvokeService is one invocation: body, verb, query, headers, trace, deadline", async (t) => {
  const server = await served(t);
  const metadata = metadataOf(
    ["x-mine", "m"],
    ["grpc-trace-bin", Buffer.from("AABL+S81d7NNpqPOkp0ODkc2AQDwZ6oLqQK3AgE", "base64")],
  );
  const before = systemClock.monotonic();
  const message = {
    method: "do/this",
    data: { value: Buffer.from("a body") },
    contentType: "text/plain",
    httpExtension: { ...POST, querystring: "x=1" },
  };
  const deadline = Date.now() + 3_600_000;
  const { headers } = await call(server, Dapr.method.invokeService, { id: "back", message }, { metadata, deadline });
  const [invocation] = server.invoked;
  assert.ok(invocation);
  const { target, rawPath, methodMissing, method, query, body, contentLength } = invocation;
  assert.deepEqual([target, rawPath, methodMissing, method, query], ["back", "/do/this", false, "POST", "x=1"]);
  assert.deepEqual([Buffer.from(body as Uint8Array).toString(), contentLength], ["a body", 6]);
  assert.deepEqual(headerValues(invocation.headers, "content-type"), ["text/plain"]);
  assert.deepEqual(headerValues(invocation.headers, "x-mine"), ["m"]);
  assert.deepEqual(headerValues(invocation.headers, "grpc-timeout"), []);
  assert.match(headerValue(invocation.headers, "dapr-authority") ?? "", /^127\.0\.0\.1:\d+$/);
  const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  assert.equal(invocation.trace.traceparent, traceparent);
  assert.deepEqual(headers?.get("traceparent"), [traceparent]);
  // An hour, less what the way took.
  assert.ok(invocation.deadline !== undefined && invocation.deadline > before + 3_000_000);
});

for (const [method, rawPath] of [
  ["do", "/do"],
  ["/do", "/do"],
  ["a b/ü?#", "/a%20b/%C3%BC%3F%23"],
  ["a%20b", "/a%20b"],
  ["100%", "/100%25"],
] as const) {
  test(`the method ${method} is the path ${rawPath}`, async (t) => {
    const server = await served(t);
    await call(server, Dapr.method.invokeService, { id: "back", message: { method, httpExtension: POST } });
    assert.equal(server.invoked[0]?.rawPath, rawPath);
  });
}

test("no HTTP extension is no verb, no method is a missing one, and a packed message is protobuf", async (t) => {
  const server = await served(t);
  const data = { typeUrl: "type.googleapis.com/demo.Thing", value: Buffer.from("x") };
  await call(server, Dapr.method.invokeService, {
    id: "back",
    message: { method: "", data, contentType: "text/plain" },
  });
  const [invocation] = server.invoked;
  assert.equal(invocation?.method, "NONE");
  assert.equal(invocation.methodMissing, true);
  assert.equal(headerValue(invocation.headers, "content-type"), "application/x-protobuf");
  assert.equal(invocation.dataType, "type.googleapis.com/demo.Thing");
});

test("what a gRPC app has packed comes back as it is, and what it has not is not", async (t) => {
  const answers = [{ dataType: "type.googleapis.com/demo.Thing" }, {}];
  const server = await served(t, {
    answer: () => ({ ...response(200, [], "x"), ...answers.shift(), trailers: () => ["grpc-status", "0"] }),
  });
  for (const typeUrl of ["type.googleapis.com/demo.Thing", ""]) {
    const { value } = await call(server, Dapr.method.invokeService, { id: "back", message: { method: "x" } });
    assert.deepEqual([value?.data?.typeUrl, value?.data?.value.length], [typeUrl, 1]);
  }
});

test("a request without a message, or with a verb that there is not, is told so", async (t) => {
  const server = await served(t);
  const none = await call(server, Dapr.method.invokeService, { id: "back" });
  assert.equal(none.error?.code, grpc.status.INVALID_ARGUMENT);
  assert.match(none.error.details, /the request has no message/);
  const unknownVerb = HTTPExtension_Verb.PATCH + 33;
  const odd = { method: "x", httpExtension: { verb: unknownVerb } };
  const answered = await call(server, Dapr.method.invokeService, { id: "back", message: odd });
  assert.match(answered.error?.details ?? "", /no verb of the number 42/);
  assert.deepEqual(server.invoked, []);
});

test("an HTTP app's headers come first, under the names that daprd gives them", async (t) => {
  const headers = ["Content-Type", "text/plain", "Cache-Control", "no-store", "Content-Length", "2", "X-B-Bin", "?"];
  const server = await served(t, { answer: () => response(201, headers, "ok") });
  const message = { method: "x", httpExtension: POST };
  const answered = await call(server, Dapr.method.invokeService, { id: "back", message });
  assert.equal(Buffer.from(answered.value?.data?.value ?? []).toString(), "ok");
  assert.equal(answered.value?.contentType, "text/plain");
  answered.headers?.remove("date");
  assert.deepEqual(answered.headers?.getMap(), {
    "content-type": "application/grpc",
    "dapr-content-type": "text/plain",
    "dapr-cache-control": "no-store",
    "dapr-http-status": "201",
    traceparent: ZERO_TRACE,
    "grpc-trace-bin": Buffer.from("AAAAAAAAAAAAAAAAAAAAAAAAAQAAAAAAAAAAAgA", "base64"),
  });
});

// daprd's CodeFromHTTPStatus.
for (const [status, code, text] of [
  [302, "UNKNOWN", "Found"],
  [400, "INTERNAL", "Bad Request"],
  [401, "UNAUTHENTICATED", "Unauthorized"],
  [403, "PERMISSION_DENIED", "Forbidden"],
  [404, "NOT_FOUND", "Not Found"],
  [408, "CANCELLED", "Request Timeout"],
  [409, "ALREADY_EXISTS", "Conflict"],
  [413, "UNKNOWN", "Request Entity Too Large"],
  [418, "UNKNOWN", "I'm a teapot"],
  [429, "RESOURCE_EXHAUSTED", "Too Many Requests"],
  [500, "UNKNOWN", "Internal Server Error"],
  [501, "UNIMPLEMENTED", "Not Implemented"],
  [503, "UNAVAILABLE", "Service Unavailable"],
  [504, "DEADLINE_EXCEEDED", "Gateway Timeout"],
  [599, "UNKNOWN", ""],
] as const) {
  test(`an app that answers ${status} is ${code}, with its words among the details`, async (t) => {
    const long = "ü".repeat(40);
    const server = await served(t, {
      answer: () => ({ ...response(status, []), body: Readable.from([Buffer.from(long)]) }),
    });
    const message = { method: "x", httpExtension: POST };
    const { error, headers } = await call(server, Dapr.method.invokeService, { id: "back", message });
    assert.deepEqual([error?.code, error?.details], [grpc.status[code], text]);
    assert.deepEqual(headers?.get("dapr-http-status"), [String(status)]);
    const info = detailsOf(error);
    assert.deepEqual([info?.reason, info?.domain], [text, "dapr.io"]);
    // 63 bytes, less the half of a character.
    assert.deepEqual(info?.metadata, { "http.code": String(status), "http.error_message": "ü".repeat(31) });
  });
}

function detailsOf(error: grpc.ServiceError | undefined): MessageShape<typeof ErrorInfoSchema> | undefined {
  const [bytes] = error?.metadata.get("grpc-status-details-bin") ?? [];
  assert.ok(Buffer.isBuffer(bytes));
  const [detail] = fromBinary(StatusSchema, bytes).details;
  return detail === undefined ? undefined : anyUnpack(detail, ErrorInfoSchema);
}

test("a gRPC app's status, details and metadata are the call's own", async (t) => {
  const details = toBinary(StatusSchema, create(StatusSchema, { code: 5, message: "app says no" }));
  const trailers = ["date", "now", "x-trailer", "t1", "content-type", "application/grpc"];
  const server = await served(t, {
    answer: () => ({
      ...response(500, ["x-app-header", "h1"]),
      trailers: () => [
        ...["grpc-status", "5", "grpc-message", "app says no"],
        ...["grpc-status-details-bin", Buffer.from(details).toString("base64"), ...trailers],
      ],
    }),
  });
  const answered = await call(server, Dapr.method.invokeService, { id: "back", message: { method: "x" } });
  assert.deepEqual([answered.error?.code, answered.error?.details], [grpc.status.NOT_FOUND, "app says no"]);
  assert.deepEqual(answered.headers?.get("x-app-header"), ["h1"]);
  assert.deepEqual(answered.headers.get("dapr-http-status"), []);
  assert.deepEqual(answered.trailers?.get("x-trailer"), ["t1"]);
  assert.deepEqual(answered.trailers.get("traceparent"), [ZERO_TRACE]);
  assert.deepEqual(answered.trailers.get("grpc-status-details-bin"), [Buffer.from(details)]);
});

test("the metadata tells of components and subscriptions, each with its rules", async (t) => {
  const described: SidecarDescription = {
    id: "front",
    runtimeVersion: "1.18.1",
    components: [
      { name: "mem", type: "pubsub.in-memory", version: "v1", capabilities: ["SUBSCRIBE_WILDCARDS"] },
      { name: "env", type: "secretstores.local.env", version: "v1", capabilities: undefined },
    ],
    extended: {},
    subscriptions: [
      {
        pubsubname: "mem",
        topic: "orders",
        metadata: { rawPayload: "true" },
        rules: [
          { match: "event.type == 'v1'", path: "/v1" },
          { match: undefined, path: undefined },
        ],
        deadLetterTopic: "dead",
        type: "STREAMING",
      },
      {
        ...{ pubsubname: "mem", topic: "dead", metadata: undefined, rules: [] },
        ...{ deadLetterTopic: "", type: "DECLARATIVE" },
      },
    ],
    httpEndpoints: undefined,
    appConnectionProperties: {
      ...{ port: undefined, protocol: "http", channelAddress: "", maxConcurrency: undefined, health: undefined },
    },
    actorRuntime: { runtimeStatus: "DISABLED", hostReady: false, placement: "" },
  };
  const { value } = await call(await served(t, { describe: () => described }), Dapr.method.getMetadata, {});
  assert.ok(value);
  assert.deepEqual(toJson(GetMetadataResponseSchema, value), {
    id: "front",
    runtimeVersion: "1.18.1",
    components: [
      { name: "mem", type: "pubsub.in-memory", version: "v1", capabilities: ["SUBSCRIBE_WILDCARDS"] },
      { name: "env", type: "secretstores.local.env", version: "v1" },
    ],
    subscriptions: [
      {
        pubsubname: "mem",
        topic: "orders",
        metadata: { rawPayload: "true" },
        rules: { rules: [{ match: "event.type == 'v1'", path: "/v1" }, {}] },
        deadLetterTopic: "dead",
        type: "STREAMING",
      },
      { pubsubname: "mem", topic: "dead", rules: {}, type: "DECLARATIVE" },
    ],
    appConnectionProperties: { protocol: "http" },
    actorRuntime: { runtimeStatus: "DISABLED" },
    workflows: {},
  });
});

test("a gRPC app that answers OK gives message, initial metadata and trailers", async (t) => {
  const headers = ["Content-Type", "application/json", "x-app-header", "h1", "Dapr-grpc-accept-encoding", "gzip"];
  const server = await served(t, {
    answer: () => ({ ...response(200, headers, "{}"), trailers: () => ["grpc-status", "0", "x-trailer", "t1"] }),
  });
  const answered = await call(server, Dapr.method.invokeService, { id: "back", message: { method: "x" } });
  assert.equal(answered.value?.contentType, "application/json");
  for (const name of ["date", "grpc-trace-bin"]) answered.headers?.remove(name);
  assert.deepEqual(answered.headers?.getMap(), {
    "content-type": "application/grpc",
    "x-app-header": "h1",
    traceparent: ZERO_TRACE,
  });
  assert.deepEqual(answered.trailers?.get("x-trailer"), ["t1"]);
});

test("a gRPC app whose answer ends without a status has not succeeded", async (t) => {
  const server = await served(t, { answer: () => ({ ...response(200, []), trailers: () => ["x-trailer", "t1"] }) });
  const { error } = await call(server, Dapr.method.invokeService, { id: "back", message: { method: "x" } });
  assert.deepEqual([error?.code, error?.details], [13, "server closed the stream without sending trailers"]);
});

test("what keeps a call from its app is the status, with no head before it", async (t) => {
  const server = await served(t, {
    answer: () => Promise.reject(new OutriggerError("invocationForbidden", "failed to invoke, id: back, err: no")),
  });
  const { error, headers } = await call(server, Dapr.method.invokeService, { id: "back", message: { method: "x" } });
  assert.deepEqual([error?.code, error?.details], [7, "failed to invoke, id: back, err: no"]);
  assert.equal(headers, undefined);
});

test("an answer that breaks off is an error that names the app", async (t) => {
  const broken = new Readable({
    read() {
      this.destroy(new Error("gone"));
    },
  });
  const server = await served(t, { answer: () => ({ ...response(200, []), body: broken }) });
  const { error } = await call(server, Dapr.method.invokeService, { id: "back", message: { method: "x" } });
  assert.deepEqual([error?.code, error?.details], [13, "failed to invoke, id: back, err: gone"]);
});

test("a caller that leaves ends the reading of the answer", async (t) => {
  const body = new Readable({ read: ignore });
  const closed = new Promise((resolve) => body.once("close", resolve));
  const { name, parent, input, output } = Dapr.method.invokeService;
  const server = await served(t, {
    answer: () => {
      leaving.cancel();
      return { ...response(200, []), body };
    },
  });
  const leaving = server.client.makeUnaryRequest(
    `/${parent.typeName}/${name}`,
    encoder(input),
    decoder(output),
    { id: "back", message: { method: "x" } },
    ignore,
  );
  await closed;
});

test("a call whose time is up is DEADLINE_EXCEEDED, whatever broke because of it", async (t) => {
  const server = await served(t, {
    answer: ({ signal }) =>
      new Promise((_, reject) => {
        const handleEvent = (): void => {
          reject(new OutriggerError("invocationFailed", "failed to invoke, id: back, err: given up"));
        };
        if (signal.aborted) handleEvent();
        else signal.addEventListener("abort", { handleEvent });
      }),
  });
  // Said to the server alone, so that it is not the client who gives up.
  const metadata = metadataOf(["grpc-timeout", "1m"]);
  const { error } = await call(server, Dapr.method.invokeService, { id: "b", message: { method: "x" } }, { metadata });
  assert.deepEqual([error?.code, error?.details], [grpc.status.DEADLINE_EXCEEDED, "context deadline exceeded"]);
});

test("a message over the limit is RESOURCE_EXHAUSTED, compressed or not", async (t) => {
  const server = await served(t, { maxMessageBytes: 100 });
  const message = { method: "x", data: { value: Buffer.alloc(1000) } };
  const plain = await call(server, Dapr.method.invokeService, { id: "back", message });
  assert.equal(plain.error?.code, grpc.status.RESOURCE_EXHAUSTED);
  assert.match(plain.error.details, /^grpc: received message larger than max \(10\d\d vs\. 100\)$/);
  const client = clientOf(t, server.port, { "grpc.default_compression_algorithm": grpc.compressionAlgorithms.gzip });
  const compressed = await call({ client }, Dapr.method.invokeService, { id: "back", message });
  assert.equal(compressed.error?.code, grpc.status.RESOURCE_EXHAUSTED);
  assert.match(compressed.error.details, /after decompression larger than max 100$/);
  assert.deepEqual(server.invoked, []);
});

test("a message that is none is INTERNAL", async (t) => {
  const { client } = await served(t);
  const error = await new Promise<grpc.ServiceError | null>((resolve) => {
    const garbage = (): Buffer => Buffer.from([0x0a, 0xff]);
    client.makeUnaryRequest("/dapr.proto.runtime.v1.Dapr/SetMetadata", garbage, garbage, {}, resolve);
  });
  assert.equal(error?.code, grpc.status.INTERNAL);
  assert.match(error.details, /^grpc: error unmarshalling request: /);
});

test("an rpc out of scope is UNIMPLEMENTED, and what there is instead is said", async (t) => {
  const { client } = await served(t);
  const nothing = (): Buffer => Buffer.alloc(0);
  const errorOf = (rpc: string): Promise<grpc.ServiceError | null> =>
    new Promise((resolve) => {
      client.makeUnaryRequest(`/dapr.proto.runtime.v1.Dapr/${rpc}`, nothing, nothing, {}, resolve);
    });
  const error = await errorOf("InvokeBinding");
  assert.equal(error?.code, grpc.status.UNIMPLEMENTED);
  assert.match(
    error.details,
    /^unknown method InvokeBinding for service dapr\.proto\.runtime\.v1\.Dapr: Outrigger has no InvokeBinding: .*bindings/,
  );
});

test("Shutdown answers before the sidecar ends, by force where that is asked", async (t) => {
  const server = await served(t);
  const { value } = await call(server, Dapr.method.shutdown, {});
  assert.ok(value);
  await call(server, Dapr.method.shutdown, {}, { metadata: metadataOf(["dapr-force-shutdown", "true"]) });
  assert.deepEqual(server.stopped, ["graceful", "forced"]);
});

test("with an API token, health is open, reflection is not, and the token does not reach the app", async (t) => {
  const server = await served(t, { token: "tok" });
  assert.equal((await call(server, Health.method.check, {})).error, undefined);
  const { error } = await reflect(server, [{ messageRequest: { case: "listServices", value: "" } }]);
  assert.equal(error?.code, grpc.status.UNAUTHENTICATED);
  const message = { method: "x" };
  const metadata = metadataOf(["dapr-api-token", "tok"], ["x-mine", "m"]);
  await call(server, Dapr.method.invokeService, { id: "back", message }, { metadata });
  const [{ headers } = { headers: [] }] = server.invoked;
  assert.deepEqual([headerValue(headers, "dapr-api-token"), headerValue(headers, "x-mine")], [undefined, "m"]);
});

test("health and reflection that name an app are the app's", async (t) => {
  const frame = Buffer.concat([Buffer.from([0, 0, 0, 0, 2]), toBinary(HealthCheckResponseSchema, NOT_SERVING)]);
  const server = await served(t, {
    token: "tok",
    answer: () => ({ ...response(200, ["content-type", "application/grpc"]), body: frame, trailers: () => GRPC_OK }),
  });
  const { readiness, invoked } = server;
  readiness.markListening();
  readiness.markAppReady();
  const named = metadataOf(["dapr-app-id", "back"]);
  // What is open is the sidecar's own health.
  const { error } = await call(server, Health.method.check, {}, { metadata: named });
  assert.equal(error?.code, grpc.status.UNAUTHENTICATED);
  named.set("dapr-api-token", "tok");
  const { value } = await call(server, Health.method.check, {}, { metadata: named });
  assert.equal(value?.status, Serving.NOT_SERVING);
  for (const { typeName } of [ServerReflection, ServerReflectionAlpha]) await reflect(server, [], typeName, named);
  assert.deepEqual(
    invoked.map(({ target, rawPath }) => `${target} ${rawPath}`),
    [
      "back /grpc.health.v1.Health/Check",
      "back /grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
      "back /grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    ],
  );
  const unnamed = metadataOf(["dapr-app-id", ""]);
  assert.equal((await call(server, Health.method.check, {}, { metadata: unnamed })).value?.status, Serving.SERVING);
});

test("without an API token, the app sees the one that the caller sent", async (t) => {
  const server = await served(t);
  const metadata = metadataOf(["dapr-api-token", "own"]);
  await call(server, Dapr.method.invokeService, { id: "back", message: { method: "x" } }, { metadata });
  assert.equal(headerValue(server.invoked[0]?.headers ?? [], "dapr-api-token"), "own");
});

test("Check says what /v1.0/healthz says, of the server and of each service", async (t) => {
  const server = await served(t);
  const statusOf = async (service = ""): Promise<unknown> => {
    const { value, error } = await call(server, Health.method.check, { service });
    return value?.status ?? error?.code;
  };
  assert.equal(await statusOf(), Serving.NOT_SERVING);
  server.readiness.markListening();
  assert.equal(await statusOf(), Serving.NOT_SERVING);
  server.readiness.markAppReady();
  for (const service of ["", Dapr.typeName, Health.typeName]) assert.equal(await statusOf(service), Serving.SERVING);
  assert.equal(await statusOf("demo.Nobody"), grpc.status.NOT_FOUND);
});

test("Watch tells of each change once, and ends when the sidecar begins to end", async (t) => {
  const server = await served(t);
  const watched = watch(server, "");
  assert.deepEqual(await watched.next(), Serving.NOT_SERVING);
  server.readiness.markListening();
  server.readiness.markAppReady();
  assert.deepEqual(await watched.next(), Serving.SERVING);
  server.readiness.markEnding();
  const end = await watched.ended;
  assert.deepEqual([end.code, end.details], [grpc.status.UNAVAILABLE, "the sidecar is ending"]);
  assert.deepEqual(watched.unread, []);
});

test("Watch of an unknown service says so, and waits", async (t) => {
  const server = await served(t);
  const watched = watch(server, "demo.Nobody");
  assert.equal(await watched.next(), Serving.SERVICE_UNKNOWN);
  server.readiness.markEnding();
  assert.equal((await watched.ended).code, grpc.status.UNAVAILABLE);
});

test("Watch ends with its deadline", async (t) => {
  const server = await served(t);
  const watched = watch(server, "", metadataOf(["grpc-timeout", "1m"]));
  assert.equal((await watched.ended).code, grpc.status.DEADLINE_EXCEEDED);
});

interface Watched {
  readonly unread: Serving[];
  next(): Promise<Serving | undefined>;
  readonly ended: Promise<grpc.StatusObject>;
}

function watch({ client }: Served, service: string, metadata = new grpc.Metadata()): Watched {
  const { name, parent, input, output } = Health.method.watch;
  const stream = client.makeServerStreamRequest(
    `/${parent.typeName}/${name}`,
    encoder(input),
    decoder(output),
    { service },
    metadata,
  );
  const unread: Serving[] = [];
  stream.on("data", ({ status }: { readonly status: Serving }) => unread.push(status));
  stream.on("error", ignore);
  const ended = new Promise<grpc.StatusObject>((resolve) => stream.once("status", resolve));
  return {
    unread,
    ended,
    next: async () => {
      if (unread.length === 0) await once(stream, "data");
      return unread.shift();
    },
  };
}

interface Reflected {
  readonly answers: MessageShape<typeof ServerReflection.method.serverReflectionInfo.output>[];
  readonly error: grpc.ServiceError | undefined;
}

type Asked = MessageInitShape<typeof ServerReflection.method.serverReflectionInfo.input>;

async function reflect(
  { client }: Served,
  requests: readonly Asked[],
  service = ServerReflection.typeName,
  metadata = new grpc.Metadata(),
): Promise<Reflected> {
  const { name, input, output } = ServerReflection.method.serverReflectionInfo;
  const stream = client.makeBidiStreamRequest(`/${service}/${name}`, encoder(input), decoder(output), metadata);
  const answers: Reflected["answers"] = [];
  stream.on("data", (answer: Reflected["answers"][number]) => answers.push(answer));
  for (const request of requests) stream.write(request);
  stream.end();
  return new Promise((resolve) => {
    stream.on("error", (error: grpc.ServiceError) => {
      resolve({ answers, error });
    });
    stream.on("end", () => {
      setImmediate(() => {
        resolve({ answers, error: undefined });
      });
    });
  });
}

for (const service of [ServerReflection.typeName, ServerReflectionAlpha.typeName]) {
  test(`${service} lists what is served`, async (t) => {
    const { answers } = await reflect(
      await served(t),
      [{ messageRequest: { case: "listServices", value: "*" } }],
      service,
    );
    const [answer] = answers;
    assert.ok(answer?.messageResponse.case === "listServicesResponse");
    assert.deepEqual(
      answer.messageResponse.value.service.map(({ name }) => name),
      [Dapr.typeName, Health.typeName, ServerReflection.typeName, ServerReflectionAlpha.typeName],
    );
  });
}

test("reflection finds the file of anything that is declared, with what it imports, each once a stream", async (t) => {
  const server = await served(t);
  const symbols = [
    ["dapr.proto.runtime.v1.Dapr", "dapr/proto/runtime/v1/dapr.proto"],
    ["dapr.proto.runtime.v1.Dapr.InvokeService", "dapr/proto/runtime/v1/dapr.proto"],
    ["dapr.proto.common.v1.HTTPExtension.Verb", "dapr/proto/common/v1/common.proto"],
    ["dapr.proto.common.v1.HTTPExtension.POST", "dapr/proto/common/v1/common.proto"],
    ["dapr.proto.runtime.v1.STREAMING", "dapr/proto/runtime/v1/metadata.proto"],
    ["dapr.proto.runtime.v1.InvokeServiceRequest.id", "dapr/proto/runtime/v1/invoke.proto"],
    ["google.rpc.ErrorInfo", "google/rpc/error_details.proto"],
    ["google.protobuf.Any", "google/protobuf/any.proto"],
  ] as const;
  const { answers } = await reflect(
    server,
    symbols.map(([symbol]) => ({ messageRequest: { case: "fileContainingSymbol", value: symbol } })),
  );
  const files = answers.map(filesIn);
  assert.deepEqual(
    files.map(([first]) => first),
    symbols.map(([, file]) => file),
  );
  assert.ok(files[0]?.includes("google/protobuf/any.proto"));
  assert.deepEqual(files[1], ["dapr/proto/runtime/v1/dapr.proto"]);
});

function filesIn({ messageResponse }: Reflected["answers"][number]): string[] {
  assert.ok(messageResponse.case === "fileDescriptorResponse", messageResponse.case);
  return messageResponse.value.fileDescriptorProto.map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes).name);
}

test("reflection says what it does not find, and goes on", async (t) => {
  const server = await served(t);
  const extension = { containingType: "google.rpc.Status", extensionNumber: 7 };
  const { answers } = await reflect(server, [
    { messageRequest: { case: "fileContainingSymbol", value: "demo.Nobody" } },
    { messageRequest: { case: "fileContainingSymbol", value: "dapr.proto.runtime.v1.Dapr.GetState" } },
    { messageRequest: { case: "fileByFilename", value: "nobody.proto" } },
    { messageRequest: { case: "fileContainingExtension", value: extension } },
    { messageRequest: { case: "allExtensionNumbersOfType", value: "demo.Nobody" } },
    { messageRequest: { case: "allExtensionNumbersOfType", value: "google.rpc.Status" } },
    { messageRequest: { case: "fileByFilename", value: "grpc/health/v1/health.proto" } },
  ]);
  const cases = answers.map(({ messageResponse: { case: name, value } }) =>
    name === "errorResponse" ? value.errorCode : name,
  );
  assert.deepEqual(cases, [5, 5, 5, 5, 5, "allExtensionNumbersResponse", "fileDescriptorResponse"]);
});

test("a reflection request that asks for nothing ends the stream", async (t) => {
  const { error } = await reflect(await served(t), [{}]);
  assert.equal(error?.code, grpc.status.INVALID_ARGUMENT);
});

for (const [what, trailers, code] of [
  ["that Node writes for nobody", () => ["grpc-status", "5", "grpc-message", "no", "http2-settings", "x"], 5],
  ["that cannot even be read", () => assert.fail("no trailers"), grpc.status.INTERNAL],
] as const) {
  test(`trailers ${what} end their call, and nothing else`, async (t) => {
    const head = ["content-type", "application/grpc"];
    const { client } = await served(t, {
      answer: () => ({ ...response(200, head), body: Readable.from([]), trailers: () => [...trailers()] }),
    });
    const same = (bytes: Buffer): Buffer => bytes;
    const metadata = new grpc.Metadata();
    metadata.set("dapr-app-id", "back");
    for (let calls = 0; calls < 2; calls++) {
      const ended = new Promise<grpc.ServiceError | null>((resolve) => {
        client.makeUnaryRequest("/demo.Echo/Do", same, same, Buffer.alloc(0), metadata, resolve);
      });
      assert.equal((await ended)?.code, code);
    }
  });
}
