import assert from "node:assert/strict";
import { after, test } from "node:test";
import { makeAuthority } from "../../../test/support/certificates.ts";
import type { ClientTlsSpec, HttpEndpointSpec } from "../../resources/http-endpoint-spec.ts";
import type { ValueSource } from "../../resources/value-source.ts";
import { endpointsFrom } from "./app-endpoints.ts";
import { SecretValues } from "./secret-values.ts";

const authority = makeAuthority({ after });
const { cert, key } = authority.issue("client", "DNS:client.test");
const stranger = authority.issue("stranger", "DNS:stranger.test");
const values = new SecretValues(new Map(), { KEY: " from env\n" });

function value(text: string): ValueSource {
  return { kind: "value", value: text };
}

function spec(more: Partial<HttpEndpointSpec> = {}): HttpEndpointSpec {
  return {
    name: "ext",
    namespace: undefined,
    baseUrl: new URL("https://api.example.org/v2/"),
    headers: [],
    clientTls: undefined,
    scopes: [],
    secretStore: undefined,
    slips: [],
    file: "ext.yaml",
    ...more,
  };
}

function withTls(fields: Partial<ClientTlsSpec>): HttpEndpointSpec {
  const clientTls = {
    rootCa: undefined,
    certificate: undefined,
    privateKey: undefined,
    renegotiation: "never",
    ...fields,
  } as const;
  return spec({ clientTls });
}

test("an endpoint has its place, its headers and its certificates, values looked up", async () => {
  const headers = [
    { name: "X-Key", source: { kind: "env", variable: "KEY" } },
    { name: "Accept-Language", source: value("en-US") },
  ] as const;
  const { clientTls } = withTls({
    rootCa: value(authority.ca),
    certificate: value(cert),
    privateKey: value(key),
    renegotiation: "once",
  });
  const endpoint = (await endpointsFrom([spec({ headers, clientTls })], values)).get("ext");
  assert.deepEqual(endpoint, {
    name: "ext",
    scheme: "https",
    host: "api.example.org",
    port: 443,
    basePath: "/v2",
    headers: ["X-Key", "from env", "Accept-Language", "en-US"],
    tls: { ca: authority.ca, own: { certificate: cert, privateKey: key }, renegotiation: "once" },
    followsRedirects: true,
  });
});

test("a header is sent in UTF-8, and the user of a baseUrl in a header of its own, unless there is one", async () => {
  const headers = [{ name: "X-Key", source: value("k€y") }] as const;
  const baseUrl = new URL("https://me:p%40ss@api.example.org");
  const endpoint = (await endpointsFrom([spec({ headers, baseUrl })], values)).get("ext");
  const user = `Basic ${Buffer.from("me:p@ss").toString("base64")}`;
  assert.deepEqual(endpoint?.headers, ["X-Key", Buffer.from("k€y").toString("latin1"), "Authorization", user]);
  const own = [{ name: "authorization", source: value("Bearer x") }] as const;
  const named = (await endpointsFrom([spec({ headers: own, baseUrl })], values)).get("ext");
  assert.deepEqual(named?.headers, ["authorization", "Bearer x"]);
});

test("without clientTLS there is nothing to trust or to show", async () => {
  assert.equal((await endpointsFrom([spec()], values)).get("ext")?.tls, undefined);
});

for (const [what, broken, message] of [
  [
    "a name that no header can have",
    spec({ headers: [{ name: "X Key", source: value("v") }] }),
    /"X Key" is no name of a header/,
  ],
  [
    "a value that no header can have",
    spec({ headers: [{ name: "X", source: value("hidden\r\nY: 1") }] }),
    /header X: its value has characters/,
  ],
  ["an authority that is none", withTls({ rootCa: value("hidden") }), /clientTLS\.rootCA is no certificate in PEM/],
  [
    "a certificate that is none",
    withTls({ certificate: value("hidden"), privateKey: value(key) }),
    /clientTLS\.certificate is no certificate/,
  ],
  [
    "a certificate without its key",
    withTls({ certificate: value(cert) }),
    /clientTLS has a certificate and no privateKey; give both/,
  ],
  [
    "a key without its certificate",
    withTls({ privateKey: value(key) }),
    /clientTLS has a privateKey and no certificate; give both/,
  ],
  [
    "another certificate's key",
    withTls({ certificate: value(cert), privateKey: value(stranger.key) }),
    /privateKey is not the key of its certificate/,
  ],
  [
    "a variable that is not set",
    spec({ headers: [{ name: "X", source: { kind: "env", variable: "NOPE" } }] }),
    /header X: the environment variable NOPE is not set/,
  ],
] as const) {
  test(`${what} is an error that names the resource and shows no value`, async () => {
    await assert.rejects(endpointsFrom([broken], values), (error: Error) => {
      assert.match(error.message, /^HTTPEndpoint ext in ext\.yaml/);
      assert.match(error.message, message);
      assert.doesNotMatch(error.message, /hidden|PRIVATE KEY/);
      return true;
    });
  });
}
