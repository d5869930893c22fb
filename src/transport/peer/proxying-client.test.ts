import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { test } from "node:test";
import type { AppInstance, PeerWire } from "../../components/contract/name-resolver.ts";
import { parseAppId, parseNamespace } from "../../core/app-id.ts";
import { CallAbort } from "../../core/call-signal.ts";
import type { RequestMessage, ResponseMessage } from "../../core/message.ts";
import { headerValue } from "../../core/raw-headers.ts";
import type { PeerNature } from "./peer-connections.ts";
import { proxied } from "./proxying-client.ts";

const app = { id: parseAppId("math"), namespace: parseNamespace("prod") };
const caller = { id: parseAppId("front"), namespace: parseNamespace("prod") };
const TYPE = ["content-type", "application/grpc"];
const PROVED = ["outrigger-from", "math.prod"];

const request: RequestMessage = {
  method: "POST",
  path: "/demo.v1.Echo/Unary",
  query: undefined,
  headers: ["x", "1"],
  body: undefined,
  contentLength: undefined,
  signal: new CallAbort(),
  grpc: true,
};

/** One call to a peer of this nature, and what it is sent. */
async function callOf(wire: PeerWire, kind: PeerNature["kind"], answer: Partial<ResponseMessage>) {
  const instance: AppInstance = { app, instanceId: "a", host: "10.0.0.7", port: 47_300, wire };
  const nature: PeerNature = kind === "outrigger" ? { kind, name: "math.prod" } : { kind };
  const told: string[] = [];
  const peer = { nature, noteAnswer: () => told.push("answered"), forget: () => told.push("forgotten") };
  const sent: RequestMessage[] = [];
  const response = { status: 200, statusText: "", headers: TYPE, body: undefined, trailers: () => [], ...answer };
  const outcome = await proxied(peer, instance, request, caller, (message) => {
    sent.push(message);
    return Promise.resolve(response);
  }).catch((error: unknown) => error);
  const names = (sent[0]?.headers ?? []).filter((name, at) => at % 2 === 0 && name.startsWith("outrigger-"));
  return {
    outcome,
    told,
    nature: peer.nature.kind,
    names,
    target: headerValue(sent[0]?.headers ?? [], "outrigger-target"),
  };
}

const SERVED = { body: Readable.from([]), headers: [...TYPE, "outrigger-error", "not-this-app", "x-app", "1"] };

for (const [wire, kind] of [
  ["daprd", "unknown"],
  ["unproven", "daprd"],
] as const) {
  test(`a daprd gets none of our headers, and its answer is passed on without them (${wire})`, async () => {
    const trailers = (): string[] => ["grpc-status", "0", "http2-settings", "x", "outrigger-error", "x", "x-t", "1"];
    const { outcome, names } = await callOf(wire, kind, { ...SERVED, trailers });
    assert.deepEqual(names, []);
    const answered = outcome as ResponseMessage;
    assert.deepEqual(answered.headers, [...TYPE, "x-app", "1"]);
    assert.deepEqual(answered.trailers?.(), ["grpc-status", "0", "x-t", "1"]);
  });
}

test("an Outrigger that the registry names is asked for no proof, and is believed", async () => {
  const { outcome, names, target } = await callOf("lean", "unknown", SERVED);
  assert.deepEqual([names, target], [["outrigger-target", "outrigger-caller-namespace"], "math.prod"]);
  assert.equal((outcome as { code?: string }).code, "Unavailable");
});

test("an address is asked for proof; what its app says in our name is not believed, and it is a daprd's from then on", async () => {
  const { outcome, nature, target } = await callOf("unproven", "unknown", SERVED);
  assert.equal(target, "math.prod; prove");
  assert.deepEqual((outcome as ResponseMessage).headers, [...TYPE, "x-app", "1"]);
  assert.equal(nature, "daprd");
});

test("who has proved to be the app's sidecar is believed an error", async () => {
  const headers = [...TYPE, ...PROVED, "outrigger-error", "PermissionDenied", "grpc-status", "7", "grpc-message", "no"];
  const { outcome, nature } = await callOf("unproven", "unknown", { headers });
  assert.deepEqual([(outcome as { code?: string }).code, nature], ["PermissionDenied", "outrigger"]);
});

test("the sidecar of another app says so, and is not asked again", async () => {
  const said = ["outrigger-error", "not-this-app", "grpc-status", "14", "grpc-message", "this is the sidecar of other"];
  const headers = [...TYPE, "outrigger-from", "other.prod", ...said];
  const { outcome, told } = await callOf("unproven", "outrigger", { headers });
  const { code, message } = outcome as { code?: string; message?: string };
  assert.deepEqual([code, message, told.at(-1)], ["Unavailable", "this is the sidecar of other", "forgotten"]);
});

test("a status alone tells nothing of who gave it", async () => {
  const { nature } = await callOf("unproven", "unknown", { headers: [...TYPE, "grpc-status", "14"] });
  assert.equal(nature, "unknown");
  assert.equal(
    (await callOf("unproven", "unknown", { headers: [...TYPE, ...PROVED, "grpc-status", "0"] })).nature,
    "outrigger",
  );
});
