import { headerValue } from "../core/raw-headers.ts";
import { HAS_HTTP_SCHEME } from "./endpoint-url.ts";

/**
 * The target that the user of `http://dapr-app-id:<target>@host/…` names, the form for clients that can only be given a URL
 * (A2). Only a target that is a URL may have colons in it.
 *
 * @returns undefined where the headers name none in this way.
 */
export function basicAuthTarget(headers: readonly string[]): string | undefined {
  const authorization = headerValue(headers, "authorization");
  if (authorization === undefined || !/^basic /i.test(authorization)) return undefined;
  const userAndPassword = Buffer.from(authorization.slice("basic ".length), "base64").toString("utf8");
  const [user = "", ...parts] = userAndPassword.split(":");
  const target = parts.join(":");
  const isTarget = parts.length === 1 || HAS_HTTP_SCHEME.test(target);
  return isTarget && user.toLowerCase() === "dapr-app-id" ? target : undefined;
}
