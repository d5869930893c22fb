import type { IncomingMessage } from "node:http";
import { withoutHeaders } from "../../core/raw-headers.ts";

/** What a request that Node takes for an upgrade asks for. Node has seen its `Upgrade`, and that `Connection` names it. */

/** Without TLS it is for the connection itself and not for an app, and over an app's connection nobody could carry it. */
const H2C = "h2c";
// RFC 9110 7.8: `name` or `name/version`.
const PROTOCOL = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?:\/[!#$%&'*+\-.^_`|~0-9A-Za-z]+)?$/;

/** What can become of a request to change the protocol; undefined where it has to be served as if it had not asked. */
export type UpgradeAsked = { readonly to: "h2c" } | { readonly to: "others"; readonly protocols: string } | undefined;

/**
 * RFC 9110 7.8: HTTP/1.0 knows no upgrade, and whoever is asked may decline by serving the request as it is. We do where it
 * has a body: the body would have to be carried in HTTP first, and no protocol in use asks with one.
 */
export function upgradeAskedBy(request: IncomingMessage): UpgradeAsked {
  const { headers, httpVersion } = request;
  const hasBody = headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 0;
  if (httpVersion !== "1.1" || hasBody) return undefined;
  const asked = (headers.upgrade ?? "").split(",").map((protocol) => protocol.trim());
  if (asked.length === 1 && asked[0]?.toLowerCase() === H2C) return { to: H2C };
  const others = asked.filter((protocol) => PROTOCOL.test(protocol) && protocol.toLowerCase() !== H2C);
  return others.length === 0 ? undefined : { to: "others", protocols: others.join(", ") };
}

/** The same request, as bytes, without its `Upgrade`. */
export function withoutUpgrade({ method = "GET", url = "/", httpVersion, rawHeaders }: IncomingMessage): Buffer {
  const kept = withoutHeaders(rawHeaders, (name) => name === "upgrade");
  let head = `${method} ${url} HTTP/${httpVersion}\r\n`;
  for (let i = 0; i < kept.length; i += 2) head += `${kept[i] ?? ""}: ${kept[i + 1] ?? ""}\r\n`;
  return Buffer.from(`${head}\r\n`, "latin1");
}
