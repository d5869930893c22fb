import { isHeaderName } from "../../core/raw-headers.ts";
import type { ComponentMetadata } from "../contract/component-metadata.ts";

/** Metadata fields of the middleware that deals in tokens. All errors name the place, and none a value that may be a secret. */

/** @throws {Error} where the field is missing or empty. */
export function requiredField(metadata: ComponentMetadata, field: string): string {
  const value = metadata.get(field);
  if (value === undefined || value === "") {
    throw new Error(`${metadata.placeOf(field)}: metadata field ${field} is missing or empty; it must be there`);
  }
  return value;
}

/** @throws {Error} where the field is missing or no `http://` or `https://` URL. */
export function requiredUrl(metadata: ComponentMetadata, field: string): URL {
  const text = requiredField(metadata, field);
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== "http:" && url?.protocol !== "https:") {
    throw new Error(`${metadata.placeOf(field)}: metadata field ${field} is no URL; write https://…`);
  }
  if (url.username !== "" || url.password !== "") {
    throw new Error(`${metadata.placeOf(field)}: metadata field ${field} names a user; leave out what is before the @`);
  }
  return url;
}

/** @throws {Error} where it is no name that a header can have. */
export function headerNameField(metadata: ComponentMetadata, field: string, otherwise?: string): string {
  const name =
    (metadata.get(field) ?? "") === "" && otherwise !== undefined ? otherwise : requiredField(metadata, field);
  if (!isHeaderName(name)) {
    throw new Error(
      `${metadata.placeOf(field)}: metadata field ${field} is not the name of a header; write authorization`,
    );
  }
  return name;
}

/** Scopes as OAuth writes them, separated by spaces. contrib splits at commas, its documentation says spaces: both are taken. */
export function scopesField(metadata: ComponentMetadata): string | undefined {
  const scopes = (metadata.get("scopes") ?? "").split(/[\s,]+/).filter((scope) => scope !== "");
  return scopes.length === 0 ? undefined : scopes.join(" ");
}
