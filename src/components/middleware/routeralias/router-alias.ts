import { parse } from "yaml";
import { messageOf } from "../../../core/errors.ts";
import type { ResponseMessage } from "../../../core/message.ts";
import type { ComponentMetadata } from "../../contract/component-metadata.ts";
import type { Middleware, MiddlewareNext, MiddlewareRequest } from "../../contract/middleware.ts";
import { type Alias, readAlias, resolve } from "./alias.ts";

/**
 * `middleware.http.routeralias`: paths of its own for paths of the API; what stands between braces becomes a field of the
 * query (components-contrib/middleware/http/routeralias).
 */
export class RouterAlias implements Middleware {
  #aliases: readonly Alias[] = [];

  init(metadata: ComponentMetadata): Promise<void> {
    // The form before `routes`: each path a field.
    const paths = metadata.fields.filter((field) => field.startsWith("/"));
    metadata.refuseUnknown(["routes", ...paths]);
    const aliases = paths.map((path) => aliasOf(metadata, path, path, metadata.get(path) ?? ""));
    for (const [path, target] of routesOf(metadata)) aliases.push(aliasOf(metadata, "routes", path, target));
    if (aliases.length === 0) {
      throw new Error(`metadata field routes is missing; give {"/path": "/v1.0/invoke/app/method/path"}, JSON or YAML`);
    }
    this.#aliases = aliases;
    return Promise.resolve();
  }

  handle(request: MiddlewareRequest, next: MiddlewareNext): Promise<ResponseMessage> {
    const path = decoded(request.path);
    if (path === undefined) return next(request);
    for (const alias of this.#aliases) {
      const place = resolve(alias, path, request.query);
      if (place !== undefined) return next({ ...request, ...place });
    }
    return next(request);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

function aliasOf(metadata: ComponentMetadata, field: string, path: string, target: string): Alias {
  try {
    return readAlias(path, target);
  } catch (cause) {
    throw new Error(`${metadata.placeOf(field)}: ${messageOf(cause)}`, { cause });
  }
}

function routesOf(metadata: ComponentMetadata): readonly (readonly [path: string, target: string])[] {
  const text = metadata.get("routes") ?? "";
  if (text === "") return [];
  const place = metadata.placeOf("routes");
  let routes: unknown;
  try {
    // JSON is YAML, too.
    routes = parse(text);
  } catch (cause) {
    throw new Error(`${place}: routes is neither JSON nor YAML: ${messageOf(cause)}`, { cause });
  }
  if (typeof routes !== "object" || routes === null || Array.isArray(routes)) {
    throw new Error(`${place}: routes is no dictionary; write {"/path": "/v1.0/invoke/app/method/path"}`);
  }
  return Object.entries(routes).map(([path, target]: [string, unknown]) => {
    if (typeof target !== "string") throw new Error(`${place}: routes: "${path}" stands for no path`);
    return [path, target] as const;
  });
}

/** Undefined for an escape that is none. */
function decoded(path: string): string | undefined {
  try {
    return decodeURIComponent(path);
  } catch {
    return undefined;
  }
}
