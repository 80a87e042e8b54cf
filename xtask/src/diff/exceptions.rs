//! Where tshark and the observer are known to differ, and why that is right.

use std::path::Path;

use super::sight::Only;

struct Exception {
    /// How the name of the capture's folder begins.
    folder: &'static str,
    only: Only,
    reason: &'static str,
}

const EXCEPTIONS: &[Exception] = &[
    Exception {
        folder: "docker-nat-",
        only: Only::Tshark,
        reason: "one connection, seen before and after address translation, is one hop",
    },
    Exception {
        folder: "apache-head-too-large",
        only: Only::Tshark,
        reason: "a target of many thousand letters is cut in a record",
    },
    Exception {
        folder: "apache-head-too-large",
        only: Only::Observer,
        reason: "a target of many thousand letters is cut in a record",
    },
    Exception {
        folder: "nginx-head-too-large",
        only: Only::Tshark,
        reason: "a target of many thousand letters is cut in a record",
    },
    Exception {
        folder: "nginx-head-too-large",
        only: Only::Observer,
        reason: "a target of many thousand letters is cut in a record",
    },
    Exception {
        folder: "haproxy-own-400-408",
        only: Only::Observer,
        reason: "half a head, whose rest never came, is a request that was answered",
    },
];

/// Why a difference in `file` is right, if it is.
pub(super) fn reason(file: &Path, only: Only) -> Option<&'static str> {
    let folder = file.parent()?.file_name()?.to_str()?;
    let fits = |exception: &&Exception| folder.starts_with(exception.folder) && exception.only == only;
    EXCEPTIONS.iter().find(fits).map(|exception| exception.reason)
}
