import type { StoredEvent } from "../components/contract/pubsub.ts";
import { CloudEvent } from "./cloud-event.ts";
import { DEAD_LETTER_DETAILS, DEAD_LETTER_NAMES, type DeadLetterDetail } from "./dead-letter-details.ts";

/** An event as it lies in a dead letter topic, and what it says of itself. */
export class StoredDeadLetter {
  readonly stored: StoredEvent;
  /** Undefined where the bytes are no CloudEvent: a raw payload. */
  readonly envelope: CloudEvent | undefined;

  constructor(stored: StoredEvent) {
    this.stored = stored;
    this.envelope = envelopeIn(stored.data);
  }

  /** The topic that it failed in: of the extension, else of the envelope. Undefined where it does not say. */
  get originalTopic(): string | undefined {
    return nonEmpty(this.why.get(DEAD_LETTER_DETAILS.topic)) ?? nonEmpty(this.envelope?.text("topic"));
  }

  /** Strings, and numbers as they were written; without those that are not there. A raw payload has them in its metadata. */
  get why(): ReadonlyMap<DeadLetterDetail, string> {
    const said = new Map<DeadLetterDetail, string>();
    for (const name of DEAD_LETTER_NAMES) {
      const value = this.envelope?.text(name) ?? this.envelope?.raw(name) ?? this.stored.metadata.get(name);
      if (value !== undefined) said.set(name, value);
    }
    return said;
  }

  /** What to publish again beside the event. */
  get originalMetadata(): ReadonlyMap<string, string> {
    const extensions: ReadonlySet<string> = new Set(DEAD_LETTER_NAMES);
    return new Map([...this.stored.metadata].filter(([name]) => !extensions.has(name)));
  }

  /**
   * The bytes to publish again: without the extensions, and without an `expiration` that has passed, for with it nobody would
   * ever get the event.
   */
  original(nowMs: number): Uint8Array {
    const { envelope, stored } = this;
    if (envelope === undefined) return stored.data;
    const gone: string[] = DEAD_LETTER_NAMES.filter((name) => envelope.has(name));
    const expiration = envelope.text("expiration");
    if (expiration !== undefined && Date.parse(expiration) <= nowMs) gone.push("expiration");
    if (gone.length === 0) return stored.data;
    return Buffer.from(envelope.with(new Map(gone.map((name) => [name, undefined]))).toJson());
  }
}

/** JSON alone does not make it one: a raw payload may have members of these names, too. */
function envelopeIn(data: Uint8Array): CloudEvent | undefined {
  try {
    const event = CloudEvent.parse(data);
    return event.text("specversion") === undefined ? undefined : event;
  } catch {
    return undefined;
  }
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === "" ? undefined : text;
}
