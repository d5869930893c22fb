import assert from "node:assert/strict";
import { test } from "node:test";
import { makeAuthority } from "../support/certificates.ts";
import { startNginx } from "../support/nginx.ts";
import { folderWith, ownHome, startBeside } from "../support/processes.ts";

/** An HTTP API behind nginx: plain, with TLS, and with TLS that asks who calls. */

function endpoint(name: string, baseUrl: string, tls = ""): string {
  return `apiVersion: dapr.io/v1alpha1
kind: HTTPEndpoint
metadata:
  name: ${name}
spec:
  baseUrl: ${baseUrl}
${tls}---
`;
}

// As seed 003 writes it.
const ROOT_CA = `  clientTLS:
    rootCA:
      secretKeyRef:
        name: dapr-tls-client
        key: ca.crt
`;
const MUTUAL = `${ROOT_CA}    certificate:
      secretKeyRef:
        name: dapr-tls-client
        key: tls.crt
    privateKey:
      secretKeyRef:
        name: dapr-tls-key
        key: tls.key
`;
const SECRETS = `apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: secrets}
spec:
  type: secretstores.local.file
  metadata:
  - {name: secretsFile, value: secrets.json}
  - {name: multiValued, value: "true"}
---
`;

for (const codec of ["lean", "node"] as const) {
  test(`${codec}: nginx is called over HTTP, TLS and mutual TLS, and what it refuses is said`, async (t) => {
    const authority = makeAuthority(t);
    const server = authority.issue("server", "IP:127.0.0.1");
    const wrongName = authority.issue("elsewhere", "DNS:elsewhere.test");
    const expired = authority.issueExpired("expired", "IP:127.0.0.1");
    const client = authority.issue("client", "DNS:client.test");
    const say = (text: string): string =>
      `location / { default_type text/plain; return 200 '${text} $request_uri $http_host'; }`;
    const shows = ({ certFile, keyFile }: typeof server): string =>
      `ssl_certificate ${certFile}; ssl_certificate_key ${keyFile};`;
    const asks = `ssl_client_certificate ${authority.caFile}; ssl_verify_client on;`;
    const [plain, tls, mutual, wrong, late] = await startNginx(t, [
      { block: say("plain") },
      { ssl: true, block: `${shows(server)} ${say("tls")}` },
      { ssl: true, block: `${shows(server)} ${asks} ${say("$ssl_client_s_dn")}` },
      { ssl: true, block: shows(wrongName) },
      { ssl: true, block: shows(expired) },
    ]);
    const url = (port: number | undefined, scheme = "https"): string => `${scheme}://127.0.0.1:${port ?? 0}`;
    const files = {
      "secrets.json": JSON.stringify({
        "dapr-tls-client": { "ca.crt": authority.ca, "tls.crt": client.cert },
        "dapr-tls-key": { "tls.key": client.key },
      }),
      "endpoints.yaml": [
        SECRETS,
        endpoint("plain", url(plain, "http")),
        endpoint("trusted", url(tls), ROOT_CA),
        endpoint("mutual", url(mutual), MUTUAL),
        endpoint("unknown", url(mutual), ROOT_CA),
        endpoint("untrusted", url(tls)),
        endpoint("wrong-name", url(wrong), ROOT_CA),
        endpoint("expired", url(late), ROOT_CA),
        endpoint("no-tls", url(plain), ROOT_CA),
        endpoint("needs-tls", url(tls, "http")),
      ].join(""),
    };
    const flags = ["--resources-path", folderWith(t, files)];
    const { api } = await startBeside(t, "caller", undefined, {
      home: ownHome(t),
      flags,
      env: { OUTRIGGER_HTTP_CODEC: codec },
    });
    for (const [name, status, body] of [
      ["plain", 200, `plain /a?b=1 127.0.0.1:${plain ?? 0}`],
      [url(plain, "http"), 200, "plain /a?b=1"],
      ["trusted", 200, "tls /a?b=1"],
      ["mutual", 200, "CN=client /a?b=1"],
      // nginx says it in an answer of its own.
      ["unknown", 400, "No required SSL certificate was sent"],
      ["needs-tls", 400, "The plain HTTP request was sent to HTTPS port"],
      ["untrusted", 500, "clientTLS.rootCA of HTTPEndpoint untrusted can say which authority to trust"],
      [url(tls), 500, "clientTLS.rootCA of an HTTPEndpoint can say which authority to trust"],
      ["wrong-name", 500, "name the host in baseUrl of HTTPEndpoint wrong-name as its certificate does"],
      ["expired", 500, "certificate has expired; whoever runs the server has to renew it"],
      ["no-tls", 500, "write http:// in baseUrl of HTTPEndpoint no-tls"],
    ] as const) {
      const answer = await fetch(`${api}/v1.0/invoke/${name}/method/a?b=1`);
      const text = await answer.text();
      assert.equal(answer.status, status, text);
      assert.ok(text.includes(body), `${name}: ${text}`);
    }
  });
}
