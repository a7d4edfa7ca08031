//! The configuration of Wikimedia's push-notifications service (contract: push-notifications.md §4), as ours.

use std::path::Path;

use anyhow::Context as _;
use reveille_push::PushConfig;
use reveille_service::config::Document;
use serde_json::Value;

use super::secrets::Secrets;
use super::yaml::{Section, quoted, read, wrong};
use crate::cli::ReferenceArguments;
use crate::commands::load::whole;
use crate::failure::Failure;

const OPTION: &str = "--reference-config";
/// What the reference does where nothing is said.
const PORT: u64 = 8888;
const INTERFACE: &str = "0.0.0.0";
const FLUSH_MS: u64 = 10_000;
const WIKI: &str = "https://meta.wikimedia.org/w/api.php";

/// What has no counterpart, and what there is instead.
const IGNORED: [(&str, &str); 12] = [
    ("compression_level", "answers are a few bytes and are not compressed"),
    ("cors", "the private API answers no pages of other sites"),
    ("csp", "the policy is fixed and the strictest there is"),
    (
        "express_rate_limiter",
        "intake has bounds of its own; beyond them it answers 503 before anything is accepted",
    ),
    ("log_header_whitelist", "no header is logged"),
    ("max_body_size", "bodies may have up to 1 MiB"),
    ("no_proxy_list", "there is no proxy for what goes out"),
    ("proxy", "there is no proxy for what goes out"),
    ("spec", "the description of the API is generated"),
    ("user_agent", "requests to the wiki say Reveille and its version"),
    ("salt_key", "nothing is salted"),
    ("enable_custom_cookie_jar", "all cookies are kept and shown, always"),
];
/// The same of what stands beside the service's own settings.
const IGNORED_AROUND: [(&str, &str); 4] = [
    ("num_workers", "one process uses all processors"),
    ("worker_heap_limit_mb", "every queue has a bound of its own"),
    ("logging", "logs are JSON lines on standard error"),
    ("metrics", "metrics are at /metrics of the same port"),
];

