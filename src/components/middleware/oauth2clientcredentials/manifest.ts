import type { MiddlewareManifest } from "../../contract/middleware.ts";
import { OAuth2ClientCredentials } from "./oauth2-client-credentials.ts";

export const oauth2ClientCredentialsManifest = {
  type: "middleware.http.oauth2clientcredentials",
  create: (context) => new OAuth2ClientCredentials(context),
} satisfies MiddlewareManifest;
