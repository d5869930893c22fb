import {
  create,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import {
  Client,
  type ClientDuplexStream,
  credentials,
  Metadata,
  type MethodDefinition,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type ServiceError,
  type StatusObject,
  type sendUnaryData,
  status,
} from "@grpc/grpc-js";
import { HTTPExtension_Verb } from "../../src/gen/dapr/proto/common/v1/common_pb.ts";
import { APIVersion } from "../../src/gen/dapr/proto/internals/v1/apiversion_pb.ts";
import {
  type InternalInvokeRequest,
  InternalInvokeRequestSchema,
  type InternalInvokeRequestStream,
  InternalInvokeRequestStreamSchema,
  type InternalInvokeResponse,
  InternalInvokeResponseSchema,
  type InternalInvokeResponseStream,
  InternalInvokeResponseStreamSchema,
} from "../../src/gen/dapr/proto/internals/v1/service_invocation_pb.ts";
import type { TestScope } from "./cleanup.ts";

/** A peer of the internal protocol as daprd is one, on grpc-js: what it is sent it keeps, and what it answers a test says. */

export type RequestMessage = MessageInitShape<typeof InternalInvokeRequestStreamSchema>;
export type ResponseMessage = MessageInitShape<typeof InternalInvokeResponseStreamSchema>;
export type ServerStream = ServerDuplexStream<InternalInvokeRequestStream, InternalInvokeResponseStream>;
export type ClientStream = ClientDuplexStream<InternalInvokeRequestStream, InternalInvokeResponseStream>;

const SERVICE = "/dapr.proto.internals.v1.ServiceInvocation/";
// Larger than anything that a test sends in one message.
const OPTIONS = { "grpc.max_receive_message_length": -1, "grpc.max_send_message_length": -1 };

function codec<Desc extends DescMessage>(schema: Desc) {
  return {
    write: (message: MessageShape<Desc>): Buffer => Buffer.from(toBinary(schema, message)),
    read: (bytes: Buffer): MessageShape<Desc> => fromBinary(schema, bytes),
  };
}

function methodOf<In extends DescMessage, Out extends DescMessage>(
  name: string,
  isStream: boolean,
  request: In,
  response: Out,
): MethodDefinition<MessageShape<In>, MessageShape<Out>> {
  return {
    path: SERVICE + name,
    requestStream: isStream,
    responseStream: isStream,
    requestSerialize: codec(request).write,
    requestDeserialize: codec(request).read,
    responseSerialize: codec(response).write,
    responseDeserialize: codec(response).read,
  };
}

const CALL_LOCAL = methodOf("CallLocal", false, InternalInvokeRequestSchema, InternalInvokeResponseSchema);
const CALL_LOCAL_STREAM = methodOf(
  "CallLocalStream",
  true,
  InternalInvokeRequestStreamSchema,
  InternalInvokeResponseStreamSchema,
);

/** What came of one call of CallLocalStream. */
export interface ReceivedStream {
  readonly metadata: Metadata;
  readonly messages: InternalInvokeRequestStream[];
}

export interface DaprdPeer {
  readonly port: number;
  readonly address: string;
  /** In the order in which they came. */
  readonly streams: ReceivedStream[];
  readonly unary: { readonly metadata: Metadata; readonly request: InternalInvokeRequest }[];
  /** Ends every connection at once. */
  kill(): void;
}

export interface DaprdPeerAnswers {
  /** Told when the head has come. Answers `{"ok":1}` where nothing is given. "unknown": the method is not there. */
  readonly stream?: ((call: ServerStream, received: ReceivedStream) => void) | "unknown";
  readonly unary?: (request: InternalInvokeRequest) => MessageInitShape<typeof InternalInvokeResponseSchema>;
}

export async function startDaprdPeer(t: TestScope, answers: DaprdPeerAnswers = {}, port = 0): Promise<DaprdPeer> {
  const streams: ReceivedStream[] = [];
  const unary: DaprdPeer["unary"] = [];
  const { stream = answerOk } = answers;
  const callLocalStream = (call: ServerStream): void => {
    if (stream === "unknown") return;
    const received: ReceivedStream = { metadata: call.metadata, messages: [] };
    call.on("error", () => undefined);
    call.once("data", () => {
      streams.push(received);
      stream(call, received);
    });
    call.prependListener("data", (message: InternalInvokeRequestStream) => received.messages.push(message));
  };
  const callLocal = (
    call: ServerUnaryCall<InternalInvokeRequest, InternalInvokeResponse>,
    reply: sendUnaryData<InternalInvokeResponse>,
  ): void => {
    unary.push({ metadata: call.metadata, request: call.request });
    reply(null, create(InternalInvokeResponseSchema, answers.unary?.(call.request) ?? OK));
  };
  const server = new Server(OPTIONS);
  server.addService(
    stream === "unknown" ? { CallLocal: CALL_LOCAL } : { CallLocal: CALL_LOCAL, CallLocalStream: CALL_LOCAL_STREAM },
    stream === "unknown" ? { CallLocal: callLocal } : { CallLocal: callLocal, CallLocalStream: callLocalStream },
  );
  const bound = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error, at) => {
      if (error === null) resolve(at);
      else reject(error);
    });
  });
  const kill = (): void => {
    server.forceShutdown();
  };
  t.after(kill);
  return { port: bound, address: `127.0.0.1:${bound}`, streams, unary, kill };
}

