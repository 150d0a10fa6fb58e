//! Which addresses are public: the only ones that webhooks may go to.
//!
//! The lists follow the IANA special-purpose address registries (RFC 6890 and its updates).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Networks of IPv4 that are not the public internet: network and length of its prefix.
const SPECIAL_V4: [(Ipv4Addr, u32); 17] = [
    // This network, private use (RFC 1918), shared address space of carriers (RFC 6598).
    (Ipv4Addr::UNSPECIFIED, 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    // Loopback; link-local, where clouds answer with credentials.
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    // Protocol assignments, documentation, relays, benchmarks.
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 31, 196, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    // Multicast; reserved, and broadcast.
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
    // The metadata service of Azure, which has a public address inside its networks.
    (Ipv4Addr::new(168, 63, 129, 16), 32),
];

/// Networks within the global unicast space of IPv6 that are not the public internet: protocol assignments (Teredo
/// and ORCHID among them), documentation, 6to4, which holds an IPv4 address.
const SPECIAL_V6: [(Ipv6Addr, u32); 4] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];
/// The global unicast space. All else is not public: loopback, link-local, unique local, multicast, IPv4-mapped
/// (`::ffff:0:0/96`) and NAT64 (`64:ff9b::/96`), which lead to IPv4 addresses.
const GLOBAL_V6: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// Whether `address` belongs to the public internet.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !SPECIAL_V4.iter().any(|network| holds_v4(*network, address)),
        IpAddr::V6(address) => {
            holds_v6(GLOBAL_V6, address) && !SPECIAL_V6.iter().any(|network| holds_v6(*network, address))
        }
    }
}

fn holds_v4((network, length): (Ipv4Addr, u32), address: Ipv4Addr) -> bool {
    (network.to_bits() ^ address.to_bits()).leading_zeros() >= length
}

fn holds_v6((network, length): (Ipv6Addr, u32), address: Ipv6Addr) -> bool {
    (network.to_bits() ^ address.to_bits()).leading_zeros() >= length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(addresses: &[&str], expected: bool) {
        for address in addresses {
            assert_eq!(is_public(address.parse().unwrap()), expected, "{address}");
        }
    }

    #[test]
    fn only_the_public_internet_is_public() {
        check(
            &[
                "1.1.1.1",
                "8.8.8.8",
                "93.184.216.34",
                "172.32.0.1",
                "100.128.0.1",
                "2606:4700::1111",
            ],
            true,
        );
        check(&["127.0.0.1", "127.255.255.254", "::1", "0.0.0.0", "::"], false);
        check(
            &[
                "10.0.0.1",
                "172.16.0.1",
                "172.31.255.255",
                "192.168.1.1",
                "fd00::1",
                "fc00::1",
            ],
            false,
        );
        check(
            &[
                "169.254.169.254",
                "fe80::1",
                "100.64.0.1",
                "100.100.100.200",
                "168.63.129.16",
            ],
            false,
        );
        check(
            &[
                "fd00:ec2::254",
                "224.0.0.1",
                "ff02::1",
                "255.255.255.255",
                "240.0.0.1",
            ],
            false,
        );
    }

    #[test]
    fn addresses_that_hold_another_address_are_not_public() {
        check(
            &[
                "::ffff:127.0.0.1",
                "::ffff:10.0.0.1",
                "::ffff:8.8.8.8",
                "::127.0.0.1",
            ],
            false,
        );
        check(
            &["64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::a00:1"],
            false,
        );
        check(
            &["2002:7f00:1::", "2001:0:7f00:1::", "2001:db8::1", "3fff::1"],
            false,
        );
    }
}
