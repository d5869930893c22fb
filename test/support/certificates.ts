import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { TestScope } from "./cleanup.ts";
import { folderWith } from "./processes.ts";

/** Files of PEM, made for one test and gone with it. */
export interface TestAuthority {
  readonly folder: string;
  readonly caFile: string;
  /** What is in it. */
  readonly ca: string;
  /** The certificate's key, and the certificate for these names, as `subjectAltName` has them. */
  issue(name: string, subjectAltName: string): Certificate;
  /** The same, whose time was over yesterday. */
  issueExpired(name: string, subjectAltName: string): Certificate;
}

export interface Certificate {
  readonly keyFile: string;
  readonly certFile: string;
  readonly key: string;
  readonly cert: string;
}

const NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
const SETTINGS = `[req]
distinguished_name = none
[none]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = keyCertSign
subjectKeyIdentifier = hash
`;

/** A certificate authority of the test's own, made with openssl. */
export function makeAuthority(t: TestScope): TestAuthority {
  const folder = folderWith(t, { "openssl.cnf": SETTINGS });
  const openssl = (...args: readonly string[]): void => {
    execFileSync("openssl", args, { cwd: folder, stdio: "pipe" });
  };
  const request = ["req", "-config", "openssl.cnf", "-x509", ...NEW_KEY];
  openssl(...request, "-extensions", "authority", "-subj", "/CN=test", "-keyout", "ca.key", "-out", "ca.pem");
  const signed = ["-CA", "ca.pem", "-CAkey", "ca.key"];
  const issued = (name: string): Certificate => {
    const [keyFile, certFile] = [join(folder, `${name}.key`), join(folder, `${name}.pem`)];
    return { keyFile, certFile, key: readFileSync(keyFile, "utf8"), cert: readFileSync(certFile, "utf8") };
  };
  return {
    folder,
    caFile: join(folder, "ca.pem"),
    ca: readFileSync(join(folder, "ca.pem"), "utf8"),
    issue: (name, subjectAltName) => {
      const files = ["-keyout", `${name}.key`, "-out", `${name}.pem`];
      const names = ["-addext", `subjectAltName = ${subjectAltName}`];
      openssl(...request, ...signed, "-subj", `/CN=${name}`, ...names, ...files);
      return issued(name);
    },
    issueExpired: (name, subjectAltName) => {
      const key = ["-config", "openssl.cnf", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
      openssl("req", "-new", ...key, "-subj", `/CN=${name}`, "-keyout", `${name}.key`, "-out", `${name}.csr`);
      writeFileSync(join(folder, `${name}.cnf`), `subjectAltName = ${subjectAltName}\n`);
      const files = ["-in", `${name}.csr`, "-extfile", `${name}.cnf`, "-out", `${name}.pem`];
      openssl("x509", "-req", ...signed, "-CAcreateserial", "-days", "-1", ...files);
      return issued(name);
    },
  };
}
