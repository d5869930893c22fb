import type { MiddlewareManifest } from "../../contract/middleware.ts";
import { Bearer } from "./bearer.ts";

export const bearerManifest = {
  type: "middleware.http.bearer",
  guards: true,
  create: (context) => new Bearer(context),
} satisfies MiddlewareManifest;
