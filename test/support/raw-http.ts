import { once } from "node:events";
import net from "node:net";
import type { TestScope } from "./cleanup.ts";

// Generous: it bounds a hang, it never decides whether a test passes.
const PATIENCE_MS = 30_000;

/** HTTP by hand: bytes out, bytes in, for what no HTTP client would send. Text is latin1, one character for each byte. */
export class RawConnection {
  #received = "";
  readonly #socket: net.Socket;

  private constructor(socket: net.Socket) {
    this.#socket = socket;
    socket.on("data", (chunk) => {
      this.#received += chunk.toString("latin1");
    });
    // A reset is one of the ways to be refused; `close` follows it.
    socket.on("error", () => undefined);
  }

  /** @param place a port on loopback, or the path of a Unix socket. */
  static async open(t: TestScope, place: number | string): Promise<RawConnection> {
    const socket = net.connect(typeof place === "string" ? { path: place } : { host: "127.0.0.1", port: place });
    t.after(() => {
      socket.destroy();
    });
    await once(socket, "connect");
    return new RawConnection(socket);
  }

  get received(): string {
    return this.#received;
  }

  write(text: string): void {
    this.#socket.write(text, "latin1");
  }

  /** Sends no more, and goes on reading. */
  end(): void {
    this.#socket.end();
  }

  /** Reads no further until {@link resume}, as a slow client does. */
  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  /** Waits until what has been received matches. Fails at once where the far side closes first. */
  async waitForText(pattern: RegExp): Promise<void> {
    await this.waitUntil(String(pattern), () => pattern.test(this.#received));
    if (!pattern.test(this.#received)) {
      throw new Error(`closed before ${String(pattern)} came; received:\n${this.#received.slice(0, 2000)}`);
    }
  }

  /** Waits until the far side has closed the connection. @returns all that it sent. */
  async waitForClose(): Promise<string> {
    await this.waitUntil("the far side to close the connection", () => false);
    return this.#received;
  }

  /** Waits until `look` says so or the connection is closed; asks again whenever something arrives. */
  waitUntil(what: string, look: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (failure?: Error): void => {
        clearTimeout(timer);
        this.#socket.off("data", ask).off("close", ask);
        if (failure === undefined) resolve();
        else reject(failure);
      };
      const ask = (): void => {
        if (this.#socket.closed || look()) settle();
      };
      const timer = setTimeout(() => {
        settle(new Error(`gave up waiting for ${what}; received:\n${this.#received.slice(0, 2000)}`));
      }, PATIENCE_MS);
      this.#socket.on("data", ask).on("close", ask);
      ask();
    });
  }
}

export interface RawAnswer {
  readonly status: number;
  /** Names in lower case; of repeated ones the last. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Sends `request`. @returns every answer, once the far side has closed the connection; fails where it stays open. */
export async function answersUntilClosed(t: TestScope, place: number | string, request: string): Promise<RawAnswer[]> {
  const connection = await RawConnection.open(t, place);
  connection.write(request);
  return parseAnswers(await connection.waitForClose());
}

/** Sends `request`, which is to be kept alive. @returns the first `count` answers. */
export async function firstAnswers(
  t: TestScope,
  place: number | string,
  request: string,
  count: number,
): Promise<RawAnswer[]> {
  const connection = await RawConnection.open(t, place);
  connection.write(request);
  await connection.waitUntil(`${count} answers`, () => parseAnswers(connection.received).length >= count);
  connection.destroy();
  return parseAnswers(connection.received);
}

/** The complete answers in `text`. Throws for anything that is not the beginning of one. */
export function parseAnswers(text: string): RawAnswer[] {
  const answers: RawAnswer[] = [];
  let rest = text;
  for (;;) {
    const end = rest.indexOf("\r\n\r\n");
    if (end === -1) return answers;
    const [statusLine = "", ...lines] = rest.slice(0, end).split("\r\n");
    const status = /^HTTP\/1\.1 (\d{3}) /.exec(`${statusLine} `)?.[1];
    if (status === undefined) throw new Error(`not an HTTP answer: ${JSON.stringify(rest.slice(0, 200))}`);
    const headers = Object.fromEntries(lines.map(pairOf));
    const body = bodyOf(rest.slice(end + 4), Number(status), headers);
    if (body === undefined) return answers;
    answers.push({ status: Number(status), headers, body: body.text });
    rest = body.rest;
  }
}

function pairOf(line: string): [name: string, value: string] {
  const colon = line.indexOf(":");
  return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
}

/** Undefined where it has not arrived to its end. */
function bodyOf(
  text: string,
  status: number,
  headers: Readonly<Record<string, string>>,
): { text: string; rest: string } | undefined {
  if (status < 200 || status === 204 || status === 304) return { text: "", rest: text };
  if (headers["transfer-encoding"] === "chunked") return chunkedBody(text);
  const length = Number(headers["content-length"] ?? Number.POSITIVE_INFINITY);
  return text.length < length ? undefined : { text: text.slice(0, length), rest: text.slice(length) };
}

function chunkedBody(text: string): { text: string; rest: string } | undefined {
  let body = "";
  let rest = text;
  for (;;) {
    const size = /^([0-9a-f]+)\r\n/i.exec(rest);
    if (size === null) return undefined;
    const start = size[0].length;
    const end = start + Number.parseInt(size[1] ?? "", 16);
    if (rest.slice(end, end + 2) !== "\r\n") return undefined;
    if (start === end) return { text: body, rest: rest.slice(end + 2) };
    body += rest.slice(start, end);
    rest = rest.slice(end + 2);
  }
}
