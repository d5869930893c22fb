import type { DeadLetterTopicJson, WholeDeadLetterJson } from "../transport/http/routes/dead-letters.ts";
import type { PubSubJson } from "../transport/http/routes/pubsub-overview.ts";
import { CliError } from "./cli-error.ts";
import type { CommandContext } from "./prepare-app.ts";
import { notRunning, runningApps } from "./running-apps.ts";
import { ApiError, allSidecars, type SidecarApi, sidecarOf } from "./sidecar-api.ts";

/** Which dead letters are meant; what is not said, the apps that run say. */
export interface DeadLetterFilter {
  readonly appId?: string;
  readonly pubsub?: string;
  readonly topic?: string;
}

/** A dead letter topic, and the sidecar to ask about it. */
export interface DeadLetterPlace {
  readonly api: SidecarApi;
  readonly pubsub: string;
  readonly topic: string;
}

/** What the sidecar says of it. */
export interface KnownPlace extends DeadLetterPlace {
  readonly known: DeadLetterTopicJson;
}

export interface FoundPlaces {
  readonly places: readonly KnownPlace[];
  /** Those of the sidecars that could not be asked. */
  readonly errors: readonly CliError[];
  /** How many apps were asked. */
  readonly apps: number;
}

/** All that the filter lets through. @throws {CliError} where it names an app that does not run, or cannot be asked. */
export async function findPlaces(filter: DeadLetterFilter, context: CommandContext): Promise<FoundPlaces> {
  const apis = filter.appId === undefined ? await allSidecars(context) : [await sidecarOf(filter.appId, context)];
  const places: KnownPlace[] = [];
  const errors: CliError[] = [];
  for (const api of apis) {
    try {
      const { topics } = (await api.askJson("GET", "/outrigger/v1/dead-letters")) as { topics: DeadLetterTopicJson[] };
      for (const known of topics) {
        if (isMeant(filter, known)) places.push({ api, pubsub: known.pubsub, topic: known.topic, known });
      }
    } catch (error) {
      if (filter.appId !== undefined || !(error instanceof CliError)) throw error;
      errors.push(error);
    }
  }
  return { places, errors, apps: apis.length };
}

/** Those of one app, at least one. @throws {CliError} where the filter leaves several apps, or nothing. */
export async function placesOfOneApp(
  filter: DeadLetterFilter,
  context: CommandContext,
): Promise<readonly DeadLetterPlace[]> {
  const { places, errors, apps } = await findPlaces(filter, context);
  const [first] = places;
  if (first === undefined) {
    const [error] = errors;
    if (error !== undefined) throw error;
    if (apps === 0) throw notRunning("app", await runningApps(context), context);
    return [await unlistedPlace(filter, context)];
  }
  const names = [...new Set(places.map(({ api }) => api.appId))];
  if (names.length === 1) return places;
  throw new CliError(`several apps have dead letter topics; say which is meant with --app-id: ${names.join(", ")}`);
}

/** The same for those who work on a single topic. @throws {CliError} also where several topics are left. */
export async function onlyPlace(filter: DeadLetterFilter, context: CommandContext): Promise<DeadLetterPlace> {
  const places = await placesOfOneApp(filter, context);
  const [place] = places;
  if (place !== undefined && places.length === 1) return place;
  const names = places.map(({ topic, pubsub }) => `${topic} of ${pubsub}`).join(", ");
  throw new CliError(`several dead letter topics are meant; say which with --topic and --pubsub: ${names}`);
}

/**
 * The place of an event, and the event.
 *
 * @throws {CliError} where none of the places has it, or several have one of that id.
 */
export async function findEvent(
  places: readonly DeadLetterPlace[],
  id: string,
): Promise<{ readonly place: DeadLetterPlace; readonly event: WholeDeadLetterJson }> {
  const found = [];
  let error: ApiError | undefined;
  for (const place of places) {
    try {
      found.push({ place, event: (await place.api.askJson("GET", eventPath(place, id))) as WholeDeadLetterJson });
    } catch (thrown) {
      if (!(thrown instanceof ApiError)) throw thrown;
      // What is no "not there" may be why it was not found.
      if (error === undefined || thrown.errorCode !== NOT_THERE) error = thrown;
    }
  }
  const [first, ...others] = found;
  if (first === undefined) throw places.length === 1 && error !== undefined ? error : nowhere(places, id);
  if (others.length === 0) return first;
  const names = found.map(({ place: { topic, pubsub } }) => `${topic} of ${pubsub}`).join(", ");
  throw new CliError(`several topics have an event ${id}; say which is meant with --topic and --pubsub: ${names}`);
}

/** Of all events of the topic, without an id. */
export function eventsPath({ pubsub, topic }: DeadLetterPlace): string {
  return `/outrigger/v1/pubsub/${encodeURIComponent(pubsub)}/${encodeURIComponent(topic)}/events`;
}

export function eventPath(place: DeadLetterPlace, id: string): string {
  return `${eventsPath(place)}/${encodeURIComponent(id)}`;
}

const NOT_THERE = "ERR_PUBSUB_EVENT_NOT_FOUND";

function nowhere(places: readonly DeadLetterPlace[], id: string): CliError {
  const names = places.map(({ topic }) => topic).join(", ");
  return new CliError(`no dead letter ${id} in ${names}; those there are: outrigger dlq list --topic <topic>`);
}

function isMeant({ pubsub, topic }: DeadLetterFilter, known: DeadLetterTopicJson): boolean {
  return (pubsub === undefined || pubsub === known.pubsub) && (topic === undefined || topic === known.topic);
}

/** A topic that no subscription names (any more) may still be looked into, through an app that is named. */
async function unlistedPlace(filter: DeadLetterFilter, context: CommandContext): Promise<DeadLetterPlace> {
  const { appId, topic } = filter;
  if (appId === undefined || topic === undefined) throw noTopics(filter);
  const api = await sidecarOf(appId, context);
  const { components } = (await api.askJson("GET", "/outrigger/v1/pubsub")) as PubSubJson;
  const names = components.map(({ name }) => name);
  const [only] = names;
  const pubsub = filter.pubsub ?? (names.length === 1 ? only : undefined);
  if (pubsub !== undefined) return { api, pubsub, topic };
  throw new CliError(`no subscription of ${appId} has the dead letter topic ${topic}; say with --pubsub where it is`);
}

function noTopics({ appId, pubsub, topic }: DeadLetterFilter): CliError {
  const who = appId ?? "the apps that run";
  const where = pubsub === undefined ? "" : ` of ${pubsub}`;
  if (topic === undefined) return new CliError(`no subscription of ${who} has a dead letter topic${where}; ${HOW_TO}`);
  const what = `no subscription of ${who} has the dead letter topic ${topic}${where}`;
  return new CliError(`${what}; to look into any other topic, name an app with --app-id`);
}

export const HOW_TO = "deadLetterTopic in a subscription gives it one";
