import { visible } from "../core/go-json.ts";
import type { DryRunJson, TrialJson } from "../transport/http/routes/dry-run.ts";
import type { PubSubJson } from "../transport/http/routes/pubsub-overview.ts";
import type { SidecarApi } from "./sidecar-api.ts";
import { type Terminal, table } from "./terminal.ts";

interface Target {
  readonly api: SidecarApi;
  readonly pubsub: string;
  readonly topic: string;
}

/** Says for people what a dry run has found. @param answer of the sidecar, JSON. */
export async function showDryRun(answer: string, target: Target, out: Terminal): Promise<void> {
  const { event, subscriptions } = JSON.parse(answer) as DryRunJson;
  const { api, pubsub, topic } = target;
  out.line(`Nothing was published. ${titleOf(event)} on ${topic} of ${pubsub} would go to:`);
  for (const trial of subscriptions) showTrial(trial, out);
  if (subscriptions.length > 0) return;
  out.line("");
  out.line(`  ${out.paint("yellow", "○")} nobody here: ${api.appId} ${await otherTopics(target)}`);
}

function titleOf({ type, id }: DryRunJson["event"]): string {
  const ofType = typeof type === "string" ? ` of type ${visible(type)}` : "";
  const name = typeof id === "string" ? ` (id ${visible(id)})` : "";
  return `The event${ofType}${name}`;
}

async function otherTopics({ api, topic }: Target): Promise<string> {
  const { subscriptions } = (await api.askJson("GET", "/outrigger/v1/pubsub")) as PubSubJson;
  if (subscriptions.length === 0) return "is subscribed to nothing";
  const known = subscriptions.map(({ topic, pubsubname }) => `${visible(topic)} of ${pubsubname}`);
  return `is not subscribed to ${topic}; it is to: ${[...new Set(known)].join(", ")}`;
}

function showTrial(
  { description, path, why = "no rule matches", rules, deadLetterTopic }: TrialJson,
  out: Terminal,
): void {
  const dead = deadLetterTopic === undefined ? "" : `; dead letters go to ${visible(deadLetterTopic)}`;
  out.line("");
  if (path === undefined) out.line(`  ${out.paint("yellow", "○")} ${visible(description)}: ${visible(why)}${dead}`);
  else out.line(`  ${out.paint("green", "●")} ${visible(description)} ${out.paint("bold", `→ ${visible(path)}`)}`);
  if (rules.length === 0) return;
  // Whichever rule comes first and is true has the event.
  const winner = path === undefined ? -1 : rules.findIndex(({ value }) => value === "true");
  const rows = rules.map(({ match, path: to, value, error }, at) => {
    return [
      `    ${at + 1}`,
      visible(match),
      visible(to),
      at === winner ? "true, and the first" : outcome(value, error),
    ];
  });
  const paint = (cell: string, row: number, column: number): string => {
    if (row === winner) return out.paint("green", cell);
    return column === 3 && rules[row]?.error !== undefined ? out.paint("red", cell) : cell;
  };
  out.write(table(rows, { columns: out.columns, paint }));
}

function outcome(value: string | undefined, error: string | undefined): string {
  return error === undefined ? visible(value ?? "") : `error: ${visible(error)}`;
}
