import { visible } from "../../core/go-json.ts";
import type { DeadLetterJson, DeadLetterTopicJson } from "../../transport/http/routes/dead-letters.ts";
import { CliError } from "../cli-error.ts";
import {
  type DeadLetterFilter,
  type DeadLetterPlace,
  eventsPath,
  findPlaces,
  HOW_TO,
  type KnownPlace,
  onlyPlace,
} from "../dead-letter-places.ts";
import type { CommandContext } from "../prepare-app.ts";
import { type Terminal, table } from "../terminal.ts";
import { ageOf } from "./list.ts";

export interface DlqListOptions extends DeadLetterFilter {
  /** As it was typed. */
  readonly limit: string;
  readonly json: boolean;
}

/** `outrigger dlq list`: the dead letter topics, or with a topic its events. @returns the exit code. @throws {CliError} */
export async function listDeadLetters(options: DlqListOptions, context: CommandContext): Promise<number> {
  if (options.topic === undefined) return listTopics(options, context);
  await listEvents(await onlyPlace(options, context), options, context);
  return 0;
}

async function listTopics(options: DlqListOptions, context: CommandContext): Promise<number> {
  const { out, err } = context;
  const { places, errors, apps } = await findPlaces(options, context);
  for (const error of errors) err.line(`${err.paint("red", "outrigger:")} ${error.message}`);
  const nowMs = Date.now();
  if (options.json) {
    const records = places.map(({ api, known }) => ({ appId: api.appId, ...known }));
    out.line(JSON.stringify(records, undefined, 2));
  } else if (apps === 0) out.line("No apps are running. Start one: outrigger run --app-id hello -- <command>");
  else if (places.length > 0) out.write(topicsTable(places, nowMs, out));
  else if (errors.length === 0) out.line(`No dead letter topics: ${HOW_TO}.`);
  for (const { known } of options.json ? [] : places) {
    if (known.error !== undefined) err.line(err.paint("yellow", `${known.topic}: ${visible(known.error)}`));
  }
  return errors.length === 0 ? 0 : 1;
}

function topicsTable(places: readonly KnownPlace[], nowMs: number, out: Terminal): string {
  const ids = [...new Set(places.map(({ api }) => api.appId))];
  const rows = places.map(({ api, known }) => [
    ...[api.appId, visible(known.pubsub), visible(known.topic), countOf(known)],
    ...[ageSince(known.oldest, nowMs), known.of.map(visible).join(", ")],
  ]);
  const paint = (cell: string, row: number, column: number): string => {
    if (row === 0) return out.paint("dim", cell);
    if (column === 0) return out.paintName(cell, ids.indexOf(cell.trimEnd()));
    return column === 3 && (places[row - 1]?.known.count ?? 0) > 0 ? out.paint("red", cell) : cell;
  };
  const headings = ["APP ID", "PUBSUB", "TOPIC", "EVENTS", "OLDEST", "DEAD LETTERS OF"];
  return table([headings, ...rows], { columns: out.columns, paint });
}

function countOf({ count, more }: DeadLetterTopicJson): string {
  return count === undefined ? "?" : `${count}${more ? "+" : ""}`;
}

async function listEvents(
  place: DeadLetterPlace,
  { limit, json }: DlqListOptions,
  { out, err }: CommandContext,
): Promise<void> {
  if (!/^\d{1,6}$/.test(limit)) throw new CliError(`--limit is "${limit}"; give a number from 1 to 1000`);
  const page = (await place.api.askJson("GET", `${eventsPath(place)}?limit=${limit}`)) as {
    events: DeadLetterJson[];
    more: boolean;
  };
  if (json) {
    out.line(JSON.stringify(page.events, undefined, 2));
    return;
  }
  if (page.events.length === 0) out.line(`Nothing lies in ${place.topic} of ${place.pubsub}.`);
  else out.write(eventsTable(page.events, Date.now(), out));
  if (page.more) err.line(err.paint("dim", `There are more than these ${limit}; --limit shows up to 1000.`));
  const isSilent =
    page.events.length > 0 && page.events.every(({ deadletterreason }) => deadletterreason === undefined);
  if (isSilent && err.isTerminal) err.line(err.paint("dim", HOW_TO_KNOW_WHY));
}

const HOW_TO_KNOW_WHY =
  'Why they are here is not recorded; deadLetterDetails: "true" in a subscription\'s metadata does it.';

interface Column {
  readonly heading: string;
  readonly cell: (event: DeadLetterJson, nowMs: number) => string;
  /** Left out where no event has anything to say there. */
  readonly isNeeded?: (event: DeadLetterJson) => boolean;
}

// Of every event whose publisher says no other.
const USUAL_TYPE = "com.dapr.event.sent";

const COLUMNS: readonly Column[] = [
  { heading: "ID", cell: ({ id }) => visible(id) },
  { heading: "AGE", cell: ({ time }, nowMs) => ageSince(time, nowMs) },
  { heading: "SIZE", cell: ({ size }) => sizeText(size) },
  {
    heading: "TYPE",
    cell: ({ event }) => shown(event?.type),
    isNeeded: ({ event }) => event?.type !== undefined && event.type !== USUAL_TYPE,
  },
  { heading: "SOURCE", cell: ({ event }) => shown(event?.source) },
  { heading: "FROM", cell: ({ originalTopic }) => shown(originalTopic) },
  {
    heading: "ATTEMPTS",
    cell: ({ deadletterattempts }) => shown(deadletterattempts),
    isNeeded: ({ deadletterattempts }) => deadletterattempts !== undefined,
  },
  {
    heading: "STATUS",
    cell: ({ deadletterstatus }) => shown(deadletterstatus),
    isNeeded: ({ deadletterstatus }) => deadletterstatus !== undefined,
  },
  {
    heading: "REASON",
    cell: ({ deadletterreason }) => shown(deadletterreason),
    isNeeded: ({ deadletterreason }) => deadletterreason !== undefined,
  },
];

function eventsTable(events: readonly DeadLetterJson[], nowMs: number, out: Terminal): string {
  const columns = COLUMNS.filter(({ isNeeded }) => isNeeded === undefined || events.some(isNeeded));
  const rows = events.map((event) => columns.map(({ cell }) => cell(event, nowMs)));
  const paint = (cell: string, row: number, column: number): string => {
    if (row === 0) return out.paint("dim", cell);
    return columns[column]?.heading === "REASON" ? out.paint("red", cell) : cell;
  };
  return table([columns.map(({ heading }) => heading), ...rows], { columns: out.columns, paint });
}

function shown(text: string | undefined): string {
  return text === undefined || text === "" ? "-" : visible(text);
}

function ageSince(time: string | undefined, nowMs: number): string {
  return time === undefined ? "-" : ageOf(Date.parse(time), nowMs);
}

/** `123 B`, `1.2 KiB`, `3.4 MiB`. */
export function sizeText(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  const kibibytes = bytes / 1024;
  return kibibytes < 1024 ? `${kibibytes.toFixed(1)} KiB` : `${(kibibytes / 1024).toFixed(1)} MiB`;
}
