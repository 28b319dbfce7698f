//! Listener addresses: `NAME://host:port`.

use std::fmt;

use thiserror::Error;

/// A host and a port. An empty host means every interface; port 0 lets the kernel choose.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Name or address, IPv6 without brackets.
    pub host: String,
    pub port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// In upper case, as Kafka compares them.
    pub name: String,
    pub endpoint: Endpoint,
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ListenerError {
    #[error("must be host:port")]
    NoPort,
    #[error("the port must be a number from 0 to 65535")]
    BadPort,
    #[error("the host must be a name or an address (IPv6 in brackets)")]
    BadHost,
    #[error("must be NAME://host:port")]
    NoName,
}

impl Endpoint {
    pub fn parse(text: &str) -> Result<Endpoint, ListenerError> {
        let (host, port) = text.rsplit_once(':').ok_or(ListenerError::NoPort)?;
        let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port
            .parse()
            .ok()
            .filter(|_| digits)
            .ok_or(ListenerError::BadPort)?;
        let host = match host.strip_prefix('[') {
            Some(rest) => {
                let address = rest.strip_suffix(']').ok_or(ListenerError::BadHost)?;
                address
                    .parse::<std::net::Ipv6Addr>()
                    .map_err(|_| ListenerError::BadHost)?;
                address
            }
            None if host
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte)) =>
            {
                host
            }
            None => return Err(ListenerError::BadHost),
        };
        Ok(Endpoint {
            host: host.to_owned(),
            port,
        })
    }

    /// Whether the address means every interface, so that no client could connect to it.
    pub fn is_wildcard(&self) -> bool {
        matches!(self.host.as_str(), "0.0.0.0" | "::")
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl Listener {
    pub fn parse(text: &str) -> Result<Listener, ListenerError> {
        let (name, endpoint) = text.split_once("://").ok_or(ListenerError::NoName)?;
        let named = !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
        if !named {
            return Err(ListenerError::NoName);
        }
        Ok(Listener {
            name: name.to_ascii_uppercase(),
            endpoint: Endpoint::parse(endpoint)?,
        })
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.name, self.endpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_are_read_and_printed() {
        for text in [
            "PLAINTEXT://127.0.0.1:9092",
            "PLAINTEXT://:9092",
            "PLAINTEXT://[::1]:0",
            "A-B_1://host-1.x:65535",
        ] {
            assert_eq!(Listener::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Listener::parse("plaintext://h:1").unwrap().name, "PLAINTEXT");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        use ListenerError::*;
        let cases = [
            ("h:1", NoName),
            ("://h:1", NoName),
            ("A B://h:1", NoName),
            ("A://h", NoPort),
            ("A://h:65536", BadPort),
            ("A://h:+1", BadPort),
            ("A://h:", BadPort),
            ("A://::1:9092", BadHost),
            ("A://[::1:9092", BadHost),
            ("A://h/x:1", BadHost),
        ];
        for (text, error) in cases {
            assert_eq!(Listener::parse(text), Err(error), "{text}");
        }
    }
}
