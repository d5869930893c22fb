import type { Pipeline } from "../../invocation/pipeline.ts";
import type { CallRules, Endpoint } from "../../invocation/ports.ts";
import type { EventRules } from "../../pubsub/ports.ts";
import type { ResiliencyPolicies } from "../../resiliency/resiliency-policies.ts";
import type { AppResources } from "../../resources/app-resources.ts";
import type { Pipelines } from "../../resources/configuration.ts";
import type { SubscriptionSpec } from "../../resources/subscription-spec.ts";
import type { RunningPubSub } from "./app-pubsubs.ts";
import { LoadLog } from "./load-log.ts";
import type { LoadedResources, ResourceSurroundings } from "./load-resources.ts";

const NOTHING: LoadedResources = {
  endpoints: new Map(),
  pubsubs: new Map(),
  subscriptions: [],
  policies: undefined,
  httpPipeline: undefined,
  appPipeline: undefined,
  whenIdle: () => Promise.resolve(),
  close: () => Promise.resolve(),
};

interface Closable {
  /** May be called twice. */
  close(): void;
}

/** What the resources of one app come to at the moment. A call asks once and goes on with what it got. */
export class LiveResources implements CallRules, EventRules {
  readonly #pipelines: Pipelines;
  readonly #surroundings: ResourceSurroundings;
  #loaded = NOTHING;
  /** Replaced, and still used by calls that began before. */
  readonly #leaving = new Set<LoadedResources>();
  /** Brokers that nobody publishes to any more, on their way to be closed. */
  readonly #closing = new Set<Promise<void>>();
  /** What is wrong with what stands there and did not keep it from being loaded. */
  #told: ReadonlySet<string> = new Set();
  #closed = false;
  #watch: Closable | undefined;
  /** Of those before: no subscription uses them any more once it has resolved. */
  #onChange: () => Promise<void> = () => Promise.resolve();

  constructor(pipelines: Pipelines, surroundings: ResourceSurroundings) {
    this.#pipelines = pipelines;
    this.#surroundings = surroundings;
  }

  get endpoints(): ReadonlyMap<string, Endpoint> {
    return this.#loaded.endpoints;
  }

  get policies(): ResiliencyPolicies | undefined {
    return this.#loaded.policies;
  }

  get pubsubs(): ReadonlyMap<string, RunningPubSub> {
    return this.#loaded.pubsubs;
  }

  get subscriptions(): readonly SubscriptionSpec[] {
    return this.#loaded.subscriptions;
  }

  get httpPipeline(): Pipeline | undefined {
    return this.#loaded.httpPipeline;
  }

  get appPipeline(): Pipeline | undefined {
    return this.#loaded.appPipeline;
  }

  /**
   * Takes these in the place of those before. Calls that have begun go on with what they got, and the middleware of those
   * before is closed once no call uses it any more.
   *
   * @throws {SetupError} naming the resource that cannot be used; then those before stay.
   */
  async load(resources: AppResources): Promise<void> {
    const loaded = await this.#ready(resources);
    const before = this.#loaded;
    if (this.#closed) {
      await Promise.all([loaded.close(), closeBut(before, loaded)]);
      return;
    }
    this.#loaded = loaded;
    void this.#closeWhenIdle(before);
    const closing = this.#onChange()
      .then(() => closeBut(loaded, before))
      .finally(() => this.#closing.delete(closing));
    this.#closing.add(closing);
  }

  /** @param listener told of each change; resolves once nobody subscribes any more at brokers that are gone. */
  onChange(listener: () => Promise<void>): void {
    this.#onChange = listener;
  }

  /** Ends with these. */
  follow(watch: Closable): void {
    this.#watch = watch;
    if (this.#closed) watch.close();
  }

  /** May be called twice. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#watch?.close();
    await Promise.all([this.#loaded, ...this.#leaving].map((loaded) => loaded.close()));
    // Whoever still publishes has had the time that there was for it.
    const closed = [...this.#loaded.pubsubs.values()].map(({ broker }) => broker.close());
    await Promise.all([...closed, ...this.#closing]);
  }

  async #closeWhenIdle(before: LoadedResources): Promise<void> {
    this.#leaving.add(before);
    await before.whenIdle();
    this.#leaving.delete(before);
    await before.close();
  }

  async #ready(resources: AppResources): Promise<LoadedResources> {
    const { http, app } = this.#pipelines;
    const lists: readonly (readonly unknown[])[] = [...Object.values<readonly unknown[]>({ ...resources }), http, app];
    const hasNone = lists.every((list) => list.length === 0);
    if (hasNone && !this.#surroundings.defaultPubSub) return NOTHING;
    // Apps without resources do not load what makes something of them.
    const { loadResources } = await import("./load-resources.ts");
    const log = new LoadLog(this.#surroundings.log, this.#told);
    let isWhole = false;
    try {
      const surroundings = { ...this.#surroundings, log };
      const loaded = await loadResources(resources, this.#pipelines, surroundings, this.#loaded);
      isWhole = true;
      return loaded;
    } finally {
      this.#told = log.end(isWhole);
    }
  }
}

/** Closes the brokers of `left` that are not among those of `stay`. */
async function closeBut(stay: LoadedResources, left: LoadedResources): Promise<void> {
  const stays = new Set(stay.pubsubs.values());
  const gone = [...left.pubsubs.values()].filter((pubsub) => !stays.has(pubsub));
  if (gone.length === 0) return;
  const { closeAll } = await import("./app-pubsubs.ts");
  await closeAll(gone);
}
