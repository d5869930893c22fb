import { Writable } from "node:stream";
import { Terminal } from "../../src/cli/terminal.ts";

/** A terminal, or a pipe, that keeps what is written. */
export class CapturedTerminal {
  readonly terminal: Terminal;
  text = "";

  /** @param columns undefined for a pipe. */
  constructor(columns?: number) {
    const stream = new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        this.text += chunk.toString();
        done();
      },
    });
    const looks = Object.assign(stream, { isTTY: columns !== undefined, columns });
    this.terminal = new Terminal(looks as unknown as NodeJS.WriteStream, {});
  }
}
