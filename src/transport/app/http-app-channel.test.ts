import assert from "node:assert/strict";
import { test } from "node:test";
import { requestMessage } from "../../../test/support/upstream.ts";
import { messageOf } from "../../core/errors.ts";
import { GRPC_CODE, grpcCodeIn } from "../../core/grpc-code.ts";
import type { RequestMessage } from "../../core/message.ts";
import { HttpAppChannel } from "./http-app-channel.ts";

function channelTo(protocol: "http" | "https" | "h2c", appToken?: string) {
  const sent: RequestMessage[] = [];
  const options = { address: "127.0.0.1", port: 1, protocol, trust: undefined, appToken };
  const channel = new HttpAppChannel(options, () => ({
    origin: "http://127.0.0.1:1",
    send: (request) => {
      sent.push(request);
      return Promise.resolve({ status: 200, statusText: "", headers: [], body: undefined });
    },
    isConnected: false,
    destroy: () => undefined,
  }));
  return { channel, sent };
}

test("a call without a verb is refused in daprd's words", async () => {
  const { channel, sent } = channelTo("http");
  const message = "error invoking app channel: rpc error: code = InvalidArgument desc = missing HTTP extension field";
  await assert.rejects(channel.call(requestMessage({ method: "NONE" })), { code: "Internal", message });
  assert.deepEqual(sent, []);
});

test("a gRPC call to an app that speaks HTTP/1.1 is UNAVAILABLE to its caller, and says what to give", async () => {
  for (const protocol of ["http", "https"] as const) {
    const { channel, sent } = channelTo(protocol);
    const call = channel.call({ ...requestMessage({ method: "POST" }), grpc: true });
    const message = new RegExp(`--app-protocol ${protocol} says.*give grpc, grpcs or h2c$`);
    await assert.rejects(
      call,
      (error) => grpcCodeIn(error) === GRPC_CODE.UNAVAILABLE && message.test(messageOf(error)),
    );
    assert.deepEqual(sent, []);
  }
});

test("a gRPC call to an app that speaks HTTP/2 goes to it as it stands, with the app's token", async () => {
  const { channel, sent } = channelTo("h2c", "secret");
  const headers = ["x-b-bin", "eno", "dapr-api-token", "stolen"];
  await channel.call({ ...requestMessage({ method: "POST", headers }), grpc: true });
  assert.deepEqual(sent[0]?.headers, ["x-b-bin", "eno", "Dapr-Api-Token", "secret"]);
});

test("binary metadata stays behind, and a request without any is the same one", async () => {
  const { channel, sent } = channelTo("http");
  const plain = requestMessage({ headers: ["Bin", "1", "X-Origin", "n", "x-binn", ""] });
  await channel.call(plain);
  assert.equal(sent[0], plain);
  await channel.call(requestMessage({ headers: ["X-B-BIN", "eno", "X", "1", "x-c-bin", ""] }));
  assert.deepEqual(sent[1]?.headers, ["X", "1"]);
});
