import { readFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { pipeline } from "node:stream/promises";
import { messageOf } from "../../core/errors.ts";
import { type Api, callApi } from "../call-api.ts";
import { CliError } from "../cli-error.ts";
import type { CommandContext } from "../prepare-app.ts";
import { apiOf, instancesIn, runningApps } from "../running-apps.ts";
import type { Terminal } from "../terminal.ts";

export interface InvokeOptions {
  readonly appId: string;
  readonly method: string;
  readonly verb: string;
  readonly data?: string;
  readonly dataFile?: string;
}

/** `outrigger invoke`: calls a method of a running app and prints the answer. @returns the exit code. @throws {CliError} */
export async function invoke(options: InvokeOptions, context: CommandContext): Promise<number> {
  const { env, out, err } = context;
  const [entry] = instancesIn(await runningApps(context), options.appId, context);
  if (entry === undefined) throw new CliError(`no app "${options.appId}" is running`);
  const response = await send(apiOf(entry), options, env["DAPR_API_TOKEN"]);
  await print(response, out, options.appId);
  const { statusCode = 0, statusMessage = "" } = response;
  if (out.isTerminal) out.line("");
  if (statusCode < 400) return 0;
  err.line(err.paint("red", `${options.appId} answered ${statusCode} ${statusMessage}`));
  return 1;
}

/** @throws {CliError} where the answer breaks off. */
async function print(response: IncomingMessage, out: Terminal, appId: string): Promise<void> {
  try {
    await pipeline(response, out.sink(), { end: false });
  } catch (cause) {
    // A reader that leaves (`outrigger invoke … | head`) is no reason to fail.
    if ((cause as NodeJS.ErrnoException).code === "EPIPE") return;
    throw new CliError(`the answer of ${appId} broke off before its end: ${messageOf(cause)}`, 1, { cause });
  }
}

/** The path goes out as it was typed: a URL parser would resolve its dots, and lead elsewhere. */
async function send(api: Api, options: InvokeOptions, token: string | undefined): Promise<IncomingMessage> {
  const body = bodyOf(options);
  const request = {
    method: verbOf(options),
    path: `/v1.0/invoke/${options.appId}/method/${sendable(options.method.replace(/^\//, ""))}`,
    headers: {
      ...(body === undefined ? {} : { "content-type": "application/json", "content-length": body.length }),
      ...(token === undefined || token === "" ? {} : { "dapr-api-token": token }),
    },
  };
  try {
    return await callApi(api, request, body);
  } catch (cause) {
    throw new CliError(`cannot reach the sidecar of ${options.appId} at ${api.url}: ${messageOf(cause)}`, 1, { cause });
  }
}

// RFC 9110, 5.6.2: what a method may be made of.
const TOKEN = /^[!#$%&'*+.^_`|~\w-]+$/;

function verbOf({ verb }: InvokeOptions): string {
  if (!TOKEN.test(verb)) throw new CliError(`--verb is "${verb}"; give an HTTP verb, as GET or POST`);
  if (verb.toUpperCase() === "CONNECT") throw new CliError("--verb CONNECT asks for a tunnel, which no method is");
  return verb.toUpperCase();
}

/** Percent-encodes what cannot stand in a request line, and leaves all else, `%` and `?` included, as it was typed. */
function sendable(path: string): string {
  return path.replace(/[^\x21-\x7e]/gu, encodeURIComponent);
}

function bodyOf({ data, dataFile }: InvokeOptions): Buffer | undefined {
  if (data !== undefined && dataFile !== undefined) throw new CliError("give --data or --data-file, not both");
  if (dataFile === undefined) return data === undefined ? undefined : Buffer.from(data);
  try {
    return readFileSync(dataFile);
  } catch (cause) {
    throw new CliError(`cannot read --data-file: ${messageOf(cause)}`, 1, { cause });
  }
}
