//! Envoy, and what is built on it: Istio, Contour, Emissary.

use super::{ProductName, Profile, Spelling, mark, timer};

pub(super) const PROFILE: Profile = Profile {
    tried: true,
    servers: &["envoy", "istio-envoy"],
    replaces_server: true,
    sends: &[
        mark(&["x-envoy-expected-rq-timeout-ms"]),
        mark(&["x-envoy-internal"]),
        mark(&["x-envoy-external-address"]),
        mark(&["x-envoy-attempt-count"]),
        mark(&["x-envoy-decorator-operation"]),
        mark(&["x-envoy-peer-metadata"]),
    ],
    answers: &["x-envoy-upstream-service-time", "x-envoy-decorator-operation"],
    processes: &["envoy"],
    pages: &["upstream connect error or disconnect/reset before headers", "no healthy upstream"],
    spelling: Spelling::Lower,
    timers: &[timer("stream_idle_timeout", 300)],
    ..Profile::of(ProductName::Envoy)
};
