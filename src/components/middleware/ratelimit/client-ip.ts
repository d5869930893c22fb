import { isIP, isIPv4 } from "node:net";
import { headerValues } from "../../../core/raw-headers.ts";
import type { MiddlewareRequest } from "../../contract/middleware.ts";

/**
 * Whose request it is, as Dapr documents it: the last entry of `X-Forwarded-For`, for that is what the proxy before us saw;
 * else `X-Real-IP`; else the address of the connection. All that is no address counts as one client. Of IPv6 it is the /64,
 * which one client has whole.
 */
export function clientIp({ headers, remoteAddress }: MiddlewareRequest): string {
  const forwarded = headerValues(headers, "x-forwarded-for").join(",").split(",").at(-1);
  const said = [forwarded, headerValues(headers, "x-real-ip").at(-1), remoteAddress];
  const ip = said.map((value) => value?.trim() ?? "").find((value) => isIP(value) !== 0);
  return ip === undefined ? "0.0.0.0" : canonical(ip);
}

function canonical(ip: string): string {
  if (isIPv4(ip)) return ip;
  const mapped = /^::ffff:([\d.]+)$/i.exec(ip)?.[1];
  return mapped ?? network(ip.replace(/%.*$/, ""));
}

/** The first four of eight groups. */
function network(ip: string): string {
  // The one form that a URL has of it.
  const host = new URL(`http://[${ip}]`).hostname.slice(1, -1);
  const [head = "", tail] = host.split("::");
  const before = head === "" ? [] : head.split(":");
  const after = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeros = Array.from({ length: 8 - before.length - after.length }, () => "0");
  return [...before, ...zeros, ...after].slice(0, 4).join(":");
}
