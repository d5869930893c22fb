import { hostname } from "node:os";
import type { RecordedRequest } from "../support/recording-app.ts";
import { inExactForm } from "./exact-json.ts";
import type { HeaderPair, RawAnswer, RawRequest } from "./raw-client.ts";
import type { RecordedCase } from "./recorded-cases.ts";

/**
 * An exchange in the form in which a recorded and a new one are compared: header names in lower case, the values of one
 * name in the order of the wire, and words for what is another at every run (ports, dates, host names).
 */
export interface Exchange {
  /** What the app received. */
  readonly app: readonly AppRequest[];
  readonly answer: Answer;
}

export interface AppRequest {
  readonly method: string;
  readonly path: string;
  readonly httpVersion: string;
  readonly headers: HeaderValues;
  readonly body: string;
}

export interface Answer {
  readonly status: number;
  readonly headers: HeaderValues;
  readonly body: string;
}

export type HeaderValues = Readonly<Record<string, readonly string[]>>;

/** What this run has in the place of the recording's words. */
export interface Surroundings {
  readonly home: string;
  readonly appPort: number;
  /** Where the sidecar `notapp` believes its app to be. */
  readonly deadPort: number;
}

// The port of the recorded app, which the recording left as it was in `appConnectionProperties`.
const RECORDED_APP_PORT = 18_080;
// The recording has a word for it, or what it was, percent-encoded.
const APP_IN_URL = /(\/127\.0\.0\.1:|%2F127\.0\.0\.1%3A)(?:PORT|18080)/;
const TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/**
 * The recorded request with the recording's placeholders filled in.
 *
 * @param port of the API that is asked; URLs in it are the app's.
 */
export function requestOf({ request }: RecordedCase, port: number, appPort: number): RawRequest {
  const body = contentOf(request.body ?? "");
  const recorded = Object.entries(request.headers).flatMap(([name, values]) =>
    [values]
      .flat()
      .map(
        (value): HeaderPair => [
          name,
          value === "TRACEPARENT" ? TRACEPARENT : value.replace(APP_IN_URL, `$1${appPort}`),
        ],
      ),
  );
  const has = (wanted: string): boolean => recorded.some(([name]) => name.toLowerCase() === wanted);
  const chunked = has("transfer-encoding");
  const headers: HeaderPair[] = [["Host", `127.0.0.1:${port}`], ...recorded];
  if (body !== "" && !chunked && !has("content-length")) headers.push(["Content-Length", String(body.length)]);
  return {
    method: request.method,
    target: request.path.replace(APP_IN_URL, `$1${appPort}`),
    headers,
    body: chunked ? `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n` : body,
  };
}

export function recordedExchange({ id, app, response }: RecordedCase): Exchange {
  const requests = app.map((request) => ({ ...request, headers: headerValues(request.headers) }));
  return {
    app: isOfEvents(id) ? eventsInWords(requests) : requests,
    answer: { ...response, headers: headerValues(response.headers.map((pair) => lengthInWords(pair))) },
  };
}

/** @param id of the case. */
export function exchangeSeen(
  id: string,
  app: readonly RecordedRequest[],
  answer: RawAnswer,
  here: Surroundings,
): Exchange {
  const { status, headers, body } = answer;
  const requests = app.map((request) => {
    const said = request.headers.filter(saysSomething).map((pair) => inWords(pair, here));
    return { ...request, headers: headerValues(said) };
  });
  return {
    app: isOfEvents(id) ? eventsInWords(requests) : requests,
    answer: {
      status,
      headers: headerValues(headers.map((pair) => lengthInWords(inWords(pair, here), body))),
      body: bodyInWords(body, here),
    },
  };
}

/** What the app gets of them is another at every run, in whatever order; node:http has held their lengths to their bodies. */
export function isOfEvents(id: string): boolean {
  return id.startsWith("publish: ");
}

function eventsInWords(requests: readonly AppRequest[]): AppRequest[] {
  const inForm = requests.map((request) => {
    const headers = { ...request.headers };
    if (headers["content-length"]?.every((length) => /^\d+$/.test(length))) headers["content-length"] = ["LENGTH"];
    return { ...request, headers, body: inExactForm(request.body) };
  });
  return inForm.sort((a, b) => (a.path + a.body < b.path + b.body ? -1 : 1));
}

/** The same with header names in order: it makes no difference to the comparison, and all to reading one that failed. */
export function legible({ app, answer }: Exchange): Exchange {
  return {
    app: app.map((request) => ({ ...request, headers: sorted(request.headers) })),
    answer: { ...answer, headers: sorted(answer.headers) },
  };
}

function sorted(headers: HeaderValues): HeaderValues {
  return Object.fromEntries(Object.entries(headers).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Bodies are all of one byte a character; a placeholder says how many bytes there were. */
function contentOf(recorded: string): string {
  const bytes = /^<(\d+) bytes>$/.exec(recorded)?.[1];
  return bytes === undefined ? recorded : "x".repeat(Number(bytes));
}

export function headerValues(headers: readonly HeaderPair[]): HeaderValues {
  const byName: Record<string, string[]> = {};
  for (const [name, value] of headers) (byName[name.toLowerCase()] ??= []).push(value);
  return byName;
}

/** Node's client says aloud what HTTP/1.1 takes for granted (RFC 9112 9.3); our own does not. */
export function saysSomething([name, value]: HeaderPair): boolean {
  return !(name.toLowerCase() === "connection" && value === "keep-alive");
}

/** A length that is right says no more than the body, whose ports may be shorter here; the recorded ones are right. */
function lengthInWords([name, value]: HeaderPair, body?: string): HeaderPair {
  const isLength = name.toLowerCase() === "content-length";
  return [name, isLength && (body === undefined || Number(value) === body.length) ? "LENGTH" : value];
}

export function inWords([name, value]: HeaderPair, here: Pick<Surroundings, "appPort">): HeaderPair {
  switch (name.toLowerCase()) {
    case "date":
    case "dapr-date":
      return [name, Number.isNaN(Date.parse(value)) ? value : "DATE"];
    case "host":
      return [name, value === `127.0.0.1:${here.appPort}` ? "127.0.0.1:PORT" : value];
    case "x-forwarded-host":
      return [name, value === hostname() ? "vm" : value];
    case "forwarded":
      return [name, value.endsWith(`;host=${hostname()}`) ? value.replace(hostname(), "vm") : value];
    case "traceparent":
      return [name, value === TRACEPARENT ? "TRACEPARENT" : value];
    default:
      return [name, value];
  }
}

function bodyInWords(body: string, here: Surroundings): string {
  return body
    .replaceAll(`127.0.0.1:${here.deadPort}`, "127.0.0.1:PORT")
    .replaceAll(`"port":${here.appPort},`, `"port":${RECORDED_APP_PORT},`)
    .replaceAll(here.home, "HOME");
}
