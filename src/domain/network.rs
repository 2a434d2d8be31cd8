//! A range of addresses.

use std::{fmt, net::IpAddr, str::FromStr};

use super::Invalid;

/// The addresses that begin with the same bits, as `10.1.0.0/16`, `2001:db8::/32` or one address (RFC 4632, RFC 4291).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    first: IpAddr,
    prefix: u8,
}

impl Network {
    /// Whether an address is in it. An IPv4 address that is written as IPv6 (`::ffff:10.1.2.3`) counts as IPv4.
    pub fn contains(self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.first.is_ipv4()
            && masked(address, self.prefix) == bits(self.first)
    }

    /// Whether every address of its kind is in it.
    pub const fn is_everything(self) -> bool {
        self.prefix == 0
    }
}

/// The bits of an address, the first one as the highest.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn masked(address: IpAddr, prefix: u8) -> u128 {
    let mask = u128::MAX.checked_shl(128 - u32::from(prefix));
    bits(address) & mask.unwrap_or(0)
}

impl FromStr for Network {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let refused = |why: &str| {
            let text = text.escape_debug();
            Invalid::new("network", format!("`{text}` {why}"))
        };
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| {
            refused("must be an address range such as 10.1.0.0/16 or 2001:db8::/32")
        })?;
        if address.to_canonical() != address {
            return Err(refused("must be written as the IPv4 range that it is"));
        }
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let digits = |text: &&str| text.bytes().all(|byte| byte.is_ascii_digit());
        let prefix = match prefix {
            None => Some(longest),
            Some(prefix) => Some(prefix)
                .filter(digits)
                .and_then(|text| text.parse().ok()),
        };
        let prefix = prefix.filter(|prefix| *prefix <= longest).ok_or_else(|| {
            refused(&format!(
                "must have a number from 0 to {longest} behind the `/`"
            ))
        })?;
        if masked(address, prefix) != bits(address) {
            return Err(refused(&format!(
                "has bits behind the first {prefix}: it names one address, not the range"
            )));
        }
        Ok(Self {
            first: address,
            prefix,
        })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_holds_the_addresses_that_begin_like_it() {
        for (range, inside, outside) in [
            ("10.1.0.0/16", "10.1.255.255", "10.2.0.0"),
            ("10.1.0.0/16", "::ffff:10.1.2.3", "::ffff:10.2.2.3"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("::/0", "::1", "10.0.0.1"),
            ("192.168.1.7", "192.168.1.7", "192.168.1.6"),
            ("10.0.0.128/25", "10.0.0.200", "10.0.0.127"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::1"),
            ("2001:db8::1/128", "2001:db8::1", "2001:db8::2"),
        ] {
            let network: Network = range.parse().unwrap();
            assert!(
                network.contains(inside.parse().unwrap()),
                "{range} {inside}"
            );
            assert!(
                !network.contains(outside.parse().unwrap()),
                "{range} {outside}"
            );
            assert_eq!(network.to_string().parse(), Ok(network));
        }
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for (text, why) in [
            ("", "must be an address range"),
            ("10.1/16", "must be an address range"),
            ("10.1.0.0/33", "from 0 to 32"),
            ("::/129", "from 0 to 128"),
            ("10.1.0.0/", "from 0 to 32"),
            ("10.1.0.0/+8", "from 0 to 32"),
            ("10.1.0.0/8", "behind the first 8"),
            ("::ffff:10.0.0.0/104", "the IPv4 range"),
        ] {
            let refused = text.parse::<Network>().unwrap_err().to_string();
            assert!(refused.contains(why), "{text}: {refused}");
        }
    }
}
