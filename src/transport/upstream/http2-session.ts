import http2, { type ClientHttp2Session, type ClientHttp2Stream, type OutgoingHttpHeaders } from "node:http2";
import net, { type Socket } from "node:net";
import tls from "node:tls";
import { CONNECT_TIMEOUT_MS } from "../http1/client-connection.ts";
import { ForeignAnswer } from "../http1/message-head.ts";
import { connectOptions, tlsOptions } from "./tls-options.ts";
import { originOf, type UpstreamOptions } from "./upstream.ts";

/** What a pool lends to each of its sessions. */
export interface Http2SessionOwner {
  /** It has room for streams, for the first time or again. */
  hasRoom(session: Http2Session): void;
  /** The origin broke the rules of HTTP/2. */
  malformed(reason: string): void;
  /** The session takes no more streams. Called once; `failure` where it never took any. */
  closed(session: Http2Session, failure: Error | undefined): void;
  /** Nothing runs on it any more. Called once, after `closed`. */
  gone(session: Http2Session): void;
}

// As many as daprd puts on one connection (A5); an origin may ask for fewer.
const MAX_STREAMS = 100;
const STREAM_WINDOW_BYTES = 256 * 1024;
const SESSION_WINDOW_BYTES = 1024 * 1024;
// No limit, in megabytes. Node counts all that is queued, the bodies of calls whose origin does not read among it, never
// subtracts what a cancelled call had queued, and once over its 10 MB refuses every call. What holds is each stream's own
// window, --max-body-size and --app-max-concurrency.
const SESSION_MEMORY_MB = 100_000;
// HTTP/2 counts 32 bytes for each header beyond its text, which is a multiple of a short one.
const HEADER_LIST_ROOM = 8;
const HEADER_LIST_PAIR_BYTES = 32;
// Servers of nghttp2 (Node, nginx, Envoy) take 1,000 resets at once and 33 a second from one session, and then end it with all
// that runs on it. Ours may still have as many as it has streams when it is retired.
const MAX_RESETS = 500;
// How long a session with calls on it may be silent until it is asked whether it still lives, and then again.
const PROBE_AFTER_MS = 5000;
const PROBE_AGAIN_FACTOR = 6;
const PROBE_WRITTEN_MS = 100;
// Node ends a session of its own with ten SETTINGS that the origin has not acknowledged, the first of all among them.
const MAX_UNANSWERED_PROBES = 8;

/** One HTTP/2 connection to an origin, with many streams. */
export class Http2Session {
  /** True once the origin has said what it takes, which also says that it speaks HTTP/2. */
  isReady = false;
  /** True once an answer has begun on it: its origin may have closed it meanwhile. */
  isReused = false;
  /** When its last stream ended, in milliseconds of the pool's clock. */
  idleSince = 0;
  /** Of GOAWAY: streams with a higher id have not been looked at by the origin (RFC 9113 6.8). */
  lastStreamId = Number.POSITIVE_INFINITY;
  readonly #owner: Http2SessionOwner;
  readonly #socket: Socket;
  readonly #session: ClientHttp2Session;
  readonly #connectTimer: NodeJS.Timeout;
  #error: NodeJS.ErrnoException | undefined;
  #limit = MAX_STREAMS;
  #streams = 0;
  #resets = 0;
  #unansweredProbes = 0;
  #over = false;

