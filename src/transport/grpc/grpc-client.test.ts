import assert from "node:assert/strict";
import { once } from "node:events";
import http2, { type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { type TestContext, test } from "node:test";
import { gzipSync } from "node:zlib";
import { toBinary } from "@bufbuild/protobuf";
import { countMalformed, optionsFor } from "../../../test/support/upstream.ts";
import { waitFor } from "../../../test/support/wait.ts";
import { CallAbort } from "../../core/call-signal.ts";
import { InvokeResponseSchema } from "../../gen/dapr/proto/common/v1/common_pb.ts";
import { AppCallback } from "../../gen/dapr/proto/runtime/v1/appcallback_pb.ts";
import { Http2Upstream } from "../upstream/http2-upstream.ts";
import { UpstreamError } from "../upstream/upstream.ts";
import { CallEnded, GrpcClient, type UnaryOptions } from "./grpc-client.ts";
import { frameOf } from "./message-frames.ts";
import { GrpcError, grpcError } from "./status.ts";

type Handler = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void;

const ANSWER = toBinary(InvokeResponseSchema, {
  $typeName: "dapr.proto.common.v1.InvokeResponse",
  contentType: "text/plain",
});
const GRPC = { ":status": 200, "content-type": "application/grpc" };

/** A client of an app that does this with every call. */
async function clientOf(t: TestContext, handle: Handler) {
  const server = http2.createServer();
  const sessions: http2.ServerHttp2Session[] = [];
  server.on("session", (session) => sessions.push(session));
  server.on("stream", (stream, headers) => {
    stream.on("error", () => undefined);
    stream.resume();
    handle(stream, headers);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const upstream = new Http2Upstream(optionsFor((server.address() as AddressInfo).port), countMalformed());
  t.after(() => {
    upstream.destroy();
    for (const session of sessions) session.destroy();
    server.close();
  });
  const client = new GrpcClient(upstream, 1024);
  const call = (options: Partial<UnaryOptions> = {}) =>
    client.unary(AppCallback.method.onInvoke, { method: "do" }, { signal: new CallAbort(), ...options });
  return {
    call,
    cut: () => {
      for (const session of sessions) session.destroy();
    },
  };
}

function reply(stream: ServerHttp2Stream, body: Buffer, trailers: Record<string, string>, head = {}): void {
  stream.respond({ ...GRPC, ...head }, { waitForTrailers: true });
  stream.on("wantTrailers", () => {
    stream.sendTrailers(trailers);
  });
  stream.end(body);
}

test("a call: its path, what it says of itself, and metadata both ways", async (t) => {
  const seen: IncomingHttpHeaders[] = [];
  const { call } = await clientOf(t, (stream, headers) => {
    seen.push(headers);
    reply(
      stream,
      frameOf(ANSWER),
      { "grpc-status": "0", "x-behind": "2" },
      { "x-before": "1", "grpc-encoding": "identity" },
    );
  });
  const { message, headers, trailers } = await call({ metadata: ["x-mine", "m"] });
  assert.equal(message.contentType, "text/plain");
  const own = headers.filter((_, at) => headers[at - (at % 2)] !== "date");
  assert.deepEqual(
    [own, trailers],
    [
      ["x-before", "1"],
      ["x-behind", "2"],
    ],
  );
  const first = seen[0] ?? assert.fail("nothing has arrived");
  assert.equal(first[":path"], "/dapr.proto.runtime.v1.AppCallback/OnInvoke");
  assert.deepEqual([first["te"], first["content-type"], first["x-mine"]], ["trailers", "application/grpc", "m"]);
  assert.equal(first["grpc-timeout"], undefined);
});

test("a compressed answer is read", async (t) => {
  const frame = frameOf(gzipSync(ANSWER));
  frame[0] = 1;
  const { call } = await clientOf(t, (stream) => {
    reply(stream, frame, { "grpc-status": "0" }, { "grpc-encoding": "gzip" });
  });
  assert.equal((await call()).message.contentType, "text/plain");
});

test("what the callee has said of its error: code, words, metadata", async (t) => {
  const { call } = await clientOf(t, (stream) => {
    reply(
      stream,
      Buffer.alloc(0),
      { "grpc-status": "5", "grpc-message": "not%20here", "x-behind": "2" },
      { "x-before": "1" },
    );
  });
  const error = await call().catch((thrown: unknown) => thrown);
  assert.ok(error instanceof CallEnded);
  assert.deepEqual([error.status.code, error.status.message, error.trailers], [5, "not here", ["x-behind", "2"]]);
  assert.ok(error.headers.includes("x-before"));
});

for (const [what, code, handle] of [
  [
    "a head that is the whole answer",
    7,
    (stream) => {
      stream.respond({ ...GRPC, "grpc-status": "7" }, { endStream: true });
    },
  ],
  [
    "no status",
    13,
    (stream) => {
      reply(stream, frameOf(ANSWER), {});
    },
  ],
  [
    "gRPC-Web",
    2,
    (stream) => {
      reply(stream, frameOf(ANSWER), { "grpc-status": "0" }, { "content-type": "application/grpc-web" });
    },
  ],
  [
    "no message",
    13,
    (stream) => {
      reply(stream, Buffer.alloc(0), { "grpc-status": "0" });
    },
  ],
  [
    "two messages",
    13,
    (stream) => {
      reply(stream, Buffer.concat([frameOf(ANSWER), frameOf(ANSWER)]), { "grpc-status": "0" });
    },
  ],
  [
    "half a message",
    13,
    (stream) => {
      reply(stream, frameOf(ANSWER).subarray(0, -1), { "grpc-status": "0" });
    },
  ],
  [
    "a message that is no such",
    13,
    (stream) => {
      reply(stream, frameOf(Buffer.from([255])), { "grpc-status": "0" });
    },
  ],
  [
    "too large a message",
    8,
    (stream) => {
      reply(stream, frameOf(Buffer.alloc(1025)), { "grpc-status": "0" });
    },
  ],
  [
    "a code that is none",
    2,
    (stream) => {
      reply(stream, Buffer.alloc(0), { "grpc-status": "x" });
    },
  ],
  ...(
    [
      [400, 13],
      [401, 16],
      [403, 7],
      [404, 12],
      [429, 14],
      [502, 14],
      [503, 14],
      [504, 14],
      [500, 2],
      [200, 2],
    ] as const
  ).map(([status, code]): [string, number, Handler] => [
    `HTTP status ${status} without gRPC`,
    code,
    (stream) => {
      stream.respond({ ":status": status });
      stream.end("no");
    },
  ]),
  ...(
    [
      [0, 13],
      [1, 13],
      [2, 13],
      [3, 13],
      [5, 13],
      [8, 1],
      [11, 8],
      [12, 7],
    ] as const
  ).map(([rst, code]): [string, number, Handler] => [
    `a reset with code ${rst} before the answer`,
    code,
    (stream) => {
      stream.close(rst);
    },
  ]),
  [
    "a reset within the answer",
    1,
    (stream) => {
      stream.respond(GRPC);
      stream.write(frameOf(ANSWER), () => {
        stream.close(8);
      });
    },
  ],
] as const satisfies readonly (readonly [string, number, Handler])[]) {
  test(`${what} is status ${code}`, async (t) => {
    const { call } = await clientOf(t, handle);
    const error = await call().catch((thrown: unknown) => thrown);
    assert.ok(error instanceof GrpcError, String(error));
    assert.equal(error.status.code, code);
  });
}

test("a connection that is lost is no status", async (t) => {
  for (const before of [true, false]) {
    const client = await clientOf(t, (stream) => {
      if (before) client.cut();
      else {
        stream.respond(GRPC);
        stream.write(frameOf(ANSWER), () => {
          client.cut();
        });
      }
    });
    await assert.rejects(client.call(), UpstreamError);
  }
});

test("the callee is told of a deadline, of which the signal says that it has passed", async (t) => {
  const timeouts: unknown[] = [];
  const { call } = await clientOf(t, (_, headers) => timeouts.push(headers["grpc-timeout"]));
  const signal = new CallAbort();
  const ended = assert.rejects(call({ signal, deadline: performance.now() + 3_600_000 }), {
    status: { code: 4, message: "context deadline exceeded" },
  });
  const told = await waitFor("the call to arrive", () => timeouts[0]);
  assert.match(String(told), /^35\d{5}m$|^3600000m$/);
  signal.abort(grpcError("DEADLINE_EXCEEDED", "context deadline exceeded"));
  await ended;
});

test("a call whose caller leaves ends with the reason, and its stream is cancelled", async (t) => {
  const closed: number[] = [];
  const arrived: unknown[] = [];
  const { call } = await clientOf(t, (stream) => {
    arrived.push(stream);
    stream.once("close", () => closed.push(stream.rstCode));
  });
  const signal = new CallAbort();
  const ended = assert.rejects(call({ signal }), /gone/);
  await waitFor("the call to arrive", () => arrived.length === 1 || undefined);
  signal.abort(new Error("gone"));
  await ended;
  await waitFor("the stream to be cancelled", () => closed.length === 1 || undefined);
  assert.deepEqual(closed, [8]);
  await assert.rejects(call({ signal }), /gone/);
});
