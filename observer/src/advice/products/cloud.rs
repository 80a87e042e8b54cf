//! Load balancers and front ends that are rented: what their consoles and documents say.

use super::{Advice, Manual, Need, Site, advice};

pub(super) const ALB: Manual = Manual { fix: alb, reload: "nothing: it is in use at once" };
pub(super) const CLOUDFLARE: Manual = Manual { fix: cloudflare, reload: "nothing: it is in use within a minute" };
pub(super) const GOOGLE: Manual = Manual { fix: google, reload: "nothing: it is in use within minutes" };
pub(super) const AZURE: Manual = Manual { fix: azure, reload: "nothing: it is in use within minutes" };
pub(super) const HEROKU: Manual = Manual { fix: heroku, reload: "nothing" };

fn alb(need: Need, site: &Site) -> Option<Advice> {
    match need {
        Need::Forward => advice("The ALB forwards WebSockets by itself: look for what is behind it.", ""),
        Need::Sticky => advice(
            "Keep a client at the target that knows its session. Put the ARN of your target group there:",
            "aws elbv2 modify-target-group-attributes --target-group-arn ARN \\\n  --attributes Key=stickiness.enabled,Value=true",
        ),
        Need::Idle => advice(
            site.idle(" Put the ARN of your load balancer there."),
            "aws elbv2 modify-load-balancer-attributes --load-balancer-arn ARN \\\n  --attributes Key=idle_timeout.timeout_seconds,Value=3600",
        ),
        _ => None,
    }
}

fn cloudflare(need: Need, site: &Site) -> Option<Advice> {
    match need {
        Need::Forward | Need::Route if site.is_websocket() => {
            advice("Cloudflare forwards WebSockets where that is switched on: dashboard, Network, WebSockets.", "")
        }
        Need::Forward | Need::Token => {
            advice("Cloudflare forwards upgrades to websocket only: use another way for this token.", "")
        }
        Need::Idle => advice(site.heartbeat() + " Only some plans of Cloudflare let you change that timer.", ""),
        _ => None,
    }
}

fn google(need: Need, _: &Site) -> Option<Advice> {
    match need {
        Need::Forward => {
            advice("The load balancers of Google Cloud forward WebSockets by themselves: look for what is behind.", "")
        }
        Need::Idle | Need::Lifetime => advice(
            "The timeout of the backend service (30 s) ends tunnels, also such as are in use: raise it. Put its name there.",
            "gcloud compute backend-services update NAME --global --timeout=3600",
        ),
        _ => None,
    }
}

fn azure(need: Need, site: &Site) -> Option<Advice> {
    match need {
        Need::Forward => {
            advice("Application Gateway and Front Door forward WebSockets by themselves: look for what is behind.", "")
        }
        Need::Idle => advice(
            site.heartbeat()
                + " The load balancers of Azure end silent connections after 4 minutes, or up to 30 where that is set.",
            "",
        ),
        _ => None,
    }
}

fn heroku(need: Need, site: &Site) -> Option<Advice> {
    match need {
        Need::Idle => advice(
            site.heartbeat() + " Heroku's router ends a connection after 55 s of silence, which cannot be changed.",
            "",
        ),
        _ => None,
    }
}
