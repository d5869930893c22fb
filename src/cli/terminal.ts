import { once } from "node:events";

/** What people see: colours where there is a terminal, none in files and pipes. */
export class Terminal {
  readonly colour: boolean;
  readonly isTerminal: boolean;
  readonly #out: NodeJS.WriteStream;
  #drained: Promise<void> | undefined;

  constructor(out: NodeJS.WriteStream, env: NodeJS.ProcessEnv) {
    this.#out = out;
    this.isTerminal = out.isTTY;
    // https://no-color.org and its counterpart, which children of a coloured parent are given.
    this.colour = (env["NO_COLOR"] ?? "") === "" && (out.isTTY || env["FORCE_COLOR"] === "1");
  }

  /** Undefined where lines may be as long as they like. */
  get columns(): number | undefined {
    return this.isTerminal ? this.#out.columns : undefined;
  }

  write(text: string): void {
    this.#out.write(text);
  }

  /** The same for a source that can wait. @returns what it waits for before it writes more; until then that is memory. */
  writePaced(text: string): Promise<void> | undefined {
    if (this.#out.write(text)) return undefined;
    this.#drained ??= this.#untilDrained();
    return this.#drained;
  }

  /** Where bytes go that are passed on as they are. */
  sink(): NodeJS.WritableStream {
    return this.#out;
  }

  line(text: string): void {
    this.#out.write(`${text}\n`);
  }

  /** A reader that has left takes nothing any more, and nobody waits for it. */
  async #untilDrained(): Promise<void> {
    const settled = new AbortController();
    const { signal } = settled;
    await Promise.race(["drain", "error", "close"].map((event) => once(this.#out, event, { signal }).catch(() => [])));
    settled.abort();
    this.#drained = undefined;
  }

  paint(style: Style, text: string): string {
    return this.colour ? `\x1b[${String(STYLES[style])}m${text}\x1b[0m` : text;
  }

  /** The same colour for the same name, so that the lines of one app are seen as one. */
  paintName(name: string, position: number): string {
    return this.colour ? `\x1b[${String(NAME_COLOURS[position % NAME_COLOURS.length])}m${name}\x1b[0m` : name;
  }
}

const STYLES = { bold: 1, dim: 90, red: 31, green: 32, yellow: 33, cyan: 36 } as const;
type Style = keyof typeof STYLES;

// Readable on light and dark backgrounds, and none that the story uses for a status.
const NAME_COLOURS = [36, 35, 34, 96, 95, 94];

export interface TableOptions {
  /** What is longer is cut, so that a row stays a line. */
  readonly columns?: number | undefined;
  /** Gives a cell its colour; it has its width by then. */
  readonly paint?: (cell: string, row: number, column: number) => string;
}

const GAP = "  ";
// Less of a last column says nothing, and is better wrapped.
const MIN_LAST = 12;

/** Columns padded to their widest cell; the last one is left as it is, or cut where the line would be too long. */
export function table(rows: readonly (readonly string[])[], options: TableOptions = {}): string {
  const { columns = Infinity, paint = (cell: string): string => cell } = options;
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const before = widths.slice(0, -1).reduce((sum, width) => sum + width + GAP.length, 0);
  const forLast = Math.max(columns - before, MIN_LAST);
  const lines = rows.map((row, index) =>
    row
      .map((cell, column) => {
        const isLast = column === row.length - 1;
        return paint(isLast ? cut(cell, forLast) : cell.padEnd(widths[column] ?? 0), index, column);
      })
      .join(GAP),
  );
  return lines.map((line) => `${line.trimEnd()}\n`).join("");
}

function cut(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length - 1)}…`;
}
