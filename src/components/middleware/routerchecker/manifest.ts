import type { MiddlewareManifest } from "../../contract/middleware.ts";
import { RouterChecker } from "./router-checker.ts";

export const routerCheckerManifest = {
  type: "middleware.http.routerchecker",
  guards: true,
  create: () => new RouterChecker(),
} satisfies MiddlewareManifest;
