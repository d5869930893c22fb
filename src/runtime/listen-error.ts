import { SetupError } from "../core/errors.ts";

/** A port that cannot be had, in one line that says which and what to do. */
export class ListenError extends SetupError {
  override readonly name = "ListenError";

  constructor(
    what: { readonly purpose: string; readonly host: string; readonly port: number; readonly flag: string },
    cause: unknown,
  ) {
    const { purpose, host, port, flag } = what;
    super(`cannot listen on ${host}:${port} for the ${purpose}: ${reasonOf(cause, flag)}`, { cause });
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
