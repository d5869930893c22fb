import type { Socket } from "node:net";
import { Duplex } from "node:stream";

/** A socket without a network: what it is fed has arrived, what is written to it is kept. */
export class FakeSocket extends Duplex {
  written = "";
  readonly connecting = false;

  constructor() {
    super({ allowHalfOpen: true, decodeStrings: true });
  }

  get bytesWritten(): number {
    return this.written.length;
  }

  feed(bytes: Buffer): void {
    if (!this.destroyed) this.push(bytes);
  }

  feedEnd(): void {
    if (!this.destroyed) this.push(null);
  }

  destroySoon(): void {
    if (this.writableFinished) this.destroy();
    else {
      this.end();
      this.once("finish", () => this.destroy());
    }
  }

  /** For code that takes sockets; what it calls of one is all here. */
  asSocket(): Socket {
    return this as unknown as Socket;
  }

  override _read(): void {
    // What arrives, arrives when the test feeds it.
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: () => void): void {
    this.written += chunk.toString("latin1");
    callback();
  }
}

/** Lets streams and promises do all that follows from what has happened. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
}
