import { EventEmitter } from "node:events";
import grpc from "@grpc/grpc-js";
import type { TestScope } from "./cleanup.ts";
import { waitFor } from "./wait.ts";

/** A plain gRPC service, `demo.v1.Echo`, that knows nothing of sidecars. Its messages are bytes, and no protobuf. */

const same = (bytes: Buffer): Buffer => bytes;

function method(name: string, requestStream: boolean, responseStream: boolean): grpc.MethodDefinition<Buffer, Buffer> {
  return {
    path: `/demo.v1.Echo/${name}`,
    requestStream,
    responseStream,
    requestSerialize: same,
    requestDeserialize: same,
    responseSerialize: same,
    responseDeserialize: same,
  };
}

const ECHO = {
  Unary: method("Unary", false, false),
  Fail: method("Fail", false, false),
  Hang: method("Hang", false, false),
  Collect: method("Collect", true, false),
  Deaf: method("Deaf", true, false),
  Count: method("Count", false, true),
  Flood: method("Flood", false, true),
  Bidi: method("Bidi", true, true),
};

/** What it saw of its calls. */
export interface EchoService {
  readonly port: number;
  readonly calls: SeenCall[];
  /** Calls that it has and that have not ended. */
  readonly open: Set<string>;
  /** The call with this `x-key`, once it is there. */
  seen(key: string): Promise<SeenCall>;
  /** Waits until the app has been told that this call is given up. */
  cancelled(key: string): Promise<void>;
}

export interface SeenCall {
  readonly key: string;
  readonly metadata: grpc.Metadata;
  readonly deadline: grpc.Deadline;
  messages: number;
  cancelled: boolean;
}

type AnyCall = grpc.ServerUnaryCall<Buffer, Buffer> | grpc.ServerReadableStream<Buffer, Buffer>;
type AnyStream = grpc.ServerWritableStream<Buffer, Buffer> | grpc.ServerDuplexStream<Buffer, Buffer>;

export async function startEchoService(
  t: TestScope,
  options: grpc.ServerOptions = {},
  credentials = grpc.ServerCredentials.createInsecure(),
): Promise<EchoService> {
  const calls: SeenCall[] = [];
  const open = new Set<string>();
  const note = (call: AnyCall | AnyStream): SeenCall => {
    const { metadata } = call;
    const key = String(metadata.get("x-key")[0] ?? calls.length);
    const seen = { key, metadata, deadline: call.getDeadline(), messages: 0, cancelled: false };
    calls.push(seen);
    open.add(key);
    (call as EventEmitter).on("cancelled", () => {
      seen.cancelled = true;
      open.delete(key);
    });
    return seen;
  };
  const headOf = (call: AnyCall | AnyStream): void => {
    const head = new grpc.Metadata();
    head.add("x-head", "1");
    head.add("x-head", "2");
    head.add("x-head-bin", Buffer.from([0, 255, 7]));
    call.sendMetadata(head);
  };
  const tail = (): grpc.Metadata => {
    const metadata = new grpc.Metadata();
    metadata.add("x-tail", "end");
    metadata.add("x-tail-bin", Buffer.from([9, 0, 200]));
    return metadata;
  };
  const server = new grpc.Server({
    "grpc.max_receive_message_length": -1,
    "grpc.max_send_message_length": -1,
    ...options,
  });
  server.addService(ECHO, {
    Unary: (call: grpc.ServerUnaryCall<Buffer, Buffer>, answer: grpc.sendUnaryData<Buffer>) => {
      const { key } = note(call);
      headOf(call);
      answer(null, call.request, tail());
      open.delete(key);
    },
    Fail: (call: grpc.ServerUnaryCall<Buffer, Buffer>, answer: grpc.sendUnaryData<Buffer>) => {
      const { key } = note(call);
      const metadata = tail();
      metadata.set("grpc-status-details-bin", Buffer.from([8, 5, 18, 3, 97, 98, 99]));
      answer({ code: grpc.status.NOT_FOUND, details: "nothing here: ü", metadata });
      open.delete(key);
    },
    Hang: (call: grpc.ServerUnaryCall<Buffer, Buffer>) => {
      note(call);
    },
    Collect: (call: grpc.ServerReadableStream<Buffer, Buffer>, answer: grpc.sendUnaryData<Buffer>) => {
      const seen = note(call);
      call.on("data", () => {
        seen.messages++;
      });
      call.on("end", () => {
        answer(null, Buffer.from(String(seen.messages)), tail());
        open.delete(seen.key);
      });
    },
    // Takes a call, and reads nothing of it.
    Deaf: (call: grpc.ServerReadableStream<Buffer, Buffer>) => {
      note(call);
      call.pause();
    },
    // As many messages as the first one says.
    Count: (call: grpc.ServerWritableStream<Buffer, Buffer>) => {
      const { key } = note(call);
      const [count = 0, bytes = 0] = call.request.toString().split(" ").map(Number);
      headOf(call);
      let sent = 0;
      const more = (): void => {
        while (sent < count) {
          const message = bytes === 0 ? Buffer.from(`message ${sent}`) : Buffer.alloc(bytes, sent);
          sent++;
          if (!call.write(message)) {
            call.once("drain", more);
            return;
          }
        }
        call.end(tail());
        open.delete(key);
      };
      more();
    },
    // One message, and then nothing.
    Flood: (call: grpc.ServerWritableStream<Buffer, Buffer>) => {
      note(call);
      call.write(call.request);
    },
    Bidi: (call: grpc.ServerDuplexStream<Buffer, Buffer>) => {
      const seen = note(call);
      call.on("data", (message: Buffer) => {
        seen.messages++;
        if (!call.write(message)) {
          call.pause();
          call.once("drain", () => call.resume());
        }
      });
      call.on("end", () => {
        call.end(tail());
        open.delete(seen.key);
      });
      call.on("error", () => undefined);
    },
  });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", credentials, (error, bound) => {
      if (error === null) resolve(bound);
      else reject(error);
    });
  });
  t.after(() => {
    server.forceShutdown();
  });
  const find = (key: string): SeenCall | undefined => calls.find((call) => call.key === key);
  return {
    port,
    calls,
    open,
    seen: (key) => waitFor(`the app to have the call ${key}`, () => find(key)),
    cancelled: async (key) => {
      await waitFor(`the app to be told that ${key} is given up`, () => find(key)?.cancelled === true);
    },
  };
}

