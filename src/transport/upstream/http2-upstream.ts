import type { OutgoingHttpHeaders } from "node:http2";
import type { RequestMessage, ResponseMessage } from "../../core/message.ts";
import { formatTimeout } from "../grpc/timeout.ts";
import { addHeader, emptyHeaders } from "../http/http2-header-object.ts";
import { Http2Call, type Http2Queue } from "./http2-call.ts";
import { Http2Session, type Http2SessionOwner } from "./http2-session.ts";
import type { MalformedAnswers } from "./malformed-answers.ts";
import {
  explainFailure,
  hostHeaderOf,
  IDLE_CONNECTION_MS,
  mayBeSentAgain,
  originOf,
  requestTargetOf,
  schemeOf,
  type Upstream,
  type UpstreamOptions,
} from "./upstream.ts";

// The first may meet an origin that ends the session, the second one that is still too busy.
const MAX_TRIES = 3;

/**
 * An origin that speaks HTTP/2, behind Node's codec: few connections, many calls on each. A
 * call waits for the origin's SETTINGS: they tell how many it takes, and that it speaks HTTP/2 at all.
 */
export class Http2Upstream implements Upstream, Http2Queue, Http2SessionOwner {
  readonly origin: string;
  readonly maxHeadBytes: number;
  readonly #options: UpstreamOptions;
  readonly #malformed: MalformedAnswers;
  readonly #probeAfterMs: number | undefined;
  /** Oldest first, and filled in that order, so that those which are not needed become idle. */
  readonly #sessions = new Set<Http2Session>();
  /** Those too that take no more streams, and still have some. */
  readonly #alive = new Set<Http2Session>();
  /** In the order in which they asked. */
  readonly #waiting: Http2Call[] = [];
  /** What a session took last. */
  #streamsPerSession = Number.POSITIVE_INFINITY;
  #sweep: NodeJS.Timeout | undefined;
  #destroyed = false;

  /** @param probeAfterMs of a silent session with calls on it. */
  constructor(options: UpstreamOptions, malformed: MalformedAnswers, probeAfterMs?: number) {
    this.#options = options;
    this.#malformed = malformed;
    this.#probeAfterMs = probeAfterMs;
    this.origin = originOf(options);
    this.maxHeadBytes = options.maxHeaderBytes;
  }

  async send(request: RequestMessage): Promise<ResponseMessage> {
    const headers = this.#headersOf(request);
    for (let tries = 1; ; tries++) {
      const call = new Http2Call(request, headers, this);
      try {
        return await call.send();
      } catch (error) {
        if (tries === MAX_TRIES || this.#destroyed || !mayGoAgain(request, call, error)) {
          throw explainFailure(this.origin, request, error, call.nothingSent);
        }
      }
    }
  }

  get isConnected(): boolean {
    return this.#alive.size > 0;
  }

  destroy(): void {
    this.#destroyed = true;
    clearInterval(this.#sweep);
    for (const call of this.#waiting.splice(0)) call.fail(new Error("the sidecar is ending"));
    for (const session of this.#alive) session.destroy();
  }

  dispatch(call: Http2Call): void {
    if (this.#destroyed) {
      call.fail(new Error("the sidecar is ending"));
      return;
    }
    this.#waiting.push(call);
    this.#serve();
  }

  leaveQueue(call: Http2Call): void {
    const place = this.#waiting.indexOf(call);
    if (place !== -1) this.#waiting.splice(place, 1);
  }

  hasRoom(session: Http2Session): void {
    this.#streamsPerSession = session.limit;
    this.#serve();
    if (session.streams === 0) this.#keep(session);
  }

  malformed(reason: string): void {
    this.#malformed.note(reason);
  }

  closed(session: Http2Session, failure: Error | undefined): void {
    this.#sessions.delete(session);
    if (failure === undefined) this.#serve();
    // Else those that wait, wait for the sessions that there are; another try would end like this one.
    else if (this.#sessions.size === 0) for (const call of this.#waiting.splice(0)) call.fail(failure);
  }

  gone(session: Http2Session): void {
    this.#alive.delete(session);
  }

  #serve(): void {
    if (this.#destroyed) return;
    for (const session of this.#sessions) {
      while (session.hasRoom) {
        const next = this.#waiting.shift();
        if (next === undefined) return;
        next.begin(session);
      }
    }
    this.#connect();
  }

  /** As many sessions as those who wait will need. */
  #connect(): void {
    const { size } = this.#sessions;
    const connecting = [...this.#sessions].filter(({ isReady }) => !isReady).length;
    const needed =
      this.#waiting.length === 0 ? 0 : Math.max(1, Math.ceil(this.#waiting.length / this.#streamsPerSession));
    const more = Math.min(needed - connecting, this.#options.maxConnections - size);
    for (let i = 0; i < more; i++) {
      const session = new Http2Session(this.#options, this, this.#probeAfterMs);
      this.#sessions.add(session);
      this.#alive.add(session);
    }
  }

  #keep(session: Http2Session): void {
    session.idleSince = performance.now();
    this.#sweep ??= setInterval(() => {
      this.#closeUnused();
    }, IDLE_CONNECTION_MS / 4).unref();
  }

  #closeUnused(): void {
    const now = performance.now();
    for (const session of this.#sessions) {
      const isIdle = session.isReady && session.streams === 0;
      if (isIdle && now - session.idleSince > IDLE_CONNECTION_MS) session.close();
    }
    if (this.#sessions.size > 0) return;
    clearInterval(this.#sweep);
    this.#sweep = undefined;
  }

  /** @throws {Error} where the path, the query or a header cannot be written. */
  #headersOf(request: RequestMessage): OutgoingHttpHeaders {
    const { method, headers, body, contentLength, grpc, deadline } = request;
    const fields = emptyHeaders();
    fields[":method"] = method;
    fields[":scheme"] = schemeOf(this.#options);
    fields[":authority"] = hostHeaderOf(this.#options);
    fields[":path"] = requestTargetOf(request);
    for (let i = 0; i < headers.length; i += 2) {
      const name = (headers[i] ?? "").toLowerCase();
      if (!NOT_IN_HTTP2.has(name)) addHeader(fields, name, headers[i + 1] ?? "");
    }
    // The one value that HTTP/2 allows, and gRPC demands it.
    if (grpc === true) fields.te = "trailers";
    // What is left of it: each hop takes its time. By the clock that deadlines are told in.
    if (grpc === true && deadline !== undefined) fields["grpc-timeout"] = formatTimeout(deadline - performance.now());
    if (body !== undefined && contentLength !== undefined) fields["content-length"] = String(contentLength);
    return fields;
  }
}

// RFC 9113 8.2.2, and what is said in another way.
const NOT_IN_HTTP2 = new Set([
  ...["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "http2-settings", "te"],
  ...["host", "content-length"],
]);

/** See {@link mayBeSentAgain}; what the origin says that it has not looked at may be sent again whatever it is. */
function mayGoAgain(request: RequestMessage, call: Http2Call, error: unknown): boolean {
  if (request.signal.aborted || !call.isReplayable) return false;
  return call.isUnprocessed || (call.metStaleSession && mayBeSentAgain(request, error));
}
