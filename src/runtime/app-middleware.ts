import type { Middleware, MiddlewareContext, MiddlewareEntry } from "../components/contract/middleware.ts";
import { messageOf, SetupError } from "../core/errors.ts";
import { Pipeline } from "../invocation/pipeline.ts";
import type { ComponentSpec } from "../resources/component-spec.ts";
import type { HandlerSpec } from "../resources/pipeline-spec.ts";
import { componentMetadata, described } from "./component-metadata.ts";
import type { ComponentStarts } from "./component-starts.ts";
import { initComponent } from "./init-component.ts";
import type { SecretValues } from "./secret-values.ts";

export interface AppMiddlewareParts extends MiddlewareContext {
  readonly entries: readonly MiddlewareEntry[];
  readonly values: SecretValues;
  readonly starts?: ComponentStarts | undefined;
}

/** The middleware components of one app, those that a pipeline of its Configuration names. */
export class AppMiddleware {
  readonly #parts: AppMiddlewareParts;
  /** By the names of their components; one that is in both pipelines is there once. */
  readonly #started = new Map<string, Middleware>();

  constructor(parts: AppMiddlewareParts) {
    this.#parts = parts;
  }

  /**
   * The pipeline of these handlers. As in daprd, one that no component stands behind is told and left out.
   *
   * @returns undefined where there is nothing in it.
   * @throws {SetupError} naming the component, where one cannot be used and does not say `ignoreErrors`.
   */
  async pipeline(
    handlers: readonly HandlerSpec[],
    components: readonly ComponentSpec[],
  ): Promise<Pipeline | undefined> {
    const steps: Middleware[] = [];
    for (const handler of handlers) {
      const step = await this.#stepOf(handler, components);
      if (step !== undefined) steps.push(step);
    }
    return steps.length === 0 ? undefined : new Pipeline(steps);
  }

  /** Also of those that no pipeline names. @throws {SetupError} for one of a type that there is not, unless it says `ignoreErrors`. */
  refuseUnknown(components: readonly ComponentSpec[]): void {
    const unknown = components.filter(({ type }) => !this.#parts.entries.some((entry) => entry.type === type));
    for (const spec of unknown) {
      const what = `${described(spec)}: ${this.#unknown()}`;
      if (!spec.ignoreErrors) throw new SetupError(what);
      this.#parts.log.warn(`${what}; it was left out, as its ignoreErrors says`);
    }
  }

  /** May be called twice. */
  async close(): Promise<void> {
    const started = [...this.#started.values()];
    this.#started.clear();
    await Promise.allSettled(started.map((middleware) => middleware.close()));
  }

  async #stepOf(
    { name, type, place }: HandlerSpec,
    components: readonly ComponentSpec[],
  ): Promise<Middleware | undefined> {
    const spec = components.find((component) => component.name === name && component.type === type);
    if (spec === undefined) {
      this.#parts.log.warn(
        `${place}: the pipeline names ${name} of type ${type}, and no such Component is loaded for this app; it was left out`,
      );
      return undefined;
    }
    const running = this.#started.get(name);
    if (running !== undefined) return running;
    if (!this.#parts.entries.some((entry) => entry.type === type)) return undefined;
    const { starts } = this.#parts;
    try {
      const step = await this.#start(spec);
      starts?.started(spec.type);
      return step;
    } catch (cause) {
      starts?.failed(spec.type);
      const what = `${described(spec)}: ${messageOf(cause)}`;
      if (!spec.ignoreErrors) throw new SetupError(what, { cause });
      this.#parts.log.warn(`${what}; it was left out, as its ignoreErrors says`);
      return undefined;
    }
  }

  #unknown(): string {
    const known = this.#parts.entries.map(({ type }) => type).join(", ");
    return `there is no such middleware; there are ${known}`;
  }

  async #start(spec: ComponentSpec): Promise<Middleware> {
    const { entries, values, clock, log } = this.#parts;
    const entry = entries.find(({ type }) => type === spec.type);
    if (entry === undefined) throw new Error(this.#unknown());
    const middleware = (await entry.load()).create({ clock, log });
    // Before it is initialised, so that it is closed where that fails.
    this.#started.set(spec.name, middleware);
    await initComponent(middleware, await componentMetadata(spec, values), spec, clock);
    return middleware;
  }
}