/** Calls Echo through whatever listens there. */
export class EchoClient {
  readonly #client: grpc.Client;

  constructor(t: TestScope, port: number, options: grpc.ClientOptions = {}) {
    this.#client = new grpc.Client(`127.0.0.1:${port}`, grpc.credentials.createInsecure(), {
      "grpc.max_receive_message_length": -1,
      "grpc.max_send_message_length": -1,
      ...options,
    });
    t.after(() => {
      this.#client.close();
    });
  }

  unary(name: "Unary" | "Fail" | "Hang", metadata: Pairs, message = Buffer.from("hi"), deadline?: number): UnaryCall {
    const options = deadline === undefined ? {} : { deadline };
    let call: grpc.ClientUnaryCall | undefined;
    let head: grpc.Metadata | undefined;
    const answered = new Promise<UnaryAnswer>((resolve) => {
      let answer: { error: grpc.ServiceError | null; message: Buffer | undefined } | undefined;
      call = this.#client.makeUnaryRequest(
        `/demo.v1.Echo/${name}`,
        same,
        same,
        message,
        metadataOf(metadata),
        options,
        (error, value) => {
          answer = { error, message: value };
        },
      );
      call.on("metadata", (received) => {
        head = received;
      });
      call.on("status", ({ code, details, metadata: trailers }) => {
        setImmediate(() => {
          resolve({ code, details, head, trailers, message: answer?.message });
        });
      });
    });
    return { answered, cancel: () => call?.cancel() };
  }

  clientStream(name: "Collect" | "Deaf", metadata: Pairs): ClientStream {
    let stream: grpc.ClientWritableStream<Buffer> | undefined;
    const answered = new Promise<UnaryAnswer>((resolve) => {
      let message: Buffer | undefined;
      stream = this.#client.makeClientStreamRequest(
        `/demo.v1.Echo/${name}`,
        same,
        same,
        metadataOf(metadata),
        (_error, value) => {
          message = value;
        },
      );
      stream.on("status", ({ code, details, metadata: trailers }) => {
        setImmediate(() => {
          resolve({ code, details, head: undefined, trailers, message });
        });
      });
      stream.on("error", () => undefined);
    });
    if (stream === undefined) throw new Error("no stream");
    return { stream, answered };
  }

  serverStream(name: "Count" | "Flood", metadata: Pairs, message: Buffer): grpc.ClientReadableStream<Buffer> {
    return this.#client.makeServerStreamRequest(`/demo.v1.Echo/${name}`, same, same, message, metadataOf(metadata));
  }

  bidi(metadata: Pairs): grpc.ClientDuplexStream<Buffer, Buffer> {
    return this.#client.makeBidiStreamRequest("/demo.v1.Echo/Bidi", same, same, metadataOf(metadata));
  }
}

export type Pairs = readonly (readonly [name: string, value: string | Buffer])[];

export interface UnaryAnswer {
  readonly code: grpc.status;
  readonly details: string;
  readonly head: grpc.Metadata | undefined;
  readonly trailers: grpc.Metadata;
  readonly message: Buffer | undefined;
}

export interface UnaryCall {
  readonly answered: Promise<UnaryAnswer>;
  cancel(): void;
}

export interface ClientStream {
  readonly stream: grpc.ClientWritableStream<Buffer>;
  readonly answered: Promise<UnaryAnswer>;
}

export interface StreamEnd {
  readonly messages: Buffer[];
  readonly code: grpc.status;
  readonly details: string;
  readonly trailers: grpc.Metadata;
}

/** Reads a stream to its end. */
export function endOf(
  stream: grpc.ClientReadableStream<Buffer> | grpc.ClientDuplexStream<Buffer, Buffer>,
): Promise<StreamEnd> {
  const messages: Buffer[] = [];
  const readable = stream as grpc.ClientReadableStream<Buffer>;
  readable.on("data", (message: Buffer) => messages.push(message));
  readable.on("error", () => undefined);
  return new Promise((resolve) => {
    readable.on("status", ({ code, details, metadata: trailers }) => {
      setImmediate(() => {
        resolve({ messages, code, details, trailers });
      });
    });
  });
}

function metadataOf(pairs: Pairs): grpc.Metadata {
  const metadata = new grpc.Metadata();
  for (const [name, value] of pairs) metadata.add(name, value);
  return metadata;
}
