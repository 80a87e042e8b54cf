//! The JSON schema of the output: a file of its own, closed at every level, printed by `observer schema`.

/// The schema (JSON Schema, draft 2020-12) that every line of the JSON output obeys.
#[must_use]
pub const fn text() -> &'static str {
    include_str!("../../schema/observer.schema.json")
}
