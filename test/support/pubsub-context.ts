import type { Processes } from "../../src/components/contract/processes.ts";
import type { PubSubContext } from "../../src/components/contract/pubsub.ts";
import type { Borrowed, SharedPart, SharedParts } from "../../src/components/contract/shared-parts.ts";
import type { LogFields, Logger } from "../../src/core/logger.ts";
import { identityOf, mayBeAlive } from "../../src/runtime/registry/process-identity.ts";
import { systemClock } from "../../src/runtime/system-clock.ts";
import type { TestScope } from "./cleanup.ts";
import { anApp } from "./name-resolver-contract.ts";
import { freshHome } from "./outrigger.ts";

/** What a broker is given in tests, with what it said. */
export interface TestPubSubContext extends PubSubContext {
  readonly log: RecordingLog;
  readonly shared: CountedParts;
}

/** Real time, a home of the test's own where none is given, and a log to look into. */
export function pubSubContext(t: TestScope, given: Partial<PubSubContext> = {}): TestPubSubContext {
  return {
    app: anApp("shop"),
    name: "events",
    home: given.home ?? freshHome(t),
    processes: TEST_PROCESSES,
    clock: systemClock,
    ...given,
    shared: new CountedParts(),
    log: new RecordingLog(),
  };
}

/** As the kernel knows them. */
export const TEST_PROCESSES: Processes = { own: identityOf(process.pid), mayBeAlive };

export interface LogLine {
  readonly level: keyof Logger;
  readonly message: string;
  readonly fields: LogFields;
}

export class RecordingLog implements Logger {
  readonly lines: LogLine[] = [];
  debug = this.#recorder("debug");
  info = this.#recorder("info");
  warn = this.#recorder("warn");
  error = this.#recorder("error");

  /** All that was said so loud, or louder than debug where no level is named, each with its fields behind it. */
  texts(level?: keyof Logger): string[] {
    const heard = this.lines.filter((line) => (level === undefined ? line.level !== "debug" : line.level === level));
    return heard.map(({ message, fields }) => `${message} ${JSON.stringify(fields)}`);
  }

  #recorder(level: keyof Logger) {
    return (message: string, fields: LogFields = {}): void => {
      this.lines.push({ level, message, fields });
    };
  }
}

interface Counted {
  borrowers: number;
  readonly part: Promise<SharedPart>;
}

/** Parts as a process shares them. */
export class CountedParts implements SharedParts {
  readonly #parts = new Map<string, Counted>();

  /** Keys of the parts that somebody has. */
  get held(): readonly string[] {
    return [...this.#parts.keys()];
  }

  async borrow<Part extends SharedPart>(key: string, create: () => Promise<Part>): Promise<Borrowed<Part>> {
    const counted = this.#parts.get(key) ?? { borrowers: 0, part: create() };
    this.#parts.set(key, counted);
    counted.borrowers += 1;
    let isBack = false;
    const giveBack = async (): Promise<void> => {
      if (isBack) return;
      isBack = true;
      counted.borrowers -= 1;
      if (counted.borrowers > 0) return;
      if (this.#parts.get(key) === counted) this.#parts.delete(key);
      await (await counted.part).close();
    };
    try {
      return { part: (await counted.part) as Part, giveBack };
    } catch (error) {
      if (this.#parts.get(key) === counted) this.#parts.delete(key);
      throw error;
    }
  }
}
