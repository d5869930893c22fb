// What nginx and HAProxy are told: one worker each, connections kept open on both sides, bodies passed on as they come,
// no access log. That is what Outrigger does too, so that the rows compare the same work.

const LISTEN_QUEUE = 4096;
const KEPT_OPEN = 1024;

/** nginx as the app: a constant answer, and the files in `folder`. */
export function nginxApp({ folder, ports, json }) {
  const listens = ports.map((port) => `listen 127.0.0.1:${port} backlog=${LISTEN_QUEUE};`).join("\n    ");
  return nginx(
    folder,
    `server {
    ${listens}
    default_type application/json;
    location /bytes/ { root ${folder}; }
    location / { return 200 '${json}'; }
  }`,
  );
}

export function nginxProxy({ folder, port, appPort }) {
  return nginx(
    folder,
    `upstream app {
    server 127.0.0.1:${appPort};
    keepalive ${KEPT_OPEN};
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
  }
  server {
    listen 127.0.0.1:${port} backlog=${LISTEN_QUEUE};
    location / {
      proxy_pass http://app;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_request_buffering off;
      proxy_max_temp_file_size 0;
    }
  }`,
  );
}

/** gRPC in and out; nginx has a connection to the app for each call under way. */
export function nginxGrpcProxy({ folder, port, appPort }) {
  return nginx(
    folder,
    `upstream app {
    server 127.0.0.1:${appPort};
    keepalive ${KEPT_OPEN};
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
  }
  server {
    listen 127.0.0.1:${port} http2 backlog=${LISTEN_QUEUE};
    location / { grpc_pass grpc://app; }
  }`,
  );
}

function nginx(folder, servers) {
  // Started as root its worker would be somebody else, who cannot read the folder.
  const user = process.getuid?.() === 0 ? "user root;\n" : "";
  return `${user}daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid ${folder}/nginx.pid;
error_log stderr crit;
events { worker_connections 16000; }
http {
  access_log off;
  sendfile on;
  tcp_nodelay on;
  open_file_cache max=16;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  client_max_body_size 0;
  large_client_header_buffers 8 16k;
  client_body_temp_path ${folder}/body;
  proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi;
  scgi_temp_path ${folder}/scgi;
  ${servers}
}
`;
}

/** @param {{ port: number, appPort: number, protocol?: "h1" | "h2" }} options `protocol` is spoken on both sides */
export function haproxy({ port, appPort, protocol = "h1" }) {
  const proto = protocol === "h2" ? " proto h2" : "";
  return `global
  nbthread 1
  maxconn 4000
defaults
  mode http
  maxconn 4000
  option http-keep-alive
  option http-no-delay
  timeout connect 5s
  timeout client 1h
  timeout server 1h
frontend callers
  bind 127.0.0.1:${port} backlog ${LISTEN_QUEUE}${proto}
  default_backend app
backend app
  http-reuse always
  server app 127.0.0.1:${appPort} pool-max-conn ${KEPT_OPEN}${proto}
`;
}
