import { readFileSync } from "node:fs";
import type { RecordedRequest } from "../support/recording-app.ts";
import type { HeaderPair } from "./raw-client.ts";

/** What a real daprd 1.18.1 was seen to do: one case a line of the recording. */

export type SidecarName = "caller" | "callee" | "tokened" | "notapp";

export interface RecordedCase {
  /** `group: name`, unique in the recording. */
  readonly id: string;
  readonly request: {
    readonly to: SidecarName;
    readonly method: string;
    readonly path: string;
    readonly headers: Readonly<Record<string, string | readonly string[]>>;
    readonly body?: string;
  };
  /** What the app received. */
  readonly app: readonly RecordedRequest[];
  readonly response: RecordedResponse;
}

export interface RecordedResponse {
  readonly status: number;
  readonly headers: readonly HeaderPair[];
  readonly body: string;
}

interface RecordedLine {
  readonly group: string;
  readonly name: string;
}

const GROUPS = [
  "invoke",
  "invoke path",
  "invoke headers",
  "invoke forms",
  "invoke errors",
  "tokens",
  "system",
  "external",
  "publish",
];

const recording = new URL("../fixtures/observed/daprd-1.18.1.jsonl", import.meta.url);

const lines: readonly RecordedLine[] = readFileSync(recording, "utf8")
  .trimEnd()
  .split("\n")
  .map((line) => JSON.parse(line) as RecordedLine);

/** Every line of the recording, as `group: name`. */
export const recordedIds: readonly string[] = lines.map(idOf);

/** The cases that are run, in the order of the recording: "metadata after" follows "set metadata". */
export const cases: readonly RecordedCase[] = lines
  .filter(({ group }) => GROUPS.includes(group))
  .map((line) => ({ ...(line as unknown as RecordedCase), id: idOf(line) }));

function idOf({ group, name }: RecordedLine): string {
  return `${group}: ${name}`;
}
