/** What `--app-protocol` may say in this version. */
export const APP_PROTOCOLS = ["http", "https", "h2c"] as const;

/** How the app is spoken to: HTTP/1.1, the same over TLS, or HTTP/2 without TLS. */
export type AppProtocol = (typeof APP_PROTOCOLS)[number];
