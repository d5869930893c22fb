import type { Middleware, MiddlewareNext } from "../components/contract/middleware.ts";
import type { RequestMessage, ResponseMessage } from "../core/message.ts";

/** The steps of `spec.httpPipeline` or `spec.appHttpPipeline`, each around those behind it. */
export class Pipeline {
  readonly #steps: readonly Middleware[];

  /** @param steps ready to handle requests, the outermost first. */
  constructor(steps: readonly Middleware[]) {
    this.#steps = steps;
  }

  /** @param last what the pipeline is in front of. @throws what a step throws, and what `last` does. */
  handle(request: RequestMessage, last: MiddlewareNext): Promise<ResponseMessage> {
    return this.#from(0, request, last);
  }

  async #from(at: number, request: RequestMessage, last: MiddlewareNext): Promise<ResponseMessage> {
    const step = this.#steps[at];
    if (step === undefined) return last(request);
    return step.handle(request, (passedOn) => this.#from(at + 1, passedOn, last));
  }
}
