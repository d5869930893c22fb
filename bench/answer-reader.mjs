// Reads HTTP/1.1 answers off a connection. It knows what the servers of this bench send and takes anything else for an
// error: a load generator that skips what it does not understand measures something else than it says.

const HEAD_END = Buffer.from("\r\n\r\n");
const MAX_HEAD_BYTES = 65_536;

const HEAD = 0;
const BODY = 1;
const CHUNK_LINE = 2;
const CHUNK_END = 3;
const TRAILER = 4;

export class AnswerReader {
  #consumer;
  #state = HEAD;
  #left = 0;
  #chunked = false;
  #head = undefined;
  #line = "";
  #status;

  /**
   * @param {{ body(buffer: Buffer, start: number, end: number): void, end(): void }} consumer may throw.
   * @param {200 | 204} status that every answer has; those with 204 have no body
   */
  constructor(consumer, status) {
    this.#consumer = consumer;
    this.#status = status;
  }

  /** @throws {Error} where this is an answer with another status. The buffer is the caller's again afterwards. */
  push(buffer) {
    let at = 0;
    while (at < buffer.length) at = this.#step(buffer, at);
  }

  #step(buffer, at) {
    switch (this.#state) {
      case HEAD:
        return this.#readHead(buffer, at);
      case BODY:
        return this.#readBody(buffer, at);
      default:
        return this.#readLine(buffer, at);
    }
  }

  #readHead(buffer, at) {
    let bytes = buffer;
    let start = at;
    if (this.#head !== undefined) {
      bytes = Buffer.concat([this.#head, buffer.subarray(at)]);
      start = 0;
    }
    const end = bytes.indexOf(HEAD_END, start);
    if (end < 0) {
      if (bytes.length - start > MAX_HEAD_BYTES) throw new Error("the head of an answer does not end");
      this.#head = Buffer.from(bytes.subarray(start));
      return buffer.length;
    }
    this.#begin(bytes.latin1Slice(start, end + 2));
    const taken = end + HEAD_END.length - start - (this.#head?.length ?? 0);
    this.#head = undefined;
    return at + taken;
  }

  #begin(head) {
    if (!head.startsWith(`HTTP/1.1 ${this.#status} `))
      throw new Error(`answered ${head.slice(0, head.indexOf("\r\n"))}`);
    if (this.#status === 204) {
      this.#end();
      return;
    }
    this.#chunked = /\r\ntransfer-encoding: *chunked *\r\n/i.test(head);
    if (this.#chunked) {
      this.#state = CHUNK_LINE;
      return;
    }
    const length = /\r\ncontent-length: *(\d+) *\r\n/i.exec(head);
    if (length === null) throw new Error("an answer says neither its length nor that it is chunked");
    this.#left = Number(length[1]);
    this.#state = BODY;
    if (this.#left === 0) this.#end();
  }

  #readBody(buffer, at) {
    const end = Math.min(buffer.length, at + this.#left);
    this.#left -= end - at;
    this.#consumer.body(buffer, at, end);
    if (this.#left === 0) {
      if (this.#chunked) this.#state = CHUNK_END;
      else this.#end();
    }
    return end;
  }

  /** A chunk's size, the line end behind its data, or a trailer. */
  #readLine(buffer, at) {
    const end = buffer.indexOf(10, at);
    if (end < 0) {
      this.#line += buffer.latin1Slice(at, buffer.length);
      if (this.#line.length > MAX_HEAD_BYTES) throw new Error("a line between chunks does not end");
      return buffer.length;
    }
    const line = (this.#line + buffer.latin1Slice(at, end)).trimEnd();
    this.#line = "";
    this.#takeLine(line);
    return end + 1;
  }

  #takeLine(line) {
    if (this.#state === TRAILER) {
      if (line === "") this.#end();
    } else if (this.#state === CHUNK_END) {
      if (line !== "") throw new Error("a chunk is longer than it says");
      this.#state = CHUNK_LINE;
    } else {
      if (!/^[0-9a-f]+$/i.test(line)) throw new Error(`"${line.slice(0, 20)}" is no chunk size`);
      this.#left = Number.parseInt(line, 16);
      this.#state = this.#left === 0 ? TRAILER : BODY;
    }
  }

  #end() {
    this.#state = HEAD;
    this.#consumer.end();
  }
}
