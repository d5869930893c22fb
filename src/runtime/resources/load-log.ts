import type { LogFields, Logger } from "../../core/logger.ts";

/**
 * A log for one loading of resources: what was told in the loading before it, and still holds, is not told again. Once the
 * loading has ended, whoever kept the log is heard as ever.
 */
export class LoadLog implements Logger {
  readonly #log: Logger;
  readonly #before: ReadonlySet<string>;
  readonly #told = new Set<string>();
  #isLoading = true;

  /** @param before what {@link end} has given for the loading before. */
  constructor(log: Logger, before: ReadonlySet<string>) {
    this.#log = log;
    this.#before = before;
  }

  /** @param isWhole false where the loading broke off, and may not have come to all that is to be told. */
  end(isWhole: boolean): ReadonlySet<string> {
    this.#isLoading = false;
    return isWhole ? this.#told : new Set([...this.#before, ...this.#told]);
  }

  debug(message: string, fields?: LogFields): void {
    this.#log.debug(message, fields);
  }

  info(message: string, fields?: LogFields): void {
    this.#log.info(message, fields);
  }

  warn(message: string, fields?: LogFields): void {
    if (this.#isNew(message, fields)) this.#log.warn(message, fields);
  }

  error(message: string, fields?: LogFields): void {
    if (this.#isNew(message, fields)) this.#log.error(message, fields);
  }

  #isNew(message: string, fields: LogFields | undefined): boolean {
    if (!this.#isLoading) return true;
    const text = `${message} ${JSON.stringify(fields)}`;
    this.#told.add(text);
    return !this.#before.has(text);
  }
}
