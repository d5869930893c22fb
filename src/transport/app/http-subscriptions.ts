import { messageOf } from "../../core/errors.ts";
import type { Logger } from "../../core/logger.ts";
import {
  asPath,
  type BulkSubscribeSpec,
  bulkFrom,
  type RouteRule,
  type TopicSubscription,
} from "../../resources/subscription-spec.ts";
import { beginningOf, type EventAnswer } from "./http-receptions.ts";
import { fieldOf, objectOf } from "./json-fields.ts";

/** What an app answers to `GET /dapr/subscribe` (A8), in the form with one route and in the one with rules. */

const PATH = "/dapr/subscribe";

// "Not now", where any other status is the app's last word: it has no such door, or does not open it to us.
const LATER = new Set([408, 425, 429, 502, 503, 504]);

/**
 * What cannot be is left out, and logged with its place in the list.
 *
 * @returns none where the app has no such door, or answers what nobody can read, which is logged, as in daprd.
 * @throws {Error} where the app asks to be asked later.
 */
export function subscriptionsSaidOverHttp(answer: EventAnswer, log: Logger): readonly TopicSubscription[] {
  const { status, body } = answer;
  if (status === 404) return [];
  if (LATER.has(status)) throw new Error(`GET ${PATH} was answered ${status}: ${beginningOf(body)}`);
  if (status < 200 || status > 299) {
    const what = `the app was asked what it subscribes to (GET ${PATH}) and has answered with an error; it is subscribed to nothing by itself`;
    log.error(what, { status, answer: beginningOf(body) });
    return [];
  }
  if (body?.length === 0) return [];
  const list = listIn(body);
  if (typeof list === "string") {
    const what = `the app's answer to GET ${PATH} cannot be read; it is subscribed to nothing by itself`;
    log.error(what, { error: list, answer: beginningOf(body) });
    return [];
  }
  return list.flatMap((item, index) => {
    const read = subscriptionOf(item);
    if (typeof read !== "string") return [read];
    log.error(`a subscription in the app's answer to GET ${PATH} is left out`, { index, error: read });
    return [];
  });
}

/** @returns what is wrong, where it is none. */
function listIn(body: Uint8Array | undefined): readonly unknown[] | string {
  if (body === undefined) return "it is larger than --max-body-size";
  try {
    const list: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body)) ?? [];
    return Array.isArray(list) ? (list as readonly unknown[]) : "it is no JSON array of subscriptions";
  } catch (error) {
    return messageOf(error);
  }
}

/** @returns what is wrong, where it is none. */
function subscriptionOf(item: unknown): TopicSubscription | string {
  const said = objectOf(item);
  if (said === undefined) return "it is no object";
  const [pubsub, topic] = [textOf(said, "pubsubname"), textOf(said, "topic")];
  if (pubsub === undefined) return "it has no pubsubname";
  if (topic === undefined) return `it has no topic of the pubsub ${pubsub}`;
  const routes = objectOf(fieldOf(said, "routes")) ?? {};
  const rules = rulesIn(fieldOf(routes, "rules"));
  if (typeof rules === "string") return `the topic ${topic} of ${pubsub}: ${rules}`;
  const route = textOf(routes, "default") ?? textOf(said, "route");
  if (route === undefined && rules.length === 0) {
    return `the topic ${topic} of ${pubsub} has no route: give route, or routes with rules or default`;
  }
  return {
    pubsub,
    topic,
    metadata: metadataIn(fieldOf(said, "metadata")),
    rules,
    defaultPath: route === undefined ? undefined : asPath(route),
    deadLetterTopic: textOf(said, "deadLetterTopic"),
    bulk: bulkIn(fieldOf(said, "bulkSubscribe")),
  };
}

/** @returns what is wrong, where they are none. */
function rulesIn(value: unknown): readonly RouteRule[] | string {
  const list = value ?? [];
  if (!Array.isArray(list)) return "routes.rules is no array";
  const rules: RouteRule[] = [];
  for (const [index, item] of (list as readonly unknown[]).entries()) {
    const rule = objectOf(item) ?? {};
    const path = textOf(rule, "path");
    if (path === undefined) return `routes.rules[${index}] has no path`;
    rules.push({ match: (textOf(rule, "match") ?? "").trim(), path: asPath(path) });
  }
  return rules;
}

/** What is no text becomes one; null says nothing. */
function metadataIn(value: unknown): ReadonlyMap<string, string> {
  const entries = Object.entries(objectOf(value) ?? {}).filter(([, said]) => said !== null);
  return new Map(entries.map(([name, said]) => [name, typeof said === "string" ? said : JSON.stringify(said)]));
}

function bulkIn(value: unknown): BulkSubscribeSpec | undefined {
  const said = objectOf(value);
  if (said === undefined) return undefined;
  const [maxMessagesCount, maxAwaitDurationMs] = [
    numberOf(said, "maxMessagesCount"),
    numberOf(said, "maxAwaitDurationMs"),
  ];
  return bulkFrom({ enabled: fieldOf(said, "enabled") === true, maxMessagesCount, maxAwaitDurationMs });
}

/** Undefined where there is none, or an empty one. */
function textOf(object: Readonly<Record<string, unknown>>, name: string): string | undefined {
  const value = fieldOf(object, name);
  return typeof value === "string" && value !== "" ? value : undefined;
}

function numberOf(object: Readonly<Record<string, unknown>>, name: string): number {
  const value = fieldOf(object, name);
  return Number.isSafeInteger(value) ? Number(value) : 0;
}
