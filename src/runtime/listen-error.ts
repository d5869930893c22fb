import { SetupError } from "../core/errors.ts";
import { hostInUrl } from "../transport/host-in-url.ts";

/** A port that cannot be had, in one line that says which and what to do. */
export class ListenError extends SetupError {
  override readonly name = "ListenError";

  constructor(
    what: { readonly purpose: string; readonly host: string; readonly port: number; readonly flag: string },
    cause: unknown,
  ) {
    const { purpose, host, port, flag } = what;
    super(`cannot listen on ${hostInUrl(host)}:${port} for the ${purpose}: ${reasonOf(cause, flag)}`, { cause });
  }
}

/** The same of a Unix socket. */
export class SocketListenError extends SetupError {
  override readonly name = "SocketListenError";

  constructor(what: { readonly purpose: string; readonly path: string }, cause: unknown) {
    const { purpose, path } = what;
    const advice = "choose another directory with --unix-domain-socket";
    super(`cannot listen on ${path} for the ${purpose}: ${socketReasonOf(cause)}; ${advice}`, { cause });
  }
}

function reasonOf(cause: unknown, flag: string): string {
  switch ((cause as NodeJS.ErrnoException).code) {
    case "EADDRINUSE":
      return `the port is in use; end the process that has it, or choose another with ${flag}`;
    case "EACCES":
      return `this user may not use the port; choose one above 1023 with ${flag}`;
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
      return "this host has no such address";
    default:
      return (cause as Error).message;
  }
}

function socketReasonOf(cause: unknown): string {
  switch ((cause as NodeJS.ErrnoException).code) {
    case "EACCES":
    case "EPERM":
    case "EROFS":
      return "this user may not make files there";
    case "ENOTDIR":
    case "EEXIST":
      return "what should be its directory is a file";
    default:
      return (cause as Error).message;
  }
}
