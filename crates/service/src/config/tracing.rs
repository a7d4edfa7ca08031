//! `[tracing]`: where traces go, of both servers. Without it there are none.

use std::path::Path;

use http::header::{HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::{Document, Section};

/// How many of the traces that nobody has begun before are taken unless it is told.
const SAMPLE_RATIO: f64 = 0.1;
/// Where OTLP has traces behind an endpoint.
const TRACES_PATH: &str = "/v1/traces";
/// Most headers of a file.
const HEADERS_MAX: usize = 32;
/// Headers that belong to the request itself.
const OWN_HEADERS: [HeaderName; 4] =
    [HOST, TRANSFER_ENCODING, header::CONTENT_TYPE, header::CONTENT_LENGTH];

/// Where spans are sent, and how many.
#[derive(Debug, Clone)]
pub struct TracingConfig {
    /// The address, path and all.
    pub(crate) url: String,
    /// Of traces that nobody has begun before, from 0 to 1.
    pub(crate) sample_ratio: f64,
    /// Sent with each batch. Their values are secrets, and print nothing.
    pub(crate) headers: HeaderMap,
    /// Whom to trust where the address is `https:`.
    pub(crate) roots: RootCertStore,
}

impl TracingConfig {
    /// Reads the section, if there is one. Problems go to the document's list.
    pub fn read(document: &Document) -> Option<Self> {
        if !document.has("tracing") {
            return None;
        }
        let mut section = document.section("tracing");
        let url = read_url(&mut section);
        let sample_ratio = section.ratio("sample_ratio").unwrap_or(SAMPLE_RATIO);
        let headers = read_headers(&mut section);
        let roots = read_roots(&mut section);
        section.finish();
        Some(Self { url: url?, sample_ratio, headers: headers?, roots: roots? })
    }
}

fn read_url(section: &mut Section) -> Option<String> {
    let endpoint = section.required_string("endpoint", "http://127.0.0.1:4318")?;
    match url(&endpoint) {
        Ok(url) => Some(url),
        Err(what) => {
            section.problem("endpoint", what);
            None
        }
    }
}

fn url(endpoint: &str) -> Result<String, &'static str> {
    const EXAMPLE: &str =
        "this must be the address of a collector (OTLP over HTTP), as in \"http://127.0.0.1:4318\"";
    let uri: Uri = endpoint.parse().map_err(|_| EXAMPLE)?;
    let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
    let authority = uri.authority().filter(|_| is_http).ok_or(EXAMPLE)?;
    if authority.as_str().contains('@') {
        return Err("a login does not belong in an address; put it into headers_file");
    }
    if uri.query().is_some() {
        return Err("an address with a query cannot be used; remove what begins with ?");
    }
    let base = endpoint.trim_end_matches('/');
    if base.ends_with(TRACES_PATH) {
        return Err("write what stands before /v1/traces; that is appended");
    }
    Ok(format!("{base}{TRACES_PATH}"))
}

/// From a file: one `Name: value` a line, blank lines and lines that start with `#` left out.
fn read_headers(section: &mut Section) -> Option<HeaderMap> {
    let Some(path) = section.path("headers_file") else { return Some(HeaderMap::new()) };
    let read = std::fs::read_to_string(&path).map_err(|error| error.to_string());
    match read.and_then(|text| headers(&text)) {
        Ok(headers) => Some(headers),
        Err(what) => {
            section.problem("headers_file", format!("{}: {what}", path.display()));
            None
        }
    }
}

fn headers(text: &str) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (index, line) in text.lines().map(str::trim).enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, mut value) = header(line)
            .ok_or_else(|| format!("line {}: a header is written `Name: value`", index + 1))?;
        if OWN_HEADERS.contains(&name) {
            return Err(format!("line {}: {name} is set by ourselves; remove it", index + 1));
        }
        value.set_sensitive(true);
        headers.append(name, value);
    }
    match headers.len() {
        0 => Err("it holds no header; remove the setting if none is needed".to_owned()),
        count if count > HEADERS_MAX => Err(format!("it holds more than {HEADERS_MAX} headers")),
        _ => Ok(headers),
    }
}

fn header(line: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = line.split_once(':')?;
    Some((name.trim().parse().ok()?, value.trim().parse().ok()?))
}

/// The public authorities, or only those of `ca_file`.
fn read_roots(section: &mut Section) -> Option<RootCertStore> {
    let Some(path) = section.path("ca_file") else {
        return Some(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() });
    };
    let fail = |what: String| section.problem("ca_file", format!("{}: {what}", path.display()));
    authorities(&path).map_err(fail).ok()
}

fn authorities(path: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| error.to_string())? {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    if roots.is_empty() { Err("it holds no certificate".to_owned()) } else { Ok(roots) }
}

#[cfg(test)]
mod tests {
    use super::{TracingConfig, headers, url};
    use crate::config::Document;

    fn read(text: &str) -> (Option<TracingConfig>, Vec<String>) {
        let document = Document::parse(text, "/nowhere".into()).unwrap();
        let config = TracingConfig::read(&document);
        let problems = document.problems().take();
        (config, problems.into_iter().map(|each| each.to_string()).collect())
    }

    #[test]
    fn without_the_section_there_is_nothing() {
        let (config, problems) = read("");
        assert!(config.is_none() && problems.is_empty());
    }

    #[test]
    fn an_endpoint_is_enough() {
        let (config, problems) = read("[tracing]\nendpoint = \"http://[::1]:4318/\"\n");
        assert_eq!(problems, [""; 0]);
        let config = config.unwrap();
        assert_eq!(config.url, "http://[::1]:4318/v1/traces");
        assert!((config.sample_ratio - 0.1).abs() < f64::EPSILON && config.headers.is_empty());
    }

    #[test]
    fn every_problem_is_said_with_its_path() {
        let (config, problems) =
            read("[tracing]\nsample_ratio = 1.5\nheaders_file = \"none\"\nurl = \"http://x\"\n");
        assert!(config.is_none());
        assert_eq!(problems.len(), 4, "{problems:?}");
        assert!(problems[0].starts_with("tracing.endpoint: this is missing"), "{problems:?}");
        assert!(problems[1].starts_with("tracing.headers_file: /nowhere/none: "), "{problems:?}");
        assert_eq!(problems[2], "tracing.sample_ratio: this must be a number from 0 to 1");
        assert_eq!(
            problems[3],
            "tracing.url: there is no such key; the keys are ca_file, endpoint, headers_file, sample_ratio"
        );
    }

    #[test]
    fn what_is_no_address_of_a_collector_is_refused() {
        for bad in [
            "127.0.0.1:4318",
            "grpc://collector:4317",
            "http://",
            "",
            "http://me:secret@collector:4318",
            "http://collector:4318/?key=1",
            "http://collector:4318/v1/traces",
            "http://collector:4318/v1/traces/",
        ] {
            assert!(url(bad).is_err(), "{bad}");
        }
        assert_eq!(url("https://x/otlp").unwrap(), "https://x/otlp/v1/traces");
    }

    #[test]
    fn a_file_has_headers_that_print_nothing() {
        let read = headers("# of the collector\n\nAuthorization: Bearer planted\nX-Scope: a:b\n");
        let read = read.unwrap();
        assert_eq!(read.get("x-scope").unwrap(), "a:b");
        assert!(!format!("{read:?}").contains("planted"));
        for bad in ["", "# none\n", "planted", "A b: c", "Host: planted", "a: \u{1}"] {
            let what = headers(bad).unwrap_err();
            assert!(!what.contains("planted"), "{what}");
        }
    }
}
