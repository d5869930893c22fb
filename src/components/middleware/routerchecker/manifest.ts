import type { MiddlewareManifest } from "../../contract/middleware.ts";
import { RouterChecker } from "./router-checker.ts";

export const routerCheckerManifest = {
  type: "middleware.http.routerchecker",
  create: () => new RouterChecker(),
} satisfies MiddlewareManifest;
