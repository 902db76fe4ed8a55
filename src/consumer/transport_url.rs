//! oslo.messaging's transport URL: `rabbit://user:password@host1:5672,user:password@host2:5672/vhost?ssl=1`.
//!
//! Several hosts, each with credentials of its own, are more than a URL can say, so it is taken apart here as oslo does it.
//! No error quotes the URL: passwords are in it, and half of one may be where a host should be.

use std::fmt;

use crate::error::{Error, Kind, Result};

/// Where the broker is.
#[derive(Clone, PartialEq, Eq)]
pub struct TransportUrl {
    /// Its nodes, in the order in which they are tried.
    pub hosts: Vec<BrokerHost>,
    /// The virtual host.
    pub vhost: String,
    /// Whether the URL asks for TLS.
    pub tls: bool,
}

/// One node.
#[derive(Clone, PartialEq, Eq)]
pub struct BrokerHost {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// User.
    pub username: String,
    /// Password.
    pub password: String,
}

const PORT: u16 = 5672;
const PORT_TLS: u16 = 5671;

/// `host:port`, for the log.
impl fmt::Display for BrokerHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Debug for BrokerHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for TransportUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransportUrl")
            .field("hosts", &self.hosts)
            .field("vhost", &self.vhost)
            .field("tls", &self.tls)
            .finish()
    }
}

fn wrong(what: &str) -> Error {
    Error::new(Kind::BadRequest, format!("transport_url {what}."))
        .remedy("Write it like rabbit://user:password@host:5672/vhost, other signs in the password percent-encoded.")
}

impl TransportUrl {
    /// Takes a URL apart.
    ///
    /// # Errors
    /// `BadRequest` that says what is wrong, and shows nothing of the URL.
    pub fn parse(url: &str) -> Result<Self> {
        let (scheme, rest) = url.trim().split_once("://").ok_or_else(|| wrong("is no URL"))?;
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "rabbit" | "kombu+rabbit" | "amqp" | "kombu+amqp" => false,
            "amqps" | "kombu+amqps" => true,
            _ => return Err(wrong("does not begin with rabbit://, and only RabbitMQ is spoken here")),
        };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (places, path) = rest.split_once('/').unwrap_or((rest, ""));
        let tls = secure || wants_tls(query)?;
        let hosts: Vec<_> =
            places.split(',').filter(|place| !place.is_empty()).map(|place| host(place, tls)).collect::<Result<_>>()?;
        if hosts.is_empty() {
            return Err(wrong("names no host"));
        }
        let vhost = decoded(path)?;
        Ok(Self { hosts, vhost: if vhost.is_empty() { "/".to_owned() } else { vhost }, tls })
    }
}

fn wants_tls(query: &str) -> Result<bool> {
    for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        if key == "ssl" {
            return match value.to_ascii_lowercase().as_str() {
                "1" | "true" | "yes" | "on" => Ok(true),
                "0" | "false" | "no" | "off" => Ok(false),
                _ => Err(wrong("says neither ssl=1 nor ssl=0")),
            };
        }
    }
    Ok(false)
}

fn host(place: &str, tls: bool) -> Result<BrokerHost> {
    let (credentials, address) = place.rsplit_once('@').unwrap_or(("", place));
    // RabbitMQ's own defaults, as kombu has them; a broker lets them in from its own host only.
    let (username, password) = match credentials.split_once(':') {
        Some((username, password)) => (decoded(username)?, decoded(password)?),
        None if credentials.is_empty() => ("guest".to_owned(), "guest".to_owned()),
        None => (decoded(credentials)?, String::new()),
    };
    let (name, port) = match address.strip_prefix('[') {
        Some(rest) => {
            let (name, rest) =
                rest.split_once(']').ok_or_else(|| wrong("has an address without its closing bracket"))?;
            (name, rest.strip_prefix(':').unwrap_or(rest))
        }
        None => address.split_once(':').unwrap_or((address, "")),
    };
    if name.is_empty() {
        return Err(wrong("names a user and no host"));
    }
    let port = match port {
        "" if tls => PORT_TLS,
        "" => PORT,
        port => port.parse().map_err(|_| wrong("has a port that is no number from 1 to 65535"))?,
    };
    Ok(BrokerHost { host: name.to_owned(), port, username, password })
}

