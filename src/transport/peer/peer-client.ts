import type { AppInstance } from "../../components/contract/name-resolver.ts";
import { qualifiedName } from "../../core/app-id.ts";
import type { Clock } from "../../core/clock.ts";
import { CallError, type StatusCode } from "../../core/errors.ts";
import { type Body, type RequestMessage, type ResponseMessage, withHeaders } from "../../core/message.ts";
import { headerValue } from "../../core/raw-headers.ts";
import { responseHeadersFromApp } from "../../invocation/forward-headers.ts";
import type { PeerCaller } from "../../invocation/ports.ts";
import { readAtMost } from "../read-at-most.ts";
import { authorityOf, type Upstream, UpstreamError, type UpstreamFactory } from "../upstream/upstream.ts";
import {
  ASKS_FOR_PROOF,
  ERROR_HEADER,
  NOT_THIS_APP,
  PROOF_HEADER,
  parseStatusCode,
  TARGET_HEADER,
} from "./peer-wire.ts";

// A peer adds its own headers to what an app may send, so it gets a little more room than an app.
const MAX_HEADER_BYTES = 288 * 1024;
const MAX_ERROR_BYTES = 16 * 1024;
// daprd lets go of a peer it has not called for three minutes (A5).
const UNUSED_PEER_MS = 3 * 60_000;

interface Peer {
  readonly upstream: Upstream;
  lastUsed: number;
}

/** Calls the sidecars of other processes over the lean peer hop, keeping connections to each. */
export class PeerClient implements PeerCaller {
  readonly #peers = new Map<string, Peer>();
  readonly #sweep: NodeJS.Timeout;
  readonly #clock: Clock;
  readonly #createUpstream: UpstreamFactory;

  constructor(clock: Clock, createUpstream: UpstreamFactory) {
    this.#clock = clock;
    this.#createUpstream = createUpstream;
    this.#sweep = setInterval(() => {
      this.#dropUnused();
    }, UNUSED_PEER_MS / 3);
    this.#sweep.unref();
  }

  async call(instance: AppInstance, request: RequestMessage): Promise<ResponseMessage> {
    if (instance.wire === "daprd") throw noOutrigger(instance);
    const { method, path, query, body, contentLength, signal, upgrade } = request;
    const name = qualifiedName(instance.app);
    const toProve = instance.wire === "unproven";
    const headers = [...request.headers, TARGET_HEADER, toProve ? name + ASKS_FOR_PROOF : name];
    const sent = { method, path, query, headers, body, contentLength, signal };
    const response = await this.#send(instance, upgrade === undefined ? sent : { ...sent, upgrade });
    const error = headerValue(response.headers, ERROR_HEADER);
    if (toProve && error === undefined && headerValue(response.headers, PROOF_HEADER) !== name) {
      discard(response.body);
      const code = upgrade === undefined ? "Unavailable" : "Internal";
      throw notTheSidecar(instance, code, `what answers there is no Outrigger (HTTP status ${response.status})`);
    }
    // As the callee's sidecar prepared them, but for what its connection said of itself.
    if (error === undefined) return withHeaders(response, responseHeadersFromApp(response.headers));
    const message = await readAtMost(response.body, MAX_ERROR_BYTES);
    if (error === NOT_THIS_APP) throw new CallError("Unavailable", message);
    throw new CallError(parseStatusCode(error), message);
  }

  close(): void {
    clearInterval(this.#sweep);
    for (const { upstream } of this.#peers.values()) upstream.destroy();
    this.#peers.clear();
  }

  async #send(instance: AppInstance, request: RequestMessage): Promise<ResponseMessage> {
    try {
      return await this.#upstreamFor(instance).send(request);
    } catch (error) {
      if (!(error instanceof UpstreamError)) throw error;
      // What a peer may have begun to do with a connection that was to change its protocol is not asked for twice.
      const isFinal = request.upgrade !== undefined && !error.neverConnected;
      const code = isFinal ? "Internal" : "Unavailable";
      if (instance.wire === "unproven" && wasReached(error)) {
        throw notTheSidecar(
          instance,
          code,
          `what listens there does not answer as an Outrigger does: ${error.message}`,
        );
      }
      throw new CallError(code, `cannot reach the sidecar of ${instance.app.id} at ${error.message}`, { cause: error });
    }
  }

  #upstreamFor({ host, port }: AppInstance): Upstream {
    const key = `${host} ${port}`;
    let peer = this.#peers.get(key);
    if (peer === undefined) {
      const upstream = this.#createUpstream({
        host,
        port,
        maxConnections: Number.POSITIVE_INFINITY,
        maxHeaderBytes: MAX_HEADER_BYTES,
      });
      peer = { upstream, lastUsed: 0 };
      this.#peers.set(key, peer);
    }
    peer.lastUsed = this.#clock.monotonic();
    return peer.upstream;
  }

  /** Its idle connections have long ended by themselves, and a call that still runs keeps its own. */
  #dropUnused(): void {
    for (const [key, { lastUsed }] of this.#peers) {
      if (this.#clock.monotonic() - lastUsed >= UNUSED_PEER_MS) this.#peers.delete(key);
    }
  }
}

// Nobody listens, or there is no way there: also of names with several addresses, and of connections that take too long.
const NOT_REACHED = new Set(["ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH", "ENOTFOUND", "EAI_AGAIN", "ETIMEDOUT"]);

function wasReached(error: UpstreamError): boolean {
  return !error.neverConnected && !NOT_REACHED.has((error.cause as NodeJS.ErrnoException | undefined)?.code ?? "");
}

function notTheSidecar({ app, host, port }: AppInstance, code: StatusCode, what: string): CallError {
  return new CallError(
    code,
    `cannot reach the sidecar of ${app.id} at ${authorityOf({ host, port })}: ${what}; name the internal port of its Outrigger (a daprd cannot be called by this version)`,
  );
}

/** Not `Unavailable`: it would be no other the next time. */
function noOutrigger({ app, host, port }: AppInstance): CallError {
  return new CallError(
    undefined,
    `the sidecar of ${app.id} at ${authorityOf({ host, port })} is no Outrigger; a daprd cannot be called by this version`,
  );
}

function discard(body: Body): void {
  if (body !== undefined && !(body instanceof Uint8Array)) body.destroy();
}
