//! Where webhooks may go: the URL as it is given, and the addresses that its host turns out to have.
//!
//! What decides is the address that is connected to: names are resolved by our own resolver, which lets nothing else
//! through, so that a name which means one address when it is checked and another when it is used gains nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// Longest URL, in characters.
const MAX_URL: usize = 2048;

/// What the deployment lets webhooks reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UrlPolicy {
    /// Refuse `http`.
    pub https_only: bool,
    /// Let addresses through that are not on the public network.
    pub allow_private: bool,
}

/// An address that webhooks may not reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the address is not on the public network")]
pub struct PrivateAddress;

impl UrlPolicy {
    /// Reads the URL of an endpoint: what is wrong with it, for the one who gave it. Names are not resolved here.
    pub fn check(self, text: &str) -> Result<Url, String> {
        let url = Url::parse(text).map_err(|_| "must be a URL such as https://acme.example/hooks".to_owned())?;
        // What is not ASCII is longer once it is encoded.
        if url.as_str().len() > MAX_URL {
            return Err(format!("must be at most {MAX_URL} characters"));
        }
        match url.scheme() {
            "https" => {}
            "http" if !self.https_only => {}
            "http" => return Err("must begin with https://".to_owned()),
            _ => return Err("must begin with https:// or http://".to_owned()),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("must not contain a user or password".to_owned());
        }
        self.check_host(&url).map_err(|_| "must name a host on the public network".to_owned())?;
        Ok(url)
    }

    /// Refuses a host that is written as a private address; a name is judged when it is resolved.
    pub(super) fn check_host(self, url: &Url) -> Result<(), PrivateAddress> {
        let is_let_through = self.allow_private
            || match url.host() {
                Some(Host::Ipv4(ip)) => is_public(IpAddr::V4(ip)),
                Some(Host::Ipv6(ip)) => is_public(IpAddr::V6(ip)),
                Some(Host::Domain(name)) => {
                    let name = name.trim_end_matches('.');
                    name != "localhost" && !name.ends_with(".localhost")
                }
                None => false,
            };
        if is_let_through { Ok(()) } else { Err(PrivateAddress) }
    }

    /// A resolver that gives only addresses which may be reached.
    pub(super) fn resolver(self) -> Arc<Guarded> {
        Arc::new(Guarded { policy: self })
    }
}

/// The system's resolver behind the policy.
#[derive(Debug)]
pub(super) struct Guarded {
    policy: UrlPolicy,
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = self.policy;
        Box::pin(async move {
            // Port 0 is replaced by the one of the URL.
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            // One private address among them is one too many: nobody has both for good reason.
            if !policy.allow_private && found.iter().any(|address| !is_public(address.ip())) {
                return Err(PrivateAddress.into());
            }
            let addresses: Addrs = Box::new(found.into_iter());
            Ok(addresses)
        })
    }
}

/// Whether an address is on the public network: what the registries of special addresses list is not, nor is an
/// IPv6 address that stands for an IPv4 one.
pub(super) fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let is_special = a == 0
        || a == 10
        || a == 127
        || (a == 100 && (64..128).contains(&b))
        || (a == 169 && b == 254)
        || (a == 172 && (16..32).contains(&b))
        || (a == 192 && b == 168)
        // Protocol assignments, documentation, 6to4 relays.
        || (a == 192 && b == 0 && (c == 0 || c == 2))
        || (a == 192 && b == 88 && c == 99)
        // Benchmarks, documentation.
        || (a == 198 && (b == 18 || b == 19))
        || (a == 198 && b == 51 && c == 100)
        || (a == 203 && b == 0 && c == 113)
        // Multicast, reserved, broadcast.
        || a >= 224;
    !is_special
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [first, second, ..] = ip.segments();
    // Global unicast; this leaves out loopback, mapped and translated IPv4, unique local, link local, multicast.
    let is_global_unicast = first & 0xe000 == 0x2000;
    // Protocol assignments with Teredo, documentation, 6to4, documentation.
    let is_special = (first == 0x2001 && (second < 0x0200 || second == 0x0db8))
        || first == 0x2002
        || (first == 0x3fff && second < 0x1000);
    is_global_unicast && !is_special
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRICT: UrlPolicy = UrlPolicy { https_only: true, allow_private: false };
    const OPEN: UrlPolicy = UrlPolicy { https_only: false, allow_private: true };

    #[test]
    fn special_addresses_are_not_public() {
        for text in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::127.0.0.1",
            "64:ff9b::a00:1",
            "64:ff9b:1::1",
            "100::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
        ] {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
        for text in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.0.1",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2001:4860:4860::8888",
            "2a00:1450::1",
        ] {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn urls_that_could_reach_the_inside_are_refused() {
        for text in [
            "http://example.com/",
            "ftp://example.com/",
            "example.com",
            "",
            "https://",
            "https://user@example.com/",
            "https://:secret@example.com/",
            "https://127.0.0.1/",
            "https://127.1/",
            "https://2130706433/",
            "https://0x7f000001/",
            "https://0177.0.0.1/",
            "https://[::1]/",
            "https://[::ffff:169.254.169.254]/",
            "https://169.254.169.254/latest/",
            "https://0.0.0.0/",
            "https://localhost/",
            "https://LOCALHOST./",
            "https://a.localhost/",
            "https://\u{2460}27.0.0.1/",
        ] {
            assert!(STRICT.check(text).is_err(), "{text}");
        }
        assert!(STRICT.check("https://hooks.example.com/in?token=1").is_ok());
        assert!(OPEN.check("http://127.0.0.1:9000/in").is_ok());
        assert!(OPEN.check(&format!("https://example.com/{}", "x".repeat(MAX_URL))).is_err());
        assert!(OPEN.check("file:///etc/passwd").is_err());
    }
}
