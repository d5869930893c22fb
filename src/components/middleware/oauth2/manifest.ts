import type { MiddlewareManifest } from "../../contract/middleware.ts";
import { OAuth2 } from "./oauth2.ts";

export const oauth2Manifest = {
  type: "middleware.http.oauth2",
  guards: true,
  create: (context) => new OAuth2(context),
} satisfies MiddlewareManifest;
