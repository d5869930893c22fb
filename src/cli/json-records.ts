import { SetupError } from "../core/errors.ts";
import type { Logger } from "../core/logger.ts";
import { createLogger, type LogScope } from "../observability/log.ts";
import { outriggerVersion } from "../runtime/version.ts";
import { CliError } from "./cli-error.ts";
import { FlagValues, type TypedFlags } from "./flag-values.ts";
import type { Terminal } from "./terminal.ts";

/** What is shown without --log-as-json, as log records. Not for `--log-level` to thin out: it is no log without the flag. */
export function jsonRecords(to: Pick<Terminal, "write">, scope: LogScope = "outrigger", appId?: string): Logger {
  const write = (line: string): void => {
    to.write(line);
  };
  return createLogger({
    ...{ level: "info", json: true, colour: false, dated: true },
    version: outriggerVersion(),
    scope,
    appId,
    write,
  });
}

/**
 * Runs the command; where it cannot start and --log-as-json was given, the one line that says why is a record too.
 *
 * @returns the exit code.
 */
export async function tellingMistakesAsAsked(
  typed: TypedFlags,
  err: Terminal,
  command: () => Promise<number>,
): Promise<number> {
  const asJson = new FlagValues({ "log-as-json": typed["log-as-json"] ?? [] }).switch("log-as-json");
  try {
    return await command();
  } catch (error) {
    if (!asJson || !(error instanceof SetupError)) throw error;
    jsonRecords(err).error(error.message);
    return error instanceof CliError ? error.exitCode : 1;
  }
}
