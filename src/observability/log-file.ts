import { type FileHandle, open } from "node:fs/promises";
import { stripVTControlCharacters } from "node:util";

/** A log on disk. Lines are written in order and without colours, many at once where they come fast. */

export interface LogFileOptions {
  /** Told once, when the file cannot be written any more. */
  onFailure(error: Error): void;
  /** Where lines go from then on, those included that had not been written. */
  instead(text: string): Promise<void> | undefined;
}

// In UTF-16 units. More is not taken from a source that can wait before what is here has been written.
const MAX_WAITING = 256 * 1024;
// What a line may hold of passwords and tokens is its owner's.
const MODE = 0o600;

export class LogFile {
  readonly path: string;
  readonly #handle: FileHandle;
  readonly #options: LogFileOptions;
  #waiting: string[] = [];
  #waitingLength = 0;
  #writing: Promise<void> | undefined;
  #hasFailed = false;

  /** Makes the file. @throws {NodeJS.ErrnoException} where it exists (`EEXIST`), or its folder does not or cannot be written. */
  static async create(path: string, options: LogFileOptions): Promise<LogFile> {
    return new LogFile(path, await open(path, "wx", MODE), options);
  }

  constructor(path: string, handle: FileHandle, options: LogFileOptions) {
    this.path = path;
    this.#handle = handle;
    this.#options = options;
  }

  /** Takes whole lines, newlines included. @returns what a source that can wait waits for before it writes more. */
  write(lines: string): Promise<void> | undefined {
    // After those that are yet to be given back, so that their order stays.
    if (this.#hasFailed && this.#writing === undefined) return this.#options.instead(lines);
    const text = lines.includes("\x1b") ? stripVTControlCharacters(lines) : lines;
    this.#waiting.push(text);
    this.#waitingLength += text.length;
    this.#writing ??= this.#writeAll();
    return this.#waitingLength > MAX_WAITING ? this.#writing : undefined;
  }

  /** Resolves once everything has been written, and the file is closed. Nothing may be written after. */
  async close(): Promise<void> {
    await this.#writing;
    // What a file system says only now concerns lines that were written.
    await this.#handle.close().catch((error: unknown) => {
      if (!this.#hasFailed) this.#options.onFailure(error as Error);
    });
  }

  /** Never rejects. */
  async #writeAll(): Promise<void> {
    while (this.#waitingLength > 0) {
      const lines = this.#waiting;
      this.#waiting = [];
      this.#waitingLength = 0;
      await this.#writeTogether(lines);
    }
    this.#writing = undefined;
  }

  async #writeTogether(lines: readonly string[]): Promise<void> {
    if (this.#hasFailed) return this.#giveBack(lines);
    const bytes = Buffer.from(lines.join(""));
    let written = 0;
    try {
      while (written < bytes.length) written += (await this.#handle.write(bytes, written)).bytesWritten;
    } catch (error) {
      this.#hasFailed = true;
      this.#options.onFailure(error as Error);
      await this.#giveBack(notIn(lines, written));
    }
  }

  async #giveBack(lines: readonly string[]): Promise<void> {
    for (const line of lines) await this.#options.instead(line);
  }
}

/** The lines that are not, or not wholly, among the first `written` bytes. */
function notIn(lines: readonly string[], written: number): readonly string[] {
  let end = 0;
  const first = lines.findIndex((line) => {
    end += Buffer.byteLength(line);
    return end > written;
  });
  return first === -1 ? [] : lines.slice(first);
}
