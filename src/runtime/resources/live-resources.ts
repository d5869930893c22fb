import type { Pipeline } from "../../invocation/pipeline.ts";
import type { CallRules, Endpoint } from "../../invocation/ports.ts";
import type { ResiliencyPolicies } from "../../resiliency/resiliency-policies.ts";
import type { AppResources } from "../../resources/app-resources.ts";
import type { Pipelines } from "../../resources/configuration.ts";
import { LoadLog } from "./load-log.ts";
import type { LoadedResources, ResourceSurroundings } from "./load-resources.ts";

const NOTHING: LoadedResources = {
  endpoints: new Map(),
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
export class LiveResources implements CallRules {
  readonly #pipelines: Pipelines;
  readonly #surroundings: ResourceSurroundings;
  #loaded = NOTHING;
  /** Replaced, and still used by calls that began before. */
  readonly #leaving = new Set<LoadedResources>();
  /** What is wrong with what stands there and did not keep it from being loaded. */
  #told: ReadonlySet<string> = new Set();
  #closed = false;
  #watch: Closable | undefined;

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
    if (this.#closed) {
      await loaded.close();
      return;
    }
    const before = this.#loaded;
    this.#loaded = loaded;
    void this.#closeWhenIdle(before);
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
  }

  async #closeWhenIdle(before: LoadedResources): Promise<void> {
    this.#leaving.add(before);
    await before.whenIdle();
    this.#leaving.delete(before);
    await before.close();
  }

  async #ready(resources: AppResources): Promise<LoadedResources> {
    const { endpoints, secretStores, middleware, resiliency } = resources;
    const { http, app } = this.#pipelines;
    if ([endpoints, secretStores, middleware, resiliency, http, app].every((list) => list.length === 0)) return NOTHING;
    // Apps without resources do not load what makes something of them.
    const { loadResources } = await import("./load-resources.ts");
    const log = new LoadLog(this.#surroundings.log, this.#told);
    let isWhole = false;
    try {
      const surroundings = { ...this.#surroundings, log };
      const loaded = await loadResources(resources, this.#pipelines, surroundings, this.#loaded.policies);
      isWhole = true;
      return loaded;
    } finally {
      this.#told = log.end(isWhole);
    }
  }
}
