// What nginx and HAProxy are told: TLS with the ingress's certificate, one core, kept connections to the upstream, bodies
// passed on as they come, no access log.

export interface Addresses {
  /** Answers small requests and serves downloads. */
  readonly upstream: number;
  /** The same over TLS, without a proxy between. */
  readonly direct: number;
  /** Takes uploads. */
  readonly sink: number;
  /** Echoes WebSocket messages. */
  readonly echo: number;
  readonly nginx: number;
  readonly haproxy: number;
}

const HTTP_OPTIONS =
  "access_log off; sendfile on; keepalive_requests 1000000000; keepalive_timeout 300;";
const ANSWER = 'location = / { return 200 "hello\\n"; }';

/** nginx as the upstream: a small answer and files. */
export function upstreamConfiguration(workDir: string, { upstream, direct }: Addresses): string {
  return nginx(
    workDir,
    "upstream",
    `server { listen 127.0.0.1:${upstream}; root ${workDir}/www; ${ANSWER} }
  server { listen 127.0.0.1:${direct} ssl http2; ${certificate(workDir)} root ${workDir}/www; ${ANSWER} }`,
  );
}

/** nginx as the proxy. */
export function nginxConfiguration(
  workDir: string,
  { upstream, sink, echo, nginx: port }: Addresses,
) {
  return nginx(
    workDir,
    "nginx",
    `upstream app { server 127.0.0.1:${upstream}; keepalive 256; keepalive_requests 1000000000; }
  upstream sink { server 127.0.0.1:${sink}; keepalive 16; }
  server {
    listen 127.0.0.1:${port} ssl http2; ${certificate(workDir)}
    client_max_body_size 0; proxy_request_buffering off; proxy_max_temp_file_size 0;
    proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
    location / { proxy_pass http://app; }
    location /sink { proxy_pass http://sink; }
    location /echo {
      proxy_set_header Connection "Upgrade"; proxy_set_header Upgrade $http_upgrade;
      proxy_pass http://127.0.0.1:${echo};
    }
  }`,
  );
}

/** HAProxy as the proxy; `haproxy.pem` in the directory is its certificate with the key. */
export function haproxyConfiguration(
  workDir: string,
  { upstream, sink, echo, haproxy }: Addresses,
) {
  return `global
  nbthread 1
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout tunnel 60s
  http-reuse always
frontend tls
  bind 127.0.0.1:${haproxy} ssl crt ${workDir}/haproxy.pem alpn h2,http/1.1
  use_backend sink if { path /sink }
  use_backend echo if { path /echo }
  default_backend app
backend app
  server app 127.0.0.1:${upstream}
backend sink
  server sink 127.0.0.1:${sink}
backend echo
  server echo 127.0.0.1:${echo}
`;
}

function certificate(workDir: string): string {
  return `ssl_certificate ${workDir}/cert.pem; ssl_certificate_key ${workDir}/key.pem;`;
}

function nginx(workDir: string, name: string, servers: string): string {
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
    (kind) => `${kind}_temp_path ${workDir}/${name}-${kind};`,
  );
  return `daemon off;
${process.getuid?.() === 0 ? "user root;" : ""}
master_process off;
pid ${workDir}/${name}.pid;
error_log ${workDir}/${name}.log;
events { worker_connections 4096; }
http {
  ${HTTP_OPTIONS}
  ${temporary.join(" ")}
  ${servers}
}
`;
}
