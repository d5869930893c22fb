import assert from "node:assert/strict";
import { test } from "node:test";
import { makeAuthority } from "../support/certificates.ts";
import { folderWith, ownHome, startBeside } from "../support/processes.ts";

/** The resources that Dapr's documentation prints (seeds 001 and 003), with the indentation that seed 001 has lost. */

const ROOT_CERTIFICATE = `apiVersion: dapr.io/v1alpha1
kind: HTTPEndpoint
metadata:
  name: "external-http-endpoint-tls"
spec:
  baseUrl: https://service-invocation-external:443
  headers:
  - name: "Accept-Language"
    value: "en-US"
  clientTLS:
    rootCA:
      secretKeyRef:
        name: dapr-tls-client
        key: ca.crt
`;
const CLIENT_CERTIFICATE = `apiVersion: dapr.io/v1alpha1
kind: HTTPEndpoint
metadata:
  name: "external-http-endpoint-tls"
spec:
  baseUrl: https://service-invocation-external:443
  headers:
  - name: "Accept-Language"
    value: "en-US"
  clientTLS:
    certificate:
      secretKeyRef:
        name: dapr-tls-client
        key: tls.crt
    privateKey:
      secretKeyRef:
        name: dapr-tls-key
        key: tls.key
`;
const MCP_SERVER = `apiVersion: dapr.io/v1alpha1
kind: HTTPEndpoint
metadata:
  name: "mcp-server"
spec:
  baseUrl: https://my-mcp-server:443
  headers:
  - name: "Accept"
    value: "test/event-stream"
`;
const SECRETS = `apiVersion: dapr.io/v1alpha1
kind: Component
metadata:
  name: secrets
spec:
  type: secretstores.local.file
  version: v1
  metadata:
  - name: secretsFile
    value: secrets.json
  - name: multiValued
    value: "true"
`;

for (const [what, printed, name] of [
  ["a root certificate", ROOT_CERTIFICATE, "external-http-endpoint-tls"],
  ["a client certificate and its private key", CLIENT_CERTIFICATE, "external-http-endpoint-tls"],
  ["an MCP server", MCP_SERVER, "mcp-server"],
] as const) {
  test(`the documentation's example of ${what} works as printed, with the one secret store that there is`, async (t) => {
    const authority = makeAuthority(t);
    const client = authority.issue("client", "DNS:client.test");
    const secrets = {
      "dapr-tls-client": { "ca.crt": authority.ca, "tls.crt": client.cert },
      "dapr-tls-key": { "tls.key": client.key },
    };
    const files = { "endpoint.yaml": printed, "secrets.yaml": SECRETS, "secrets.json": JSON.stringify(secrets) };
    const flags = ["--resources-path", folderWith(t, files)];
    const { api, outrigger } = await startBeside(t, "caller", undefined, { home: ownHome(t), flags });
    const metadata = (await (await fetch(`${api}/v1.0/metadata`)).json()) as { readonly httpEndpoints: unknown };
    assert.deepEqual(metadata.httpEndpoints, [{ name }]);
    // Nobody has these hosts; that they were looked for says that the endpoint is one.
    const answer = await fetch(`${api}/v1.0/invoke/${name}/method/order66`);
    const { message } = (await answer.json()) as { readonly message: string };
    assert.match(message, /^failed to invoke, id: [\w-]+, err: Get "https:\/\/[\w-]+:443\/order66": /);
    if (printed === MCP_SERVER)
      await outrigger.waitForOutput(/"test\/event-stream", which was taken for "text\/event-stream"/);
  });
}
