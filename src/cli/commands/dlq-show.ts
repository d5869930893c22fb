import { visible } from "../../core/go-json.ts";
import type { WholeDeadLetterJson } from "../../transport/http/routes/dead-letters.ts";
import { type DeadLetterFilter, type DeadLetterPlace, findEvent, placesOfOneApp } from "../dead-letter-places.ts";
import { localTime } from "../local-time.ts";
import type { CommandContext } from "../prepare-app.ts";
import type { Terminal } from "../terminal.ts";
import { sizeText } from "./dlq-list.ts";
import { ageOf } from "./list.ts";

export interface DlqShowOptions extends DeadLetterFilter {
  readonly json: boolean;
}

/** `outrigger dlq show <id>`: all of one dead letter. @returns the exit code. @throws {CliError} */
export async function showDeadLetter(id: string, options: DlqShowOptions, context: CommandContext): Promise<number> {
  const { out } = context;
  const { place, event } = await findEvent(await placesOfOneApp(options, context), id);
  if (options.json) {
    out.line(JSON.stringify({ pubsub: place.pubsub, topic: place.topic, ...event }, undefined, 2));
    return 0;
  }
  const said = aboutEvent(place, event, Date.now()).filter((row): row is [string, string] => row[1] !== undefined);
  const width = Math.max(...said.map(([name]) => name.length));
  for (const [name, value] of said) {
    const text = visible(value);
    out.line(`${out.paint("dim", name.padEnd(width))}  ${name === "reason" ? out.paint("red", text) : text}`);
  }
  out.line("");
  out.line(dataText(event, out));
  return 0;
}

/** Undefined values are not shown. */
function aboutEvent(
  { pubsub, topic }: DeadLetterPlace,
  event: WholeDeadLetterJson,
  nowMs: number,
): [name: string, value: string | undefined][] {
  const { id, time, size, contentType, event: cloudEvent, originalTopic, metadata } = event;
  const ms = Date.parse(time);
  const pairs = Object.entries(metadata).map(([name, value]) => `${name}=${value}`);
  return [
    ["id", id],
    ["lies in", `${topic} of ${pubsub}, since ${localTime(ms)} (${ageOf(ms, nowMs)})`],
    ["comes from", originalTopic],
    ["subscription", event.deadlettersubscription],
    ["reason", event.deadletterreason],
    ["last status", event.deadletterstatus],
    ["attempts", event.deadletterattempts],
    ["event id", cloudEvent?.id],
    ["event type", cloudEvent?.type],
    ["event source", cloudEvent?.source],
    ["size", `${sizeText(size)}${contentType === undefined ? "" : `, ${contentType}`}`],
    ["metadata", pairs.length === 0 ? undefined : pairs.join(", ")],
  ];
}

/** In a terminal nothing of it is obeyed; in a pipe it is as it is. */
function dataText({ data, dataBase64 }: WholeDeadLetterJson, out: Terminal): string {
  if (data === undefined) return `(no text; in base64:)\n${dataBase64 ?? ""}`;
  return out.isTerminal ? data.split("\n").map(visibleLine).join("\n") : data;
}

function visibleLine(line: string): string {
  return line.split("\t").map(visible).join("\t");
}
