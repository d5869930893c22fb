import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { parseAnswers, type RawAnswer } from "./raw-http.ts";

// Generous: it bounds a hang, it never decides whether a test passes.
const PATIENCE_S = "60";

/** Runs curl to its end. @returns what it printed; fails where it does. */
export async function curl(...args: readonly string[]): Promise<string> {
  const { stdout } = await promisify(execFile)("curl", ["--silent", "--show-error", "--max-time", PATIENCE_S, ...args]);
  return stdout;
}

/** The one answer to a call of curl's that is spoken over HTTP/1.1. */
export async function curlAnswer(...args: readonly string[]): Promise<RawAnswer> {
  const [answer] = parseAnswers(await curl("--include", ...args));
  if (answer === undefined) throw new Error(`curl printed no answer to ${args.join(" ")}`);
  return answer;
}
