/** Node's own HTTP parser, driven directly: what our codec is compared with. */

export interface ParsedMessage {
  /** Of a request. */
  readonly method: string;
  /** Of a request: the target. */
  readonly target: string;
  /** Of an answer. */
  readonly status: number;
  readonly version: string;
  readonly headers: readonly string[];
  body: string;
  isComplete: boolean;
}

export interface Parsed {
  readonly messages: readonly ParsedMessage[];
  /** The parser refused what came after the last message, or in its middle. */
  readonly refused: boolean;
}

type OnHeadersComplete = (
  major: number,
  minor: number,
  headers: string[] | undefined,
  method: number,
  url: string | undefined,
  status: number | undefined,
) => number;

interface Parser {
  [callback: number]: unknown;
  initialize(type: number, resource: object, maxHeaderBytes: number, lenient: number): void;
  execute(bytes: Buffer): number | Error;
  finish(): unknown;
  /** Without it the parser is never freed. */
  close(): void;
}

interface ParserClass {
  new (): Parser;
  readonly REQUEST: number;
  readonly RESPONSE: number;
  readonly kOnHeaders: number;
  readonly kOnHeadersComplete: number;
  readonly kOnBody: number;
  readonly kOnMessageComplete: number;
}

// There is no other way to it; the warning says that there may be none in some later version.
process.noDeprecation = true;
const binding = (process as unknown as { binding(name: string): unknown }).binding("http_parser") as {
  readonly HTTPParser: ParserClass;
  readonly methods: readonly string[];
};
const { HTTPParser, methods } = binding;
// Which methods a number means; Node 22 has a second list, with more of them.
const allMethods = (binding as { allMethods?: readonly string[] }).allMethods ?? methods;
const SKIP_BODY = 1;

export function parseRequests(pieces: readonly Buffer[]): Parsed {
  return parse(HTTPParser.REQUEST, pieces, () => false);
}

/** @param toHead the request was HEAD: the answer has no body. */
export function parseAnswers(pieces: readonly Buffer[], toHead: boolean): Parsed {
  return parse(HTTPParser.RESPONSE, pieces, (status) => toHead && status >= 200);
}

function parse(type: number, pieces: readonly Buffer[], skipsBody: (status: number) => boolean): Parsed {
  const messages: ParsedMessage[] = [];
  let early: string[] = [];
  let earlyUrl = "";
  const parser = new HTTPParser();
  parser.initialize(type, {}, 64 * 1024, 0);
  parser[HTTPParser.kOnHeaders] = (headers: string[], url: string) => {
    early.push(...headers);
    earlyUrl += url;
  };
  parser[HTTPParser.kOnHeadersComplete] = ((major, minor, headers, method, url, code) => {
    const target = earlyUrl + (url ?? "");
    const all = [...early, ...(headers ?? [])];
    early = [];
    earlyUrl = "";
    const version = `${major}.${minor}`;
    const status = code ?? 0;
    messages.push({
      ...{ method: allMethods[method] ?? "", target, status, version },
      ...{ headers: all, body: "", isComplete: false },
    });
    return skipsBody(status) ? SKIP_BODY : 0;
  }) satisfies OnHeadersComplete;
  parser[HTTPParser.kOnBody] = (bytes: Buffer) => {
    const last = messages.at(-1);
    if (last !== undefined) last.body += bytes.toString("latin1");
  };
  parser[HTTPParser.kOnMessageComplete] = () => {
    const last = messages.at(-1);
    if (last !== undefined) last.isComplete = true;
    // Trailers of this message must not be taken for headers of the next.
    early = [];
    earlyUrl = "";
  };
  try {
    for (const piece of pieces) {
      const result = parser.execute(piece);
      if (typeof result !== "number" || result < piece.length) return { messages, refused: true };
    }
    return { messages, refused: parser.finish() instanceof Error };
  } finally {
    parser.close();
  }
}
