import { CallError } from "../../core/errors.ts";

/**
 * What a reception says of an event that we ourselves kept from the app, because it is unwell, or has all that it takes at
 * once. A connection that cannot be made is the app's doing.
 */
export function ifTurnedAway(error: unknown): { readonly isPostponed?: true } {
  return error instanceof CallError && error.nothingSent ? { isPostponed: true } : {};
}
