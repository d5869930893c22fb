import type { AddressInfo, Server } from "node:net";

/**
 * Binds `server` and resolves with its port; port 0 means any free one. Errors that come later, such as running out of
 * file descriptors, are handed to `onError` instead of ending the process.
 *
 * @throws what listening throws, `EADDRINUSE` for one.
 */
export async function listen(
  server: Server,
  host: string,
  port: number,
  onError: (error: Error) => void,
): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port, exclusive: true }, () => {
      server.on("error", onError);
      server.off("error", reject);
      resolve();
    });
  });
  return (server.address() as AddressInfo).port;
}
