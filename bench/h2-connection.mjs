// HTTP/2 (RFC 9113) as far as the bench speaks it: the frames of one connection on a socket, for the app and for the load
// generator. node:http2 takes several times what nginx takes for a call; at either end it would be what is measured.
import { HeaderWriter } from "./hpack.mjs";

const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
const HEAD_BYTES = 9;
const NOTHING = Buffer.alloc(0);

const DATA = 0;
const HEADERS = 1;
const RST_STREAM = 3;
const SETTINGS = 4;
const PING = 6;
const GOAWAY = 7;
const WINDOW_UPDATE = 8;

const ACK = 0x1;
const END_STREAM = 0x1;
const END_HEADERS = 0x4;
const PADDED = 0x8;

const HEADER_TABLE_SIZE = 1;
const ENABLE_PUSH = 2;
const INITIAL_WINDOW_SIZE = 4;

// What every peer takes without having said so.
const LARGEST_FRAME = 16_384;
const USUAL_WINDOW = 65_535;
const USUAL_TABLE = 4096;
// Written at once; beyond it, only when the socket has taken it.
const OUTPUT_AT_ONCE = 64 * 1024;

/**
 * @typedef {object} Handler
 * @property {(id: number, data: Buffer, start: number, end: number) => void} data
 * @property {(id: number) => void} end the other side has said all it has to say on the stream
 * @property {(id: number, code: number) => void} reset
 * @property {(error: Error) => void} failed the connection is gone, or about to
 */
export class H2Connection {
  #socket;
  #handler;
  #isServer;
  #ownWindow;
  #streams = new Map();
  #sending = new Set();
  #writer = new HeaderWriter();
  #unread = NOTHING;
  #sawPreface;
  #window = USUAL_WINDOW;
  #firstWindow = USUAL_WINDOW;
  #received = 0;
  #output = [];
  #outputBytes = 0;
  #willFlush = false;
  #grants = true;
  #dataSent = 0;

