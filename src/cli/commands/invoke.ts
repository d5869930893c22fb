import { once } from "node:events";
import { readFileSync } from "node:fs";
import http, { type IncomingMessage } from "node:http";
import { pipeline } from "node:stream/promises";
import { messageOf } from "../../core/errors.ts";
import { CliError } from "../cli-error.ts";
import type { CommandContext } from "../prepare-app.ts";
import { apiUrlOf, instancesOf } from "../running-apps.ts";

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
  const [entry] = await instancesOf(options.appId, context);
  if (entry === undefined) throw new CliError(`no app "${options.appId}" is running`);
  const response = await send(apiUrlOf(entry), options, env["DAPR_API_TOKEN"]);
  await pipeline(response, out.sink(), { end: false });
  const { statusCode = 0, statusMessage = "" } = response;
  if (out.isTerminal) out.line("");
  if (statusCode < 400) return 0;
  err.line(err.paint("red", `${options.appId} answered ${statusCode} ${statusMessage}`));
  return 1;
}

/** The path goes out as it was typed: a URL parser would resolve its dots, and lead elsewhere. */
async function send(api: string, options: InvokeOptions, token: string | undefined): Promise<IncomingMessage> {
  const body = bodyOf(options);
  const { hostname, port } = new URL(api);
  const request = http.request({
    host: hostname.replace(/^\[(.*)\]$/, "$1"),
    port,
    method: options.verb.toUpperCase(),
    path: `/v1.0/invoke/${options.appId}/method/${options.method.replace(/^\//, "")}`,
    headers: {
      ...(body === undefined ? {} : { "content-type": "application/json", "content-length": body.length }),
      ...(token === undefined || token === "" ? {} : { "dapr-api-token": token }),
    },
  });
  request.end(body);
  try {
    const [response] = (await once(request, "response")) as [IncomingMessage];
    return response;
  } catch (cause) {
    throw new CliError(`cannot reach the sidecar of ${options.appId} at ${api}: ${messageOf(cause)}`, 1, { cause });
  }
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
