import { hostname } from "node:os";
import pino from "pino";
import { visible } from "../core/go-json.ts";
import type { LogFields, Logger } from "../core/logger.ts";

export type LogLevel = "debug" | "info" | "warn" | "error" | "fatal";
export const LOG_LEVELS: readonly LogLevel[] = ["debug", "info", "warn", "error", "fatal"];

/** Who says it: Outrigger, an app whose output passes through it, or one of daprd's scopes. */
export type LogScope = string;

export interface LogOptions {
  readonly level: LogLevel;
  /** `--log-as-json`: one JSON object a line, daprd's field names. Otherwise a line for people. */
  readonly json: boolean;
  readonly colour: boolean;
  /** Lines for people begin with the date, too: those that are kept. */
  readonly dated: boolean;
  /** On every line of JSON: Outrigger's. */
  readonly version: string;
  /** On every line: the app the line is about. */
  readonly appId?: string | undefined;
  readonly scope?: LogScope;
  /** Takes one finished line, newline included. */
  write(line: string): void;
}

/** The logger behind the port in core/. */
export function createLogger(options: LogOptions): Logger {
  const logger = options.json ? jsonLogger(options) : textLogger(options);
  const at =
    (level: Exclude<LogLevel, "fatal">) =>
    (message: string, fields?: LogFields): void => {
      logger[level](fields ?? {}, message);
    };
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

/** Field names as daprd writes them with `--log-as-json`, so that log pipelines keep working. */
function jsonLogger(options: LogOptions): pino.Logger {
  return pino(
    {
      level: options.level,
      base: {
        ...(options.appId === undefined ? {} : { app_id: options.appId }),
        instance: hostname(),
        scope: options.scope ?? "outrigger",
        type: "log",
        ver: options.version,
      },
      messageKey: "msg",
      formatters: { level: (level) => ({ level: level === "warn" ? "warning" : level }) },
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
    },
    {
      write: (line: string) => {
        options.write(line);
      },
    },
  );
}

interface PinoLine {
  readonly level: number;
  readonly time: number;
  readonly msg: string;
  readonly [field: string]: unknown;
}

function textLogger(options: LogOptions): pino.Logger {
  const destination = {
    write: (line: string) => {
      options.write(forPeople(JSON.parse(line) as PinoLine, options));
    },
  };
  return pino({ level: options.level, base: null }, destination);
}

const LEVEL_NAMES: Readonly<Record<number, readonly [name: string, ansi: number]>> = {
  20: ["debug", 90],
  30: ["info ", 36],
  40: ["warn ", 33],
  50: ["error", 31],
  60: ["fatal", 31],
};

function forPeople({ level, time, msg, ...fields }: PinoLine, options: LogOptions): string {
  const paint = (ansi: number, text: string): string => (options.colour ? `\x1b[${ansi}m${text}\x1b[0m` : text);
  const [name, ansi] = LEVEL_NAMES[level] ?? ["log  ", 0];
  const about = options.appId === undefined ? "" : ` ${options.appId}:`;
  const details = Object.entries(fields).map(([key, value]) => ` ${key}=${quoted(value)}`);
  const clock = timeOf(time, options.dated);
  return `${paint(90, clock)} ${paint(ansi, name)}${about} ${visibleLines(msg)}${paint(90, details.join(""))}\n`;
}

/** `13:45:01.123`, or with the date `2026-11-21T13:45:01.123Z`. */
export function timeOf(ms: number, dated: boolean): string {
  const text = new Date(ms).toISOString();
  return dated ? text : text.slice(11, 23);
}

function quoted(value: unknown): string {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return visible(/^[^\s"=]+$/.test(text) ? text : JSON.stringify(text));
}

/** Much of what is logged comes from outside, and a terminal obeys control characters. */
function visibleLines(text: string): string {
  return text.split("\n").map(visible).join("\n");
}