/// Percent signs resolved. A sign that begins no code stays, as in Python.
fn decoded(text: &str) -> Result<String> {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let code = bytes.get(at + 1..at + 3).filter(|code| *byte == b'%' && code.iter().all(u8::is_ascii_hexdigit));
        let code = code.and_then(|code| u8::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok());
        plain.push(code.unwrap_or(*byte));
        at += if code.is_some() { 3 } else { 1 };
    }
    String::from_utf8(plain).map_err(|_| wrong("has percent codes that are no UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(url: &str) -> String {
        let url = TransportUrl::parse(url).unwrap();
        let hosts = url.hosts.iter().map(|host| format!("{} {} {host}", host.username, host.password));
        format!("{} {} {}", hosts.collect::<Vec<_>>().join(","), url.vhost, url.tls)
    }

    #[test]
    fn urls_mean_what_they_mean_to_oslo() {
        for (url, wanted) in [
            ("rabbit://u:p@h1:5672,u2:p2@h2:5673/cloud?ssl=1", "u p h1:5672,u2 p2 h2:5673 cloud true"),
            ("rabbit://u:p@h", "u p h:5672 / false"),
            ("rabbit://u:p@h/", "u p h:5672 / false"),
            ("rabbit://u:p@h//", "u p h:5672 / false"),
            ("rabbit://u:p@h/%2Fcloud", "u p h:5672 /cloud false"),
            ("rabbit://o%40x:p%3Aa%2Fb%25@h:1/", "o@x p:a/b% h:1 / false"),
            ("rabbit://u:p@w@h", "u p@w h:5672 / false"),
            ("rabbit://u:100%@h", "u 100% h:5672 / false"),
            ("rabbit://h", "guest guest h:5672 / false"),
            ("rabbit://u:p@[fd00::1]:5673/v", "u p [fd00::1]:5673 v false"),
            ("rabbit://u:p@[fd00::1]/v", "u p [fd00::1]:5672 v false"),
            ("rabbit://u:p@h?ssl=true", "u p h:5671 / true"),
            ("rabbit://u:p@h/v?ssl=0&heartbeat=1", "u p h:5672 v false"),
            ("amqps://u:p@h/v", "u p h:5671 v true"),
            ("kombu+rabbit://u:p@h/v", "u p h:5672 v false"),
        ] {
            assert_eq!(shown(url), wanted, "{url}");
        }
    }

    #[test]
    fn errors_say_what_is_wrong_and_show_no_password() {
        for (url, why) in [
            ("", "is no URL"),
            ("hunter2", "is no URL"),
            ("kafka://u:hunter2@h", "only RabbitMQ"),
            ("rabbit://", "names no host"),
            ("rabbit:///v", "names no host"),
            ("rabbit://u:hunter2@", "a user and no host"),
            ("rabbit://u:hunter2", "a port that is no number"),
            ("rabbit://u:hunter2@h:99999", "a port that is no number"),
            ("rabbit://u:hunter2@[::1", "closing bracket"),
            ("rabbit://u:hunter2%ff@h", "no UTF-8"),
            ("rabbit://u:hunter2@h/?ssl=perhaps", "neither ssl=1 nor ssl=0"),
        ] {
            let said = TransportUrl::parse(url).unwrap_err().chain();
            assert!(said.contains(why) && !said.contains("hunter2"), "{url}: {said}");
        }
        let url = TransportUrl::parse("rabbit://u:hunter2@h").unwrap();
        assert!(!format!("{url:?}").contains("hunter2"));
    }
}
