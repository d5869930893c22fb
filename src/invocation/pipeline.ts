import type { Middleware, MiddlewareNext, MiddlewareRequest } from "../components/contract/middleware.ts";
import { discard, whenUsedUp } from "../core/body.ts";
import { CallError, messageOf, OutriggerError } from "../core/errors.ts";
import type { Logger } from "../core/logger.ts";
import { type ResponseMessage, withHeaders } from "../core/message.ts";

export interface PipelineStep {
  /** For logs and error texts: `Component limit (middleware.http.ratelimit) in limit.yaml`. */
  readonly name: string;
  /** Ready to handle requests. */
  readonly middleware: Middleware;
}

/** The steps of `spec.httpPipeline` or `spec.appHttpPipeline`, each around those behind it. */
export class Pipeline {
  readonly #steps: readonly PipelineStep[];
  readonly #log: Logger;
  /** Requests, until their answers have been used up. */
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  /** @param steps the outermost first. */
  constructor(steps: readonly PipelineStep[], log: Logger) {
    this.#steps = steps;
    this.#log = log;
  }

  /**
   * @param last what the pipeline is in front of.
   * @throws {CallError} without a code, naming the step that failed; also what `last` throws.
   */
  async handle(request: MiddlewareRequest, last: MiddlewareNext): Promise<ResponseMessage> {
    this.#running++;
    try {
      const response = await this.#from(0, request, last);
      whenUsedUp(response.body, this.#over);
      // Whoever gets it may add to its headers, and a step may give out the same list again and again.
      return withHeaders(response, [...response.headers]);
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

  async #from(at: number, request: MiddlewareRequest, last: MiddlewareNext): Promise<ResponseMessage> {
    const step = this.#steps[at];
    if (step === undefined) return last(request);
    let isPassedOn = false;
    let fromBehind: unknown;
    let answer: ResponseMessage | undefined;
    try {
      return await step.middleware.handle(request, async (passedOn) => {
        if (isPassedOn) throw new Error("it passed a request on twice; next is to be called once at most");
        isPassedOn = true;
        try {
          answer = await this.#from(at + 1, passedOn, last);
          return answer;
        } catch (error) {
          fromBehind = error;
          throw error;
        }
      });
    } catch (error) {
      // A connection and a concurrency slot hang on it.
      discard(answer?.body);
      throw error === fromBehind ? error : this.#failure(step, error, request);
    }
  }

  #failure({ name }: PipelineStep, cause: unknown, { signal }: MiddlewareRequest): Error {
    // What a step says in the words of callers is not its failure; nor is it one that nobody waits any more.
    if (cause instanceof OutriggerError) return cause;
    const message = `the middleware ${name} failed: ${messageOf(cause)}`;
    if (!signal.aborted) {
      const stack = cause instanceof Error ? cause.stack : undefined;
      this.#log.error("a middleware failed", { middleware: name, error: messageOf(cause), stack });
    }
    return new CallError(undefined, message, { cause });
  }

  readonly #over = (): void => {
    this.#running--;
    if (this.#running > 0) return;
    for (const resolve of this.#waiting.splice(0)) resolve();
  };
}
