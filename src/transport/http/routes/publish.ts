import type { ApiObserver } from "../../../core/api-observer.ts";
import { ERRORS, OutriggerError } from "../../../core/errors.ts";
import { goJson } from "../../../core/go-json.ts";
import { headerValue } from "../../../core/raw-headers.ts";
import { publishFailed } from "../../../pubsub/publish-errors.ts";
import { bulkFailure, type FailedEntry, type Publisher, type PublishTarget } from "../../../pubsub/publisher.ts";
import { StreamTooLarge } from "../../body-limit.ts";
import { wholeBody } from "../../whole-body.ts";
import { answer } from "../answer.ts";
import type { ApiRequest } from "../api-request.ts";
import { type PublishPath, publishMetadataOf } from "../publish-path.ts";
import { bodyTooLarge, requestBodyOf } from "../request-body.ts";

/** Publishing (seed 002, A7). */

export interface PublishRoute {
  readonly publisher: Publisher;
  /** `--max-body-size`. */
  readonly maxBodyBytes: number;
  readonly observer: ApiObserver | undefined;
}

/** @throws {OutriggerError} every row of A7, and bodyTooLarge. */
export async function publish(route: PublishRoute, path: PublishPath, request: ApiRequest): Promise<void> {
  const { publisher } = route;
  const { exchange, headers, query, trace, traceHeaders } = request;
  const { pubsub, topic, isBulk } = path;
  const target: PublishTarget = { pubsub, topic, metadata: publishMetadataOf(query), trace, signal: exchange.signal };
  if (!isBulk) {
    const data = await bodyOf(request, route.maxBodyBytes, (cause) => publishFailed(target, cause));
    await publisher.publish(target, { data, contentType: headerValue(headers, "content-type") });
    answer(exchange, 204, undefined, traceHeaders);
    return;
  }
  const data = await bodyOf(request, route.maxBodyBytes, (cause) => publisher.bulkRequestBroken(target, cause));
  const failed = await publisher.publishBulkRequest(target, data);
  if (failed.length === 0) answer(exchange, 204, undefined, traceHeaders);
  else answerFailedEntries(route, request, target, failed);
}

/** @param broken what a body that breaks off comes to. */
async function bodyOf(
  { exchange }: ApiRequest,
  maxBytes: number,
  broken: (cause: unknown) => OutriggerError,
): Promise<Uint8Array> {
  try {
    const body = await requestBodyOf(exchange, maxBytes);
    return await wholeBody(body, maxBytes, exchange.signal, () => bodyTooLarge(maxBytes));
  } catch (cause) {
    if (cause instanceof StreamTooLarge) throw bodyTooLarge(maxBytes);
    throw cause instanceof OutriggerError ? cause : broken(cause);
  }
}

// More would be too much for the heads that clients take; the body says the same.
const MAX_HEADER_CHARS = 4096;

/** Not the usual error: which events were taken and which not is what the publisher has to know. */
function answerFailedEntries(
  { observer }: PublishRoute,
  { exchange, traceHeaders }: ApiRequest,
  target: PublishTarget,
  failed: readonly FailedEntry[],
): void {
  const { errorCode, httpStatus } = ERRORS.publishFailed;
  const failedEntries = failed.map(({ entryId, error }) => ({ entryId, error }));
  const text = goJson({ failedEntries, errorCode });
  const { message } = publishFailed(target, bulkFailure(failed));
  const told = [
    ["metadata.responseData", asciiJson(text)],
    ["metadata.error", asciiJson(`api error: code = Internal desc = ${message}`)],
  ] as const;
  const headers = told.filter(([, value]) => value.length <= MAX_HEADER_CHARS).flat();
  observer?.errorAnswered(errorCode);
  answer(exchange, httpStatus, { type: "application/json", text }, [...headers, ...traceHeaders]);
}

/** A header has no room for other characters; in JSON, and in texts for people, an escape says the same. */
function asciiJson(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
