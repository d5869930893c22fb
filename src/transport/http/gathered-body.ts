import type { Readable } from "node:stream";

// Long enough for what a client writes in one go, too short for anybody to notice on a body that trickles.
const PATIENCE_MS = 2;

/**
 * All of a body, where it is short and comes at once; else the stream, with nothing read of it.
 *
 * Bytes that are all there go out in one write, over a kept connection, and can be sent again. A stream can not.
 *
 * @param maxBytes how much is short.
 * @throws what the stream fails with meanwhile.
 */
export function gatheredBody(body: Readable, maxBytes: number): Promise<Buffer | Readable> {
  return new Promise((resolve, reject) => {
    const pieces: Buffer[] = [];
    let length = 0;
    let isOver = false;
    // Where we are busy ourselves, time passes while the rest waits to be read: one look at the sockets comes first.
    const timer = setTimeout(() => setImmediate(giveBack), PATIENCE_MS);
    // Not "data": what has flowed once must be resumed by whoever reads it next.
    body.on("readable", onReadable);
    body.on("end", onEnd);
    body.on("error", onError);
    body.on("close", onClose);

    function onReadable(): void {
      const piece = body.read() as Buffer | null;
      if (piece === null) return;
      pieces.push(piece);
      length += piece.length;
      if (length > maxBytes) giveBack();
    }
    function onEnd(): void {
      leave();
      resolve(pieces.length === 1 && pieces[0] !== undefined ? pieces[0] : Buffer.concat(pieces));
    }
    function onError(error: Error): void {
      leave();
      reject(error);
    }
    function onClose(): void {
      onError(new Error("the body was given up before its end"));
    }
    function giveBack(): void {
      if (isOver) return;
      leave();
      if (length > 0) body.unshift(Buffer.concat(pieces));
      resolve(body);
    }
    function leave(): void {
      isOver = true;
      clearTimeout(timer);
      body.off("readable", onReadable);
      body.off("end", onEnd);
      body.off("error", onError);
      body.off("close", onClose);
    }
  });
}
