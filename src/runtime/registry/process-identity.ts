import { readFileSync, readlinkSync } from "node:fs";
import type { ProcessIdentity } from "../../components/contract/processes.ts";

export function identityOf(pid: number): ProcessIdentity {
  return { pid, startTime: startTimeOf(pid) ?? "", pidNamespace: ownPidNamespace() };
}

/** Whether its pid counts here: in another pid namespace it is somebody else's. */
export function isWithinSight(process: ProcessIdentity): boolean {
  return process.pidNamespace === ownPidNamespace();
}

/** False only where the process is known to have ended; one in another pid namespace is beyond our sight. */
export function mayBeAlive(process: ProcessIdentity): boolean {
  if (!isWithinSight(process)) return true;
  if (process.startTime !== "") return startTimeOf(process.pid) === process.startTime;
  return signalReaches(process.pid);
}

/** Field 22 of /proc/<pid>/stat (proc(5)), or undefined where there is no such process, or no /proc. */
function startTimeOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The second field is the program's name in parentheses, and may hold spaces and parentheses itself.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    // A zombie has ended; it only waits for its parent to notice.
    return fields[0] === "Z" ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

function ownPidNamespace(): string {
  try {
    return readlinkSync("/proc/self/ns/pid");
  } catch {
    return "";
  }
}

function signalReaches(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // It exists, and belongs to somebody else.
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
