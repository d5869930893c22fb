import { FLAGS, type Flag } from "../src/cli/flags.ts";
import { ERRORS, type ErrorRow } from "../src/core/errors.ts";

/** The pages that repeat what the code says, made from the code; test/docs holds the files to it. */
export const PAGES: Readonly<Record<string, () => string>> = {
  "docs/flags.md": flagsPage,
  "docs/errors.md": errorsPage,
};

const STATES = {
  works: "works",
  ignored: "accepted, means nothing here",
  later: "accepted, no effect yet, with a warning",
  refused: "stops the start",
} as const;

function flagsPage(): string {
  const rows = (FLAGS as readonly Flag[]).map((flag) => {
    const short = flag.short === undefined ? "" : `, \`-${flag.short}\``;
    const fallback = flag.default === undefined ? "" : `\`${flag.default}\``;
    const where = flag.only ?? "run, sidecar";
    const harmless = flag.harmless === undefined ? "" : ` unless \`${flag.harmless}\``;
    return `| \`--${flag.name}\`${short} | ${where} | ${fallback} | ${STATES[flag.state]}${harmless} | ${flag.help} |`;
  });
  return page("Flags", [
    "Names and defaults are those of daprd and `dapr run` (Dapr 1.18). Long names may be written with one dash, values",
    "with `=` or as the next word, to a letter also attached (`-p5001`), and a switch takes `=false`. Unknown names are",
    "refused with the nearest known one.",
    "",
    "| flag | commands | default | state | what it does |",
    "|---|---|---|---|---|",
    ...rows,
  ]);
}

function errorsPage(): string {
  const rows = Object.values<ErrorRow>(ERRORS).map(({ errorCode, httpStatus, grpcCode, reason, meaning }) => {
    const info = reason === undefined ? "" : `\`${reason}\``;
    return `| \`${errorCode}\` | ${httpStatus} | ${grpcCode} | ${info} | ${meaning} |`;
  });
  return page("Errors", [
    'Every error of Outrigger\'s own is `{"errorCode", "message"}` with `content-type: application/json`; the message names',
    "the thing it is about and what to do. What an app answers, errors included, is passed on as it is. A missing or wrong",
    "API token (401) and a malformed `baggage` header (400) are plain text, as in daprd; so are requests that are not valid",
    "HTTP (400, 431), whose connection is closed.",
    "",
    "Over gRPC an error is a status, with the same message. Where there is a reason, its details have a `google.rpc.ErrorInfo`",
    "with it, of the domain `dapr.io`. A missing or wrong API token is UNAUTHENTICATED, `Unauthorized`, with the reason among the",
    "details. An HTTP app's status that is no success is the status that daprd makes of it, with code and beginning of the body",
    "among the details.",
    "",
    "| errorCode | HTTP | gRPC | reason | when |",
    "|---|---|---|---|---|",
    ...rows,
  ]);
}

function page(title: string, lines: readonly string[]): string {
  return [`# ${title}`, "", "Made by `npm run docs` from the code; edit it there.", "", ...lines, ""].join("\n");
}
