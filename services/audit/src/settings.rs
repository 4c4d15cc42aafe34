//! The settings of the audit sink.

/// Settings of the role `audit`.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Settings {
    /// Entries that are written at once. The chain has one end, so more than a few only wait for each other.
    #[arg(long = "audit-at-once", env = "SIGNALBOX_AUDIT_AT_ONCE", default_value_t = 4)]
    pub audit_at_once: usize,
}