  /**
   * @param {import("node:net").Socket} socket
   * @param {Handler} handler
   * @param {{ isServer: boolean, window: number }} options `window` is what each stream, and all together at least, may send us
   *   before we grant more: bytes
   */
  constructor(socket, handler, { isServer, window }) {
    this.#socket = socket;
    this.#handler = handler;
    this.#isServer = isServer;
    this.#ownWindow = window;
    this.#sawPreface = !isServer;
    socket.setNoDelay(true);
    socket.on("data", (chunk) => this.#read(chunk));
    socket.on("drain", () => this.#flush());
    socket.on("error", (error) => handler.failed(error));
    socket.on("close", () => handler.failed(new Error("the other side closed a connection")));
    if (!isServer) this.#emit(PREFACE);
    const settings = [[INITIAL_WINDOW_SIZE, window], ...(isServer ? [] : [[ENABLE_PUSH, 0]])];
    this.#emit(frame(SETTINGS, 0, 0, Buffer.concat(settings.map(([name, value]) => setting(name, value)))));
    // Several streams together: what one of them is not granted must not hold the others.
    this.#emit(windowUpdate(0, 2 ** 30));
  }

  /** Bytes of DATA that went into the socket so far. */
  get dataSent() {
    return this.#dataSent;
  }

  /** @param {[string, string][]} fields the same array for the same fields: it is what a written block is remembered by */
  head(id, fields) {
    if (!this.#isServer) this.#open(id);
    const block = this.#writer.block(fields);
    this.#emit(frame(HEADERS, END_HEADERS, id, block));
  }

  /**
   * Sends `unit` so many times, each in a frame of its own where it fits, as fast as the other side takes them.
   *
   * @param {boolean | [string, string][]} end whether the stream ends with it; with which trailers
   */
  send(id, unit, times, end) {
    const stream = this.#streams.get(id);
    if (stream === undefined) return;
    if (stream.left > 0) throw new Error("a stream was to send before it had sent what it had");
    Object.assign(stream, { unit, left: times, at: 0, end });
    this.#sending.add(stream);
    this.#flushSoon();
  }

  /** From now on a stream may send no more than it was granted. */
  withhold() {
    this.#grants = false;
  }

  /** Lets all go on. */
  grant() {
    this.#grants = true;
    for (const stream of this.#streams.values()) this.#grantTo(stream, 1);
  }

  close() {
    const ignore = () => undefined;
    this.#handler = { data: ignore, end: ignore, reset: ignore, failed: ignore };
    this.#socket.destroy();
  }

  #open(id) {
    const stream = { id, window: this.#firstWindow, received: 0, unit: NOTHING, left: 0, at: 0, end: false, open: 2 };
    this.#streams.set(id, stream);
    return stream;
  }

  #read(chunk) {
    try {
      this.#readFrames(this.#unread.length === 0 ? chunk : Buffer.concat([this.#unread, chunk]));
    } catch (error) {
      this.#handler.failed(error);
      this.close();
      return;
    }
    this.#flush();
  }

  #readFrames(bytes) {
    let at = 0;
    if (!this.#sawPreface && bytes.length >= PREFACE.length) {
      if (!bytes.subarray(0, PREFACE.length).equals(PREFACE)) throw new Error("a caller does not speak HTTP/2");
      this.#sawPreface = true;
      at = PREFACE.length;
    }
    while (this.#sawPreface && bytes.length - at >= HEAD_BYTES) {
      const end = at + HEAD_BYTES + bytes.readUIntBE(at, 3);
      if (end > bytes.length) break;
      this.#frame(bytes, at, end);
      at = end;
    }
    this.#unread = bytes.subarray(at);
  }

  #frame(bytes, at, end) {
    const flags = bytes[at + 4];
    const id = bytes.readUInt32BE(at + 5);
    const start = at + HEAD_BYTES;
    switch (bytes[at + 3]) {
      case DATA:
        this.#tookData(id, flags, bytes, start, end);
        break;
      case HEADERS:
        // Those of the first block are not read; a second one on a stream of a client is trailers.
        if (this.#isServer && !this.#streams.has(id)) this.#open(id);
        if ((flags & END_STREAM) !== 0) this.#otherEnded(id);
        break;
      case RST_STREAM:
        this.#wasReset(id, bytes.readUInt32BE(start));
        break;
      case SETTINGS:
        if ((flags & ACK) === 0) this.#tookSettings(bytes, start, end);
        break;
      case PING:
        if ((flags & ACK) === 0) this.#emit(frame(PING, ACK, 0, bytes.subarray(start, end)));
        break;
      case WINDOW_UPDATE:
        this.#tookWindow(id, bytes.readUInt32BE(start));
        break;
      case GOAWAY:
        if (!this.#isServer) throw new Error(`the server sent GOAWAY with code ${bytes.readUInt32BE(start + 4)}`);
        break;
      default: // PRIORITY, CONTINUATION and what others may send: nothing here depends on it.
    }
  }

  #tookData(id, flags, bytes, start, end) {
    this.#received += end - start;
    if (this.#received >= this.#ownWindow / 2) {
      this.#emit(windowUpdate(0, this.#received));
      this.#received = 0;
    }
    const stream = this.#streams.get(id);
    if (stream === undefined) return;
    stream.received += end - start;
    const ended = (flags & END_STREAM) !== 0;
    if (this.#grants && !ended) this.#grantTo(stream, this.#ownWindow / 2);
    if ((flags & PADDED) === 0) this.#handler.data(id, bytes, start, end);
    else this.#handler.data(id, bytes, start + 1, end - bytes[start]);
    if (ended) this.#otherEnded(id);
  }

  #grantTo(stream, least) {
    if (stream.received < least) return;
    this.#emit(windowUpdate(stream.id, stream.received));
    stream.received = 0;
  }

  #otherEnded(id) {
    const stream = this.#streams.get(id);
    if (stream === undefined) return;
    this.#sideEnded(stream);
    this.#handler.end(id);
  }

  #sideEnded(stream) {
    stream.open--;
    if (stream.open === 0) this.#streams.delete(stream.id);
  }

