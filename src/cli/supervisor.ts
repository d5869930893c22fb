/**
 * How the children of `run -f --isolated` know who watches over them. It is in their environment and not among the flags,
 * since it is nobody's to type, and counts only while its value is the parent's, so that what an app starts is no child.
 */
const NAME = "OUTRIGGER_SUPERVISOR_PID";

/** For a child of this process. */
export function withSupervisor(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return { ...env, [NAME]: String(process.pid) };
}

/** For the apps of a child. */
export function withoutSupervisor(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return { ...env, [NAME]: undefined };
}

/** The process that watches over this one, or undefined. */
export function supervisorIn(env: NodeJS.ProcessEnv): number | undefined {
  const pid = Number(env[NAME]);
  return pid === process.ppid ? pid : undefined;
}
