//! Which product answers, or forwards: from `Server`, or from the habits of the requests that it sends.

use crate::engine::event::{Fields, Product, ProductName, Request, Response};

/// What is longer is no version.
const LONGEST_VERSION: usize = 64;

/// The product that a response names in `Server` (RFC 9110 10.2.4).
#[must_use]
pub fn of_response(response: &Response) -> Option<Product> {
    of_server(response.field("server")?)
}

fn of_server(value: &str) -> Option<Product> {
    let word = value.split_whitespace().next()?;
    let (name, version) = word.split_once('/').map_or((word, None), |(name, version)| (name, Some(version)));
    let name = match name.to_ascii_lowercase().as_str() {
        "nginx" | "openresty" | "angie" | "tengine" => ProductName::Nginx,
        "apache" => ProductName::Apache,
        "caddy" => ProductName::Caddy,
        "envoy" | "istio-envoy" => ProductName::Envoy,
        "haproxy" => ProductName::HaProxy,
        "traefik" => ProductName::Traefik,
        _ => return None,
    };
    let version = version.filter(|version| version.len() <= LONGEST_VERSION);
    Some(Product { name, version: version.map(Into::into) })
}

/// The product that forwarded a request, by its habits: HAProxy writes every name in lower case; Apache adds three
/// X-Forwarded fields and puts Connection last; Envoy adds fields of its own; Traefik names its server.
#[must_use]
pub fn of_forwarded(request: &Request) -> Option<Product> {
    let has = |name: &str| request.field(name).is_some();
    let name = if has("x-envoy-expected-rq-timeout-ms") || has("x-envoy-internal") {
        ProductName::Envoy
    } else if has("x-forwarded-server") && has("x-forwarded-port") && has("x-real-ip") {
        ProductName::Traefik
    } else if has("x-forwarded-server") && has("x-forwarded-host") && has("x-forwarded-for") {
        ProductName::Apache
    } else {
        return None;
    };
    Some(Product { name, version: None })
}

/// Whether every name of a request that came in mixed case went out in lower case: HAProxy's habit.
#[must_use]
pub fn lowers_names(downstream: &Request, upstream: &Request) -> bool {
    let mixed =
        |request: &Request| request.lines().iter().any(|line| line.name.bytes().any(|byte| byte.is_ascii_uppercase()));
    mixed(downstream) && !mixed(upstream) && upstream.lines().len() > 2
}

/// The product whose own error page a response is: its body, as far as it was kept, is not the origin's.
#[must_use]
pub fn of_error_page(body: &[u8]) -> Option<ProductName> {
    let holds = |part: &str| body.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part.as_bytes()));
    if holds("<center>nginx") || holds("<center>openresty") {
        Some(ProductName::Nginx)
    } else if holds("<address>Apache") {
        Some(ProductName::Apache)
    } else if holds("No server is available to handle this request.")
        || holds("The server returned an invalid or incomplete response.")
        || holds("The server didn't respond in time.")
    {
        Some(ProductName::HaProxy)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: &str, name: ProductName, version: Option<&str>) {
        assert_eq!(of_server(value), Some(Product { name, version: version.map(Into::into) }), "{value}");
    }

    #[test]
    fn products_are_read_from_server() {
        check("nginx/1.22.1", ProductName::Nginx, Some("1.22.1"));
        check("nginx", ProductName::Nginx, None);
        check("openresty/1.21.4.1", ProductName::Nginx, Some("1.21.4.1"));
        check("Apache/2.4.57 (Debian)", ProductName::Apache, Some("2.4.57"));
        check("Caddy", ProductName::Caddy, None);
        assert_eq!(of_server("gunicorn"), None);
    }
}
