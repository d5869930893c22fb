import { accessSync, constants, existsSync, mkdirSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, isAbsolute, join } from "node:path";
import { SetupError } from "../core/errors.ts";

const SYSTEM_HOME = "/var/lib/outrigger";

/**
 * The directory that holds the registry, brokers, grants and certificates: `$OUTRIGGER_HOME`, else `~/.outrigger`, else
 * /var/lib/outrigger. Created with mode 0700.
 *
 * @throws {SetupError} naming the directory and what to do, where it cannot be made or written.
 */
export function openHome(env: NodeJS.ProcessEnv): string {
  const home = locateHome(env);
  try {
    makeFolder(home);
    accessSync(home, constants.R_OK | constants.W_OK | constants.X_OK);
    return home;
  } catch (cause) {
    const why = (cause as Error).message;
    throw new SetupError(`cannot use ${home} as Outrigger's home: ${why}; set OUTRIGGER_HOME to a writable directory`, {
      cause,
    });
  }
}

/** Not by `recursive`, which tries for ever where a folder that is there answers ENOENT, as /proc does (Node 20). */
function makeFolder(path: string): void {
  const parent = dirname(path);
  if (!existsSync(parent)) makeFolder(parent);
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    // Another process may have made it a moment ago.
    if (!statSync(path, { throwIfNoEntry: false })?.isDirectory()) throw error;
  }
}

function locateHome(env: NodeJS.ProcessEnv): string {
  const named = env["OUTRIGGER_HOME"];
  if (named !== undefined && named !== "") {
    if (isAbsolute(named)) return named;
    throw new SetupError(
      `OUTRIGGER_HOME is "${named}"; give it as an absolute path, since processes in other directories share it`,
    );
  }
  const user = env["HOME"] ?? homedir();
  return user === "" || user === "/" ? SYSTEM_HOME : join(user, ".outrigger");
}
