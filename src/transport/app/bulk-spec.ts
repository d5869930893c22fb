import { type BulkSubscribeSpec, DEFAULT_BULK } from "../../resources/subscription-spec.ts";

/** Of an app's own subscription; zero and less mean the default, as in daprd. @param maxAwaitMs milliseconds. */
export function bulkSpecOf(maxMessages: number, maxAwaitMs: number): BulkSubscribeSpec {
  return {
    maxMessages: maxMessages > 0 ? maxMessages : DEFAULT_BULK.maxMessages,
    maxAwaitMs: maxAwaitMs > 0 ? maxAwaitMs : DEFAULT_BULK.maxAwaitMs,
  };
}
