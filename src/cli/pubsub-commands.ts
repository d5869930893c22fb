import type { Command } from "commander";
import type { DlqListOptions } from "./commands/dlq-list.ts";
import type { DlqShowOptions } from "./commands/dlq-show.ts";
import type { DlqReplayOptions, DlqWorkOptions } from "./commands/dlq-work.ts";
import type { PublishOptions } from "./commands/publish.ts";
import type { CommandContext } from "./prepare-app.ts";

/**
 * Gives `outrigger` the commands about events.
 *
 * @param ended told the exit code of the command that has run.
 */
export function addPubSubCommands(
  outrigger: Command,
  context: CommandContext,
  ended: (exitCode: number) => void,
): void {
  addPublish(outrigger, context, ended);
  const dlq = outrigger
    .command("dlq")
    .description("Look at dead letters: events that an app could not take. Publish them again, or remove them.")
    .addHelpText("after", DLQ_EXAMPLES);
  withPlace(dlq.command("list"))
    .description("Show the dead letter topics of the apps that run, or with --topic the events in one.")
    .option("--limit <count>", "how many events, 1000 at most; the oldest come first", "100")
    .option("--json", "as JSON, for scripts", false)
    .addHelpText("after", LIST_EXAMPLES)
    .action(async (options: DlqListOptions) => {
      const { listDeadLetters } = await import("./commands/dlq-list.ts");
      ended(await listDeadLetters(options, context));
    });
  withPlace(dlq.command("show"))
    .argument("<id>", "of the event, as list shows it")
    .description("Show all of one event: why it is here, its metadata, its data.")
    .option("--json", "as JSON, for scripts", false)
    .addHelpText("after", SHOW_EXAMPLES)
    .action(async (id: string, options: DlqShowOptions) => {
      const { showDeadLetter } = await import("./commands/dlq-show.ts");
      ended(await showDeadLetter(id, options, context));
    });
  withPlace(dlq.command("replay"))
    .argument("[id...]", "the events, as list shows them")
    .description("Publish events again to the topics that they come from, and remove them here.")
    .option("--all", "all that lie there now, the oldest first", false)
    .option("--to <topic>", "publish to this topic instead")
    .option("--json", "say what became of each as JSON, for scripts", false)
    .addHelpText("after", REPLAY_EXAMPLES)
    .action(async (ids: string[], options: DlqReplayOptions) => {
      const { replayDeadLetters } = await import("./commands/dlq-work.ts");
      ended(await replayDeadLetters(ids, options, context));
    });
  withPlace(dlq.command("remove"))
    .argument("[id...]", "the events, as list shows them")
    .description("Remove events for good.")
    .option("--all", "all that lie in one topic", false)
    .option("--json", "say what became of each as JSON, for scripts", false)
    .addHelpText("after", REMOVE_EXAMPLES)
    .action(async (ids: string[], options: DlqWorkOptions) => {
      const { removeDeadLetters } = await import("./commands/dlq-work.ts");
      ended(await removeDeadLetters(ids, options, context));
    });
}

function addPublish(outrigger: Command, context: CommandContext, ended: (exitCode: number) => void): void {
  outrigger
    .command("publish")
    .description("Publish an event as a running app, or see what would become of it.")
    .option("-i, --publish-app-id <id>", "the app to publish as")
    .option("-a, --app-id <id>", "the same")
    .option("-p, --pubsub <name>", "the pub/sub component; may be left out where the app has one alone")
    .requiredOption("-t, --topic <topic>", "the topic to publish to")
    .option("-d, --data <text>", "the event")
    .option("-f, --data-file <file>", "a file with the event; - for standard input")
    .option(
      "--content-type <type>",
      "of the event (default: application/json where it is JSON, text/plain where it is not)",
    )
    .option("-m, --metadata <json>", "what to say beside the event, as a JSON object")
    .option(
      "-u, --unix-domain-socket <directory>",
      "where the sidecar's sockets are, for one that is not in the registry",
    )
    .option(
      "--dry-run",
      "publish nothing; say which subscriptions of the app the event would match, and by which rule",
      false,
    )
    .option("--json", "answer in JSON, for scripts", false)
    .addHelpText("after", PUBLISH_EXAMPLES)
    .action(async (options: PublishOptions) => {
      const { publish } = await import("./commands/publish.ts");
      ended(await publish(options, context));
    });
}

function withPlace(command: Command): Command {
  return command
    .option("-a, --app-id <id>", "the app whose dead letters are meant; may be left out where one alone has any")
    .option("-p, --pubsub <name>", "the pub/sub component")
    .option("-t, --topic <topic>", "the dead letter topic");
}

const PUBLISH_EXAMPLES = `
Examples:
  $ outrigger publish --publish-app-id shop --topic orders --data '{"orderId": 7}'
  $ outrigger publish -i shop -p pubsub -t orders -f order.json --metadata '{"ttlInSeconds": "60"}'
  $ outrigger publish -i shop -t orders -d '{"orderId": 7}' --dry-run`;

const DLQ_EXAMPLES = `
Examples:
  $ outrigger dlq list
  $ outrigger dlq replay --all --topic orders-dead`;

const LIST_EXAMPLES = `
Examples:
  $ outrigger dlq list
  $ outrigger dlq list --app-id shop --topic orders-dead`;

const SHOW_EXAMPLES = `
Example:
  $ outrigger dlq show 42 --topic orders-dead`;

const REPLAY_EXAMPLES = `
An event is published first and removed then: where that is interrupted, it may be delivered twice.

Examples:
  $ outrigger dlq replay 42 43
  $ outrigger dlq replay --all --app-id shop --topic orders-dead`;

const REMOVE_EXAMPLES = `
Examples:
  $ outrigger dlq remove 42
  $ outrigger dlq remove --all --topic orders-dead`;
