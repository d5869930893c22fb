import { STATUS_CODES } from "node:http";

// What may stand in a status line (RFC 9112 4); an app's reason phrase may be anything.
const UNWRITABLE = /[^\t\x20-\x7e\x80-\xff]/;

export function reasonPhrase(status: number, given: string): string {
  return given === "" || UNWRITABLE.test(given) ? (STATUS_CODES[status] ?? "") : given;
}

let dateSecond = 0;
let date = "";

/** Now, as RFC 9110 6.6.1 has it in a Date header; made once a second. */
export function httpDate(): string {
  const now = Date.now();
  const second = Math.floor(now / 1000);
  if (second !== dateSecond) {
    dateSecond = second;
    date = new Date(now).toUTCString();
  }
  return date;
}
