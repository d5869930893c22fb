import type { Pipeline } from "../invocation/pipeline.ts";
import type { CallRules, Endpoint } from "../invocation/ports.ts";
import type { ResiliencyPolicies } from "../resiliency/resiliency-policies.ts";
import type { AppResources } from "../resources/app-resources.ts";
import type { Pipelines } from "../resources/configuration.ts";
import type { LoadedResources, ResourceSurroundings } from "./load-resources.ts";

const NOTHING: LoadedResources = {
  endpoints: new Map(),
  policies: undefined,
  httpPipeline: undefined,
  appPipeline: undefined,
  close: () => Promise.resolve(),
};

/** What the resources of one app come to at the moment. A call asks once and goes on with what it got. */
export class LiveResources implements CallRules {
  readonly #pipelines: Pipelines;
  readonly #surroundings: ResourceSurroundings;
  #loaded = NOTHING;

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
   * Takes these in the place of those before.
   *
   * @throws {SetupError} naming the resource that cannot be used; then those before stay.
   */
  async load(resources: AppResources): Promise<void> {
    const loaded = await this.#ready(resources);
    const before = this.#loaded;
    this.#loaded = loaded;
    await before.close();
  }

  /** May be called twice. */
  async close(): Promise<void> {
    await this.#loaded.close();
  }

  async #ready(resources: AppResources): Promise<LoadedResources> {
    const { endpoints, secretStores, resiliency } = resources;
    const { http, app } = this.#pipelines;
    if ([endpoints, secretStores, resiliency, http, app].every((list) => list.length === 0)) return NOTHING;
    // Apps without resources do not load what makes something of them.
    const { loadResources } = await import("./load-resources.ts");
    return loadResources(resources, this.#pipelines, this.#surroundings);
  }
}
