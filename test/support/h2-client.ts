import { once } from "node:events";
import http2, {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type IncomingHttpHeaders,
  type IncomingHttpStatusHeader,
  type OutgoingHttpHeaders,
} from "node:http2";
import { addAbortSignal } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { TestScope } from "./cleanup.ts";

/** HTTP/2 without TLS, as a client speaks it that knows beforehand that the server does. */

/** A connection of its own. Ended with the test. */
export async function connectH2(t: TestScope, api: string): Promise<ClientHttp2Session> {
  const session = http2.connect(api);
  t.after(() => {
    session.destroy();
  });
  // Shown by whoever waits for an answer.
  session.on("error", () => undefined);
  await once(session, "connect");
  return session;
}

export type H2Head = IncomingHttpHeaders & IncomingHttpStatusHeader;

export interface H2Call {
  readonly path: string;
  readonly method?: string;
  readonly headers?: OutgoingHttpHeaders;
  readonly body?: Iterable<Buffer>;
  /** Sent behind the body. */
  readonly trailers?: OutgoingHttpHeaders;
}

export interface H2Answer {
  readonly status: number | undefined;
  readonly headers: H2Head;
  readonly body: Buffer;
}

/** Begins a call and sends its head. */
export function beginH2(session: ClientHttp2Session, call: H2Call, endStream = false): ClientHttp2Stream {
  const { path, method = "GET", headers = {}, trailers } = call;
  const options = { endStream, waitForTrailers: trailers !== undefined };
  const stream = session.request({ ":method": method, ":path": path, ...headers }, options);
  // Shown by whoever waits for the answer.
  stream.on("error", () => undefined);
  if (trailers !== undefined) {
    stream.on("wantTrailers", () => {
      stream.sendTrailers(trailers);
    });
  }
  return stream;
}

/** Fails where the stream is closed first. */
export function headOf(stream: ClientHttp2Stream): Promise<H2Head> {
  return new Promise((resolve, reject) => {
    stream.once("response", resolve);
    stream.once("close", () => {
      reject(new Error(`the stream was closed without an answer, with code ${stream.rstCode}`));
    });
  });
}

/**
 * All that comes, until the stream is closed.
 *
 * @throws where it was reset. Node's client shows the end of such a body, in some cases, as it does any other end.
 */
export async function bodyOf(stream: ClientHttp2Stream): Promise<Buffer> {
  const pieces: Buffer[] = [];
  stream.on("data", (piece: Buffer) => pieces.push(piece));
  await new Promise((resolve) => stream.once("close", resolve));
  if (stream.rstCode !== 0) throw new Error(`the stream was closed with code ${stream.rstCode}`);
  return Buffer.concat(pieces);
}

/** The ways in which a caller can give up a stream. `close` is none: Node's client ends the body before it resets. */
export const RESETS: Readonly<Record<string, (stream: ClientHttp2Stream) => void>> = {
  NO_ERROR: (stream) => stream.destroy(),
  INTERNAL_ERROR: (stream) => stream.destroy(new Error("on purpose")),
  CANCEL: (stream) => {
    addAbortSignal(AbortSignal.abort(), stream);
  },
};

/** Calls, and reads the answer. A body goes out at the pace at which the server takes it. */
export async function callH2(session: ClientHttp2Session, call: H2Call): Promise<H2Answer> {
  const stream = beginH2(session, call, call.body === undefined && call.trailers === undefined);
  const answered = answerOf(stream);
  // A server that has answered may stop reading; what counts is its answer.
  if (call.body !== undefined) pipeline(call.body, stream, { end: true }).catch(() => undefined);
  else if (call.trailers !== undefined) stream.end();
  return answered;
}

export async function answerOf(stream: ClientHttp2Stream): Promise<H2Answer> {
  const [headers, body] = await Promise.all([headOf(stream), bodyOf(stream)]);
  return { status: headers[":status"], headers, body };
}
