import { SetupError } from "../core/errors.ts";

/** Something about the command line that the user can mend. */
export class CliError extends SetupError {
  override readonly name = "CliError";

  constructor(
    message: string,
    readonly exitCode = 1,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}
