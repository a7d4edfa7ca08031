//! What is set for a wiki that is asked, wherever it is.

use http::HeaderValue;
use reveille_service::config::Section;

/// `host_header` and `forwarded_proto`: what a wiki behind a proxy is told, at an inner address.
pub(super) fn read_proxied(section: &mut Section) -> (Option<HeaderValue>, Option<HeaderValue>) {
    let host_header = section.string("host_header").and_then(|name| {
        let value = HeaderValue::from_str(&name).ok().filter(|_| !name.is_empty());
        if value.is_none() {
            section.problem("host_header", "this must be the name of a host");
        }
        value
    });
    let protos = [("https", "https"), ("http", "http")];
    let forwarded_proto = section.choice("forwarded_proto", &protos).map(HeaderValue::from_static);
    (host_header, forwarded_proto)
}
