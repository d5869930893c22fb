import net from "node:net";

/** An HTTP/1.1 client that changes nothing: a request goes onto the socket byte for byte, an answer is read as it came. */

export type HeaderPair = readonly [name: string, value: string];

export interface RawRequest {
  readonly method: string;
  /** The request target, unchecked. */
  readonly target: string;
  readonly headers: readonly HeaderPair[];
  /** As it is to stand on the wire: how it is framed is for the headers to say. */
  readonly body: string;
}

export interface RawAnswer {
  readonly status: number;
  readonly headers: readonly HeaderPair[];
  /** Without its framing. */
  readonly body: string;
}

/**
 * Sends one request on a connection of its own, and reads one answer.
 *
 * @throws where the connection ends before the answer does, and where bytes follow the answer.
 */
export function exchangeRaw(port: number, request: RawRequest): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    let received = "";
    const socket = net.connect({ host: "127.0.0.1", port });
    socket.setEncoding("latin1");
    socket.on("data", (text: string) => {
      received += text;
      try {
        const answer = parseAnswer(received, request.method);
        if (answer === undefined) return;
        resolve(answer);
        socket.destroy();
      } catch (error) {
        socket.destroy(error as Error);
      }
    });
    socket.once("error", reject);
    socket.once("close", () => {
      reject(new Error(`the connection ended within the answer:\n${received}`));
    });
    const lines = [`${request.method} ${request.target} HTTP/1.1`, ...request.headers.map((pair) => pair.join(": "))];
    socket.write(`${lines.join("\r\n")}\r\n\r\n${request.body}`, "latin1");
  });
}

/** Undefined while something is missing. */
function parseAnswer(received: string, method: string): RawAnswer | undefined {
  const end = received.indexOf("\r\n\r\n");
  if (end === -1) return undefined;
  const [statusLine = "", ...lines] = received.slice(0, end).split("\r\n");
  const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(statusLine)?.[1] ?? Number.NaN);
  if (Number.isNaN(status)) throw new Error(`not an HTTP/1.1 status line: ${statusLine}`);
  const headers = lines.map(parseHeader);
  const rest = received.slice(end + 4);
  const bodiless = method === "HEAD" || status === 204 || status === 304;
  const content = bodiless ? { body: "", bytes: 0 } : parseContent(rest, headers);
  if (content === undefined) return undefined;
  if (content.bytes !== rest.length) throw new Error(`bytes after the answer: ${rest.slice(content.bytes)}`);
  return { status, headers, body: content.body };
}

function parseHeader(line: string): HeaderPair {
  const [, name, value] = /^([^:\s]+): ?(.*)$/.exec(line) ?? [];
  if (name === undefined || value === undefined) throw new Error(`not a header: ${line}`);
  return [name, value];
}

/** A body, and how many bytes it takes on the wire. */
interface Content {
  readonly body: string;
  readonly bytes: number;
}

function parseContent(rest: string, headers: readonly HeaderPair[]): Content | undefined {
  const valueOf = (wanted: string): string | undefined => headers.find(([name]) => name.toLowerCase() === wanted)?.[1];
  if (valueOf("transfer-encoding") === "chunked") return parseChunks(rest);
  const bytes = Number(valueOf("content-length") ?? Number.NaN);
  if (Number.isNaN(bytes)) throw new Error("the answer has neither a length nor chunks");
  return rest.length < bytes ? undefined : { body: rest.slice(0, bytes), bytes };
}

function parseChunks(rest: string): Content | undefined {
  let body = "";
  for (let at = 0; ; ) {
    const [line, digits] = /^([0-9A-Fa-f]+)\r\n/.exec(rest.slice(at)) ?? [];
    if (line === undefined || digits === undefined) return undefined;
    const start = at + line.length;
    const end = start + Number.parseInt(digits, 16);
    at = end + 2;
    if (rest.length < at) return undefined;
    if (end === start) return { body, bytes: at };
    body += rest.slice(start, end);
  }
}
