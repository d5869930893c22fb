import { readFileSync, writeFileSync } from "node:fs";

/** Resident memory of a process, as Linux counts it. */
interface Memory {
  readonly residentKiB: number;
  /** The most there has been since the start, or since {@link forgetPeak}. The kernel keeps it: no sample can miss it. */
  readonly peakKiB: number;
}

function memoryOf(pid: number): Memory {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const field = (name: string): number => {
    const value = new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(status)?.[1];
    if (value === undefined) throw new Error(`/proc/${pid}/status has no ${name}`);
    return Number(value);
  };
  return { residentKiB: field("VmRSS"), peakKiB: field("VmHWM") };
}

/** What the process holds now. */
export function residentMiB(pid: number): number {
  return memoryOf(pid).residentKiB / 1024;
}

/** From now on the peak is that of what follows. proc(5), /proc/pid/clear_refs */
function forgetPeak(pid: number): void {
  writeFileSync(`/proc/${pid}/clear_refs`, "5");
}

/** How far above what they hold now these processes get while `work` runs, in KiB: the most of any one of them. */
export async function peakGrowth(pids: readonly number[], work: () => Promise<unknown>): Promise<number> {
  for (const pid of pids) forgetPeak(pid);
  const before = pids.map((pid) => memoryOf(pid).residentKiB);
  await work();
  return Math.max(...pids.map((pid, i) => memoryOf(pid).peakKiB - (before[i] ?? 0)));
}
