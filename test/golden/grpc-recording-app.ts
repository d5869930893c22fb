import grpc from "@grpc/grpc-js";
import type { TestScope } from "../support/cleanup.ts";
import { pairsOf } from "./grpc-client.ts";
import { APP_CALLBACK, ECHO, serviceOf } from "./grpc-definitions.ts";
import type { RecordedCall, RecordedMessage } from "./grpc-recorded-cases.ts";

export interface GrpcRecordingApp {
  readonly port: number;
  /** How often it has been called since the last time somebody took the calls. */
  readonly waiting: number;
  /** What those were. */
  takeCalls(): RecordedCall[];
}

/** What the recorded app answered to `ListTopicSubscriptions`. */
export const GRPC_SUBSCRIPTIONS = [
  {
    pubsub_name: "mem",
    topic: "gt",
    routes: { rules: [{ match: "event.type == 'v1'", path: "/v1" }], default: "/d" },
  },
  { pubsub_name: "mem", topic: "gretry", dead_letter_topic: "gdlq" },
  { pubsub_name: "mem", topic: "gdlq" },
  { pubsub_name: "mem", topic: "gbulk", bulk_subscribe: { enabled: true } },
];

type AnyCall =
  | grpc.ServerUnaryCall<RecordedMessage, RecordedMessage>
  | grpc.ServerWritableStream<RecordedMessage, RecordedMessage>
  | grpc.ServerDuplexStream<RecordedMessage, RecordedMessage>;
type Answer = grpc.sendUnaryData<RecordedMessage>;

/** The app that speaks gRPC behind test/fixtures/observed: it answers as the recorded one did, and remembers what came. */
export async function startGrpcRecordingApp(t: TestScope): Promise<GrpcRecordingApp> {
  let calls: RecordedCall[] = [];
  const note = (rpc: string, call: AnyCall): void => {
    const metadata = pairsOf(call.metadata);
    const deadline = Number.isFinite(call.getDeadline()) ? "set" : "none";
    calls.push({ rpc, metadata, ...("request" in call ? { request: call.request } : {}), deadline });
  };
  const server = new grpc.Server();
  server.addService(serviceOf(...APP_CALLBACK).service, {
    OnInvoke: (call: grpc.ServerUnaryCall<RecordedMessage, RecordedMessage>, answer: Answer) => {
      note("AppCallback/OnInvoke", call);
      const code = /^err\/(\d+)$/.exec(String(call.request["method"]))?.[1];
      if (code !== undefined) {
        const metadata = metadataOf("x-trailer", "t1");
        answer(Object.assign(new Error("app says no"), { code: Number(code), details: "app says no", metadata }));
        return;
      }
      call.sendMetadata(metadataOf("x-app-header", "h1"));
      answer(null, { data: { value: Buffer.from('{"ok":true}') }, content_type: "application/json" });
    },
    // Asked for once, and not remembered.
    ListTopicSubscriptions: (_call: unknown, answer: Answer) => {
      answer(null, { subscriptions: GRPC_SUBSCRIPTIONS });
    },
    OnTopicEvent: (call: grpc.ServerUnaryCall<RecordedMessage, RecordedMessage>, answer: Answer) => {
      note("AppCallback/OnTopicEvent", call);
      answer(null, { status: call.request["topic"] === "gretry" ? "RETRY" : "SUCCESS" });
    },
    OnBulkTopicEvent: (call: grpc.ServerUnaryCall<RecordedMessage, RecordedMessage>, answer: Answer) => {
      note("AppCallback/OnBulkTopicEvent", call);
      const entries = call.request["entries"] as readonly { readonly entry_id: string }[];
      answer(null, { statuses: entries.map(({ entry_id }) => ({ entry_id, status: "SUCCESS" })) });
    },
  });
  server.addService(serviceOf(...ECHO).service, {
    Unary: (call: grpc.ServerUnaryCall<RecordedMessage, RecordedMessage>, answer: Answer) => {
      note("demo.Echo/Unary", call);
      call.sendMetadata(metadataOf("x-h", "1"));
      answer(null, call.request, metadataOf("x-t", "2"));
    },
    Fail: (call: grpc.ServerUnaryCall<RecordedMessage, RecordedMessage>, answer: Answer) => {
      note("demo.Echo/Fail", call);
      answer({ code: grpc.status.NOT_FOUND, details: "nothing here", metadata: metadataOf("x-t", "2") });
    },
    ServerStream: (call: grpc.ServerWritableStream<RecordedMessage, RecordedMessage>) => {
      note("demo.Echo/ServerStream", call);
      for (const text of ["s0", "s1", "s2"]) call.write({ text });
      call.end();
    },
    Bidi: (call: grpc.ServerDuplexStream<RecordedMessage, RecordedMessage>) => {
      note("demo.Echo/Bidi", call);
      call.on("data", (message: RecordedMessage) => call.write(message));
      call.on("end", () => {
        call.end();
      });
    },
  });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, bound) => {
      if (error === null) resolve(bound);
      else reject(error);
    });
  });
  t.after(() => {
    server.forceShutdown();
  });
  return {
    port,
    get waiting() {
      return calls.length;
    },
    takeCalls: () => {
      const taken = calls;
      calls = [];
      return taken;
    },
  };
}

function metadataOf(name: string, value: string): grpc.Metadata {
  const metadata = new grpc.Metadata();
  metadata.set(name, value);
  return metadata;
}