  constructor(options: UpstreamOptions, owner: Http2SessionOwner, probeAfterMs = PROBE_AFTER_MS) {
    const { maxHeaderBytes, connectTimeoutMs = CONNECT_TIMEOUT_MS } = options;
    const maxHeaderListSize = maxHeaderBytes * HEADER_LIST_ROOM;
    this.#owner = owner;
    this.#socket = connect(options);
    this.#session = http2.connect(originOf(options), {
      createConnection: () => this.#socket,
      maxHeaderListPairs: Math.ceil(maxHeaderListSize / HEADER_LIST_PAIR_BYTES),
      maxSessionMemory: SESSION_MEMORY_MB,
      settings: { enablePush: false, initialWindowSize: STREAM_WINDOW_BYTES, maxHeaderListSize },
    });
    this.#connectTimer = setTimeout(() => {
      this.#session.destroy(this.#tooLate());
    }, connectTimeoutMs);
    this.#listen(probeAfterMs);
  }

  /** Calls that are under way. */
  get streams(): number {
    return this.#streams;
  }

  get hasRoom(): boolean {
    // A session that breaks says `close` only after its streams have.
    const isOpen = !this.#over && !this.#session.destroyed && !this.#session.closed;
    return this.isReady && isOpen && this.#streams < this.#limit;
  }

  /** Streams that the origin takes at once, or that we ask of it. */
  get limit(): number {
    return this.#limit;
  }

  /** True once the connection is gone, and all that ran on it. */
  get isGone(): boolean {
    return this.#session.destroyed;
  }

  /** What broke it, where that is known. */
  get error(): NodeJS.ErrnoException | undefined {
    return this.#error;
  }

  /** Opens a stream. @throws {Error} where the session has ended a moment ago; nothing was sent then. */
  open(headers: OutgoingHttpHeaders, options: { readonly endStream: boolean }): ClientHttp2Stream {
    const stream = this.#session.request(headers, options);
    this.#streams++;
    stream.once("close", () => {
      this.#streams--;
      this.idleSince = performance.now();
      if (this.hasRoom) this.#owner.hasRoom(this);
    });
    return stream;
  }

  /** One of its streams has been reset from here. After many, further calls go to another session. */
  noteReset(): void {
    if (++this.#resets === MAX_RESETS) this.close();
  }

  /** Ends it after the last of its streams. */
  close(): void {
    this.#end(undefined);
    this.#session.close();
  }

  destroy(): void {
    this.#end(undefined);
    this.#session.destroy();
  }

  #listen(probeAfterMs: number): void {
    const session = this.#session;
    session.once("connect", () => {
      if (choseAnother(this.#socket)) {
        session.destroy(new ForeignAnswer("its TLS is for another protocol (ALPN)"));
        return;
      }
      session.setLocalWindowSize(SESSION_WINDOW_BYTES);
    });
    session.on("remoteSettings", ({ maxConcurrentStreams = MAX_STREAMS }: http2.Settings) => {
      this.#limit = Math.min(maxConcurrentStreams, MAX_STREAMS);
      if (!this.isReady) this.#onReady(probeAfterMs);
      if (this.hasRoom) this.#owner.hasRoom(this);
    });
    session.on("goaway", (_code: number, lastStreamId: number) => {
      this.lastStreamId = lastStreamId;
      // What it may still answer, it answers.
      this.#end(undefined);
    });
    session.on("error", (error: NodeJS.ErrnoException) => {
      this.#error ??= error;
      if (error.code === "ERR_HTTP2_ERROR") this.#owner.malformed(error.message);
    });
    session.once("close", () => {
      this.#end(this.#failure());
      this.#owner.gone(this);
    });
  }

  #onReady(probeAfterMs: number): void {
    clearTimeout(this.#connectTimer);
    if (this.#limit === 0) {
      this.#session.destroy(new Error("the origin takes no streams: its SETTINGS_MAX_CONCURRENT_STREAMS is 0"));
      return;
    }
    this.isReady = true;
    this.#session.on("timeout", () => {
      this.#session.setTimeout(probeAfterMs * PROBE_AGAIN_FACTOR);
      if (this.#streams > 0) this.#probe();
    });
    this.#session.setTimeout(probeAfterMs);
  }

  /**
   * To some mistakes of an origin (a broken header block, a frame that is too large) Node sends GOAWAY, and from then on
   * neither reads nor closes, nor says so: its calls would never end. But then it writes nothing either, not even SETTINGS.
   * Not a PING: servers of grpc-go end a session that sends these more often than every five minutes.
   *
   * An origin that is only slow is left in peace, and so is one that has stopped: each of its unanswered probes was written,
   * and once they are too many there is no further one, of which nothing could be told.
   */
  #probe(): void {
    if (this.#unansweredProbes === MAX_UNANSWERED_PROBES) return;
    const before = this.#socket.bytesWritten;
    this.#unansweredProbes++;
    this.#session.settings({}, () => {
      this.#unansweredProbes--;
    });
    setTimeout(() => {
      const isMute = this.#socket.bytesWritten === before && this.#socket.writableLength === 0;
      if (!isMute || this.#session.destroyed) return;
      const reason = "the origin broke the rules of HTTP/2";
      this.#owner.malformed(reason);
      this.#session.destroy(new Error(reason));
    }, PROBE_WRITTEN_MS).unref();
  }

  #end(failure: Error | undefined): void {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#connectTimer);
    this.#owner.closed(this, failure);
  }

  #tooLate(): Error {
    if (this.#socket.connecting) return Object.assign(new Error("timeout"), { code: "ETIMEDOUT" });
    return new ForeignAnswer("nothing was answered in HTTP/2 in time");
  }

  /** Why it never became ready; undefined where it did. */
  #failure(): Error | undefined {
    if (this.isReady) return undefined;
    if (this.#error === undefined) return Object.assign(new Error("closed"), { code: "ECONNRESET" });
    return this.#error.code === "ERR_HTTP2_ERROR" ? new ForeignAnswer("the answer is not in HTTP/2") : this.#error;
  }
}

function connect({ host, port, wire }: UpstreamOptions): Socket {
  if (wire?.kind !== "h2") return net.connect({ host, port, noDelay: true });
  return tls.connect({ host, port, ...connectOptions(tlsOptions(host, wire.trust, "h2")) }).setNoDelay(true);
}

/** A server that knows nothing of ALPN may speak HTTP/2 all the same, which its SETTINGS will tell. */
function choseAnother(socket: Socket): boolean {
  return socket instanceof tls.TLSSocket && typeof socket.alpnProtocol === "string" && socket.alpnProtocol !== "h2";
}
