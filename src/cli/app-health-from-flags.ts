import { LONGEST_TIMER_MS } from "../core/clock.ts";
import type { AppHealthSettings } from "../runtime/sidecar-settings.ts";
import { CliError } from "./cli-error.ts";
import type { FlagValues } from "./flag-values.ts";

const MAX_INTERVAL_SECONDS = Math.floor(LONGEST_TIMER_MS / 1000);

/** `--enable-app-health-check` and its flags; undefined where it is not given. @throws {CliError} */
export function appHealthFrom(flags: FlagValues): AppHealthSettings | undefined {
  if (!flags.switch("enable-app-health-check")) return undefined;
  const seconds = flags.positive("app-health-probe-interval");
  if (seconds > MAX_INTERVAL_SECONDS) {
    throw new CliError(`--app-health-probe-interval is ${seconds}; give at most ${MAX_INTERVAL_SECONDS} seconds`);
  }
  const timeoutMs = flags.positive("app-health-probe-timeout");
  if (timeoutMs > seconds * 1000) {
    throw new CliError(
      `--app-health-probe-timeout is ${timeoutMs} ms, longer than the ${seconds} s of --app-health-probe-interval; give a timeout that ends before the next probe`,
    );
  }
  return {
    path: pathFrom(flags.text("app-health-check-path") ?? ""),
    intervalMs: seconds * 1000,
    timeoutMs,
    threshold: flags.positive("app-health-threshold"),
  };
}

/** With the leading slash that people leave out, and nothing in it that a request line cannot carry. */
function pathFrom(text: string): string {
  const path = text.startsWith("/") ? text : `/${text}`;
  if (!/^[\x21-\x7e]+$/.test(path) || path.includes("#")) {
    throw new CliError(
      `--app-health-check-path is ${JSON.stringify(text)}; give a path as a request has it, with %20 for a space`,
    );
  }
  return path;
}
