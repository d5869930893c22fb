import http2, { constants, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import {
  HEADERS_TIMEOUT_S,
  type Http2Connections,
  type HttpConnectionsOwner,
  IDLE_CONNECTION_S,
} from "./http-listener.ts";
import { Http2Exchange } from "./http2-exchange.ts";
import { type Refusal, readHttp2Head } from "./http2-request-head.ts";

// Go's default, and so daprd's.
const MAX_CONCURRENT_STREAMS = 250;
// HTTP/2 counts 32 bytes for each header beyond its text, which is a multiple of a short one; and a list that is too long
// is to be answered with 431 by us, where Node would reset the stream without a word. In terms of our own limit.
const HEADER_LIST_ROOM = 8;
const HEADER_LIST_PAIR_BYTES = 32;
// No limit, in megabytes. Node counts answers that their caller does not read, never subtracts those of cancelled calls,
// and once over its 10 MB refuses every call of the connection, and in the end destroys it. What holds is the number of
// streams, and that no more is read of an app than its caller takes.
const SESSION_MEMORY_MB = 100_000;
// A caller may give up calls by the thousand, with a deadline that is too short. Where Node knows these; else it is nghttp2's
// own limit, 1,000 at once and 33 a second, at which a connection ends with all its calls.
const STREAM_RESETS = { streamResetBurst: 10_000, streamResetRate: 1000 };
// How long a connection may be silent until it is asked whether anybody is there.
const PROBE_AFTER_S = 30;

export interface Http2ServerOptions {
  /** Of one connection. */
  readonly maxConcurrentStreams?: number;
  /** Seconds that a connection may be silent until it is asked whether anybody is there. */
  readonly probeAfterS?: number;
}

/**
 * HTTP/2 without TLS, for clients that know beforehand that it is spoken (RFC 9113 3.3). Never listens itself: it is given
 * connections. Node refuses what is malformed and bounds what a client can have it keep, also streams that are opened and
 * reset one after the other.
 */
export class Http2Server implements Http2Connections {
  readonly #owner: HttpConnectionsOwner;
  readonly #server: http2.Http2Server;
  readonly #probeAfterS: number;
  readonly #sessions = new Set<ServerHttp2Session>();

  constructor(owner: HttpConnectionsOwner, options: Http2ServerOptions = {}) {
    const { maxConcurrentStreams = MAX_CONCURRENT_STREAMS, probeAfterS = PROBE_AFTER_S } = options;
    this.#owner = owner;
    this.#probeAfterS = probeAfterS;
    const maxHeaderListSize = owner.maxHeadBytes * HEADER_LIST_ROOM;
    this.#server = http2.createServer({
      ...STREAM_RESETS,
      maxHeaderListPairs: Math.ceil(maxHeaderListSize / HEADER_LIST_PAIR_BYTES),
      maxSessionMemory: SESSION_MEMORY_MB,
      settings: { maxConcurrentStreams, maxHeaderListSize },
    });
    this.#server.on("session", (session) => {
      this.#opened(session);
    });
  }

  accept(socket: Socket): void {
    // Half a connection is of no use in HTTP/2; the client has gone.
    socket.allowHalfOpen = false;
    this.#server.emit("connection", socket);
  }

  stopAccepting(): void {
    for (const session of this.#sessions) session.close();
  }

  #opened(session: ServerHttp2Session): void {
    this.#sessions.add(session);
    const streams = new Set<ServerHttp2Stream>();
    session.once("close", () => {
      this.#sessions.delete(session);
    });
    // Node has ended the session; its streams tell their exchanges.
    session.on("error", ignore);
    session.on("stream", (stream: ServerHttp2Stream, _headers: unknown, flags: number, rawHeaders: string[]) => {
      streams.add(stream);
      stream.once("close", () => streams.delete(stream));
      this.#begin(stream, flags, rawHeaders);
    });
    this.#watch(session, () => streams.size > 0);
  }

  /**
   * Ends a connection that never began, that nobody has used for long, or that does not answer a PING for as long. To some
   * mistakes of a client (a broken header block, a frame that is too large) Node sends GOAWAY, and from then on neither
   * reads nor closes: without a PING nobody would notice that the client has left, and its calls would never end.
   */
  #watch(session: ServerHttp2Session, isBusy: () => boolean): void {
    const probeMs = this.#probeAfterS * 1000;
    const patience = Math.ceil(IDLE_CONNECTION_S / PROBE_AFTER_S);
    let hasBegun = false;
    let silences = 0;
    session.once("remoteSettings", () => {
      hasBegun = true;
      session.setTimeout(probeMs);
    });
    session.on("stream", () => {
      silences = 0;
    });
    session.on("timeout", () => {
      silences++;
      if (!hasBegun || silences >= patience) {
        session.destroy();
        return;
      }
      session.setTimeout(probeMs);
      if (!isBusy()) return;
      session.ping((error) => {
        if (error === null) silences = 0;
      });
    });
    session.setTimeout(HEADERS_TIMEOUT_S * 1000);
  }

  #begin(stream: ServerHttp2Stream, flags: number, rawHeaders: readonly string[]): void {
    // Resets and the like; `close` follows.
    stream.on("error", ignore);
    // Opened and reset at once.
    if (stream.closed || stream.destroyed) return;
    const endsHere = (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0;
    const head = readHttp2Head(rawHeaders, endsHere, this.#owner.maxHeadBytes);
    if ("reason" in head) this.#refuse(stream, head);
    else this.#owner.begin(new Http2Exchange(stream, head, endsHere, this.#owner));
  }

  /** Other streams of the connection are not touched: unlike in HTTP/1.1, what follows can be trusted. */
  #refuse(stream: ServerHttp2Stream, { status, reason }: Refusal): void {
    this.#owner.noteRefusal(reason);
    const text = `${reason}\n`;
    const headers = { ":status": status, "content-type": "text/plain; charset=utf-8", "content-length": text.length };
    // Node has ended it where the request is a HEAD.
    const isEmpty = stream.writableEnded;
    stream.respond(headers, { endStream: isEmpty });
    if (!isEmpty) stream.end(text);
  }
}

function ignore(): void {
  // Intentionally nothing.
}
