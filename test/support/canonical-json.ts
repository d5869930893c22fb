import { isJson, jsonElements, jsonMembers, kindOfJson, stringOf } from "../../src/core/json-text.ts";

/** JSON to be compared: members in order, without white space, strings in one spelling, numbers digit for digit. */
export function canonicalJson(text: string): string {
  if (!isJson(text)) return text;
  const trimmed = text.trim();
  switch (kindOfJson(trimmed)) {
    case "object": {
      const members = [...jsonMembers(trimmed)].sort(([a], [b]) => (a < b ? -1 : 1));
      return `{${members.map(([name, value]) => `${JSON.stringify(name)}:${canonicalJson(value)}`).join(",")}}`;
    }
    case "array":
      return `[${jsonElements(trimmed).map(canonicalJson).join(",")}]`;
    case "string":
      return JSON.stringify(stringOf(trimmed));
    default:
      return trimmed;
  }
}
