import { readdirSync, readFileSync } from "node:fs";

/**
 * The process itself, under the names that Prometheus' clients give it. Where `/proc` is not to be read, what Node knows
 * of it alone.
 */
export function processExposition(): string {
  const { user, system } = process.cpuUsage();
  const startedAt = (Date.now() - performance.now()) / 1000;
  return [
    sample("process_cpu_seconds_total", "counter", "Seconds of CPU that were used.", (user + system) / 1e6),
    sample("process_resident_memory_bytes", "gauge", "Bytes of memory in use.", process.memoryUsage.rss()),
    sample("process_virtual_memory_bytes", "gauge", "Bytes of address space.", virtualBytes()),
    sample("process_start_time_seconds", "gauge", "When it began, in seconds since the epoch.", startedAt),
    sample(
      "process_open_fds",
      "gauge",
      "Open files.",
      orUndefined(() => readdirSync("/proc/self/fd").length),
    ),
    sample("process_max_fds", "gauge", "Files that may be open.", maxFiles()),
  ].join("");
}

function sample(name: string, type: "counter" | "gauge", help: string, value: number | undefined): string {
  return value === undefined ? "" : `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${name} ${value}\n`;
}

function virtualBytes(): number | undefined {
  const kibibytes = firstNumber("/proc/self/status", /^VmSize:\s+(\d+) kB/m);
  return kibibytes === undefined ? undefined : kibibytes * 1024;
}

function maxFiles(): number | undefined {
  return firstNumber("/proc/self/limits", /^Max open files\s+(\d+)/m);
}

function firstNumber(file: string, pattern: RegExp): number | undefined {
  const found = orUndefined(() => pattern.exec(readFileSync(file, "utf8"))?.[1]);
  return found === undefined ? undefined : Number(found);
}

function orUndefined<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
