/** A process as the kernel knows it: a pid alone may be given to another one tomorrow. */
export interface ProcessIdentity {
  readonly pid: number;
  /** The kernel's start time in clock ticks since boot; empty where there is no /proc. */
  readonly startTime: string;
  /** Which pid namespace `pid` counts in; containers that share a home directory have different ones. */
  readonly pidNamespace: string;
}

/** The processes of this machine. */
export interface Processes {
  readonly own: ProcessIdentity;
  /** False only where the process is known to have ended; one in another pid namespace is beyond our sight. */
  mayBeAlive(process: ProcessIdentity): boolean;
}
