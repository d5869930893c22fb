import { once } from "node:events";
import http2, { type ClientHttp2Session, type ClientHttp2Stream, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import type { TestScope } from "./cleanup.ts";

/** gRPC by hand, for what a library does not do: wrong answers, resets, and clients that leave the deadline to others. */

export function frame(message: string | Buffer, flag = 0): Buffer {
  const bytes = Buffer.from(message);
  const head = Buffer.from([flag, 0, 0, 0, 0]);
  head.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
}

export interface RawGrpcApp {
  readonly port: number;
  /** Streams that have begun and not ended. */
  readonly open: Set<ServerHttp2Stream>;
  /** Codes with which streams were reset or ended, in order. */
  readonly codes: number[];
}

export interface RawGrpcRequest {
  readonly stream: ServerHttp2Stream;
  readonly headers: http2.IncomingHttpHeaders;
  readonly socket: Socket;
}

/** An app that answers by hand. */
export async function startRawGrpcApp(t: TestScope, handle: (request: RawGrpcRequest) => void): Promise<RawGrpcApp> {
  const open = new Set<ServerHttp2Stream>();
  const codes: number[] = [];
  const sockets = new Set<Socket>();
  const server = http2.createServer();
  server.on("connection", (socket: Socket) => sockets.add(socket));
  server.on("session", (session) => {
    session.on("error", () => undefined);
    session.on("stream", (stream: ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => {
      open.add(stream);
      stream.on("error", () => undefined);
      stream.once("close", () => {
        open.delete(stream);
        codes.push(stream.rstCode);
      });
      // Node lends the socket of a session only to be looked at.
      const socket = [...sockets].find(({ remotePort }) => remotePort === session.socket.remotePort);
      if (socket !== undefined) handle({ stream, headers, socket });
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return { port: (server.address() as AddressInfo).port, open, codes };
}

export function connectRaw(t: TestScope, port: number): ClientHttp2Session {
  const session = http2.connect(`http://127.0.0.1:${port}`);
  session.on("error", () => undefined);
  t.after(() => {
    session.destroy();
  });
  return session;
}

export function beginRaw(
  session: ClientHttp2Session,
  path: string,
  metadata: Record<string, string>,
): ClientHttp2Stream {
  const stream = session.request({
    ":method": "POST",
    ":path": path,
    "content-type": "application/grpc",
    te: "trailers",
    ...metadata,
  });
  stream.on("error", () => undefined);
  return stream;
}

export interface RawAnswer {
  readonly headers: http2.IncomingHttpHeaders;
  readonly body: Buffer;
  /** Undefined where the head is the whole answer. */
  readonly trailers: http2.IncomingHttpHeaders | undefined;
  /** `grpc-status`, wherever it stands. */
  readonly status: string | undefined;
  readonly message: string;
  readonly rstCode: number;
}

export async function rawAnswer(stream: ClientHttp2Stream): Promise<RawAnswer> {
  let headers: http2.IncomingHttpHeaders = {};
  let trailers: http2.IncomingHttpHeaders | undefined;
  const pieces: Buffer[] = [];
  stream.on("response", (head) => {
    headers = head;
  });
  stream.on("trailers", (tail: http2.IncomingHttpHeaders) => {
    trailers = tail;
  });
  stream.on("data", (piece: Buffer) => pieces.push(piece));
  await new Promise((resolve) => stream.once("close", resolve));
  const ending = trailers ?? headers;
  return {
    headers,
    body: Buffer.concat(pieces),
    trailers,
    status: ending["grpc-status"] as string | undefined,
    message: decodeURIComponent(String(ending["grpc-message"] ?? "")),
    rstCode: stream.rstCode,
  };
}
