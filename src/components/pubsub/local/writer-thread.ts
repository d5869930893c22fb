import { closeSync, openSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import { EventLog } from "./event-log.ts";
import { wakeOthers } from "./wake.ts";
import type { AppendRequest, NumberedRequest, WriterAnswer, WriterResult, WriterSetup } from "./writer-messages.ts";

/**
 * The thread in which what must be on disk is written: a transaction waits for the disk, and the process's other work must not.
 * Whatever comes while one waits is in the next.
 */
export function runWriter(): void {
  const port = parentPort;
  if (port === null) throw new Error("the writer of pubsub.local runs in a thread of its own");
  const { log: path, mapBytes, wakeFile } = workerData as WriterSetup;
  const log = new EventLog(path, mapBytes);
  const wake = openSync(wakeFile, "r+");
  const append = ({ topics, topicOf, ends, records }: AppendRequest): void => {
    const bytes = Buffer.from(records.buffer, records.byteOffset, records.byteLength);
    log.append(
      ends.map((end, at) => ({
        topic: topics[topicOf[at] ?? 0] ?? "",
        record: bytes.subarray(at === 0 ? 0 : ends[at - 1], end),
      })),
    );
    wakeOthers(wake);
  };
  const perform = ({ request }: NumberedRequest): WriterResult => {
    switch (request.kind) {
      case "append":
        append(request);
        return undefined;
      case "group":
        return log.ensureGroup(request.topic, request.group, request.startsAt);
      case "checkpoint":
        log.checkpoint(request.checkpoints);
        return undefined;
      case "remove":
        return log.remove(request.topic, request.position);
      case "expire":
        return log.removeExpired(request.expiry);
      case "close":
        closeSync(wake);
        return undefined;
    }
  };
  port.on("message", (message: NumberedRequest) => {
    const { id, request } = message;
    let answer: WriterAnswer;
    try {
      answer = { id, result: perform(message), failure: undefined };
    } catch (error) {
      answer = { id, result: undefined, failure: (error as Error).message };
    }
    if (request.kind !== "close") {
      port.postMessage(answer);
      return;
    }
    void log.close().finally(() => {
      port.postMessage(answer);
      port.close();
    });
  });
  port.postMessage({ id: 0, result: undefined, failure: undefined } satisfies WriterAnswer);
}
