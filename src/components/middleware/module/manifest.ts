import type { MiddlewareManifest } from "../../contract/middleware.ts";
import { ModuleMiddleware } from "./module-middleware.ts";

export const moduleManifest = {
  type: "middleware.http.module",
  create: (context) => new ModuleMiddleware(context),
} satisfies MiddlewareManifest;
