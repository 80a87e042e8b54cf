//! Envoy and Istio.

use super::{Advice, Manual, Need, Site, advice};

pub(super) const MANUAL: Manual = Manual { fix, reload: "envoy --mode validate -c envoy.yaml, then restart it" };

fn fix(need: Need, site: &Site) -> Option<Advice> {
    let upgrade = || format!("# in the HttpConnectionManager\nupgrade_configs:\n- upgrade_type: {}", site.token());
    match need {
        Need::Forward | Need::Token => advice("Envoy forwards only the upgrades that it is told of.", upgrade()),
        Need::Route => advice(
            format!(
                "Envoy answers an upgrade by itself when it is not told to forward it. Check the route of {} too.",
                site.place()
            ),
            upgrade(),
        ),
        Need::Http1Origin => advice(
            "An upgrade over HTTP/2 takes an origin with RFC 8441: use HTTP/1.1 to this one.",
            "\
# in the cluster, instead of http2_protocol_options
typed_extension_protocol_options:
  envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
    \"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
    explicit_http_config:
      http_protocol_options: {}",
        ),
        Need::TlsOrigin => advice(
            format!("The port {} speaks TLS: give its cluster a TLS transport socket.", site.origin()),
            "\
# in the cluster
transport_socket:
  name: envoy.transport_sockets.tls
  typed_config:
    \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        ),
        Need::PlainOrigin => advice(
            format!("The port {} does not speak TLS: remove transport_socket from its cluster.", site.origin()),
            "",
        ),
        Need::Origin => advice(site.unreached(), ""),
        Need::Idle => advice(
            site.idle(" The default is 5 minutes (stream_idle_timeout)."),
            "# in the route of the WebSocket\nroute:\n  idle_timeout: 3600s",
        ),
        Need::Lifetime => advice(
            "max_stream_duration, or max_connection_duration, ends each tunnel at that age: remove it for this route.",
            "# in the route of the WebSocket\nroute:\n  max_stream_duration: {max_stream_duration: 0s}",
        ),
        _ => None,
    }
}
