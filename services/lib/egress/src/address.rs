//! Which addresses may be reached from a server that takes URLs from people.
//!
//! Pure. IPv4: everything but the special ranges. IPv6: nothing but global unicast without its special ranges.
//! Addresses that carry another one inside (mapped, translated, 6to4) are judged by both. The metadata services
//! of the clouds are named one by one, because they stay closed also where an operator opens their network.
//! Sources: IANA special-purpose address registries for IPv4 and IPv6; the clouds' own manuals.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// The special ranges of IPv4: nothing in them is a public server.
const CLOSED_V4: [Ipv4Net; 15] = [
    v4([0, 0, 0, 0], 8),
    v4([10, 0, 0, 0], 8),
    v4([100, 64, 0, 0], 10),
    v4([127, 0, 0, 0], 8),
    v4([169, 254, 0, 0], 16),
    v4([172, 16, 0, 0], 12),
    v4([192, 0, 0, 0], 24),
    v4([192, 0, 2, 0], 24),
    v4([192, 88, 99, 0], 24),
    v4([192, 168, 0, 0], 16),
    v4([198, 18, 0, 0], 15),
    v4([198, 51, 100, 0], 24),
    v4([203, 0, 113, 0], 24),
    v4([224, 0, 0, 0], 4),
    v4([240, 0, 0, 0], 4),
];

/// Global unicast: the only part of IPv6 in which public servers live.
const OPEN_V6: Ipv6Net = v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);

/// The special ranges inside of [`OPEN_V6`]: protocol assignments with Teredo, documentation, 6to4.
const CLOSED_V6: [Ipv6Net; 4] = [
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23),
    v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32),
    v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16),
    v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20),
];

/// Metadata and credential services of the clouds (AWS, Azure, Google, Oracle, Alibaba, Tencent).
const METADATA_V4: [Ipv4Addr; 7] = [
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(169, 254, 170, 2),
    Ipv4Addr::new(169, 254, 170, 23),
    Ipv4Addr::new(169, 254, 0, 23),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(192, 0, 0, 192),
];

/// The same over IPv6.
const METADATA_V6: [Ipv6Addr; 3] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
];

const fn v4(octets: [u8; 4], prefix: u8) -> Ipv4Net {
    let [a, b, c, d] = octets;
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(s: [u16; 8], prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]), prefix)
}

/// Whether servers of the public internet may have this address.
pub(crate) fn is_public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => !METADATA_V4.contains(&ip) && !CLOSED_V4.iter().any(|net| net.contains(&ip)),
        IpAddr::V6(ip) => OPEN_V6.contains(&ip) && !CLOSED_V6.iter().any(|net| net.contains(&ip)),
    }
}

/// Whether a cloud's metadata service answers here, also through a translated address.
pub(crate) fn is_metadata(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => METADATA_V4.contains(&ip),
        IpAddr::V6(ip) => {
            METADATA_V6.contains(&ip) || inner_v4(ip).is_some_and(|ip| METADATA_V4.contains(&ip))
        }
    }
}

/// Whether one of the nets holds this address, however it is written.
pub(crate) fn is_inside(ip: IpAddr, nets: &[IpNet]) -> bool {
    let ip = ip.to_canonical();
    nets.iter().any(|net| net.contains(&ip))
}

