import { systemClock } from "../../runtime/system-clock.ts";
import type { DeadLetterJson } from "../../transport/http/routes/dead-letters.ts";
import { CliError } from "../cli-error.ts";
import {
  type DeadLetterFilter,
  type DeadLetterPlace,
  eventPath,
  eventsPath,
  findEvent,
  onlyPlace,
  placesOfOneApp,
} from "../dead-letter-places.ts";
import type { CommandContext } from "../prepare-app.ts";
import { Progress } from "../progress.ts";
import { UnreachableError } from "../sidecar-api.ts";

export interface DlqWorkOptions extends DeadLetterFilter {
  readonly all: boolean;
  readonly json: boolean;
}

export interface DlqReplayOptions extends DlqWorkOptions {
  /** The topic to publish to; undefined for the one that each comes from. */
  readonly to?: string;
}

/** `outrigger dlq replay <id>… | --all`, the oldest first. @returns the exit code, 1 where one has failed. @throws {CliError} */
export async function replayDeadLetters(
  ids: readonly string[],
  options: DlqReplayOptions,
  context: CommandContext,
): Promise<number> {
  const query = options.to === undefined ? "" : `?to=${encodeURIComponent(options.to)}`;
  return work(ids, options, context, {
    verb: "replay",
    done: "replayed",
    places: () => placesOfOneApp(options, context),
    act: async ({ place, id }) => {
      const { topic } = (await place.api.askJson("POST", `${eventPath(place, id)}/replay${query}`)) as {
        topic: string;
      };
      return topic;
    },
  });
}

/** `outrigger dlq remove <id>… | --topic <topic> --all`. The same holds. */
export async function removeDeadLetters(
  ids: readonly string[],
  options: DlqWorkOptions,
  context: CommandContext,
): Promise<number> {
  return work(ids, options, context, {
    verb: "remove",
    done: "removed",
    // What is removed is gone: nobody shall do it to more topics than he had in mind.
    places: async () => (options.all ? [await onlyPlace(options, context)] : placesOfOneApp(options, context)),
    act: async ({ place, id }) => {
      await place.api.ask("DELETE", eventPath(place, id));
      return undefined;
    },
  });
}

interface Work {
  readonly verb: string;
  readonly done: string;
  readonly places: () => Promise<readonly DeadLetterPlace[]>;
  /** @returns the topic that the event is in now, where it is in one. @throws {CliError} */
  readonly act: (event: Located) => Promise<string | undefined>;
}

interface Located {
  readonly place: DeadLetterPlace;
  readonly id: string;
}

interface Outcome {
  readonly id: string;
  readonly topic?: string | undefined;
  readonly error?: string;
}

async function work(
  ids: readonly string[],
  { all, json }: DlqWorkOptions,
  context: CommandContext,
  { verb, done, places, act }: Work,
): Promise<number> {
  if (all && ids.length > 0) throw new CliError("give ids of events, or --all, not both");
  if (!all && ids.length === 0) throw new CliError(`say what to ${verb}: give ids of events, or --all`);
  const { out, err } = context;
  const open = await places();
  // Known before the first is touched: what fails again comes back behind the others, and would be met for ever.
  const todo: Todo[] = all
    ? await allOf(open)
    : [...new Set(ids)].map((id) => ({ id, locate: () => locate(open, id) }));
  const progress = new Progress(err, systemClock);
  const outcomes: Outcome[] = [];
  for (const { id, locate } of todo) {
    progress.show(`${done} ${outcomes.length} of ${todo.length}…`);
    try {
      outcomes.push({ id, topic: await act(await locate()) });
    } catch (error) {
      if (!(error instanceof CliError)) throw error;
      progress.clear();
      if (!json) err.line(`${err.paint("red", "outrigger:")} ${id}: ${error.message}`);
      outcomes.push({ id, error: error.message });
      // Nor will it answer for any of the others.
      if (error instanceof UnreachableError) break;
    }
  }
  progress.clear();
  const untouched = todo.slice(outcomes.length).map(({ id }) => ({ id, error: "not tried any more" }));
  return report([...outcomes, ...untouched], done, json, out);
}

interface Todo {
  readonly id: string;
  readonly locate: () => Promise<Located> | Located;
}

/** Where there is one place, whoever is asked to do something there knows whether the event is. */
async function locate(places: readonly DeadLetterPlace[], id: string): Promise<Located> {
  const [only] = places;
  if (only !== undefined && places.length === 1) return { place: only, id };
  return { place: (await findEvent(places, id)).place, id };
}

const PAGE = 500;

async function allOf(places: readonly DeadLetterPlace[]): Promise<Todo[]> {
  const found: Todo[] = [];
  for (const place of places) {
    let after = "";
    for (;;) {
      const path = `${eventsPath(place)}?limit=${PAGE}${after}`;
      const { events, more } = (await place.api.askJson("GET", path)) as { events: DeadLetterJson[]; more: boolean };
      for (const { id } of events) found.push({ id, locate: () => ({ place, id }) });
      const last = events.at(-1);
      if (!more || last === undefined) break;
      after = `&after=${encodeURIComponent(last.id)}`;
    }
  }
  return found;
}

function report(outcomes: readonly Outcome[], done: string, json: boolean, out: CommandContext["out"]): number {
  const failed = outcomes.filter(({ error }) => error !== undefined);
  const succeeded = outcomes.filter(({ error }) => error === undefined);
  if (json) out.line(JSON.stringify({ [done]: succeeded, failed }, undefined, 2));
  else {
    const good = `${succeeded.length} ${done}`;
    const bad = `${failed.length} failed`;
    const painted = [
      succeeded.length > 0 ? out.paint("green", good) : good,
      failed.length > 0 ? out.paint("red", bad) : bad,
    ];
    out.line(painted.join(", "));
  }
  return failed.length === 0 ? 0 : 1;
}
