import assert from "node:assert/strict";
import { once } from "node:events";
import { Readable } from "node:stream";
import { test } from "node:test";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import type { AppInstance, PeerWire } from "../../components/contract/name-resolver.ts";
import { parseAppId, parseNamespace } from "../../core/app-id.ts";
import type { RequestMessage, ResponseMessage } from "../../core/message.ts";
import { headerValue } from "../../core/raw-headers.ts";
import { InternalInvokeResponseStreamSchema } from "../../gen/dapr/proto/internals/v1/service_invocation_pb.ts";
import { systemClock } from "../../runtime/system-clock.ts";
import { frameOf } from "../grpc/message-frames.ts";
import { parseTimeout } from "../grpc/timeout.ts";
import { UpstreamError } from "../upstream/upstream.ts";
import { PeerClient } from "./peer-client.ts";

const request: RequestMessage = {
  method: "GET",
  path: "/x",
  query: undefined,
  headers: ["Accept", "*/*"],
  body: undefined,
  contentLength: undefined,
  signal: new AbortController().signal,
};

function instance(wire: PeerWire): AppInstance {
  const app = { id: parseAppId("math"), namespace: parseNamespace("prod") };
  return { app, instanceId: "a", host: "10.0.0.7", port: 47_300, wire };
}

type Answer = () => Promise<ResponseMessage>;

/** Over which wire each call goes out, and what each wire answers. */
interface Wires {
  lean: Answer;
  grpc: Answer;
}

const notUsed: Answer = () => assert.fail("this wire was not to be used");

/** A client whose peers all do this. */
function clientOf(wires: Wires) {
  const sent: [wire: "lean" | "grpc", message: RequestMessage][] = [];
  const client = new PeerClient(systemClock, ({ wire }) => ({
    origin: "http://10.0.0.7:47300",
    send: (message) => {
      const used = wire === undefined ? "lean" : "grpc";
      sent.push([used, message]);
      return wires[used]();
    },
    isConnected: false,
    destroy: () => undefined,
  }));
  return { client, sent, used: () => sent.map(([wire]) => wire) };
}

function answered(...headers: string[]): ResponseMessage {
  return { status: 200, statusText: "OK", headers, body: undefined };
}

function lean(...headers: string[]): Answer {
  return () => Promise.resolve(answered(...headers));
}

/** An answer in daprd's form, with the header X-App. */
function inDaprdsForm(...headers: string[]): Answer {
  const message: MessageInitShape<typeof InternalInvokeResponseStreamSchema> = {
    response: { status: { code: 200 }, headers: { "X-App": { values: ["1"] } } },
  };
  const bytes = frameOf(
    toBinary(InternalInvokeResponseStreamSchema, create(InternalInvokeResponseStreamSchema, message)),
  );
  return () =>
    Promise.resolve({
      ...answered("content-type", "application/grpc", ...headers),
      body: Readable.from([bytes]),
      trailers: () => ["grpc-status", "0"],
    });
}

const PROVED = ["outrigger-from", "math.prod"] as const;

test("an instance that is known to be an Outrigger is called over the lean hop, and asked for no proof", async () => {
  const { client, sent } = clientOf({ lean: lean("X-App", "1"), grpc: notUsed });
  const response = await client.call(instance("lean"), request);
  assert.deepEqual(response.headers, ["X-App", "1"]);
  assert.equal(headerValue(sent[0]?.[1].headers ?? [], "outrigger-target"), "math.prod");
  client.close();
});

test("an address is called in daprd's form first, and over the lean hop once an Outrigger has proved that it is one", async () => {
  const { client, sent, used } = clientOf({ lean: lean("X-App", "1", ...PROVED), grpc: inDaprdsForm(...PROVED) });
  for (let calls = 0; calls < 3; calls++) {
    const response = await client.call(instance("unproven"), request);
    assert.deepEqual(response.headers, ["X-App", "1"]);
  }
  assert.deepEqual(used(), ["grpc", "lean", "lean"]);
  for (const [, { headers }] of sent) assert.equal(headerValue(headers, "outrigger-target"), "math.prod; prove");
  client.close();
});

