import type { Middleware, MiddlewareNext } from "../components/contract/middleware.ts";
import type { RequestMessage, ResponseMessage } from "../core/message.ts";

/** The steps of `spec.httpPipeline` or `spec.appHttpPipeline`, each around those behind it. */
export class Pipeline {
  readonly #steps: readonly Middleware[];
  /** Requests, until their answers have been used up. */
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  /** @param steps ready to handle requests, the outermost first. */
  constructor(steps: readonly Middleware[]) {
    this.#steps = steps;
  }

  /** @param last what the pipeline is in front of. @throws what a step throws, and what `last` does. */
  async handle(request: RequestMessage, last: MiddlewareNext): Promise<ResponseMessage> {
    this.#running++;
    try {
      const response = await this.#from(0, request, last);
      const { body } = response;
      if (body === undefined || body instanceof Uint8Array || body.closed) this.#over();
      else body.once("close", this.#over);
      return response;
    } catch (error) {
      this.#over();
      throw error;
    }
  }

  /** Resolves once no request is in it: then its steps can be closed. */
  async whenIdle(): Promise<void> {
    if (this.#running === 0) return;
    await new Promise<void>((resolve) => {
      this.#waiting.push(resolve);
    });
  }

  async #from(at: number, request: RequestMessage, last: MiddlewareNext): Promise<ResponseMessage> {
    const step = this.#steps[at];
    if (step === undefined) return last(request);
    return step.handle(request, (passedOn) => this.#from(at + 1, passedOn, last));
  }

  readonly #over = (): void => {
    this.#running--;
    if (this.#running > 0) return;
    for (const resolve of this.#waiting.splice(0)) resolve();
  };
}