  #wasReset(id, code) {
    const stream = this.#streams.get(id);
    if (stream === undefined) return;
    this.#streams.delete(id);
    this.#sending.delete(stream);
    this.#handler.reset(id, code);
  }

  #tookSettings(bytes, start, end) {
    for (let at = start; at < end; at += 6) {
      const name = bytes.readUInt16BE(at);
      const value = bytes.readUInt32BE(at + 2);
      if (name === HEADER_TABLE_SIZE && value < USUAL_TABLE) this.#writer.withoutTable();
      if (name === INITIAL_WINDOW_SIZE) {
        for (const stream of this.#streams.values()) stream.window += value - this.#firstWindow;
        this.#firstWindow = value;
      }
    }
    this.#emit(frame(SETTINGS, ACK, 0, NOTHING));
  }

  #tookWindow(id, bytes) {
    if (id === 0) this.#window += bytes;
    else if (this.#streams.has(id)) this.#streams.get(id).window += bytes;
  }

  /** A frame of each stream that may send, in turn, until the socket wants no more. */
  #pump() {
    let sent = true;
    while (sent && this.#outputBytes < OUTPUT_AT_ONCE) {
      sent = false;
      for (const stream of this.#sending) sent = this.#sendPiece(stream) || sent;
    }
  }

  #sendPiece(stream) {
    const { unit, at, id } = stream;
    const count = Math.min(unit.length - at, LARGEST_FRAME, stream.window, this.#window);
    if (count <= 0) return false;
    const isLast = stream.left === 1 && at + count === unit.length;
    this.#emit(frame(DATA, isLast && stream.end === true ? END_STREAM : 0, id, unit.subarray(at, at + count)));
    this.#dataSent += count;
    stream.window -= count;
    this.#window -= count;
    stream.at = at + count;
    if (stream.at === unit.length) {
      stream.at = 0;
      stream.left--;
    }
    if (isLast) this.#sentAll(stream);
    return true;
  }

  #sentAll(stream) {
    this.#sending.delete(stream);
    const { end, id } = stream;
    if (end === false) return;
    if (end !== true) this.#emit(frame(HEADERS, END_HEADERS | END_STREAM, id, this.#writer.block(end)));
    this.#sideEnded(stream);
  }

  /** Answers without a message, or ends what has sent all of its own. */
  end(id, trailers) {
    const stream = this.#streams.get(id);
    if (stream === undefined) return;
    stream.end = trailers;
    this.#sentAll(stream);
  }

  #emit(bytes) {
    this.#output.push(bytes);
    this.#outputBytes += bytes.length;
    this.#flushSoon();
  }

  #flushSoon() {
    if (this.#willFlush) return;
    this.#willFlush = true;
    queueMicrotask(() => this.#flush());
  }

  /** All that came of one read, or of one turn, in one write. */
  #flush() {
    this.#willFlush = true;
    while (!this.#socket.writableNeedDrain) {
      this.#pump();
      if (this.#outputBytes === 0) break;
      this.#socket.write(this.#output.length === 1 ? this.#output[0] : Buffer.concat(this.#output, this.#outputBytes));
      this.#output = [];
      this.#outputBytes = 0;
    }
    this.#willFlush = false;
  }
}

function frame(type, flags, id, payload) {
  const bytes = Buffer.allocUnsafe(HEAD_BYTES + payload.length);
  bytes.writeUIntBE(payload.length, 0, 3);
  bytes[3] = type;
  bytes[4] = flags;
  bytes.writeUInt32BE(id, 5);
  payload.copy(bytes, HEAD_BYTES);
  return bytes;
}

function windowUpdate(id, bytes) {
  const payload = Buffer.alloc(4);
  payload.writeUInt32BE(bytes);
  return frame(WINDOW_UPDATE, 0, id, payload);
}

function setting(name, value) {
  const bytes = Buffer.alloc(6);
  bytes.writeUInt16BE(name, 0);
  bytes.writeUInt32BE(value, 2);
  return bytes;
}
