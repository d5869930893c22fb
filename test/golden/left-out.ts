/**
 * The lines of the recording that are not run, and why. A case leaves this list with the building block it needs.
 * Every line of the recording is either here or run; observed.test.ts holds the two together.
 */

export const LEFT_OUT: Readonly<Record<string, string>> = {
  "start: what the sidecar asks the app at start":
    "/dapr/config belongs to actors; http-event-app.test.ts holds /dapr/subscribe to what was recorded",
};
