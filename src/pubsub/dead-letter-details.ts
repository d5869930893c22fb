/**
 * What a dead letter says of why it is one (docs/subscriptions.md, "Dead letters"): extensions of a CloudEvent; of what is none,
 * metadata beside it. Names as CloudEvents 1.0 allows them.
 */
export const DEAD_LETTER_DETAILS = {
  reason: "deadletterreason",
  attempts: "deadletterattempts",
  status: "deadletterstatus",
  subscription: "deadlettersubscription",
  topic: "deadlettertopic",
} as const;

export type DeadLetterDetail = (typeof DEAD_LETTER_DETAILS)[keyof typeof DEAD_LETTER_DETAILS];

export const DEAD_LETTER_NAMES: readonly DeadLetterDetail[] = Object.values(DEAD_LETTER_DETAILS);
