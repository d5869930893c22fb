import type { MiddlewareManifest } from "../../contract/middleware.ts";
import { RateLimit } from "./rate-limit.ts";

export const rateLimitManifest = {
  type: "middleware.http.ratelimit",
  create: ({ clock }) => new RateLimit(clock),
} satisfies MiddlewareManifest;