test("an address that answers in daprd's form and proves nothing goes on to be called in that", async () => {
  const { client, used } = clientOf({ lean: notUsed, grpc: inDaprdsForm() });
  for (let calls = 0; calls < 2; calls++) await client.call(instance("unproven"), request);
  assert.deepEqual(used(), ["grpc", "grpc"]);
  client.close();
});

test("what proves to be the sidecar of another app is not this one's: its answer is let go, and it is asked anew", async () => {
  const { client, used } = clientOf({ lean: notUsed, grpc: inDaprdsForm("outrigger-from", "other.prod") });
  for (let calls = 0; calls < 2; calls++) {
    await assert.rejects(client.call(instance("unproven"), request), {
      code: "Unavailable",
      message: /at 10\.0\.0\.7:47300: what answers there is the sidecar of other\.prod; name the internal port/,
    });
  }
  assert.deepEqual(used(), ["grpc", "grpc"]);
  client.close();
});

test("a daprd that has answered and is lost then is not taken for something else", async () => {
  const wires: Wires = { lean: notUsed, grpc: inDaprdsForm() };
  const { client } = clientOf(wires);
  for (const wire of ["daprd", "unproven"] as const) {
    wires.grpc = inDaprdsForm();
    await client.call(instance(wire), request);
    wires.grpc = () =>
      Promise.reject(new UpstreamError("broken", "10.0.0.7:47300: connection closed before the answer"));
    await assert.rejects(client.call(instance(wire), request), {
      code: "Unavailable",
      message: "cannot reach the sidecar of math at 10.0.0.7:47300: connection closed before the answer",
    });
  }
  client.close();
});

for (const [what, ...headers] of [
  ["no proof", "X-App", "1"],
  ["the proof of another app", "outrigger-from", "other.prod"],
] as const) {
  test(`a lean answer with ${what} is not believed, its body is let go, and what was known of the address forgotten`, async () => {
    const body = Readable.from(["secret"]);
    const wires = { lean: () => Promise.resolve({ ...answered(...headers), body }), grpc: inDaprdsForm(...PROVED) };
    const { client, used } = clientOf(wires);
    const closed = once(body, "close");
    await client.call(instance("unproven"), request);
    await assert.rejects(client.call(instance("unproven"), request), {
      code: "Unavailable",
      message:
        "cannot reach the sidecar of math at 10.0.0.7:47300: what answers there is no Outrigger (HTTP status 200); name the internal port of its Outrigger or daprd (--dapr-internal-grpc-port)",
    });
    await closed;
    await client.call(instance("unproven"), request);
    assert.deepEqual(used(), ["grpc", "lean", "grpc"]);
    client.close();
  });
}

test("an error of the receiver is one, proof or not", async () => {
  const refused = { ...answered("outrigger-error", "not-this-app"), body: Buffer.from("this is the sidecar of other") };
  const { client, used } = clientOf({ lean: () => Promise.resolve(refused), grpc: inDaprdsForm(...PROVED) });
  await client.call(instance("unproven"), request);
  await assert.rejects(client.call(instance("unproven"), request), {
    code: "Unavailable",
    message: "this is the sidecar of other",
  });
  await client.call(instance("unproven"), request);
  assert.deepEqual(used(), ["grpc", "lean", "grpc"]);
  client.close();
});

test("who breaks off is told of as no sidecar, who is not there as not there, and a web server as one", async () => {
  const failing = (code: string, message: string) => () =>
    Promise.reject(new UpstreamError("other", message, { cause: Object.assign(new Error(message), { code }) }));
  const malformed = clientOf({ lean: notUsed, grpc: failing("EPROTO", "the answer is not in HTTP/2") }).client;
  await assert.rejects(malformed.call(instance("unproven"), request), {
    code: "Unavailable",
    message:
      /what listens there does not answer as a sidecar does: the answer is not in HTTP\/2; name the internal port/,
  });
  const refused = clientOf({ lean: notUsed, grpc: failing("ECONNREFUSED", "connection refused") }).client;
  await assert.rejects(refused.call(instance("unproven"), request), {
    code: "Unavailable",
    message: "cannot reach the sidecar of math at connection refused",
  });
  const web = clientOf({ lean: notUsed, grpc: lean("content-type", "text/html") }).client;
  await assert.rejects(web.call(instance("daprd"), request), {
    code: "Unavailable",
    message: /what answers there does not speak gRPC \(HTTP status 200\); name the internal port/,
  });
  for (const client of [malformed, refused, web]) client.close();
});