/// What a file says, as a configuration of ours.
#[derive(Debug, Default)]
struct Converted {
    /// TOML.
    text: String,
    /// What was passed over, and why.
    ignored: Vec<String>,
    /// Secrets that stand in the file itself, by the names of files that ours names.
    secrets: Vec<(&'static str, String)>,
}

/// Reads such a file. What was passed over is said.
pub(crate) fn config(arguments: &ReferenceArguments) -> Result<(PushConfig, Vec<String>), Failure> {
    let path = arguments.reference_config.as_deref().unwrap_or(Path::new(""));
    let value = read(path, OPTION)?;
    let secrets = Secrets::new();
    let converted =
        convert(value, (arguments, secrets.folder())).map_err(|what| wrong(path, what))?;
    secrets.write(&converted.secrets).context("secrets cannot be put into a file of their own")?;
    let folder = path.parent().map(Path::to_owned).unwrap_or_default();
    let document =
        Document::from_text(&converted.text, folder).map_err(|what| wrong(path, what))?;
    let config = whole(PushConfig::read(&document), &document)?;
    Ok((config, converted.ignored))
}

fn convert(
    value: Value,
    (arguments, secrets): (&ReferenceArguments, &Path),
) -> Result<Converted, String> {
    let mut around = Section::of_file(value)?;
    let services = around.members.remove("services");
    let Some(Value::Array(services)) = services else {
        return Err("it has no list `services`".to_owned());
    };
    let [service] =
        services.try_into().map_err(|_| "`services` must name one service".to_owned())?;
    let mut service = Section::new("services[0]", Some(service))?;
    let mut conf = service.section("conf", "conf")?;
    let mut done = Converted::default();
    let interface = conf.text("interface")?.unwrap_or_else(|| INTERFACE.to_owned());
    let port = conf.number("port")?.unwrap_or(PORT);
    let mut push = vec!["[push]\nstore = \"sqlite:reveille.db\"\ncompat_metrics = true".to_owned()];
    let mut rest = Vec::new();
    queueing(conf.section("queueing", "conf.queueing")?, &mut rest, &mut done.ignored)?;
    let address = match interface.as_str() {
        "localhost" => format!("127.0.0.1:{port}"),
        ipv6 if ipv6.contains(':') => format!("[{ipv6}]:{port}"),
        ipv4 => format!("{ipv4}:{port}"),
    };
    rest.push(format!("[push.intake]\nlisten = {}", quoted(&address)));
    feedback(&mut conf, (&mut rest, secrets), (&mut done.secrets, &mut done.ignored))?;
    let apns = conf.section("apns", "conf.apns")?;
    apns_section(apns, (&mut rest, arguments, secrets), (&mut done.secrets, &mut done.ignored))?;
    match &arguments.fcm_credentials {
        Some(file) => {
            let file = std::path::absolute(file).map_err(|error| error.to_string())?;
            let file = quoted(&file.display().to_string());
            rest.push(format!("[fcm.default]\nservice_account_file = {file}"));
        }
        None => done.ignored.push(
            "GOOGLE_APPLICATION_CREDENTIALS is not set: nothing is sent to FCM, and what is accepted for it waits".to_owned(),
        ),
    }
    conf.finish(&IGNORED, &mut done.ignored);
    service.members.retain(|name, _| !["name", "module"].contains(&name.as_str()));
    service.finish(&[], &mut done.ignored);
    around.members.remove("services");
    around.finish(&IGNORED_AROUND, &mut done.ignored);
    push.extend(rest);
    done.text = push.join("\n");
    Ok(done)
}

/// Windows: how long is waited before messages leave.
fn queueing(
    mut queueing: Section,
    rest: &mut Vec<String>,
    ignored: &mut Vec<String>,
) -> Result<(), String> {
    let seconds = |ms: u64| ms.div_ceil(1_000).max(1);
    let waits = queueing.text("flushTimeoutMs")?;
    let (min, max) = (queueing.number("flushTimeoutMin")?, queueing.number("flushTimeoutMax")?);
    rest.push("[push.mix]\nmode = \"cohort\"".to_owned());
    ignored.push(
        "apps are woken in cohorts, which that service does not know: see docs/mediawiki.md, and for a wake-up of each device by itself REVEILLE_PUSH__MIX__MODE=batch".to_owned(),
    );
    if waits.as_deref() == Some("random") {
        let (min, max) = (seconds(min.unwrap_or(0)), seconds(max.unwrap_or(FLUSH_MS)));
        rest.push(if min < max {
            format!("window_min_s = {min}\nwindow_max_s = {max}")
        } else {
            format!("window_s = {min}")
        });
    } else {
        let ms = waits.map_or(Ok(FLUSH_MS), |text| {
            text.parse()
                .map_err(|_| "conf.queueing.flushTimeoutMs must be a number or `random`".to_owned())
        })?;
        rest.push(format!("window_s = {}", seconds(ms)));
    }
    let known = [
        ("maxSize", "a window ends by the clock, however many came"),
        ("verbose", "logs say what matters"),
    ];
    queueing.finish(&known, ignored);
    Ok(())
}

/// Deletion of dead tokens at the wiki.
fn feedback(
    conf: &mut Section,
    (rest, secrets): (&mut Vec<String>, &Path),
    (secret, ignored): (&mut Vec<(&'static str, String)>, &mut Vec<String>),
) -> Result<(), String> {
    let username = conf.text("mw_subscription_manager_username")?;
    let password = conf.text("mw_subscription_manager_password")?;
    let mut request = conf.section("mwapi_req", "conf.mwapi_req")?;
    let uri = request.text("uri")?.unwrap_or_else(|| WIKI.to_owned());
    let mut headers = request.section("headers", "conf.mwapi_req.headers")?;
    let mut header = |name: &str| {
        let known = headers.members.keys().find(|each| each.eq_ignore_ascii_case(name)).cloned();
        known.map_or(Ok(None), |known| headers.text(&known))
    };
    // What is made of the request is not text: the service fills it in.
    let filled = |value: Option<String>| value.filter(|value| !value.contains("{{"));
    let (host, proto) = (filled(header("host")?), filled(header("x-forwarded-proto")?));
    headers.finish(&[("user-agent", "it says Reveille and its version")], ignored);
    request.finish(
        &[("method", "it is POST"), ("body", "it is what the wiki needs to be asked")],
        ignored,
    );
    let (Some(username), Some(password)) = (username, password) else {
        ignored.push(
            "without mw_subscription_manager_username and _password dead tokens are not deleted at the wiki".to_owned(),
        );
        return Ok(());
    };
    let file = quoted(&secrets.join("wiki-password").display().to_string());
    secret.push(("wiki-password", password));
    rest.push(format!(
        "[push.feedback]\nmode = \"mediawiki\"\napi = {}\nusername = {}\npassword_file = {file}",
        quoted(&uri),
        quoted(&username)
    ));
    for (key, value) in [("host_header", host), ("forwarded_proto", proto)] {
        if let Some(value) = value {
            rest.push(format!("{key} = {}", quoted(&value)));
        }
    }
    Ok(())
}

/// Apple's section: the key and where to.
fn apns_section(
    mut apns: Section,
    (rest, arguments, secrets): (&mut Vec<String>, &ReferenceArguments, &Path),
    (secret, ignored): (&mut Vec<(&'static str, String)>, &mut Vec<String>),
) -> Result<(), String> {
    let is_mock = apns.flag("mock")?;
    let is_production = apns.flag("production")?;
    let mut token = apns.section("token", "conf.apns.token")?;
    let key = token.text("key")?;
    let (key_id, team_id) = (token.text("keyId")?, token.text("teamId")?);
    token.finish(&[], ignored);
    let (certificate, private) = (apns.text("cert")?, apns.text("key")?);
    apns.finish(&[("passphrase", "a key with a passphrase cannot be read; take it off")], ignored);
    if is_mock || (key.is_none() && certificate.is_none()) {
        ignored.push(
            "conf.apns: nothing is sent to APNs, and what is accepted for it waits".to_owned(),
        );
        return Ok(());
    }
    if arguments.apns_topics.is_empty() {
        return Err("it names no topics, which come with each message there: name those of your apps, --apns-topic org.wikimedia.wikipedia".to_owned());
    }
    let topics: Vec<String> = arguments.apns_topics.iter().map(|topic| quoted(topic)).collect();
    let endpoint = if is_production { "production" } else { "sandbox" };
    rest.push(format!(
        "[apns.default]\ntopics = [{}]\nendpoint = \"{endpoint}\"",
        topics.join(", ")
    ));
    let mut file = |name: &'static str, value: String| {
        // Its content may stand in the place of a path.
        if !value.contains("-----BEGIN") {
            return quoted(&value);
        }
        secret.push((name, value));
        quoted(&secrets.join(name).display().to_string())
    };
    if let Some(key) = key {
        rest.push(format!("key_file = {}", file("apns-key.p8", key)));
        for (name, value) in [("key_id", key_id), ("team_id", team_id)] {
            if let Some(value) = value {
                rest.push(format!("{name} = {}", quoted(&value)));
            }
        }
    } else if let (Some(certificate), Some(private)) = (certificate, private) {
        rest.push(format!("certificate_file = {}", file("apns-certificate.pem", certificate)));
        rest.push(format!("private_key_file = {}", file("apns-private-key.pem", private)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Converted, ReferenceArguments, convert};

    fn converted(conf: &str, topics: &[&str]) -> Result<Converted, String> {
        let arguments = ReferenceArguments {
            reference_config: None,
            apns_topics: topics.iter().map(ToString::to_string).collect(),
            fcm_credentials: None,
        };
        let yaml = format!("services:\n  - name: push\n    conf:\n{conf}");
        convert(serde_saphyr::from_str(&yaml).unwrap(), (&arguments, Path::new("/secrets")))
    }

    #[test]
    fn what_it_says_is_said_in_our_words() {
        for (conf, expected) in [
            ("      port: 8900\n      interface: localhost\n", "listen = \"127.0.0.1:8900\""),
            ("      interface: '::'\n", "listen = \"[::]:8888\""),
            ("      port: 1\n", "window_s = 10"),
            ("      queueing: {flushTimeoutMs: 1}\n", "window_s = 1"),
            (
                "      queueing: {flushTimeoutMs: random, flushTimeoutMin: 1000, flushTimeoutMax: 60000}\n",
                "window_min_s = 1\nwindow_max_s = 60",
            ),
            (
                "      queueing: {flushTimeoutMs: random, flushTimeoutMin: 900, flushTimeoutMax: 200}\n",
                "window_s = 1",
            ),
            (
                "      mw_subscription_manager_username: Bot\n      mw_subscription_manager_password: 12\n",
                "api = \"https://meta.wikimedia.org/w/api.php\"\nusername = \"Bot\"\npassword_file = \"/secrets/wiki-password\"",
            ),
            (
                "      apns: {production: true, token: {key: k.p8, keyId: A, teamId: B}}\n",
                "endpoint = \"production\"\nkey_file = \"k.p8\"\nkey_id = \"A\"\nteam_id = \"B\"",
            ),
            (
                "      apns: {cert: '-----BEGIN x', key: k.pem}\n",
                "endpoint = \"sandbox\"\ncertificate_file = \"/secrets/apns-certificate.pem\"\nprivate_key_file = \"k.pem\"",
            ),
        ] {
            let done = converted(conf, &["a.b"]).unwrap();
            assert!(done.text.contains(expected), "{expected} is not in\n{}", done.text);
        }
    }

    #[test]
    fn what_cannot_be_said_is_an_error_with_its_place() {
        for (conf, expected) in [
            ("      port: x\n", "conf.port must be a whole number"),
            ("      apns: 7\n", "conf.apns must have members"),
            ("      apns: {production: 1}\n", "conf.apns.production must be true or false"),
            (
                "      queueing: {flushTimeoutMs: soon}\n",
                "flushTimeoutMs must be a number or `random`",
            ),
            ("      apns: {token: {key: k.p8}}\n", "--apns-topic"),
        ] {
            let error = converted(conf, &[]).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
