import type { Clock } from "../../../core/clock.ts";
import { OutriggerError } from "../../../core/errors.ts";
import { DeadLetterQueue, type Republisher } from "../../../pubsub/dead-letter-queue.ts";
import type { EventRules } from "../../../pubsub/ports.ts";
import type { Subscriptions } from "../../../pubsub/subscriptions.ts";
import { type ApiRequest, routingPath } from "../api-request.ts";
import { type OutriggerOperation, outriggerPathOf } from "../outrigger-path.ts";
import { getDeadLetterTopics, getEvent, listEvents, removeEvent, replayEvent } from "./dead-letters.ts";
import { dryRun, type EventMaker } from "./dry-run.ts";
import { getPubSub } from "./pubsub-overview.ts";

/** What Outrigger answers beside Dapr's API, under a prefix of its own (docs/extensions.md). */

export interface OutriggerApi {
  readonly rules: Pick<EventRules, "pubsubs">;
  readonly subscriptions: Pick<Subscriptions, "active" | "try">;
  readonly publisher: EventMaker & Republisher;
  readonly clock: Pick<Clock, "now">;
  /** `--max-body-size`. */
  readonly maxBodyBytes: number;
}

/** @returns false where there is no such route. @throws {OutriggerError} what the routes throw. */
export async function answeredByOutriggerApi(api: OutriggerApi, request: ApiRequest): Promise<boolean> {
  const path = outriggerPathOf(request.method, routingPath(request.path));
  if (path === undefined) return false;
  await HANDLERS[path.operation](api, request, { pubsub: "", topic: "", id: "", ...decoded(path.params) });
  return true;
}

interface RouteParams {
  readonly pubsub: string;
  readonly topic: string;
  readonly id: string;
}

type Handler = (api: OutriggerApi, request: ApiRequest, params: RouteParams) => void | Promise<void>;

const HANDLERS: Readonly<Record<OutriggerOperation, Handler>> = {
  GetPubSub: getPubSub,
  ListDeadLetterTopics: (api, request) => getDeadLetterTopics(queueOf(api), request),
  DryRunEvent: (api, request, { pubsub, topic }) => dryRun({ ...api, maker: api.publisher }, request, pubsub, topic),
  ListEvents: (api, request, place) => listEvents(queueOf(api), request, place),
  GetEvent: (api, request, place) => getEvent(queueOf(api), request, place),
  RemoveEvent: (api, request, place) => removeEvent(queueOf(api), request, place),
  ReplayEvent: (api, request, place) => replayEvent(queueOf(api), request, place),
};

function queueOf({ rules, subscriptions, publisher, clock }: OutriggerApi): DeadLetterQueue {
  return new DeadLetterQueue({ rules, subscriptions, publisher, clock });
}

function decoded(groups: Readonly<Record<string, string>>): Partial<RouteParams> {
  return Object.fromEntries(Object.entries(groups).map(([name, raw]) => [name, decodedPart(name, raw)]));
}

/** Go's QueryUnescape, as for the paths of publish (A7). */
function decodedPart(name: string, raw: string): string {
  try {
    return decodeURIComponent(raw.replaceAll("+", " "));
  } catch (cause) {
    throw new OutriggerError("malformedRequest", `the ${name} "${raw}" in the path has a broken escape`, { cause });
  }
}
