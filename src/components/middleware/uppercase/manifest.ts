import type { MiddlewareManifest } from "../../contract/middleware.ts";
import { Uppercase } from "./uppercase.ts";

export const uppercaseManifest = {
  type: "middleware.http.uppercase",
  create: () => new Uppercase(),
} satisfies MiddlewareManifest;