const OK: MessageInitShape<typeof InternalInvokeResponseSchema> = {
  status: { code: 200 },
  headers: { "Content-Type": { values: ["application/json"] } },
  message: { contentType: "application/json" },
};

/** Once the request is complete, as the recorded peer did. */
export function answerOk(call: ServerStream): void {
  call.once("end", () => {
    send(call, { response: OK, payload: { data: Buffer.from('{"ok":1}') } });
    call.end();
  });
}

/** False where the caller takes no more for now. */
export function send(call: ServerStream, message: ResponseMessage): boolean {
  return call.write(create(InternalInvokeResponseStreamSchema, message));
}

/** A client of an internal port; ended with the test. */
export class DaprdCaller {
  readonly #client: Client;

  constructor(t: TestScope, address: string) {
    this.#client = new Client(address, credentials.createInsecure(), OPTIONS);
    t.after(() => {
      this.#client.close();
    });
  }

  /** Any rpc of the service, with a message of bytes. @returns the status it ends with. */
  async unknownRpc(name: string): Promise<Partial<StatusObject>> {
    const same = (bytes: Buffer): Buffer => bytes;
    return new Promise((resolve) => {
      this.#client.makeUnaryRequest(SERVICE + name, same, same, Buffer.alloc(0), (error) => {
        resolve(error ?? { code: status.OK });
      });
    });
  }

  callLocal(
    request: MessageInitShape<typeof InternalInvokeRequestSchema>,
    metadata = new Metadata(),
    deadlineMs?: number,
  ): Promise<InternalInvokeResponse> {
    const { path, requestSerialize, responseDeserialize } = CALL_LOCAL;
    const options = deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs };
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        create(InternalInvokeRequestSchema, request),
        metadata,
        options,
        (error: ServiceError | null, response?: InternalInvokeResponse) => {
          if (error !== null || response === undefined) reject(error ?? new Error("no answer"));
          else resolve(response);
        },
      );
    });
  }

  open(metadata = new Metadata(), deadlineMs?: number): ClientStream {
    const { path, requestSerialize, responseDeserialize } = CALL_LOCAL_STREAM;
    const options = deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs };
    return this.#client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, metadata, options);
  }

  async callLocalStream(messages: readonly RequestMessage[], metadata = new Metadata()): Promise<StreamOutcome> {
    const call = this.open(metadata);
    const outcome = outcomeOf(call);
    for (const message of messages) call.write(create(InternalInvokeRequestStreamSchema, message));
    call.end();
    return outcome;
  }
}

export interface StreamOutcome {
  readonly headers: Metadata | undefined;
  readonly messages: InternalInvokeResponseStream[];
  readonly status: StatusObject;
  /** All payloads together. */
  readonly body: Buffer;
}

/** All that comes of a call, whether it ends well or not. */
export async function outcomeOf(call: ClientStream): Promise<StreamOutcome> {
  const messages: InternalInvokeResponseStream[] = [];
  let headers: Metadata | undefined;
  call.on("error", () => undefined);
  call.on("metadata", (sent: Metadata) => (headers = sent));
  call.on("data", (message: InternalInvokeResponseStream) => messages.push(message));
  // Not `once` of events, which an error ends first.
  const ended = await new Promise<StatusObject>((resolve) => call.once("status", resolve));
  const body = Buffer.concat(messages.map(({ payload }) => payload?.data ?? Buffer.alloc(0)));
  return { headers, messages, status: ended, body };
}

/** A message of CallLocalStream or CallLocal that begins a call. */
export function requestFor(method: string, options: RequestOptions = {}): InternalInvokeRequest {
  const { verb = HTTPExtension_Verb.GET, headers = {}, data, contentType = "", query = "" } = options;
  return create(InternalInvokeRequestSchema, {
    ver: APIVersion.V1,
    metadata: Object.fromEntries(Object.entries(headers).map(([name, values]) => [name, { values: [...values] }])),
    message: {
      method,
      contentType,
      httpExtension: { verb, querystring: query },
      ...(data === undefined ? {} : { data: { value: data } }),
    },
  });
}

export interface RequestOptions {
  /** GET where nothing is said. */
  readonly verb?: HTTPExtension_Verb;
  readonly headers?: Readonly<Record<string, readonly string[]>>;
  readonly contentType?: string;
  readonly query?: string;
  /** For CallLocal. */
  readonly data?: Uint8Array;
}
