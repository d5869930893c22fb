import { OutriggerError } from "../../../core/errors.ts";
import { answer } from "../answer.ts";
import { type ApiRequest, routingPath } from "../api-request.ts";

/** What the health routes ask (A9). */
export interface HealthSource {
  readonly appId: string;
  /** The parts that are not ready, by name; empty means healthy. */
  notReady(): readonly string[];
  /** The same, without regard to the app: what the app may wait for before it starts to call out. */
  notReadyOutbound(): readonly string[];
  /** Whether the sidecar has begun to end: whoever waits for a change need not wait any longer. */
  readonly isEnding: boolean;
  /** @param listener called after each change of what is above. @returns forgets the listener. */
  onChange(listener: () => void): () => void;
}

/** @returns false where the request asks for something else. @throws {OutriggerError} where something is not ready. */
export function answeredAsHealth(source: HealthSource, request: ApiRequest): boolean {
  if (request.method !== "GET") return false;
  const path = routingPath(request.path);
  if (path === "/v1.0/healthz") health(source, request);
  else if (path === "/v1.0/healthz/outbound") outboundHealth(source, request);
  else return false;
  return true;
}

function health(source: HealthSource, request: ApiRequest): void {
  const asked = new URLSearchParams(request.query ?? "").get("appid");
  if (asked !== null && asked !== source.appId) {
    throw new OutriggerError("appIdMismatch", "dapr app-id does not match");
  }
  const waiting = source.notReady();
  if (waiting.length > 0) throw new OutriggerError("notReady", `dapr is not ready: [${waiting.join(" ")}]`);
  answer(request.exchange, 204, undefined);
}

function outboundHealth(source: HealthSource, request: ApiRequest): void {
  const waiting = source.notReadyOutbound();
  if (waiting.length > 0) {
    throw new OutriggerError("outboundNotReady", `dapr outbound is not ready: [${waiting.join(" ")}]`);
  }
  answer(request.exchange, 204, undefined);
}
