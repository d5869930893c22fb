import assert from "node:assert/strict";
import { once } from "node:events";
import { Readable } from "node:stream";
import { test } from "node:test";
import type { AppInstance, PeerWire } from "../../components/contract/name-resolver.ts";
import { parseAppId, parseNamespace } from "../../core/app-id.ts";
import type { RequestMessage, ResponseMessage } from "../../core/message.ts";
import { headerValue } from "../../core/raw-headers.ts";
import { systemClock } from "../../runtime/system-clock.ts";
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

/** A client whose peers all do this. */
function clientOf(answer: () => Promise<ResponseMessage>) {
  const sent: RequestMessage[] = [];
  const client = new PeerClient(systemClock, () => ({
    origin: "http://10.0.0.7:47300",
    send: (message) => {
      sent.push(message);
      return answer();
    },
    destroy: () => undefined,
  }));
  return { client, sent };
}

function answered(...headers: string[]): ResponseMessage {
  return { status: 200, statusText: "OK", headers, body: undefined };
}

test("an instance that is known to be an Outrigger is asked for no proof", async () => {
  const { client, sent } = clientOf(() => Promise.resolve(answered("X-App", "1")));
  const response = await client.call(instance("lean"), request);
  assert.deepEqual(response.headers, ["X-App", "1"]);
  assert.equal(headerValue(sent[0]?.headers ?? [], "outrigger-target"), "math.prod");
  client.close();
});

test("an address proves who is there, and the proof goes no further", async () => {
  const { client, sent } = clientOf(() => Promise.resolve(answered("X-App", "1", "outrigger-from", "math.prod")));
  const response = await client.call(instance("unproven"), request);
  assert.deepEqual(response.headers, ["X-App", "1"]);
  assert.equal(headerValue(sent[0]?.headers ?? [], "outrigger-target"), "math.prod; prove");
  client.close();
});

for (const [what, ...headers] of [
  ["no proof", "X-App", "1"],
  ["the proof of another app", "outrigger-from", "other.prod"],
] as const) {
  test(`an answer with ${what} is not believed, and its body is let go`, async () => {
    const body = Readable.from(["secret"]);
    const { client } = clientOf(() => Promise.resolve({ ...answered(...headers), body }));
    const closed = once(body, "close");
    await assert.rejects(client.call(instance("unproven"), request), {
      code: "Unavailable",
      message:
        "cannot reach the sidecar of math at 10.0.0.7:47300: what answers there is no Outrigger (HTTP status 200); name the internal port of its Outrigger (a daprd cannot be called by this version)",
    });
    await closed;
    client.close();
  });
}

test("an error of the receiver is one, proof or not", async () => {
  const refused = { ...answered("outrigger-error", "not-this-app"), body: Buffer.from("this is the sidecar of other") };
  const { client } = clientOf(() => Promise.resolve(refused));
  await assert.rejects(client.call(instance("unproven"), request), {
    code: "Unavailable",
    message: "this is the sidecar of other",
  });
  client.close();
});

test("who breaks off is told of as no Outrigger, who is not there as not there", async () => {
  const failing = (code: string, message: string) => () =>
    Promise.reject(new UpstreamError("other", message, { cause: Object.assign(new Error(message), { code }) }));
  const malformed = clientOf(failing("EPROTO", "the status line is malformed")).client;
  await assert.rejects(malformed.call(instance("unproven"), request), {
    code: "Unavailable",
    message:
      /what listens there does not answer as an Outrigger does: the status line is malformed; name the internal port/,
  });
  const refused = clientOf(failing("ECONNREFUSED", "connection refused")).client;
  await assert.rejects(refused.call(instance("unproven"), request), {
    code: "Unavailable",
    message: "cannot reach the sidecar of math at connection refused",
  });
  malformed.close();
  refused.close();
});

test("a daprd is not called, which is no reason to try again", async () => {
  const { client, sent } = clientOf(() => assert.fail("it was called"));
  await assert.rejects(client.call(instance("daprd"), request), {
    code: undefined,
    message: "the sidecar of math at 10.0.0.7:47300 is no Outrigger; a daprd cannot be called by this version",
  });
  assert.deepEqual(sent, []);
  client.close();
});
