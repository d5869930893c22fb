import { STATUS_CODES } from "node:http";

// Where Go's words for a status are not Node's: they are the message of an error that clients may compare.
const GO_WORDS: Readonly<Record<number, string>> = {
  413: "Request Entity Too Large",
  414: "Request URI Too Long",
  416: "Requested Range Not Satisfiable",
  418: "I'm a teapot",
  509: "",
};

/** `http.StatusText` of Go; empty for a status that has none. */
export function goStatusText(status: number): string {
  return GO_WORDS[status] ?? STATUS_CODES[status] ?? "";
}
