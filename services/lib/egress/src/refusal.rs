//! Why a target is refused before a byte leaves: a typed reason, and a sentence for people.
//!
//! The sentence names the setting that the operator would change, where one helps. It never repeats the URL (it may hold a key in its query) and never says what answered there.

use std::net::IpAddr;

/// Why the guard refuses a URL or an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// More bytes than [`crate::guard::URL_BYTES_MAX`].
    #[error("the URL is longer than {max} bytes")]
    TooLong {
        /// The bound.
        max: usize,
    },
    /// White space, a control character, an invisible character or a backslash.
    #[error("the URL holds white space, a control or invisible character, or a backslash")]
    Character,
    /// It does not begin with `https://` or `http://` and a host.
    #[error("the URL must begin with `https://` and a host")]
    Scheme,
    /// The same where plain http leads somewhere, too: a network is opened, or the public internet for it.
    #[error("the URL must begin with `https://` or `http://` and a host")]
    AnyScheme,
    /// The parser cannot read it, or reads it differently the second time.
    #[error("the URL cannot be read: {0}")]
    Malformed(String),
    /// `user:password@` before the host.
    #[error("the URL must not hold a user name or password")]
    UserInfo,
    /// `#…` at its end.
    #[error("the URL must not hold a fragment (`#…`)")]
    Fragment,
    /// A port outside of the allowed ones.
    #[error(
        "port {0} is not allowed; `SIGNALBOX_EGRESS_PORTS` adds ports, `SIGNALBOX_EGRESS_ALLOW` opens the target's network"
    )]
    Port(u16),
    /// `http://` to a target outside of the opened networks.
    #[error(
        "plain http is only allowed to networks that the operator opened (`SIGNALBOX_EGRESS_ALLOW`); use https"
    )]
    PlainHttp,
    /// A name that belongs to the machine or its network.
    #[error(
        "`{0}` is a name of the local network, which the operator did not open (`SIGNALBOX_EGRESS_ALLOW`)"
    )]
    LocalName(String),
    /// The name of a cloud's metadata service. Cannot be opened.
    #[error("`{0}` is the name of a cloud's metadata service")]
    MetadataName(String),
    /// Not a public address, and not in an opened network.
    #[error(
        "{0} is not a public address, and the operator did not open its network (`SIGNALBOX_EGRESS_ALLOW`)"
    )]
    Address(IpAddr),
    /// The address of a cloud's metadata service. Cannot be opened.
    #[error("{0} is the address of a cloud's metadata service")]
    MetadataAddress(IpAddr),
    /// At least one of the name's addresses is refused, so all are.
    #[error(
        "the name `{host}` leads to {address}, which is not allowed; `SIGNALBOX_EGRESS_ALLOW` opens its network"
    )]
    Resolved {
        /// The name.
        host: String,
        /// The first address that is refused.
        address: IpAddr,
    },
    /// More answers than [`crate::resolve::ANSWERS_MAX`].
    #[error("the name `{host}` has more than {max} addresses")]
    TooManyAddresses {
        /// The name.
        host: String,
        /// The bound.
        max: usize,
    },
}

impl Refusal {
    /// The word for metrics and answers.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::TooLong { .. } => "too_long",
            Self::Character => "character",
            Self::Scheme | Self::AnyScheme => "scheme",
            Self::Malformed(_) => "malformed",
            Self::UserInfo => "user_info",
            Self::Fragment => "fragment",
            Self::Port(_) => "port",
            Self::PlainHttp => "plain_http",
            Self::LocalName(_) => "local_name",
            Self::MetadataName(_) => "metadata_name",
            Self::Address(_) => "address",
            Self::MetadataAddress(_) => "metadata_address",
            Self::Resolved { .. } => "resolved",
            Self::TooManyAddresses { .. } => "too_many_addresses",
        }
    }
}
