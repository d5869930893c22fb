import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import type { ComponentMetadata } from "../../components/contract/component-metadata.ts";
import type { PubSubContext, PubSubEntry } from "../../components/contract/pubsub.ts";
import type { AppIdentity } from "../../core/app-id.ts";
import { messageOf, SetupError } from "../../core/errors.ts";
import type { Logger } from "../../core/logger.ts";
import { nearestName } from "../../core/nearest-name.ts";
import type { PubSubComponent } from "../../pubsub/ports.ts";
import { SCOPE_FIELDS, topicScopes } from "../../pubsub/scopes.ts";
import type { ComponentSpec } from "../../resources/component-spec.ts";
import { componentMetadata, described } from "./component-metadata.ts";
import type { ComponentStarts } from "./component-starts.ts";
import { initComponent } from "./init-component.ts";
import { ReplaceableBroker } from "./replaceable-broker.ts";
import type { SecretValues } from "./secret-values.ts";

export interface AppPubSubsParts extends Pick<PubSubContext, "app" | "home" | "processes" | "shared" | "clock"> {
  readonly entries: readonly PubSubEntry[];
  readonly values: SecretValues;
  readonly env: NodeJS.ProcessEnv;
  readonly starts?: ComponentStarts | undefined;
  readonly log: Logger;
}

/** A component that runs, and the Component that it was made of. */
export interface RunningPubSub extends PubSubComponent {
  readonly broker: ReplaceableBroker;
  /** Whatever of the Component makes a difference, secrets included. */
  readonly madeOf: string;
  readonly version: string;
}

// For the sidecar, and not for the broker.
const OWN_FIELDS = [...SCOPE_FIELDS, "consumerID"];
const OWN = new Set(OWN_FIELDS.map((field) => field.toLowerCase()));

/**
 * The `pubsub.*` components of one app, ready to be used: those of `before` whose Component is the same go on.
 *
 * @returns by their names.
 * @throws {SetupError} naming the component, where one cannot be used and does not say `ignoreErrors`; then those that were
 *   made for it are closed again.
 */
export async function pubsubsFrom(
  specs: readonly ComponentSpec[],
  before: ReadonlyMap<string, RunningPubSub>,
  parts: AppPubSubsParts,
): Promise<ReadonlyMap<string, RunningPubSub>> {
  const running = new Map<string, RunningPubSub>();
  try {
    for (const spec of specs) {
      const pubsub = await unlessIgnored(spec, parts, () => goOnOrStart(spec, before.get(spec.name), parts));
      if (pubsub !== undefined) running.set(spec.name, pubsub);
    }
    return running;
  } catch (error) {
    await closeAll([...running.values()].filter((pubsub) => before.get(pubsub.name) !== pubsub));
    throw error;
  }
}

/** What is being published to them is published first. Never rejects, and never takes long. */
export async function closeAll(pubsubs: readonly RunningPubSub[]): Promise<void> {
  await Promise.all(pubsubs.map(({ broker }) => broker.closeWhenIdle()));
}

async function unlessIgnored<T>(
  spec: ComponentSpec,
  { log, starts }: AppPubSubsParts,
  start: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await start();
  } catch (cause) {
    starts?.failed(spec.type);
    const what = `${described(spec)}: ${messageOf(cause)}`;
    if (!spec.ignoreErrors) throw new SetupError(what, { cause });
    log.warn(`${what}; it was left out, as its ignoreErrors says`);
    return undefined;
  }
}

async function goOnOrStart(
  spec: ComponentSpec,
  before: RunningPubSub | undefined,
  parts: AppPubSubsParts,
): Promise<RunningPubSub> {
  const metadata = await componentMetadata(spec, parts.values);
  const madeOf = JSON.stringify([
    spec.type,
    spec.version,
    metadata.fields.map((field) => [field, metadata.get(field)]),
  ]);
  return before?.madeOf === madeOf ? before : start(spec, metadata, madeOf, parts);
}

async function start(
  spec: ComponentSpec,
  metadata: ComponentMetadata,
  madeOf: string,
  parts: AppPubSubsParts,
): Promise<RunningPubSub> {
  const { app, env, home, processes, shared, clock, log } = parts;
  const { name, type, version } = spec;
  const entry = parts.entries.find((candidate) => candidate.type === type);
  if (entry === undefined) throw new Error(whyUnknown(type, parts.entries));
  const created = (await entry.load()).create({ app, name, home, processes, shared, clock, log });
  const broker = new ReplaceableBroker({ broker: created, description: described(spec), clock, log });
  try {
    await initComponent(broker, withoutOwn(metadata), spec, clock);
  } catch (error) {
    await broker.close();
    throw error;
  }
  parts.starts?.started(type);
  const group = groupOf(metadata.get("consumerID"), app, env);
  return { name, type, version, broker, group, scopes: topicScopes(metadata, app.id), madeOf };
}

/** With the words that daprd puts others in the place of. */
function groupOf(
  consumerId: string | undefined,
  { id, namespace }: AppIdentity,
  { POD_NAME }: NodeJS.ProcessEnv,
): string {
  if (consumerId === undefined || consumerId === "") return id;
  return consumerId
    .replaceAll("{appID}", id)
    .replaceAll("{namespace}", namespace)
    .replaceAll("{podName}", POD_NAME ?? hostname())
    .replaceAll("{uuid}", randomUUID());
}

/** What is left for the broker. */
function withoutOwn(metadata: ComponentMetadata): ComponentMetadata {
  const isOwn = (field: string): boolean => OWN.has(field.toLowerCase());
  return {
    file: metadata.file,
    fields: metadata.fields.filter((field) => !isOwn(field)),
    get: (field) => (isOwn(field) ? undefined : metadata.get(field)),
    placeOf: (field) => metadata.placeOf(field),
    refuseUnknown: (known) => {
      metadata.refuseUnknown([...known, ...OWN_FIELDS]);
    },
  };
}

function whyUnknown(type: string, entries: readonly PubSubEntry[]): string {
  const types = entries.map((entry) => entry.type);
  const near = nearestName(type, types);
  const hint = near === undefined ? "" : `; did you mean "${near}"?`;
  return `there is no pub/sub component of type "${type}" in this version of Outrigger; there are ${types.join(", ")}${hint}`;
}