/// The IPv4 address that an IPv6 one stands for: IPv4-compatible (`::/96`), NAT64 (`64:ff9b::/96`), 6to4 (`2002::/16`).
fn inner_v4(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = ip.segments();
    let join = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match [a, b, c, d, e, f] {
        [0, 0, 0, 0, 0, 0] | [0x64, 0xff9b, 0, 0, 0, 0] => Some(join(g, h)),
        [0x2002, high, low, ..] => Some(join(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    /// First and last address of a closed range, and the neighbours outside of it with what they are.
    fn check(first: &str, last: &str, before: Option<(&str, bool)>, after: Option<(&str, bool)>) {
        for closed in [first, last] {
            assert!(!is_public(ip(closed)), "{closed} must be closed");
            if let IpAddr::V4(inner) = ip(closed) {
                assert!(!is_public(IpAddr::V6(inner.to_ipv6_mapped())), "mapped {closed} must be closed");
            }
        }
        for (neighbour, public) in before.into_iter().chain(after) {
            assert_eq!(is_public(ip(neighbour)), public, "{neighbour}");
            if let IpAddr::V4(inner) = ip(neighbour) {
                assert_eq!(is_public(IpAddr::V6(inner.to_ipv6_mapped())), public, "mapped {neighbour}");
            }
        }
    }

    #[test]
    fn every_v4_range_is_closed_from_its_first_to_its_last_address() {
        let yes = |text| Some((text, true));
        let no = |text| Some((text, false));
        check("0.0.0.0", "0.255.255.255", None, yes("1.0.0.0"));
        check("10.0.0.0", "10.255.255.255", yes("9.255.255.255"), yes("11.0.0.0"));
        check("100.64.0.0", "100.127.255.255", yes("100.63.255.255"), yes("100.128.0.0"));
        check("127.0.0.0", "127.255.255.255", yes("126.255.255.255"), yes("128.0.0.0"));
        check("168.63.129.16", "168.63.129.16", yes("168.63.129.15"), yes("168.63.129.17"));
        check("169.254.0.0", "169.254.255.255", yes("169.253.255.255"), yes("169.255.0.0"));
        check("172.16.0.0", "172.31.255.255", yes("172.15.255.255"), yes("172.32.0.0"));
        check("192.0.0.0", "192.0.0.255", yes("191.255.255.255"), yes("192.0.1.0"));
        check("192.0.2.0", "192.0.2.255", yes("192.0.1.255"), yes("192.0.3.0"));
        check("192.88.99.0", "192.88.99.255", yes("192.88.98.255"), yes("192.88.100.0"));
        check("192.168.0.0", "192.168.255.255", yes("192.167.255.255"), yes("192.169.0.0"));
        check("198.18.0.0", "198.19.255.255", yes("198.17.255.255"), yes("198.20.0.0"));
        check("198.51.100.0", "198.51.100.255", yes("198.51.99.255"), yes("198.51.101.0"));
        check("203.0.113.0", "203.0.113.255", yes("203.0.112.255"), yes("203.0.114.0"));
        check("224.0.0.0", "239.255.255.255", yes("223.255.255.255"), no("240.0.0.0"));
        check("240.0.0.0", "255.255.255.255", no("239.255.255.255"), None);
    }

    #[test]
    fn every_v6_range_is_closed_from_its_first_to_its_last_address() {
        let all = "ffff:ffff:ffff:ffff:ffff:ffff:ffff";
        let yes = |text: &'static str| Some((text, true));
        let no = |text: &'static str| Some((text, false));
        check("::", &format!("1fff:{all}"), None, yes("2000::"));
        check(
            "2001::",
            "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff",
            yes("2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            yes("2001:200::"),
        );
        check(
            "2001:db8::",
            "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
            yes("2001:db7:ffff:ffff:ffff:ffff:ffff:ffff"),
            yes("2001:db9::"),
        );
        check(
            "2002::",
            &format!("2002:{all}"),
            yes("2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            yes("2003::"),
        );
        check(
            "3fff::",
            "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff",
            yes("3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            yes("3fff:1000::"),
        );
        check("4000::", &format!("ffff:{all}"), yes("3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), None);
        for closed in
            ["::1", "::127.0.0.1", "::8.8.8.8", "64:ff9b::8.8.8.8", "64:ff9b:1::1", "100::1", "5f00::1"]
        {
            check(closed, closed, None, None);
        }
        for closed in [
            "fc00::",
            "fdff::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
            "2002:7f00:1::",
            "::ffff:127.0.0.1",
        ] {
            check(closed, closed, None, no("fd00:ec2::254"));
        }
    }

    #[test]
    fn metadata_services_are_known_in_every_spelling() {
        let spellings = [
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "64:ff9b::169.254.169.254",
            "2002:a9fe:a9fe::1",
            "169.254.170.2",
            "100.100.100.200",
            "168.63.129.16",
            "::ffff:a83f:8110",
            "192.0.0.192",
            "fd00:ec2::254",
            "fd20:ce::254",
        ];
        for metadata in spellings {
            assert!(is_metadata(ip(metadata)), "{metadata}");
            assert!(!is_public(ip(metadata)), "{metadata}");
        }
        for other in ["169.254.169.253", "10.0.0.1", "8.8.8.8", "fd00:ec2::255", "2606:4700::1111"] {
            assert!(!is_metadata(ip(other)), "{other}");
        }
    }

    #[test]
    fn an_opened_net_holds_mapped_spellings_of_its_addresses() {
        let nets = ["10.1.0.0/16".parse().expect("a net"), "fd12::/32".parse().expect("a net")];
        for inside in ["10.1.0.0", "10.1.255.255", "::ffff:10.1.2.3", "fd12::1"] {
            assert!(is_inside(ip(inside), &nets), "{inside}");
        }
        for outside in ["10.0.255.255", "10.2.0.0", "::10.1.0.1", "fd13::1", "8.8.8.8"] {
            assert!(!is_inside(ip(outside), &nets), "{outside}");
        }
    }
}
