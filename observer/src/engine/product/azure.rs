//! Front Door and Application Gateway of Azure, and the load balancer before them.

use super::{ProductName, Profile, mark, timer};

pub(super) const PROFILE: Profile = Profile {
    servers: &["microsoft-azure-application-gateway"],
    sends: &[mark(&["X-Azure-FDID"]), mark(&["X-Azure-Ref"]), mark(&["X-AppGW-Trace-Id"])],
    answers: &["X-Azure-Ref"],
    pages: &["Microsoft-Azure-Application-Gateway"],
    timers: &[timer("load balancer idle timeout", 240)],
    ..Profile::of(ProductName::Azure)
};
