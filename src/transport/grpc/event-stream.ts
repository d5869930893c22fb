import { randomUUID } from "node:crypto";
import { type AbortListener, abortReason, type CallSignal } from "../../core/call-signal.ts";
import { messageOf } from "../../core/errors.ts";
import { visible } from "../../core/go-json.ts";
import type { Logger } from "../../core/logger.ts";
import { TopicEventResponse_TopicEventResponseStatus as Status } from "../../gen/dapr/proto/runtime/v1/appcallback_pb.ts";
import type {
  SubscribeTopicEventsRequestProcessedAlpha1,
  SubscribeTopicEventsResponseAlpha1Schema,
} from "../../gen/dapr/proto/runtime/v1/pubsub_pb.ts";
import type { BulkDelivery, Delivery, EventReceiver, Reception } from "../../pubsub/ports.ts";
import type { Send } from "./services/methods.ts";
import { receptionOfTopicStatus, topicEventOf, unsayable } from "./topic-event.ts";

/** For log lines. */
export interface EventPlace {
  readonly component: string;
  readonly topic: string;
  readonly subscription: string;
}

type SendEvent = Send<typeof SubscribeTopicEventsResponseAlpha1Schema>;

/**
 * A client that has subscribed over a stream (`SubscribeTopicEventsAlpha1`): events go out in the order in which they are
 * handed over, each once the client has taken those before it, and are answered in any order, by their ids.
 *
 * An event goes by its own id, which is what clients of daprd know it by. Of two with the same id the later waits until the
 * earlier is answered; one that has no id gets one.
 */
export class EventStream implements EventReceiver {
  readonly #place: EventPlace;
  readonly #log: Logger;
  #open: (send: SendEvent) => void = () => undefined;
  readonly #opened = new Promise<SendEvent>((resolve) => {
    this.#open = resolve;
  });
  /** By id, the first of each with the client, or on its way to it. */
  readonly #handovers = new Map<string, Handover[]>();
  /** The messages before the next one. */
  #sent: Promise<unknown> = this.#opened;
  #isClosed = false;

  constructor(place: EventPlace, log: Logger) {
    this.#place = place;
    this.#log = log;
  }

  /** Events wait until this is called, once. @param send resolves once a further one may be sent. */
  open(send: SendEvent): void {
    this.#open(send);
  }

  deliver(delivery: Delivery, signal: CallSignal): Promise<Reception> {
    if (this.#isClosed) return Promise.resolve(STREAM_ENDED);
    if (signal.aborted) return Promise.reject(abortReason(signal));
    return new Promise((resolve, reject) => {
      const said = delivery.event.text("id") ?? "";
      const id = said === "" ? randomUUID() : said;
      const over = (ended: Handover): void => {
        this.#over(ended);
      };
      const handover = new Handover(id, delivery, signal, { resolve, reject, over });
      const line = this.#handovers.get(id);
      if (line !== undefined) line.push(handover);
      else {
        this.#handovers.set(id, [handover]);
        this.#enqueue(handover);
      }
    });
  }

  /** Streams are handed one event at a time, as in daprd. */
  deliverBulk({ entries }: BulkDelivery): Promise<readonly Reception[]> {
    const why = "a subscriber over a stream takes no batches; leave out bulkSubscribe";
    return Promise.resolve(entries.map(() => ({ kind: "retry", why, code: undefined })));
  }

  /** The client says what became of an event. Without a status it is a success, as protobuf has it. */
  answered({ id, status }: Pick<SubscribeTopicEventsRequestProcessedAlpha1, "id" | "status">): void {
    const handover = this.#handovers.get(id)?.[0];
    if (handover?.isSent === true) handover.settle(receptionOfTopicStatus(status?.status ?? Status.SUCCESS));
    else {
      const event = visible(id.slice(0, MAX_LOGGED_ID));
      this.#log.warn("a subscriber over a stream has answered for an event that it does not have", {
        ...this.#place,
        event,
      });
    }
  }

  /** The client takes and answers nothing more: what it has is to be handed out again. May be called twice. */
  close(): void {
    this.#isClosed = true;
    for (const line of [...this.#handovers.values()]) {
      for (const handover of [...line].reverse()) handover.settle(STREAM_ENDED);
    }
  }

  #enqueue(handover: Handover): void {
    this.#sent = this.#sent.then(() => this.#handOver(handover));
  }

  async #handOver(handover: Handover): Promise<void> {
    const send = await this.#opened;
    if (handover.isOver) return;
    const message = messageFor(handover);
    if (message instanceof Error) {
      handover.settle(unsayable(message));
      return;
    }
    handover.isSent = true;
    try {
      await send({ subscribeTopicEventsResponseType: { case: "eventMessage", value: message } });
    } catch {
      // The caller has left, which the one who reads from it finds out too.
      handover.settle(STREAM_ENDED);
    }
  }

  #over(handover: Handover): void {
    const line = this.#handovers.get(handover.id) ?? [];
    const at = line.indexOf(handover);
    if (at !== -1) line.splice(at, 1);
    const next = line[0];
    if (next === undefined) this.#handovers.delete(handover.id);
    else if (at === 0) this.#enqueue(next);
  }
}

const MAX_LOGGED_ID = 100;
const STREAM_ENDED: Reception = {
  kind: "unreached",
  why: "the subscriber's stream has ended",
  code: undefined,
  isGone: true,
};

function messageFor({ id, delivery }: Handover): ReturnType<typeof topicEventOf> | Error {
  try {
    return { ...topicEventOf(delivery), id };
  } catch (error) {
    return error instanceof Error ? error : new Error(messageOf(error));
  }
}

/** An event from when it is handed over until it is answered, or nobody waits for that any more. */
class Handover implements AbortListener {
  readonly id: string;
  readonly delivery: Delivery;
  isSent = false;
  isOver = false;
  readonly #signal: CallSignal;
  readonly #waiting: HandoverWaiting;

  constructor(id: string, delivery: Delivery, signal: CallSignal, waiting: HandoverWaiting) {
    this.id = id;
    this.delivery = delivery;
    this.#signal = signal;
    this.#waiting = waiting;
    signal.addEventListener("abort", this);
  }

  /** The first time counts. */
  settle(reception: Reception): void {
    if (this.#end()) this.#waiting.resolve(reception);
  }

  /** What has waited behind others alone was never asked about. */
  handleEvent(): void {
    if (!this.#end()) return;
    const reason = abortReason(this.#signal);
    if (this.isSent) this.#waiting.reject(reason);
    else this.#waiting.resolve({ kind: "unreached", why: messageOf(reason), code: undefined, isGone: false });
  }

  #end(): boolean {
    if (this.isOver) return false;
    this.isOver = true;
    this.#signal.removeEventListener("abort", this);
    this.#waiting.over(this);
    return true;
  }
}

interface HandoverWaiting {
  readonly resolve: (reception: Reception) => void;
  readonly reject: (error: Error) => void;
  readonly over: (handover: Handover) => void;
}
