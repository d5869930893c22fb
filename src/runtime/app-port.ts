import net from "node:net";
import type { Clock } from "../core/clock.ts";
import { SetupError } from "../core/errors.ts";

// daprd's interval (A6).
const INTERVAL_MS = 100;
// A host that drops packets instead of refusing them.
const CONNECT_TIMEOUT_MS = 1000;

/** @throws {SetupError} where something answers there already: calls would get its answers, and the app not its port. */
export async function refuseTakenPort(appId: string, host: string, port: number): Promise<void> {
  if (!(await accepts(host, port))) return;
  throw new SetupError(
    `port ${port} on ${host} answers before ${appId} has been started; end the program that has it, give the app another port with --app-port, or leave out the command if that program is the app`,
  );
}

/**
 * Resolves once something accepts connections there.
 *
 * @throws the signal's reason when it fires first.
 */
export async function waitForPort(host: string, port: number, clock: Clock, signal: AbortSignal): Promise<void> {
  while (!(await accepts(host, port, signal))) await clock.sleep(INTERVAL_MS, signal);
}

function accepts(host: string, port: number, signal?: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    // Not given the signal: Node 20 leaves its listener there, and the socket with it, for every try that is refused.
    const socket = net.connect({ host, port });
    const settle = (answer: boolean): void => {
      signal?.removeEventListener("abort", refused);
      socket.destroy();
      resolve(answer);
    };
    const refused = (): void => {
      settle(false);
    };
    signal?.addEventListener("abort", refused);
    socket.setTimeout(CONNECT_TIMEOUT_MS, refused);
    socket.once("error", refused);
    socket.once("connect", () => {
      // Where nobody listens, a connection over loopback may be given the port itself as its own, and meet itself.
      settle(socket.localPort !== port || socket.localAddress !== socket.remoteAddress);
    });
  });
}
