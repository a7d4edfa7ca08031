//! Where to connect to.

use http::Uri;

/// Scheme, host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Whether TLS is spoken. Without it HTTP/2 is assumed (prior knowledge); for sandboxes and benchmarks.
    pub tls: bool,
    /// The host's name or address.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// Text that is no origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this must be https://HOST or https://HOST:PORT, without a path")]
pub struct BadOrigin;

impl Origin {
    /// From `https://host[:port]` (or `http://` for HTTP/2 without TLS).
    pub fn parse(text: &str) -> Result<Self, BadOrigin> {
        let uri: Uri = text.parse().map_err(|_| BadOrigin)?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(BadOrigin),
        };
        let authority = uri.authority().ok_or(BadOrigin)?;
        let plain = !authority.as_str().contains('@')
            && matches!(uri.path(), "" | "/")
            && uri.query().is_none();
        if !plain || authority.host().is_empty() {
            return Err(BadOrigin);
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = match authority.as_str().strip_prefix(authority.host()) {
            Some("") => {
                if tls {
                    443
                } else {
                    80
                }
            }
            Some(rest) => rest.trim_start_matches(':').parse().map_err(|_| BadOrigin)?,
            None => return Err(BadOrigin),
        };
        Ok(Self { tls, host, port })
    }

    /// The URL of a path at this origin. `path` starts with a slash.
    pub fn url(&self, path: &str) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        let host =
            if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let default_port = if self.tls { 443 } else { 80 };
        if self.port == default_port {
            format!("{scheme}://{host}{path}")
        } else {
            format!("{scheme}://{host}:{}{path}", self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Origin;

    #[test]
    fn origins_are_read_and_written() {
        for origin in ["https://fcm.googleapis.com", "https://127.0.0.1:8912", "http://[::1]:8080"]
        {
            assert_eq!(Origin::parse(origin).unwrap().url("/x"), format!("{origin}/x"));
        }
        assert_eq!(Origin::parse("https://a:443/").unwrap().url("/"), "https://a/");
        assert_eq!(Origin::parse("https://[::1]:8912").unwrap().host, "::1");
        for bad in [
            "fcm.googleapis.com",
            "https://a/b",
            "https://u@a",
            "ftp://a",
            "https://",
            "https://a?q",
            "https://a:80801",
            "",
        ] {
            assert!(Origin::parse(bad).is_err(), "{bad}");
        }
    }
}
