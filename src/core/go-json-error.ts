/**
 * Why a text is not JSON, in the words of Go's `json.Decoder`: they are part of daprd's answers, and clients match on them.
 *
 * @param text UTF-8 of what is not JSON; looked at byte by byte, as Go does.
 */
export function goJsonError(text: Uint8Array): string {
  const scanner = new GoScanner();
  for (const byte of text) {
    const fault = scanner.take(byte);
    if (fault !== undefined) return fault;
  }
  return scanner.hasBegun ? "unexpected EOF" : "EOF";
}

/** Takes one byte and says how to go on, or what is wrong with it. */
type Step = (char: string) => Step | Fault;

class Fault {
  constructor(readonly why: string) {}
}

type Place = "key" | "value" | "element";

// Go's encoding/json, maxNestingDepth.
const MAX_DEPTH = 10_000;

/** The grammar as a machine: what each state takes, and what Go says where something else comes. */
class GoScanner {
  hasBegun = false;
  /** Where in what objects and arrays we are. */
  readonly #open: Place[] = [];
  #step: Step;

  constructor() {
    this.#step = this.#beginValue;
  }

  take(byte: number): string | undefined {
    const char = String.fromCharCode(byte);
    if (!isSpace(char)) this.hasBegun = true;
    const next = this.#step(char);
    if (next instanceof Fault) return next.why;
    this.#step = next;
    return undefined;
  }

  readonly #beginValue: Step = (char) => {
    if (isSpace(char)) return this.#beginValue;
    switch (char) {
      case "{":
        return this.#enter("key", this.#beginKeyOrEnd);
      case "[":
        return this.#enter("element", this.#beginElementOrEnd);
      case '"':
        return this.#inString;
      case "-":
        return this.#negative;
      case "0":
        return this.#behindInteger;
      case "t":
        return this.#literal("true", 1);
      case "f":
        return this.#literal("false", 1);
      case "n":
        return this.#literal("null", 1);
      default:
        return isDigit(char) ? this.#integer : fault(char, "looking for beginning of value");
    }
  };

  readonly #beginElementOrEnd: Step = (char) => {
    if (isSpace(char)) return this.#beginElementOrEnd;
    return char === "]" ? this.#endValue(char) : this.#beginValue(char);
  };

  readonly #beginKeyOrEnd: Step = (char) => {
    if (isSpace(char)) return this.#beginKeyOrEnd;
    if (char !== "}") return this.#beginKey(char);
    this.#place("value");
    return this.#endValue(char);
  };

  readonly #beginKey: Step = (char) => {
    if (isSpace(char)) return this.#beginKey;
    return char === '"' ? this.#inString : fault(char, "looking for beginning of object key string");
  };

  readonly #inString: Step = (char) => {
    if (char === '"') return this.#endValue;
    if (char === "\\") return this.#inEscape;
    return char < " " ? fault(char, "in string literal") : this.#inString;
  };

  readonly #inEscape: Step = (char) => {
    if (char === "u") return this.#hexDigits(4);
    return 'bfnrt\\/"'.includes(char) ? this.#inString : fault(char, "in string escape code");
  };

  #hexDigits(left: number): Step {
    if (left === 0) return this.#inString;
    return (char) =>
      /[0-9A-Fa-f]/.test(char) ? this.#hexDigits(left - 1) : fault(char, "in \\u hexadecimal character escape");
  }

  readonly #negative: Step = (char) => {
    if (char === "0") return this.#behindInteger;
    return isDigit(char) ? this.#integer : fault(char, "in numeric literal");
  };

  readonly #integer: Step = (char) => (isDigit(char) ? this.#integer : this.#behindInteger(char));

  readonly #behindInteger: Step = (char) => {
    if (char === ".") return this.#beginFraction;
    return char === "e" || char === "E" ? this.#beginExponent : this.#endValue(char);
  };

  readonly #beginFraction: Step = (char) =>
    isDigit(char) ? this.#fraction : fault(char, "after decimal point in numeric literal");

  readonly #fraction: Step = (char) => {
    if (isDigit(char)) return this.#fraction;
    return char === "e" || char === "E" ? this.#beginExponent : this.#endValue(char);
  };

  readonly #beginExponent: Step = (char) =>
    char === "+" || char === "-" ? this.#beginDigits : this.#beginDigits(char);

  readonly #beginDigits: Step = (char) =>
    isDigit(char) ? this.#digits : fault(char, "in exponent of numeric literal");

  readonly #digits: Step = (char) => (isDigit(char) ? this.#digits : this.#endValue(char));

  #literal(word: string, at: number): Step {
    const expected = word[at];
    if (expected === undefined) return this.#endValue;
    return (char) =>
      char === expected ? this.#literal(word, at + 1) : fault(char, `in literal ${word} (expecting '${expected}')`);
  }

  readonly #endValue: Step = (char) => {
    const place = this.#open.at(-1);
    if (place === undefined) return this.#endTop(char);
    if (isSpace(char)) return this.#endValue;
    switch (place) {
      case "key":
        if (char !== ":") return fault(char, "after object key");
        this.#place("value");
        return this.#beginValue;
      case "value":
        if (char === "}") return this.#leave();
        if (char !== ",") return fault(char, "after object key:value pair");
        this.#place("key");
        return this.#beginKey;
      case "element":
        if (char === "]") return this.#leave();
        return char === "," ? this.#beginValue : fault(char, "after array element");
    }
  };

  readonly #endTop: Step = (char) => (isSpace(char) ? this.#endTop : fault(char, "after top-level value"));

  #enter(place: Place, step: Step): Step | Fault {
    this.#open.push(place);
    return this.#open.length > MAX_DEPTH ? new Fault("exceeded max depth") : step;
  }

  #leave(): Step {
    this.#open.pop();
    return this.#open.length === 0 ? this.#endTop : this.#endValue;
  }

  #place(place: Place): void {
    this.#open[this.#open.length - 1] = place;
  }
}

function fault(char: string, where: string): Fault {
  return new Fault(`invalid character ${quoted(char)} ${where}`);
}

/** As Go prints a byte. */
function quoted(char: string): string {
  const code = char.charCodeAt(0);
  if (char === "'") return "'\\''";
  if (char === '"') return "'\"'";
  if (char === "\\") return "'\\\\'";
  const short = { "\u0007": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v" }[char];
  if (short !== undefined) return `'${short}'`;
  if (code < 0x20 || code === 0x7f) return `'\\x${hex(code, 2)}'`;
  // What Go's strconv.Quote takes for unprintable in Latin-1: control characters, the no-break space, the soft hyphen.
  const isHidden = (code >= 0x80 && code <= 0xa0) || code === 0xad;
  return isHidden ? `'\\u${hex(code, 4)}'` : `'${char}'`;
}

function hex(code: number, digits: number): string {
  return code.toString(16).padStart(digits, "0");
}

function isSpace(char: string): boolean {
  return char === " " || char === "\t" || char === "\n" || char === "\r";
}

function isDigit(char: string): boolean {
  return char >= "0" && char <= "9";
}
