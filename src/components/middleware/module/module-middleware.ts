import { dirname, resolve } from "node:path";
import { messageOf } from "../../../core/errors.ts";
import type { ResponseMessage } from "../../../core/message.ts";
import { headerValue } from "../../../core/raw-headers.ts";
import type { ComponentMetadata } from "../../contract/component-metadata.ts";
import type { Middleware, MiddlewareContext, MiddlewareNext, MiddlewareRequest } from "../../contract/middleware.ts";
import { loadModule } from "./load-module.ts";
import { readBody } from "./read-body.ts";
import { writtenAnswer, writtenRequest } from "./written-messages.ts";

/** What a user's module makes. */
interface UserMiddleware {
  handle(request: MiddlewareRequest, next: (request: unknown) => Promise<ResponseMessage>): unknown;
  close?(): unknown;
}

/** `middleware.http.module`: one that the user has written, an ES module (docs/middleware.md). Not one of Dapr's types. */
export class ModuleMiddleware implements Middleware {
  readonly #context: MiddlewareContext;
  #file = "";
  #user: UserMiddleware | undefined;
  #isClosed = false;

  constructor(context: MiddlewareContext) {
    this.#context = context;
  }

  /** @throws {Error} naming the file. */
  async init(metadata: ComponentMetadata): Promise<void> {
    const path = metadata.get("path") ?? "";
    if (path === "") throw new Error("metadata field path is missing; name an ES module");
    this.#file = resolve(dirname(metadata.file), path);
    const create = await loadModule(this.#file);
    const { clock, log } = this.#context;
    let made: unknown;
    try {
      made = await create({ metadata, clock, log, headerValue, readBody });
    } catch (cause) {
      throw new Error(`${this.#file} failed to create a middleware: ${messageOf(cause)}`, { cause });
    }
    if (!isUserMiddleware(made)) {
      throw new Error(`${this.#file} created no middleware; return an object with a function handle(request, next)`);
    }
    this.#user = made;
  }

  async handle(request: MiddlewareRequest, next: MiddlewareNext): Promise<ResponseMessage> {
    if (this.#user === undefined) throw new Error("the module was not initialised");
    const passed: { got?: ResponseMessage } = {};
    const answer = await this.#user.handle(request, async (passedOn) => {
      passed.got = await next(writtenRequest(passedOn, request));
      return passed.got;
    });
    return writtenAnswer(answer, passed.got);
  }

  async close(): Promise<void> {
    const user = this.#user;
    if (user?.close === undefined || this.#isClosed) return;
    this.#isClosed = true;
    try {
      await user.close();
    } catch (error) {
      this.#context.log.warn("a module failed to close", { file: this.#file, error: messageOf(error) });
    }
  }
}

function isUserMiddleware(made: unknown): made is UserMiddleware {
  if (typeof made !== "object" || made === null || !("handle" in made) || typeof made.handle !== "function")
    return false;
  return !("close" in made) || made.close === undefined || typeof made.close === "function";
}
