import { X509Certificate } from "node:crypto";
import { createSecureContext } from "node:tls";
import { messageOf, SetupError } from "../../core/errors.ts";
import { headerValue, isHeaderName, type RawHeaders } from "../../core/raw-headers.ts";
import { placeOf } from "../../invocation/endpoint-url.ts";
import type { Endpoint, EndpointTls } from "../../invocation/ports.ts";
import type { ClientTlsSpec, HttpEndpointSpec } from "../../resources/http-endpoint-spec.ts";
import type { SecretValues, ValueUser } from "./secret-values.ts";

/**
 * The HTTP endpoints of one app by their names, with all values that stand elsewhere.
 *
 * @throws {SetupError} naming the resource and the field, for a value that is missing or of no use.
 */
export async function endpointsFrom(
  specs: readonly HttpEndpointSpec[],
  values: SecretValues,
): Promise<ReadonlyMap<string, Endpoint>> {
  const endpoints = new Map<string, Endpoint>();
  for (const spec of specs) endpoints.set(spec.name, await endpointFrom(spec, values));
  return endpoints;
}

async function endpointFrom(spec: HttpEndpointSpec, values: SecretValues): Promise<Endpoint> {
  const user = { description: `HTTPEndpoint ${spec.name} in ${spec.file}`, secretStore: spec.secretStore };
  const tls = spec.clientTls === undefined ? undefined : await tlsFrom(spec.clientTls, values, user);
  return {
    name: spec.name,
    ...placeOf(spec.baseUrl),
    headers: withUser(await headersFrom(spec, values, user), spec.baseUrl),
    tls,
    followsRedirects: true,
  };
}

// What may stand in a header (RFC 9110 5.5); the value is not shown, for it may be a secret.
const HEADER_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;

async function headersFrom({ headers }: HttpEndpointSpec, values: SecretValues, user: ValueUser): Promise<RawHeaders> {
  const flat: RawHeaders = [];
  for (const { name, source } of headers) {
    const text = (await values.valueOf(source, `header ${name}`, user)).trim();
    const value = Buffer.from(text).toString("latin1");
    if (!isHeaderName(name)) throw new SetupError(`${user.description}: "${name}" is no name of a header`);
    if (!HEADER_VALUE.test(value)) {
      throw new SetupError(`${user.description}: header ${name}: its value has characters that no header can have`);
    }
    flat.push(name, value);
  }
  return flat;
}

/** User and password of a URL are sent where no header says anything else (RFC 7617), as by Go's client. */
function withUser(headers: RawHeaders, { username, password }: URL): RawHeaders {
  const isNamed = username !== "" || password !== "";
  if (!isNamed || headerValue(headers, "authorization") !== undefined) return headers;
  const user = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return [...headers, "Authorization", `Basic ${Buffer.from(user).toString("base64")}`];
}

async function tlsFrom(spec: ClientTlsSpec, values: SecretValues, user: ValueUser): Promise<EndpointTls> {
  const valueOf = async (field: "rootCa" | "certificate" | "privateKey", name: string): Promise<string | undefined> => {
    const source = spec[field];
    return source === undefined ? undefined : await values.valueOf(source, `clientTLS.${name}`, user);
  };
  const ca = await valueOf("rootCa", "rootCA");
  const certificate = await valueOf("certificate", "certificate");
  const privateKey = await valueOf("privateKey", "privateKey");
  const own = pairOf(certificate, privateKey, user);
  if (ca !== undefined) refuseNoCertificate(ca, `${user.description}: clientTLS.rootCA`);
  return { ca, own, renegotiation: spec.renegotiation };
}

function pairOf(
  certificate: string | undefined,
  privateKey: string | undefined,
  { description }: ValueUser,
): EndpointTls["own"] {
  if (certificate === undefined && privateKey === undefined) return undefined;
  if (certificate === undefined || privateKey === undefined) {
    const [has, lacks] = certificate === undefined ? ["privateKey", "certificate"] : ["certificate", "privateKey"];
    throw new SetupError(`${description}: clientTLS has a ${has} and no ${lacks}; give both`);
  }
  refuseNoCertificate(certificate, `${description}: clientTLS.certificate`);
  try {
    createSecureContext({ cert: certificate, key: privateKey });
  } catch (cause) {
    throw new SetupError(`${description}: clientTLS.privateKey is not the key of its certificate: ${messageOf(cause)}`);
  }
  return { certificate, privateKey };
}

function refuseNoCertificate(pem: string, what: string): void {
  try {
    new X509Certificate(pem);
  } catch (cause) {
    throw new SetupError(`${what} is no certificate in PEM`, { cause });
  }
}