test("a connection to an Outrigger that breaks makes the next call ask who is there", async () => {
  const wires: Wires = {
    lean: () => Promise.reject(new UpstreamError("broken", "closed")),
    grpc: inDaprdsForm(...PROVED),
  };
  const { client, used } = clientOf(wires);
  await client.call(instance("unproven"), request);
  await assert.rejects(client.call(instance("unproven"), request), { code: "Unavailable" });
  await client.call(instance("unproven"), request);
  assert.deepEqual(used(), ["grpc", "lean", "grpc"]);
  client.close();
});

test("a daprd is called in its own form, and asked to prove nothing", async () => {
  const { client, sent, used } = clientOf({ lean: notUsed, grpc: inDaprdsForm(...PROVED) });
  for (let calls = 0; calls < 2; calls++) {
    const response = await client.call(instance("daprd"), request);
    assert.deepEqual([response.status, response.headers], [200, ["X-App", "1"]]);
  }
  assert.deepEqual(used(), ["grpc", "grpc"]);
  assert.equal(headerValue(sent[0]?.[1].headers ?? [], "outrigger-target"), undefined);
  client.close();
});

test("an upgrade asks over the lean hop who is there; a daprd gets it as an ordinary request", async () => {
  const upgrade = { ...request, upgrade: "websocket" };
  const outrigger = clientOf({ lean: lean(...PROVED), grpc: notUsed });
  await outrigger.client.call(instance("unproven"), upgrade);
  await outrigger.client.call(instance("unproven"), request);
  assert.deepEqual(outrigger.used(), ["lean", "lean"]);
  const daprd = clientOf({ lean: notUsed, grpc: inDaprdsForm() });
  await daprd.client.call(instance("daprd"), upgrade);
  await daprd.client.call(instance("unproven"), request);
  await daprd.client.call(instance("unproven"), upgrade);
  assert.deepEqual(daprd.used(), ["grpc", "grpc", "grpc"]);
  for (const { client } of [outrigger, daprd]) client.close();
});

test("a call without a verb goes out as POST, and says so in the target", async () => {
  const { client, sent } = clientOf({ lean: lean(), grpc: notUsed });
  await client.call(instance("lean"), { ...request, method: "NONE" });
  const asked = sent.map(([, { method, headers }]) => [method, headerValue(headers, "outrigger-target")]);
  assert.deepEqual(asked, [["POST", "math.prod; no-verb"]]);
  client.close();
});

test("the trailers of a gRPC app's answer come in headers, and leave them", async () => {
  const headers = ["X-App", "1", "outrigger-trailer", "grpc-status: 5", "outrigger-trailer", "x-t: a: b"];
  const { client } = clientOf({ lean: lean(...headers), grpc: notUsed });
  const response = await client.call(instance("lean"), request);
  assert.deepEqual(response.headers, ["X-App", "1"]);
  assert.deepEqual(response.trailers?.(), ["grpc-status", "5", "x-t", "a: b"]);
  client.close();
});

test("a deadline crosses the lean hop as what is left of it; a call without one says nothing of it", async () => {
  const { client, sent } = clientOf({ lean: lean(), grpc: notUsed });
  await client.call(instance("lean"), { ...request, deadline: systemClock.monotonic() + 60_000 });
  await client.call(instance("lean"), request);
  const [first, second] = sent.map(([, { headers }]) => headerValue(headers, "outrigger-timeout"));
  assert.ok((parseTimeout(first ?? "") ?? 0) > 50_000 && (parseTimeout(first ?? "") ?? 0) <= 60_001, first);
  assert.equal(second, undefined);
  client.close();
});
