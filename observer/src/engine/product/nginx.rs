//! nginx, and what is configured like it: Angie, OpenResty, Tengine.

use super::{ProductName, Profile, timer};
use crate::engine::event::{Fields, Request};

pub(super) const PROFILE: Profile = Profile {
    tried: true,
    servers: &["nginx", "openresty", "angie", "tengine"],
    replaces_server: true,
    answer_begins: &["Server", "Date"],
    processes: &["nginx", "openresty", "angie", "tengine"],
    pages: &["<center>nginx", "<center>openresty", "<center>angie", "<center>tengine"],
    arranges: Some(sets_fields_first),
    timers: &[timer("proxy_read_timeout", 60)],
    ..Profile::of(ProductName::Nginx)
};

/// nginx writes the fields that it sets itself (Host and Connection at least), then those of the client. Apache and
/// lighttpd put Connection last, Varnish keeps Host where it was.
fn sets_fields_first(before: &Request, after: &Request) -> bool {
    const SET: [&str; 2] = ["host", "connection"];
    let is_set = |name: &str| SET.iter().any(|set| name.eq_ignore_ascii_case(set));
    let last_set = |name: &str| after.lines().iter().rposition(|line| line.name.eq_ignore_ascii_case(name));
    let [Some(host), Some(connection)] = SET.map(last_set) else { return false };
    let kept = after.lines().iter().enumerate().filter(|(_, line)| {
        !is_set(&line.name)
            && !line.name.eq_ignore_ascii_case("upgrade")
            && before.field(&line.name) == Some(&*line.value)
    });
    let mut places = kept.map(|(place, _)| place).peekable();
    places.peek().is_some() && places.all(|place| place > host && place > connection)
}
