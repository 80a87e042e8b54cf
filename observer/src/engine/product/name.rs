//! The names of products, and sets of them.

/// A server or proxy product.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Product {
    /// Which one.
    pub name: ProductName,
    /// Its version where it told, such as `1.22.1`.
    pub version: Option<Box<str>>,
}

macro_rules! products {
    ($($(#[$doc:meta])+ $name:ident = $text:literal,)+) => {
        /// The products whose ways the tool knows.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum ProductName {
            $($(#[$doc])+ $name,)+
        }

        impl ProductName {
            /// Every product.
            pub const ALL: [Self; [$($text),+].len()] = [$(Self::$name),+];

            /// The name as its makers write it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }
        }
    };
}

products! {
    /// nginx, Angie, OpenResty, Tengine.
    Nginx = "nginx",
    /// The nginx ingress controllers of Kubernetes.
    Ingress = "ingress-nginx",
    /// Kong, built on OpenResty.
    Kong = "Kong",
    /// HAProxy.
    HaProxy = "HAProxy",
    /// Apache httpd.
    Apache = "Apache",
    /// Caddy.
    Caddy = "Caddy",
    /// Envoy and what is built on it, such as Istio.
    Envoy = "Envoy",
    /// Traefik.
    Traefik = "Traefik",
    /// A program with the `ReverseProxy` of Go's standard library.
    GoProxy = "Go ReverseProxy",
    /// A program with http-proxy for Node.js: vite, webpack-dev-server, Next.js and others.
    NodeProxy = "node http-proxy",
    /// lighttpd.
    Lighttpd = "lighttpd",
    /// Varnish Cache.
    Varnish = "Varnish",
    /// Squid.
    Squid = "Squid",
    /// mitmproxy.
    Mitmproxy = "mitmproxy",
    /// nghttpx of nghttp2.
    Nghttpx = "nghttpx",
    /// tinyproxy.
    Tinyproxy = "tinyproxy",
    /// IIS with Application Request Routing.
    Iis = "IIS/ARR",
    /// The Application Load Balancer of AWS.
    Alb = "AWS ALB",
    /// Cloudflare.
    Cloudflare = "Cloudflare",
    /// The front ends of Google Cloud.
    Google = "Google Front End",
    /// Front Door and Application Gateway of Azure.
    Azure = "Azure front end",
    /// The router of Heroku.
    Heroku = "Heroku router",
}

/// A set of products.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Debug)]
pub struct Candidates(u32);

impl Candidates {
    /// The products in it, in the order of [`ProductName::ALL`].
    pub fn iter(self) -> impl Iterator<Item = ProductName> {
        ProductName::ALL.into_iter().filter(move |name| self.contains(*name))
    }

    /// Whether it has this one.
    #[must_use]
    pub const fn contains(self, name: ProductName) -> bool {
        self.0 >> name as u32 & 1 == 1
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The products that are in both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// As a number.
    #[must_use]
    pub(in crate::engine) const fn bits(self) -> u32 {
        self.0
    }

    /// From [`Self::bits`].
    #[must_use]
    pub(in crate::engine) const fn from_bits(bits: u32) -> Self {
        Self(bits & ((1 << ProductName::ALL.len()) - 1))
    }
}

impl FromIterator<ProductName> for Candidates {
    fn from_iter<T: IntoIterator<Item = ProductName>>(names: T) -> Self {
        Self(names.into_iter().fold(0, |bits, name| bits | 1 << name as u32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_hold_what_was_put_in() {
        let all: Candidates = ProductName::ALL.into_iter().collect();
        assert!(all.iter().eq(ProductName::ALL) && Candidates::from_bits(u32::MAX) == all);
        let two: Candidates = [ProductName::Envoy, ProductName::HaProxy].into_iter().collect();
        assert!(two.iter().eq([ProductName::HaProxy, ProductName::Envoy]) && !two.contains(ProductName::Nginx));
        assert!(Candidates::default().is_empty() && two.and(Candidates::default()).is_empty());
    }
}
