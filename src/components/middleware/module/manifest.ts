import type { MiddlewareManifest } from "../../contract/middleware.ts";
import { ModuleMiddleware } from "./module-middleware.ts";

export const moduleManifest = {
  type: "middleware.http.module",
  // What it is for is the user's to know.
  guards: true,
  create: (context) => new ModuleMiddleware(context),
} satisfies MiddlewareManifest;
