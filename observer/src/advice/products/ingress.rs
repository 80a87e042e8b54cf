//! The nginx ingress controllers of Kubernetes.

use super::{Advice, Manual, Need, Site, advice};

pub(super) const MANUAL: Manual =
    Manual { fix, reload: "kubectl apply -f ingress.yaml; the controller reloads by itself" };

fn fix(need: Need, site: &Site) -> Option<Advice> {
    let place = site.place();
    match need {
        Need::Forward | Need::Injected | Need::Token | Need::Version => advice(
            format!(
                "The controller forwards upgrades by default: look for a configuration-snippet, or a proxy-http-version, \
                 on the Ingress of {place}, and remove it."
            ),
            "",
        ),
        Need::Route => advice(
            format!("No Ingress rule sends {place} to a service. Adapt name and port:"),
            format!(
                "\
# in the rules of the Ingress
- host: {}
  http:
    paths:
    - path: {}
      pathType: Prefix
      backend:
        service:
          name: origin
          port:
            number: 3000",
                site.host.as_deref().unwrap_or("example.test"),
                site.path()
            ),
        ),
        Need::Sticky => annotation("Keep a client at the origin that knows its session:", "affinity: \"cookie\""),
        Need::Head => annotation("Give the head of the origin's answer room:", "proxy-buffer-size: \"16k\""),
        Need::TlsOrigin => annotation("The origin's port speaks TLS:", "backend-protocol: \"HTTPS\""),
        Need::PlainOrigin => annotation("The origin's port does not speak TLS:", "backend-protocol: \"HTTP\""),
        Need::Idle => annotation(&site.idle(""), "proxy-read-timeout: \"3600\""),
        _ => None,
    }
}

fn annotation(text: &str, line: &str) -> Option<Advice> {
    advice(text, format!("# in the metadata of the Ingress\nannotations:\n  nginx.ingress.kubernetes.io/{line}"))
}
