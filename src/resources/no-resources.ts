import type { AppResources } from "./app-resources.ts";

/** Of an app without a resources folder. By itself, so that who has none does not load what reads them. */
export const NO_RESOURCES: AppResources = Object.freeze({
  endpoints: [],
  secretStores: [],
  middleware: [],
  middlewareOfOthers: [],
  pubsubs: [],
  subscriptions: [],
  resiliency: [],
});
