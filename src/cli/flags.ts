/**
 * Every flag of `run` and `sidecar`, once: names and defaults are daprd's and `dapr run`'s (wire-contract A6). The
 * parser, the help texts and docs/flags.md are made from this table or compared with it.
 */

export type FlagKind = "text" | "count" | "port" | "switch" | "list" | "size";

export interface Flag {
  readonly name: string;
  /** One letter, as in `dapr run`. */
  readonly short?: string;
  readonly kind: FlagKind;
  /** As it would be typed. */
  readonly default?: string;
  readonly help: string;
  readonly group:
    | "App"
    | "Ports and addresses"
    | "Limits"
    | "Resources"
    | "Life cycle"
    | "Logs"
    | "Health"
    | "Security"
    | "Other";
  /**
   * `works`; `ignored`: parsed and without meaning here, as in daprd; `later`: valid, and this version does nothing
   * with it, which it says; `refused`: starting without what it asks for would surprise, so it stops the start.
   */
  readonly state: "works" | "ignored" | "later" | "refused";
  /** A value of a `refused` flag that changes nothing. */
  readonly harmless?: string;
  /** Only this command has it. */
  readonly only?: "run" | "sidecar";
}

// biome-ignore format: a flag a line, so that it reads as the table it is.
export const FLAGS = [
  { name: "app-id", short: "a", kind: "text", group: "App", state: "works", help: "the id other apps call this one by; run makes one up where none is given" },
  { name: "app-port", short: "p", kind: "port", group: "App", state: "works", help: "the port the app listens on" },
  { name: "app-protocol", short: "P", kind: "text", default: "http", group: "App", state: "works", help: "how the app is spoken to: http, https, h2c, grpc or grpcs (over TLS any certificate will do, unless spec.invocation.appTLS says whose)" },
  { name: "app-channel-address", kind: "text", default: "127.0.0.1", group: "App", state: "works", help: "the address the app listens on" },
  { name: "app-max-concurrency", kind: "count", default: "-1", group: "App", state: "works", help: "calls the app gets at once; further ones wait; -1 for no limit" },
  { name: "app-max-queue", kind: "count", default: "1000", group: "App", state: "works", help: "calls that may wait because of --app-max-concurrency; further ones are refused" },
  { name: "run-file", short: "f", kind: "text", only: "run", group: "App", state: "works", help: "start the apps of a Dapr multi-app run file, of the dapr.yaml in a directory, or of what standard input gives (-)" },
  { name: "isolated", kind: "switch", only: "run", group: "App", state: "works", help: "with -f: one Outrigger process for each app" },
  { name: "only-app", kind: "text", only: "run", group: "App", state: "works", help: "with -f: start this app of the file alone" },
  { name: "once", kind: "switch", only: "run", group: "Life cycle", state: "works", help: "end after the first call that was answered" },
  { name: "story", kind: "switch", group: "Logs", state: "works", help: "print a line for every call: on in run, off in sidecar" },

  { name: "dapr-http-port", short: "H", kind: "port", group: "Ports and addresses", state: "works", help: "the HTTP API's port: any free one in run, 3500 in sidecar" },
  { name: "dapr-grpc-port", short: "G", kind: "port", group: "Ports and addresses", state: "works", help: "the gRPC API's port: any free one in run, 50001 in sidecar" },
  { name: "dapr-internal-grpc-port", short: "I", kind: "port", group: "Ports and addresses", state: "works", help: "the port for other sidecars: from 47300 on, the same at each start" },
  { name: "dapr-internal-grpc-listen-address", kind: "text", group: "Ports and addresses", state: "works", help: "where that port listens: loopback in run, everywhere in sidecar" },
  { name: "dapr-listen-addresses", kind: "text", group: "Ports and addresses", state: "works", help: "where the APIs listen, separated by commas: loopback in run, everywhere in sidecar" },
  { name: "dapr-public-port", kind: "port", group: "Ports and addresses", state: "works", help: "a further port, for health and metadata alone: none" },
  { name: "dapr-public-listen-address", kind: "text", group: "Ports and addresses", state: "works", help: "where that port listens: loopback in run, everywhere in sidecar" },
  { name: "unix-domain-socket", short: "u", kind: "text", group: "Ports and addresses", state: "works", help: "a directory in which the APIs listen on Unix sockets, dapr-<app-id>-http.socket and -grpc.socket, instead of ports" },
  { name: "metrics-port", short: "M", kind: "port", group: "Ports and addresses", state: "works", help: "the port for Prometheus: any free one in run, 9090 in sidecar" },
  { name: "metrics-listen-address", kind: "text", group: "Ports and addresses", state: "works", help: "where that port listens: loopback in run, 0.0.0.0 in sidecar" },
  { name: "enable-metrics", kind: "switch", default: "true", group: "Other", state: "works", help: "count what passes, and serve the counts on --metrics-port" },

  { name: "max-body-size", short: "B", kind: "size", default: "4Mi", group: "Limits", state: "works", help: "the largest request body, of gRPC the largest message, as 4Mi, 100M or bytes; 0 or less for the default" },
  { name: "read-buffer-size", kind: "size", default: "4Ki", group: "Limits", state: "works", help: "the largest request header block; 4 KiB more are accepted, as in daprd" },
  { name: "dapr-http-max-request-size", kind: "count", group: "Limits", state: "works", help: "the older --max-body-size, in MiB; that one wins" },
  { name: "dapr-http-read-buffer-size", kind: "count", group: "Limits", state: "works", help: "the older --read-buffer-size, in KiB; that one wins" },

  { name: "resources-path", short: "d", kind: "list", group: "Resources", state: "works", help: "a directory of resources; may be given several times" },
  { name: "components-path", kind: "list", group: "Resources", state: "works", help: "the older name of --resources-path" },
  { name: "config", short: "c", kind: "list", group: "Resources", state: "works", help: "a Configuration file; may be given several times" },
  { name: "no-default-pubsub", kind: "switch", group: "Resources", state: "works", help: "without a pubsub.* component there is no pub/sub; else there is one named pubsub, of type pubsub.local" },

  { name: "dapr-graceful-shutdown-seconds", kind: "count", default: "5", group: "Life cycle", state: "works", help: "how long running calls may finish after a signal" },
  { name: "dapr-block-shutdown-duration", kind: "text", group: "Life cycle", state: "refused", help: "keep serving this long after a signal" },
  { name: "wait", kind: "switch", only: "sidecar", group: "Life cycle", state: "works", help: "wait until the sidecar on --dapr-http-port is ready, at most a minute, and end" },
  { name: "mode", kind: "text", default: "standalone", group: "Life cycle", state: "refused", harmless: "standalone", help: "where this runs; this version knows standalone" },
  { name: "disable-init-endpoints", kind: "text", group: "Life cycle", state: "ignored", help: "which of config and subscribe not to ask the app for; none is asked for yet" },

  { name: "log-level", kind: "text", default: "info", group: "Logs", state: "works", help: "debug, info, warn, error or fatal" },
  { name: "log-as-json", kind: "switch", group: "Logs", state: "works", help: "one JSON object a line for all that is printed: logs, calls, and in run what the apps print (scope app)" },
  { name: "enable-api-logging", kind: "switch", group: "Logs", state: "works", help: "log each call of the API, HTTP and gRPC; without it spec.logging.apiLogging says whether" },

  { name: "enable-app-health-check", kind: "switch", group: "Health", state: "works", help: "probe the app, and refuse calls to it while it is unhealthy" },
  { name: "app-health-check-path", kind: "text", default: "/healthz", group: "Health", state: "works", help: "the path to probe with GET; any 2xx is well" },
  { name: "app-health-probe-interval", kind: "count", default: "5", group: "Health", state: "works", help: "seconds between probes" },
  { name: "app-health-probe-timeout", kind: "count", default: "500", group: "Health", state: "works", help: "milliseconds a probe may take" },
  { name: "app-health-threshold", kind: "count", default: "3", group: "Health", state: "works", help: "failed probes in a row before the app counts as unhealthy" },

  { name: "enable-mtls", kind: "switch", group: "Security", state: "refused", harmless: "false", help: "speak TLS between sidecars" },
  { name: "sentry-address", kind: "text", group: "Security", state: "later", help: "the certificate authority" },
  { name: "control-plane-trust-domain", kind: "text", default: "localhost", group: "Security", state: "later", help: "the trust domain of the control plane" },
  { name: "control-plane-namespace", kind: "text", default: "default", group: "Security", state: "later", help: "the namespace of the control plane" },
  { name: "control-plane-address", kind: "text", group: "Security", state: "later", help: "the address of the control plane" },
  { name: "allowed-origins", kind: "text", group: "Security", state: "works", help: "origins whose pages browsers may let call the API, separated by commas: * for all, one * in an origin for any characters; none: no CORS" },
  { name: "sentry-request-jwt-audiences", kind: "text", group: "Security", state: "ignored", help: "audiences of the identity token" },

  { name: "enable-profiling", kind: "switch", group: "Other", state: "later", help: "serve profiles" },
  { name: "profile-port", kind: "port", default: "7777", group: "Other", state: "later", help: "the port for profiles" },
  { name: "placement-host-address", kind: "text", group: "Other", state: "ignored", help: "Dapr's actor placement; there are no actors here" },
  { name: "scheduler-host-address", kind: "text", group: "Other", state: "ignored", help: "Dapr's scheduler; there are no jobs here" },
  { name: "scheduler-job-streams", kind: "count", group: "Other", state: "ignored", help: "Dapr's scheduler; there are no jobs here" },
  { name: "actors-service", kind: "text", group: "Other", state: "ignored", help: "there are no actors here" },
  { name: "reminders-service", kind: "text", group: "Other", state: "ignored", help: "there are no actors here" },
  { name: "actors-disseminate-timeout", kind: "text", group: "Other", state: "ignored", help: "there are no actors here" },
  { name: "disable-builtin-k8s-secret-store", kind: "switch", group: "Other", state: "ignored", help: "there is no such store here" },
  { name: "app-ssl", kind: "switch", group: "Other", state: "works", help: "the older way to say --app-protocol https, or grpcs where that is grpc" },
  { name: "image-pull-policy", kind: "text", only: "run", group: "Other", state: "ignored", help: "there are no images here" },
  { name: "runtime-path", kind: "text", only: "run", group: "Other", state: "ignored", help: "where Dapr's runtime is; there is none here" },
] as const satisfies readonly Flag[];

export type FlagName = (typeof FLAGS)[number]["name"];
export type CommandName = "run" | "sidecar";

export function flagsOf(command: CommandName): readonly Flag[] {
  return (FLAGS as readonly Flag[]).filter((flag) => flag.only === undefined || flag.only === command);
}
