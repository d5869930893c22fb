import { isUtf8 } from "node:buffer";
import { readFileSync } from "node:fs";
import { buffer } from "node:stream/consumers";
import { messageOf } from "../../core/errors.ts";
import { socketPath } from "../../runtime/api-place.ts";
import type { PubSubJson } from "../../transport/http/routes/pubsub-overview.ts";
import { apiOnSocket } from "../call-api.ts";
import { CliError } from "../cli-error.ts";
import { showDryRun } from "../dry-run-display.ts";
import type { CommandContext } from "../prepare-app.ts";
import { notRunning, runningApps } from "../running-apps.ts";
import { type ApiRequestBody, SidecarApi, sidecarOf } from "../sidecar-api.ts";

export interface PublishOptions {
  readonly publishAppId?: string;
  /** The same. */
  readonly appId?: string;
  readonly pubsub?: string;
  readonly topic: string;
  readonly data?: string;
  readonly dataFile?: string;
  readonly contentType?: string;
  /** A JSON object. */
  readonly metadata?: string;
  readonly unixDomainSocket?: string;
  readonly dryRun: boolean;
  readonly json: boolean;
}

/**
 * `outrigger publish`: publishes an event as a running app, or says what would become of it there.
 *
 * @param input what `--data-file -` reads.
 * @returns the exit code. @throws {CliError}
 */
export async function publish(
  options: PublishOptions,
  context: CommandContext,
  input: NodeJS.ReadableStream = process.stdin,
): Promise<number> {
  const { out } = context;
  if (options.topic === "") throw new CliError("--topic is empty; give the topic to publish to");
  const query = metadataQuery(options.metadata);
  const data = await dataOf(options, input);
  const body = { data, contentType: options.contentType ?? contentTypeOf(data) };
  const api = await publisherOf(options, context);
  const pubsub = options.pubsub ?? (await onlyPubSub(api));
  const target = { api, pubsub, topic: options.topic, query };
  if (options.dryRun) await dryRun(target, body, options.json, out);
  else {
    await api.ask("POST", `/v1.0/publish/${pathOf(target)}${query}`, body);
    if (options.json) {
      out.line(JSON.stringify({ published: true, appId: api.appId, pubsub, topic: options.topic }, undefined, 2));
    } else out.line(out.paint("green", "Event published successfully"));
  }
  return 0;
}

interface Target {
  readonly api: SidecarApi;
  readonly pubsub: string;
  readonly topic: string;
  readonly query: string;
}

async function dryRun(target: Target, body: ApiRequestBody, json: boolean, out: CommandContext["out"]): Promise<void> {
  const { api, query } = target;
  const answer = await api.ask("POST", `/outrigger/v1/pubsub/${pathOf(target)}/dry-run${query}`, body);
  // As it came: parsed, its numbers might be others.
  if (json) out.line(answer);
  else await showDryRun(answer, target, out);
}

function pathOf({ pubsub, topic }: Target): string {
  return `${encodeURIComponent(pubsub)}/${encodeURIComponent(topic)}`;
}

/** @throws {CliError} where no such app runs, or none is named. */
async function publisherOf(options: PublishOptions, context: CommandContext): Promise<SidecarApi> {
  const { publishAppId, appId, unixDomainSocket: folder } = options;
  if (publishAppId !== undefined && appId !== undefined && publishAppId !== appId) {
    throw new CliError("--publish-app-id and --app-id are two names of one flag; give one of them");
  }
  const name = publishAppId ?? appId;
  if (name === undefined) {
    const known = notRunning("app to publish", await runningApps(context), context).message.replace(/^.*; /, "");
    throw new CliError(`say as which app to publish, with --publish-app-id; ${known}`);
  }
  if (folder === undefined || folder === "") return sidecarOf(name, context);
  return new SidecarApi(name, apiOnSocket(socketPath(folder, name, "http")), context.env);
}

/** @throws {CliError} where the app has none, or several. */
async function onlyPubSub(api: SidecarApi): Promise<string> {
  const { components } = (await api.askJson("GET", "/outrigger/v1/pubsub")) as PubSubJson;
  const [first, ...others] = components.map(({ name }) => name);
  if (first === undefined) {
    throw new CliError(
      `${api.appId} has no pub/sub component; add one to its resources, or start it without --no-default-pubsub`,
    );
  }
  if (others.length === 0) return first;
  throw new CliError(
    `say which component to publish to, with --pubsub; ${api.appId} has: ${[first, ...others].join(", ")}`,
  );
}

async function dataOf({ data, dataFile }: PublishOptions, input: NodeJS.ReadableStream): Promise<Buffer> {
  if (data !== undefined && dataFile !== undefined) throw new CliError("give --data or --data-file, not both");
  if (dataFile === undefined) return Buffer.from(data ?? "");
  try {
    return dataFile === "-" ? await buffer(input) : readFileSync(dataFile);
  } catch (cause) {
    throw new CliError(`cannot read --data-file: ${messageOf(cause)}`, 1, { cause });
  }
}

// Who gives all of these means the event to be the envelope, as Dapr's CLI has it.
const ENVELOPE = ["id", "source", "specversion", "type", "data"];

/** What the data looks like. */
function contentTypeOf(data: Buffer): string {
  if (!isUtf8(data)) return "application/octet-stream";
  try {
    const value: unknown = JSON.parse(data.toString("utf8"));
    const isEnvelope = typeof value === "object" && value !== null && ENVELOPE.every((name) => name in value);
    return isEnvelope ? "application/cloudevents+json" : "application/json";
  } catch {
    return "text/plain";
  }
}

/** `?metadata.name=value…`, or nothing. @throws {CliError} where it is no object of texts, numbers and booleans. */
function metadataQuery(json: string | undefined): string {
  if (json === undefined || json === "") return "";
  const query = Object.entries(objectIn(json)).map(([name, value]) => {
    if (typeof value === "object" || value === undefined) {
      throw new CliError(`--metadata has a ${name} that is no text; give {"${name}": "value"}`);
    }
    return `${encodeURIComponent(`metadata.${name}`)}=${encodeURIComponent(String(value))}`;
  });
  return query.length === 0 ? "" : `?${query.join("&")}`;
}

function objectIn(json: string): object {
  const expected = `give a JSON object, as '{"ttlInSeconds": "60"}'`;
  try {
    const value: unknown = JSON.parse(json);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
  } catch (cause) {
    throw new CliError(`--metadata is not JSON (${messageOf(cause)}); ${expected}`, 1, { cause });
  }
  throw new CliError(`--metadata is ${json}; ${expected}`);
}
