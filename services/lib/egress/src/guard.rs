//! The guard: which URLs may be called at all. Every outgoing call passes it, in this crate and nowhere else.
//!
//! A text is looked at raw, parsed once, and only what was parsed is used afterwards. Literal addresses are
//! judged here; names are judged when they are resolved, for every connection anew ([`Target::check_resolved`]).
//! It knows no switch that turns it off, and nothing opens the clouds' metadata services.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

use http::Uri;
use ipnet::IpNet;
use url::{Host, Url};

use crate::address::{is_inside, is_metadata, is_public};
use crate::refusal::Refusal;

/// The longest URL, in bytes.
pub const URL_BYTES_MAX: usize = 2048;
/// Ports that a public target may have.
pub const PORTS: [u16; 2] = [443, 80];
/// Authorities that are remembered as passed; parsing one takes longer than all else that is done to a request.
const PASSED_MAX: usize = 1_024;
/// The longest host name and label, in bytes (RFC 1035).
const HOST_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// Ends of names that belong to the machine or its network.
const LOCAL_ENDS: [&str; 7] =
    ["localhost", "local", "internal", "home.arpa", "lan", "localdomain", "intranet"];
/// Names of metadata services, and ends of such names.
const METADATA_NAMES: [&str; 5] =
    ["metadata", "metadata.google.internal", "metadata.goog", "instance-data", "instance-data.ec2.internal"];

/// Decides where calls may go. Immutable: what an operator opened stays the same for the life of the process.
#[derive(Clone, Debug)]
pub struct Guard {
    allow: Vec<IpNet>,
    ports: Vec<u16>,
    plain_http: bool,
    /// Authorities that passed, by scheme and authority. A judgement never changes: names are resolved and judged
    /// again for every connection.
    passed: Arc<RwLock<HashMap<String, Arc<Target>>>>,
}

/// A URL that passed the guard: parsed once, and used in this form only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    url: Url,
    host: String,
    address: Option<IpAddr>,
    port: u16,
    /// Set when every address of the name must lie in an opened network, with what to say if one does not.
    inside: Option<Refusal>,
}

// === impl Guard ===

impl Guard {
    /// A guard that lets calls go to the public internet and to these networks, on ports 443 and 80
    /// (any port inside of these networks).
    pub fn new(allow: Vec<IpNet>) -> Self {
        Self { allow, ports: PORTS.to_vec(), plain_http: false, passed: Arc::default() }
    }

    /// Takes other ports for public targets.
    #[must_use]
    pub fn with_ports(mut self, ports: Vec<u16>) -> Self {
        self.ports = ports;
        self.passed = Arc::default();
        self
    }

    /// Lets `http://` go to public targets, where anybody on the way can read the key.
    #[must_use]
    pub fn with_plain_http(mut self, plain_http: bool) -> Self {
        self.plain_http = plain_http;
        self.passed = Arc::default();
        self
    }

    /// Judges a URL as a person wrote it. A literal address is judged at once, a name when it is resolved.
    pub fn check_url(&self, text: &str) -> Result<Target, Refusal> {
        self.judge(text).map_err(|refusal| match refusal {
            Refusal::Scheme if self.plain_http || !self.allow.is_empty() => Refusal::AnyScheme,
            refusal => refusal,
        })
    }

    fn judge(&self, text: &str) -> Result<Target, Refusal> {
        check_raw(text)?;
        let mut url = Url::parse(text).map_err(|error| Refusal::Malformed(error.to_string()))?;
        if !matches!(url.scheme(), "https" | "http") {
            return Err(Refusal::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refusal::UserInfo);
        }
        if url.fragment().is_some() {
            return Err(Refusal::Fragment);
        }
        let (host, address) = read_host(&mut url)?;
        let again = Url::parse(url.as_str()).map_err(|error| Refusal::Malformed(error.to_string()))?;
        if again != url {
            return Err(Refusal::Malformed("it does not keep its form".to_owned()));
        }
        let port = url.port_or_known_default().ok_or(Refusal::Scheme)?;
        let inside = self.must_be_inside(&url, &host, address, port)?;
        let target = Target { url, host, address, port, inside };
        match address {
            Some(ip) => self.check_literal(&target, ip)?,
            None => target.check_openable(self)?,
        }
        Ok(target)
    }

