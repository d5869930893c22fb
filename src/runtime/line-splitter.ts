import { StringDecoder } from "node:string_decoder";

/** In UTF-16 units. A line that is longer is given out in pieces, so that nobody's memory depends on a newline to come. */
export const MAX_LINE = 65_536;

const LINE_END = /\r\n|\n|\r/g;

/** Cuts a stream of bytes, UTF-8 in all likelihood, into lines. `\n`, `\r\n` and `\r` end one. */
export class LineSplitter {
  readonly #decoder = new StringDecoder("utf8");
  #rest = "";
  /** The last chunk ended in `\r`: a `\n` that comes now is of the same line end. */
  #afterReturn = false;

  /** The lines that end in this chunk, and pieces of one that is too long. */
  push(chunk: Buffer): string[] {
    let text = this.#decoder.write(chunk);
    if (text === "") return [];
    if (this.#afterReturn && text.startsWith("\n")) text = text.slice(1);
    this.#afterReturn = text.endsWith("\r");
    const [first = "", ...others] = text.split(LINE_END);
    const lines = [this.#rest + first, ...others];
    this.#rest = lines.pop() ?? "";
    const whole = lines.flatMap(pieces);
    const [rest = "", ...before] = pieces(this.#rest).reverse();
    this.#rest = rest;
    return [...whole, ...before.reverse()];
  }

  /** What is left once the stream has ended. */
  end(): string[] {
    const rest = this.#rest + this.#decoder.end();
    this.#rest = "";
    return rest === "" ? [] : pieces(rest);
  }
}

function pieces(line: string): string[] {
  if (line.length <= MAX_LINE) return [line];
  const found: string[] = [];
  for (let start = 0; start < line.length; ) {
    let end = start + MAX_LINE;
    // Not between the halves of a character.
    if (isHighSurrogate(line.charCodeAt(end - 1))) end--;
    found.push(line.slice(start, end));
    start = end;
  }
  return found;
}

function isHighSurrogate(unit: number): boolean {
  return unit >= 0xd8_00 && unit < 0xdc_00;
}
