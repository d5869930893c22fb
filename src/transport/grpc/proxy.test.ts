import assert from "node:assert/strict";
import http2 from "node:http2";
import { test } from "node:test";
import { waitFor } from "../../../test/support/wait.ts";
import { abortReason } from "../../core/call-signal.ts";
import type { Logger } from "../../core/logger.ts";
import { systemClock } from "../../runtime/system-clock.ts";
import { HttpListener } from "../http/http-listener.ts";
import { speakGrpc } from "../http/speak-http2.ts";
import { GrpcCall } from "./grpc-call.ts";
import { GrpcProxy } from "./proxy.ts";
import { GrpcError } from "./status.ts";

const TRACE = { traceparent: "", answeredTraceparent: "", tracestate: undefined, baggage: undefined };

test("a caller that leaves before the answer is no failure of the sidecar, and not in its log", async (t) => {
  const logged: string[] = [];
  const thrown: unknown[] = [];
  const note = (message: string): void => void logged.push(message);
  const log: Logger = { debug: note, info: note, warn: note, error: note };
  const begun: string[] = [];
  const invoker = {
    invoke: ({ signal, target }: Parameters<GrpcProxyInvoke>[0]) =>
      new Promise<never>((_, reject) => {
        begun.push(target);
        const handleEvent = (): void => {
          reject(abortReason(signal));
        };
        signal.addEventListener("abort", { handleEvent });
      }),
  };
  const proxy = new GrpcProxy({ invoker, maxMessageBytes: 1000, log });
  const listener = new HttpListener({
    name: "test",
    codec: "lean",
    readBufferBytes: 4096,
    log,
    http2: speakGrpc,
    handle: async (exchange) => {
      const call = new GrpcCall(exchange, 1000, systemClock);
      await proxy.handle({ call, metadata: call.metadata, trace: TRACE }).catch((error: unknown) => thrown.push(error));
    },
  });
  const client = http2.connect(`http://127.0.0.1:${await listener.listen("127.0.0.1", 0)}`);
  t.after(() => {
    client.destroy();
    listener.destroy();
  });
  const stream = client.request({
    ":method": "POST",
    ":path": "/demo.Echo/Any",
    "content-type": "application/grpc",
    "dapr-app-id": "echo",
  });
  stream.on("error", () => undefined);
  await waitFor("the call to begin", () => begun.length === 1);
  stream.close(http2.constants.NGHTTP2_CANCEL);
  const error = await waitFor("the call to end", () => thrown[0]);
  assert.ok(error instanceof GrpcError);
  assert.equal(error.status.code, 1);
  assert.deepEqual(logged, []);
});

type GrpcProxyInvoke = ConstructorParameters<typeof GrpcProxy>[0]["invoker"]["invoke"];
