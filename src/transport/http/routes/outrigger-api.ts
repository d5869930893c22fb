import type { Clock } from "../../../core/clock.ts";
import { OutriggerError } from "../../../core/errors.ts";
import { DeadLetterQueue, type Republisher } from "../../../pubsub/dead-letter-queue.ts";
import type { EventRules } from "../../../pubsub/ports.ts";
import type { Subscriptions } from "../../../pubsub/subscriptions.ts";
import { type ApiRequest, routingPath } from "../api-request.ts";
import { getDeadLetterTopics, getEvent, listEvents, removeEvent, replayEvent } from "./dead-letters.ts";
import { dryRun, type EventMaker } from "./dry-run.ts";
import { getPubSub } from "./pubsub-overview.ts";

/** What Outrigger answers beside Dapr's API, under a prefix of its own (docs/extensions.md). */

/** What api-server.ts looks for, too. */
const PREFIX = "/outrigger/v1/";

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
  const path = routingPath(request.path).slice(PREFIX.length);
  for (const { method, pattern, handle } of ROUTES) {
    const groups = method === request.method ? pattern.exec(path)?.groups : undefined;
    if (groups === undefined) continue;
    await handle(api, request, { pubsub: "", topic: "", id: "", ...decoded(groups) });
    return true;
  }
  return false;
}

interface RouteParams {
  readonly pubsub: string;
  readonly topic: string;
  readonly id: string;
}

interface OutriggerRoute {
  readonly method: string;
  readonly pattern: RegExp;
  readonly handle: (api: OutriggerApi, request: ApiRequest, params: RouteParams) => void | Promise<void>;
}

// As in Dapr's publish, a topic may have slashes in it; an id is one segment.
const ROUTES: readonly OutriggerRoute[] = [
  { method: "GET", pattern: /^(?<pubsub>)pubsub$/, handle: getPubSub },
  {
    method: "GET",
    pattern: /^(?<pubsub>)dead-letters$/,
    handle: (api, request) => getDeadLetterTopics(queueOf(api), request),
  },
  {
    method: "POST",
    pattern: /^pubsub\/(?<pubsub>[^/]+)\/(?<topic>.+)\/dry-run$/,
    handle: (api, request, { pubsub, topic }) => dryRun({ ...api, maker: api.publisher }, request, pubsub, topic),
  },
  {
    method: "GET",
    pattern: /^pubsub\/(?<pubsub>[^/]+)\/(?<topic>.+)\/events$/,
    handle: (api, request, place) => listEvents(queueOf(api), request, place),
  },
  {
    method: "GET",
    pattern: /^pubsub\/(?<pubsub>[^/]+)\/(?<topic>.+)\/events\/(?<id>[^/]+)$/,
    handle: (api, request, place) => getEvent(queueOf(api), request, place),
  },
  {
    method: "DELETE",
    pattern: /^pubsub\/(?<pubsub>[^/]+)\/(?<topic>.+)\/events\/(?<id>[^/]+)$/,
    handle: (api, request, place) => removeEvent(queueOf(api), request, place),
  },
  {
    method: "POST",
    pattern: /^pubsub\/(?<pubsub>[^/]+)\/(?<topic>.+)\/events\/(?<id>[^/]+)\/replay$/,
    handle: (api, request, place) => replayEvent(queueOf(api), request, place),
  },
];

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
