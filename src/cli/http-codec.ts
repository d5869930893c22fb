import type { HttpCodec } from "../transport/http/http-listener.ts";
import { CliError } from "./cli-error.ts";

/**
 * `OUTRIGGER_HTTP_CODEC`: `lean` unless it says `node`, which has Node's own HTTP read and write every connection. It is
 * slower, and there to tell whether a fault is our codec's. @throws {CliError}
 */
export function httpCodecFrom(env: NodeJS.ProcessEnv): HttpCodec {
  const named = env["OUTRIGGER_HTTP_CODEC"];
  if (named === undefined || named === "" || named === "lean") return "lean";
  if (named === "node") return "node";
  throw new CliError(`OUTRIGGER_HTTP_CODEC is "${named}"; it may be lean or node`);
}
