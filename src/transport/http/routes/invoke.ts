import { OutriggerError } from "../../../core/errors.ts";
import { hasNoTrailers, type ResponseMessage } from "../../../core/message.ts";
import { headerValue, withoutHeaders } from "../../../core/raw-headers.ts";
import { basicAuthTarget } from "../../../invocation/basic-auth-target.ts";
import type { Invocation, Invoker } from "../../../invocation/invoker.ts";
import type { ApiRequest } from "../api-request.ts";
import { BrokenAnswer, type HttpAnswer } from "../http-exchange.ts";
import { queryUnescaped } from "../query-unescape.ts";
import { requestBodyOf } from "../request-body.ts";

/** Service invocation (seed 000), in all the forms in which a request can name its target (A2). */

const INVOKE_PREFIX = "/v1.0/invoke/";
const METHOD_SEPARATOR = "/method/";
const APP_ID_HEADER = "dapr-app-id";
const API_TOKEN_HEADER = "dapr-api-token";

export interface InvokeRoute {
  readonly invoker: Invoker;
  /** `--max-body-size`. */
  readonly maxBodyBytes: number;
}

/** @throws {OutriggerError} also where the request names no target. */
export async function invoke(route: InvokeRoute, request: ApiRequest): Promise<void> {
  const named = targetOf(request);
  if (named === undefined) {
    throw new OutriggerError("noTarget", "failed getting app id either from the URL path or the header dapr-app-id");
  }
  const { exchange } = request;
  const body = await requestBodyOf(exchange, route.maxBodyBytes);
  const { target, rawPath, methodMissing } = named;
  const invocation: Invocation = {
    target,
    rawPath,
    methodMissing,
    method: request.method,
    query: request.query,
    headers: headersForTheApp(request),
    trace: request.trace,
    body,
    contentLength: exchange.contentLength,
    signal: exchange.signal,
  };
  const { span } = request;
  const traced = span === undefined ? invocation : { ...invocation, span };
  const { upgrade } = exchange;
  const response = await route.invoker.invoke(upgrade === undefined ? traced : { ...traced, upgrade });
  // The response's own list: nobody else has it.
  const { headers } = response;
  for (const part of request.traceHeaders) headers.push(part);
  try {
    exchange.answer(hasNoTrailers(response) ? response : await ofGrpcApp(response));
  } catch (cause) {
    if (!(cause instanceof BrokenAnswer)) throw cause;
    const what = `failed to invoke, id: ${named.target}, err: ${cause.message}`;
    throw new OutriggerError("invocationFailed", what, { cause });
  }
}

async function ofGrpcApp(response: ResponseMessage): Promise<HttpAnswer> {
  const { answerOfGrpcApp } = await import("./grpc-answer.ts");
  return answerOfGrpcApp(response);
}

/** Whom a request is for, as it names it; undefined where it names nobody. */
export function invokedTarget(path: string, headers: readonly string[]): string | undefined {
  return targetOf({ path, headers })?.target;
}

interface NamedTarget {
  readonly target: string;
  readonly rawPath: string;
  readonly methodMissing: boolean;
}

/** Header before basic auth before path, as daprd looks for them (A2). */
function targetOf(request: Pick<ApiRequest, "path" | "headers">): NamedTarget | undefined {
  const byHeader = headerValue(request.headers, APP_ID_HEADER) ?? basicAuthTarget(request.headers);
  if (byHeader !== undefined && byHeader !== "") {
    return { target: byHeader, rawPath: request.path, methodMissing: false };
  }
  return pathTarget(request.path);
}

function pathTarget(path: string): NamedTarget | undefined {
  if (!path.startsWith(INVOKE_PREFIX)) return undefined;
  const separator = path.indexOf(METHOD_SEPARATOR, INVOKE_PREFIX.length);
  if (separator === -1) return undefined;
  // A broken escape is kept: no app has such an id, so the error names it.
  const target = queryUnescaped(path.slice(INVOKE_PREFIX.length, separator));
  // The separator's last slash is the path's first.
  const rawPath = path.slice(separator + METHOD_SEPARATOR.length - 1);
  return target === "" ? undefined : { target, rawPath, methodMissing: rawPath === "/" };
}

/** Read here and gone: the target, and the API token where the sidecar asks for one (A1). */
function headersForTheApp({ headers, tokenChecked }: ApiRequest): readonly string[] {
  const hasToken = tokenChecked && headerValue(headers, API_TOKEN_HEADER) !== undefined;
  if (!hasToken && headerValue(headers, APP_ID_HEADER) === undefined) return headers;
  return withoutHeaders(headers, (name) => name === APP_ID_HEADER || (tokenChecked && name === API_TOKEN_HEADER));
}
