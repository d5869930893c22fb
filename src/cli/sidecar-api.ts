import type { IncomingMessage, RequestOptions } from "node:http";
import { text } from "node:stream/consumers";
import { qualifiedName } from "../core/app-id.ts";
import { messageOf } from "../core/errors.ts";
import type { RegistryEntry } from "../runtime/registry/registry-store.ts";
import { type Api, callApi } from "./call-api.ts";
import { CliError } from "./cli-error.ts";
import type { CommandContext } from "./prepare-app.ts";
import { apiOf, instancesIn, runningApps } from "./running-apps.ts";

/** The sidecar has answered with an error. */
export class ApiError extends CliError {
  constructor(
    message: string,
    /** Empty where the answer has none. */
    readonly errorCode: string,
    options?: ErrorOptions,
  ) {
    super(message, 1, options);
  }
}

/** Nobody has answered. */
export class UnreachableError extends CliError {}

export interface ApiRequestBody {
  readonly data: Buffer;
  readonly contentType: string;
}

/** The HTTP API of the sidecar of a running app, for commands that ask it for something. */
export class SidecarApi {
  readonly appId: string;
  readonly #api: Api;
  readonly #token: string | undefined;

  constructor(appId: string, api: Api, env: NodeJS.ProcessEnv) {
    this.appId = appId;
    this.#api = api;
    this.#token = env["DAPR_API_TOKEN"];
  }

  /** @returns the answer's body. @throws {UnreachableError} {ApiError} */
  async ask(method: string, path: string, body?: ApiRequestBody): Promise<string> {
    const { status, answer } = await this.#send(method, path, body);
    if (status < 400) return answer;
    throw this.#refusal(status, answer);
  }

  /** The same for an answer that is JSON, of a form that the sidecar's routes say. */
  async askJson(method: string, path: string): Promise<unknown> {
    const answer = await this.ask(method, path);
    try {
      return JSON.parse(answer);
    } catch (cause) {
      throw new ApiError(`the sidecar of ${this.appId} answered ${path} with what is no JSON`, "", { cause });
    }
  }

  async #send(
    method: string,
    path: string,
    body: ApiRequestBody | undefined,
  ): Promise<{ status: number; answer: string }> {
    try {
      const response = await callApi(this.#api, this.#options(method, path, body), body?.data);
      return { status: statusOf(response), answer: await text(response) };
    } catch (cause) {
      const what = `cannot reach the sidecar of ${this.appId} at ${this.#api.url}: ${messageOf(cause)}`;
      throw new UnreachableError(what, 1, { cause });
    }
  }

  #options(method: string, path: string, body: ApiRequestBody | undefined): RequestOptions {
    const headers = {
      ...(body === undefined ? {} : { "content-type": body.contentType, "content-length": body.data.length }),
      ...(this.#token === undefined || this.#token === "" ? {} : { "dapr-api-token": this.#token }),
    };
    return { method, path, headers };
  }

  #refusal(status: number, answer: string): ApiError {
    if (status === 401) {
      const what = `the sidecar of ${this.appId} wants its API token`;
      return new ApiError(`${what}; set DAPR_API_TOKEN to it`, "");
    }
    const { errorCode = "", message = answer.trim() } = errorIn(answer);
    // What no route takes is an invocation.
    if (status === 404 && errorCode === "ERR_DIRECT_INVOKE") {
      const what = `the sidecar of ${this.appId} has no such route`;
      return new ApiError(`${what}; is it an older Outrigger? start it again with this one`, errorCode);
    }
    return new ApiError(`${message === "" ? `it answered ${status}` : message}${nameOf(errorCode)}`, errorCode);
  }
}

/** The sidecar of the app that `name` means, of its instances the first. @throws {CliError} where none runs, saying which do. */
export async function sidecarOf(name: string, context: CommandContext): Promise<SidecarApi> {
  const [entry] = instancesIn(await runningApps(context), name, context);
  if (entry === undefined) throw new CliError(`no app "${name}" is running`);
  return new SidecarApi(name, apiOf(entry), context.env);
}

/** A sidecar of each app that runs, by name: `id`, or `id.namespace` where several namespaces have the id. */
export async function allSidecars(context: CommandContext): Promise<readonly SidecarApi[]> {
  const entries = await runningApps(context);
  const first = new Map<string, RegistryEntry>();
  for (const entry of entries) {
    const name = qualifiedName(entry.instance.app);
    if (!first.has(name)) first.set(name, entry);
  }
  const ids = [...first.values()].map(({ instance }) => instance.app.id);
  return [...first].map(([name, entry]) => {
    const { id } = entry.instance.app;
    const isAlone = ids.filter((other) => other === id).length === 1;
    return new SidecarApi(isAlone ? id : name, apiOf(entry), context.env);
  });
}

function statusOf({ statusCode = 0 }: IncomingMessage): number {
  return statusCode;
}

function nameOf(errorCode: string): string {
  return errorCode === "" ? "" : ` (${errorCode})`;
}

function errorIn(answer: string): { readonly errorCode?: string; readonly message?: string } {
  try {
    const { errorCode, message } = JSON.parse(answer) as Record<string, unknown>;
    return {
      ...(typeof errorCode === "string" ? { errorCode } : {}),
      ...(typeof message === "string" ? { message } : {}),
    };
  } catch {
    return {};
  }
}
