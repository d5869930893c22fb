import assert from "node:assert/strict";
import { test } from "node:test";
import { hostHeaderOf, type UpstreamOptions } from "./upstream.ts";

function place(host: string, port: number, kind?: "https" | "h2" | "h2c"): UpstreamOptions {
  const options = { host, port, maxConnections: 1, maxHeaderBytes: 1 };
  if (kind === undefined) return options;
  return { ...options, wire: kind === "h2c" ? { kind } : { kind, trust: undefined } };
}

test("Host names the port, but for the one that goes without saying", () => {
  for (const [options, wanted] of [
    [place("example.org", 80), "example.org"],
    [place("example.org", 443), "example.org:443"],
    [place("example.org", 443, "https"), "example.org"],
    [place("example.org", 80, "https"), "example.org:80"],
    [place("example.org", 443, "h2"), "example.org"],
    [place("example.org", 80, "h2c"), "example.org"],
    [place("::1", 80), "[::1]"],
    [place("::1", 8080), "[::1]:8080"],
  ] as const) {
    assert.equal(hostHeaderOf(options), wanted);
  }
});
