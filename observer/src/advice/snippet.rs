//! Configuration to paste, one constant for each thing to mend. Comments say where a line belongs; a test runs the
//! products' own checkers over all of them.

/// nginx before 1.29.7, or of unknown version.
pub(super) const NGINX_UPGRADE_OLD: &str = "\
# in http
map $http_upgrade $connection_upgrade {
    default upgrade;
    ''      '';
}
# in the location
proxy_http_version 1.1;
proxy_set_header Upgrade $http_upgrade;
proxy_set_header Connection $connection_upgrade;";

/// nginx from 1.29.7, which speaks HTTP/1.1 upstream by default.
pub(super) const NGINX_UPGRADE: &str = "\
# in http
map $http_upgrade $connection_upgrade {
    default upgrade;
    ''      '';
}
# in the location
proxy_set_header Upgrade $http_upgrade;
proxy_set_header Connection $connection_upgrade;";

/// The version line alone.
pub(super) const NGINX_VERSION: &str = "\
# in the location
proxy_http_version 1.1;";

/// A location of its own.
pub(super) const NGINX_LOCATION: &str = "\
# in the server
location /ws {
    proxy_pass http://127.0.0.1:3000;
    proxy_http_version 1.1;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $connection_upgrade;
}";

/// Where the origin is.
pub(super) const NGINX_ORIGIN: &str = "\
# in the location: where the origin listens
proxy_pass http://192.0.2.10:3000;";

/// Room for bursts.
pub(super) const NGINX_LIMIT: &str = "\
# in the location
limit_req zone=one burst=20 nodelay;";

/// The client's own Host.
pub(super) const NGINX_HOST: &str = "\
# in the location
proxy_set_header Host $http_host;";

/// A longer idle timer.
pub(super) const NGINX_IDLE: &str = "\
# in the location
proxy_read_timeout 1h;";

/// How long old workers may keep their tunnels after a reload.
pub(super) const NGINX_SHUTDOWN: &str = "\
# at the top level
worker_shutdown_timeout 1h;";

/// What nginx passes on unless told otherwise.
pub(super) const NGINX_NEGOTIATION: &str = "\
# in the location, instead of a fixed value
proxy_set_header Sec-WebSocket-Protocol $http_sec_websocket_protocol;
proxy_set_header Sec-WebSocket-Extensions $http_sec_websocket_extensions;
proxy_set_header Sec-WebSocket-Version $http_sec_websocket_version;";

/// Apache from 2.4.47.
pub(super) const APACHE_UPGRADE: &str = "\
# in the virtual host
ProxyPass \"/ws\" \"http://127.0.0.1:3000/ws\" upgrade=websocket";

/// Apache from 2.4.47, for other protocols than WebSocket.
pub(super) const APACHE_UPGRADE_ANY: &str = "\
# in the virtual host
ProxyPass \"/ws\" \"http://127.0.0.1:3000/ws\" upgrade=ANY";

/// HTTP/1.1 to the origin again.
pub(super) const APACHE_VERSION: &str = "\
# in the virtual host; and remove SetEnv lines that set it
UnsetEnv force-proxy-request-1.0";

/// The client's own Host.
pub(super) const APACHE_HOST: &str = "\
# in the virtual host
ProxyPreserveHost On";

/// A longer idle timer.
pub(super) const APACHE_IDLE: &str = "\
# in the virtual host; ProxyTimeout changes nothing for a tunnel
Timeout 3600";

/// What HAProxy does by itself.
pub(super) const HAPROXY_BACKEND: &str = "\
backend ws
    mode http
    timeout tunnel 1h
    server origin 127.0.0.1:3000";

/// A route to it.
pub(super) const HAPROXY_ROUTE: &str = "\
# in the frontend
use_backend ws if { path_beg /ws }";

/// A path that no deny line is to meet.
pub(super) const HAPROXY_ALLOW: &str = "\
# in the frontend, before the deny line
http-request allow if { path_beg /ws }";

/// A timer of its own for tunnels.
pub(super) const HAPROXY_IDLE: &str = "\
# in defaults
timeout tunnel 1h";

/// The site in its simplest form, which forwards upgrades.
pub(super) const CADDY_PROXY: &str = "\
example.test {
    reverse_proxy /ws* 127.0.0.1:3000
}";

/// Keep tunnels over a reload.
pub(super) const CADDY_DELAY: &str = "\
example.test {
    reverse_proxy /ws* 127.0.0.1:3000 {
        stream_close_delay 1h
    }
}";

/// In the connection manager, or in one route.
pub(super) const ENVOY_UPGRADE: &str = "\
# in the HttpConnectionManager
upgrade_configs:
- upgrade_type: websocket";

/// No idle timer for this route.
pub(super) const ENVOY_IDLE: &str = "\
# in the route of the WebSocket
route:
  idle_timeout: 3600s";

/// A router for the path.
pub(super) const TRAEFIK_ROUTER: &str = "\
http:
  routers:
    ws:
      rule: \"PathPrefix(`/ws`)\"
      service: origin
  services:
    origin:
      loadBalancer:
        servers:
        - url: \"http://127.0.0.1:3000\"";

/// The entry point's idle timer.
pub(super) const TRAEFIK_IDLE: &str = "\
# in the static configuration
entryPoints:
  web:
    transport:
      respondingTimeouts:
        idleTimeout: 1h";
