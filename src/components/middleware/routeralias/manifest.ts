import type { MiddlewareManifest } from "../../contract/middleware.ts";
import { RouterAlias } from "./router-alias.ts";

export const routerAliasManifest = {
  type: "middleware.http.routeralias",
  create: () => new RouterAlias(),
} satisfies MiddlewareManifest;