    /// Judges the target of a request about to be sent. Its path is not looked at: it has no part in where the request goes.
    pub fn check_uri(&self, uri: &Uri) -> Result<Arc<Target>, Refusal> {
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(Refusal::Scheme);
        };
        let text = format!("{scheme}://{authority}/");
        if let Some(target) = self.passed.read().unwrap_or_else(PoisonError::into_inner).get(&text) {
            return Ok(target.clone());
        }
        let target = Arc::new(self.check_url(&text)?);
        let mut passed = self.passed.write().unwrap_or_else(PoisonError::into_inner);
        if passed.len() >= PASSED_MAX {
            passed.clear();
        }
        passed.insert(text, target.clone());
        Ok(target)
    }

    /// Judges an address alone: public, or in an opened network, and never a metadata service.
    pub fn check_address(&self, ip: IpAddr) -> Result<(), Refusal> {
        if is_metadata(ip) {
            return Err(Refusal::MetadataAddress(ip));
        }
        if is_public(ip) || is_inside(ip, &self.allow) {
            return Ok(());
        }
        Err(Refusal::Address(ip))
    }

    /// Whether an operator opened a network that holds this address.
    fn is_opened(&self, ip: IpAddr) -> bool {
        !is_metadata(ip) && is_inside(ip, &self.allow)
    }

    /// What a target is only forgiven for when it lies in an opened network: a local name, a port, plain http.
    fn must_be_inside(
        &self,
        url: &Url,
        host: &str,
        address: Option<IpAddr>,
        port: u16,
    ) -> Result<Option<Refusal>, Refusal> {
        if port == 0 {
            return Err(Refusal::Port(0));
        }
        if address.is_none() && METADATA_NAMES.contains(&host) {
            return Err(Refusal::MetadataName(host.to_owned()));
        }
        if address.is_none() && is_local_name(host) {
            return Ok(Some(Refusal::LocalName(host.to_owned())));
        }
        if !self.ports.contains(&port) {
            return Ok(Some(Refusal::Port(port)));
        }
        if url.scheme() == "http" && !self.plain_http {
            return Ok(Some(Refusal::PlainHttp));
        }
        Ok(None)
    }

    fn check_literal(&self, target: &Target, ip: IpAddr) -> Result<(), Refusal> {
        self.check_address(ip)?;
        match &target.inside {
            Some(refusal) if !self.is_opened(ip) => Err(refusal.clone()),
            _ => Ok(()),
        }
    }
}

// === impl Target ===

impl Target {
    /// The URL in the one form that is stored and called.
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// The host in lower case: a name without trailing dot, or an address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, also when the URL does not say it.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The address, when the URL holds one instead of a name.
    pub const fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// Whether the connection is encrypted.
    pub fn is_https(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// Host and port as they stand in a `Host` header: brackets around IPv6, no default port.
    pub fn authority(&self) -> &str {
        self.url.authority()
    }

    /// Judges all addresses of the name together: one that is refused refuses the name, because a mixed
    /// answer is an attack or a mistake.
    pub(crate) fn check_resolved(&self, guard: &Guard, addresses: &[IpAddr]) -> Result<(), Refusal> {
        for ip in addresses {
            match guard.check_address(*ip) {
                Err(Refusal::MetadataAddress(ip)) => return Err(Refusal::MetadataAddress(ip)),
                Err(_) => return Err(Refusal::Resolved { host: self.host.clone(), address: *ip }),
                Ok(()) => {}
            }
            match &self.inside {
                Some(refusal) if !guard.is_opened(*ip) => return Err(refusal.clone()),
                _ => {}
            }
        }
        Ok(())
    }

    /// A name that must lie in an opened network has no chance where none is open: say so before resolving.
    fn check_openable(&self, guard: &Guard) -> Result<(), Refusal> {
        match &self.inside {
            Some(refusal) if guard.allow.is_empty() => Err(refusal.clone()),
            _ => Ok(()),
        }
    }
}

// === steps ===

/// Refuses what the URL parser would forgive: tabs inside, backslashes, missing slashes, an empty user.
fn check_raw(text: &str) -> Result<(), Refusal> {
    if text.len() > URL_BYTES_MAX {
        return Err(Refusal::TooLong { max: URL_BYTES_MAX });
    }
    if text.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\' || is_invisible(c)) {
        return Err(Refusal::Character);
    }
    let (scheme, rest) = text.split_once("://").ok_or(Refusal::Scheme)?;
    if !scheme.eq_ignore_ascii_case("https") && !scheme.eq_ignore_ascii_case("http") {
        return Err(Refusal::Scheme);
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.is_empty() {
        return Err(Refusal::Scheme);
    }
    if authority.contains('@') {
        return Err(Refusal::UserInfo);
    }
    Ok(())
}

/// Characters that a reader does not see and that name rules drop: soft hyphen, zero width, direction marks, tags.
const fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{e0000}'..='\u{e0fff}'
    )
}

/// The host in its one form. A trailing dot is taken off the URL, too.
fn read_host(url: &mut Url) -> Result<(String, Option<IpAddr>), Refusal> {
    let name = match url.host() {
        Some(Host::Ipv4(ip)) => return Ok((ip.to_string(), Some(ip.into()))),
        Some(Host::Ipv6(ip)) => return Ok((ip.to_string(), Some(ip.into()))),
        Some(Host::Domain(name)) => name.to_ascii_lowercase(),
        None => return Err(Refusal::Scheme),
    };
    let name = match name.strip_suffix('.') {
        Some(short) => {
            url.set_host(Some(short)).map_err(|error| Refusal::Malformed(error.to_string()))?;
            short.to_owned()
        }
        None => name,
    };
    check_name(&name)?;
    Ok((name, None))
}

fn check_name(name: &str) -> Result<(), Refusal> {
    let character = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'_';
    let label = |l: &str| !l.is_empty() && l.len() <= LABEL_BYTES_MAX && l.bytes().all(character);
    if name.len() > HOST_BYTES_MAX || !name.split('.').all(label) {
        return Err(Refusal::Malformed("the host is not a name".to_owned()));
    }
    Ok(())
}

/// Single labels, and names under the ends that are never public.
fn is_local_name(name: &str) -> bool {
    let under = |end: &str| name.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    !name.contains('.') || LOCAL_ENDS.iter().any(|end| under(end))
}

#[cfg(test)]
mod tests;
