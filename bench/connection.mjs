// One keep-alive connection of the load generator.
import { once } from "node:events";
import { connect } from "node:net";
import { AnswerReader } from "./answer-reader.mjs";

// What arrives is read before the next read begins, so all connections can share a buffer and none allocates.
const arriving = Buffer.allocUnsafe(256 * 1024);
const OPENING_AT_ONCE = 100;

export class Connection {
  #socket;
  #closing = false;

  /** @param {{ body(buffer: Buffer, start: number, end: number): void, end(): void }} consumer of the answers */
  constructor(port, consumer, onError, status = 200) {
    const reader = new AnswerReader(consumer, status);
    const callback = (count, buffer) => {
      try {
        reader.push(buffer.subarray(0, count));
      } catch (error) {
        onError(error);
      }
      return true;
    };
    const socket = connect({ port, host: "127.0.0.1", noDelay: true, onread: { buffer: arriving, callback } });
    socket.on("error", (error) => {
      if (!this.#closing) onError(error);
    });
    socket.on("close", () => {
      if (!this.#closing) onError(new Error("the server closed a connection"));
    });
    this.#socket = socket;
  }

  async opened() {
    await once(this.#socket, "connect");
  }

  write(bytes) {
    this.#socket.write(bytes);
  }

  /** @param {Buffer} body sent `times` times, in one write with the head where it is sent once. */
  writeWithBody(head, body, times) {
    const socket = this.#socket;
    socket.cork();
    socket.write(head);
    socket.write(body);
    socket.uncork();
    let left = times - 1;
    const more = () => {
      while (left > 0) {
        left--;
        if (!socket.write(body)) {
          socket.once("drain", more);
          return;
        }
      }
    };
    more();
  }

  close() {
    this.#closing = true;
    this.#socket.destroy();
  }
}

/** Opens `count` of them, not all at once: a full listen queue would cost seconds of SYN retries. */
export async function* openInBatches(count, open) {
  for (let left = count; left > 0; left -= OPENING_AT_ONCE) {
    const batch = Array.from({ length: Math.min(OPENING_AT_ONCE, left) }, open);
    await Promise.all(batch.map((connection) => connection.opened()));
    yield batch;
  }
}
