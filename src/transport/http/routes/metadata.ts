import { messageOf, OutriggerError } from "../../../core/errors.ts";
import { goJson } from "../../../core/go-json.ts";
import type { Body } from "../../../core/message.ts";
import type { SubscriptionType } from "../../../pubsub/subscriptions.ts";
import { readAtMost } from "../../read-at-most.ts";
import { answer } from "../answer.ts";
import type { ApiRequest } from "../api-request.ts";
import { requestBodyOf } from "../request-body.ts";

/** What the metadata routes, of HTTP and of gRPC, show and change (A9). */
export interface MetadataSource {
  describe(): SidecarDescription;
  setExtended(key: string, value: string): void;
}

/** By daprd's names, in its order of keys; values that are undefined are left out. */
export interface SidecarDescription {
  readonly id: string;
  readonly runtimeVersion: string;
  /** Undefined where there are none; the same holds for what follows. */
  readonly components: readonly ComponentDescription[] | undefined;
  readonly extended: Readonly<Record<string, string>>;
  readonly subscriptions: readonly SubscriptionDescription[] | undefined;
  readonly httpEndpoints: readonly { readonly name: string }[] | undefined;
  readonly appConnectionProperties: {
    readonly port: number | undefined;
    readonly protocol: string;
    readonly channelAddress: string;
    readonly maxConcurrency: number | undefined;
    readonly health: HealthDescription | undefined;
  };
  readonly actorRuntime: {
    readonly runtimeStatus: "DISABLED";
    readonly hostReady: boolean;
    readonly placement: string;
  };
}

/** A component that is loaded. */
export interface ComponentDescription {
  readonly name: string;
  readonly type: string;
  readonly version: string;
  readonly capabilities: readonly string[] | undefined;
}

/** A subscription that is in force. */
export interface SubscriptionDescription {
  readonly pubsubname: string;
  readonly topic: string;
  readonly metadata: Readonly<Record<string, string>> | undefined;
  /** The last one, without a match, is the default. */
  readonly rules: readonly { readonly match: string | undefined; readonly path: string | undefined }[];
  /** Empty for none. */
  readonly deadLetterTopic: string;
  readonly type: SubscriptionType;
}

export interface HealthDescription {
  readonly healthCheckPath: string;
  /** As Go writes durations: `5s`. */
  readonly healthProbeInterval: string;
  readonly healthProbeTimeout: string;
  readonly healthThreshold: number;
}

export function getMetadata(source: MetadataSource, request: ApiRequest): void {
  // The newline is Go's json.Encoder's.
  const text = `${goJson(source.describe())}\n`;
  answer(request.exchange, 200, { type: "application/json", text }, request.traceHeaders);
}

export async function putMetadata(
  source: MetadataSource,
  request: ApiRequest,
  key: string,
  maxBodyBytes: number,
): Promise<void> {
  const body = await requestBodyOf(request.exchange, maxBodyBytes);
  source.setExtended(key, await readValue(body, maxBodyBytes));
  answer(request.exchange, 204, undefined, request.traceHeaders);
}

async function readValue(body: Body, maxBodyBytes: number): Promise<string> {
  try {
    return await readAtMost(body, maxBodyBytes);
  } catch (cause) {
    throw new OutriggerError("bodyTooLarge", `cannot read the value: ${messageOf(cause)}`, { cause });
  }
}
