import type { Middleware, MiddlewareContext, MiddlewareEntry } from "../../components/contract/middleware.ts";
import { textAnswer } from "../../components/contract/text-answer.ts";
import { messageOf, SetupError } from "../../core/errors.ts";
import { nearestName } from "../../core/nearest-name.ts";
import { Pipeline, type PipelineStep } from "../../invocation/pipeline.ts";
import type { AppResources } from "../../resources/app-resources.ts";
import type { ComponentSpec } from "../../resources/component-spec.ts";
import type { HandlerSpec } from "../../resources/pipeline-spec.ts";
import { componentMetadata, described } from "./component-metadata.ts";
import type { ComponentStarts } from "./component-starts.ts";
import { initComponent } from "./init-component.ts";
import type { SecretValues } from "./secret-values.ts";

export interface AppMiddlewareParts extends MiddlewareContext {
  readonly entries: readonly MiddlewareEntry[];
  readonly values: SecretValues;
  readonly starts?: ComponentStarts | undefined;
}

/** Those of one app, and those that it could have. */
type Components = Pick<AppResources, "middleware" | "middlewareOfOthers">;

/** The middleware components of one app, those that a pipeline of its Configuration names. */
export class AppMiddleware {
  readonly #parts: AppMiddlewareParts;
  /** By the names of their components; one that is in both pipelines is there once. */
  readonly #started = new Map<string, Middleware>();

  constructor(parts: AppMiddlewareParts) {
    this.#parts = parts;
  }

  /**
   * The pipeline of these handlers. Where no Component stands behind one, it is told and left out, as in daprd, but for what
   * may keep people out: only the scopes of its Component say that it is not for this app.
   *
   * @returns undefined where there is nothing in it.
   * @throws {SetupError} naming the component, where one cannot be used and does not say `ignoreErrors`, or the handler,
   *   where its Component is missing and it is or may be a guard.
   */
  async pipeline(handlers: readonly HandlerSpec[], components: Components): Promise<Pipeline | undefined> {
    const steps: PipelineStep[] = [];
    for (const handler of handlers) {
      const step = await this.#stepOf(handler, components);
      if (step !== undefined) steps.push(step);
    }
    return steps.length === 0 ? undefined : new Pipeline(steps, this.#parts.log);
  }

  /** Also of those that no pipeline names. @throws {SetupError} for one of a type that there is not, unless it says `ignoreErrors`. */
  refuseUnknown(components: readonly ComponentSpec[]): void {
    const unknown = components.filter(({ type }) => !this.#parts.entries.some((entry) => entry.type === type));
    for (const spec of unknown) {
      const what = `${described(spec)}: ${whyUnknown(spec.type, this.#parts.entries)}`;
      if (!spec.ignoreErrors) throw new SetupError(what);
      this.#parts.log.warn(`${what}; it is not used, as its ignoreErrors says`);
    }
  }

  /** May be called twice. */
  async close(): Promise<void> {
    const started = [...this.#started.values()];
    this.#started.clear();
    await Promise.allSettled(started.map((middleware) => middleware.close()));
  }

  async #stepOf(handler: HandlerSpec, components: Components): Promise<PipelineStep | undefined> {
    const { name, type } = handler;
    const spec = components.middleware.find((component) => component.name === name && component.type === type);
    if (spec === undefined) {
      await this.#leaveOut(handler, components);
      return undefined;
    }
    const running = this.#started.get(name);
    if (running !== undefined) return { name: described(spec), middleware: running };
    const { starts, log } = this.#parts;
    try {
      const middleware = await this.#start(spec);
      starts?.started(spec.type);
      return { name: described(spec), middleware };
    } catch (cause) {
      starts?.failed(spec.type);
      const what = `${described(spec)}: ${messageOf(cause)}`;
      if (!spec.ignoreErrors) throw new SetupError(what, { cause });
      if (await this.#mayGuard(type)) {
        log.error(`${what}; its ignoreErrors lets the app start, and every request is answered 500`);
        return { name: described(spec), middleware: closedDoor(name) };
      }
      log.warn(`${what}; it was left out, as its ignoreErrors says`);
      return undefined;
    }
  }

  /** @throws {SetupError} where that would let in everybody. */
  async #leaveOut({ name, type, place }: HandlerSpec, { middlewareOfOthers }: Components): Promise<void> {
    const what = `${place}: the pipeline names ${name} of type ${type}`;
    const others = middlewareOfOthers.find((component) => component.name === name && component.type === type);
    if (others !== undefined) {
      this.#parts.log.warn(`${what}, which ${others.file} keeps for other apps by its scopes; it was left out`);
      return;
    }
    if (await this.#mayGuard(type)) {
      throw new SetupError(
        `${what}, and no such Component is loaded for this app; without it everybody would be let in: give its folder with --resources-path, correct name and type, or take it out of the pipeline`,
      );
    }
    this.#parts.log.warn(`${what}, and no such Component is loaded for this app; it was left out`);
  }

  /** Also of a type that nobody knows: it may have been meant for one. */
  async #mayGuard(type: string): Promise<boolean> {
    const entry = this.#parts.entries.find((known) => known.type === type);
    return entry === undefined || (await entry.load()).guards === true;
  }

  async #start(spec: ComponentSpec): Promise<Middleware> {
    const { entries, values, clock, log } = this.#parts;
    const entry = entries.find(({ type }) => type === spec.type);
    if (entry === undefined) throw new Error(whyUnknown(spec.type, entries));
    const middleware = (await entry.load()).create({ clock, log });
    try {
      await initComponent(middleware, await componentMetadata(spec, values), spec, clock);
    } catch (error) {
      await middleware.close();
      throw error;
    }
    this.#started.set(spec.name, middleware);
    return middleware;
  }
}

/** Stands in for a guard that cannot be used. The log has been told why, and not again with each request. */
function closedDoor(name: string): Middleware {
  return {
    init: () => Promise.resolve(),
    handle: () => Promise.resolve(textAnswer(500, `the middleware ${name} cannot be used; see the sidecar's log`)),
    close: () => Promise.resolve(),
  };
}

function whyUnknown(type: string, entries: readonly MiddlewareEntry[]): string {
  const known = entries.map((entry) => entry.type);
  const near = nearestName(type, known);
  const hint = near === undefined ? "" : `; did you mean ${near}?`;
  return `there is no such middleware${hint} (there are ${known.join(", ")})`;
}
