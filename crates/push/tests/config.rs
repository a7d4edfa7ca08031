//! The configuration of providers, feedback and drop guard: what is taken, and every problem at once with its path.
#![cfg(test)]

use reveille_push::PushConfig;
use reveille_service::clock::{Clock as _, SystemClock};
use reveille_service::config::Document;
use reveille_testkit::TestSandbox;

const PUSH: &str = "[push]\nstore = \"sqlite:unused\"\n[push.mix]\nmode = \"batch\"\n";

/// The paths of all problems of a configuration beside the sandbox's files.
async fn problems(text: &str) -> Vec<String> {
    let sandbox = TestSandbox::start("").await;
    let folder = sandbox.file("ca.pem").parent().unwrap().to_owned();
    std::fs::write(folder.join("webhook.secret"), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n")
        .unwrap();
    std::fs::write(folder.join("nonsense.pem"), "nonsense").unwrap();
    let document = Document::parse(&format!("{PUSH}{text}"), folder).unwrap();
    let config = PushConfig::read(&document);
    let problems: Vec<String> =
        document.problems().take().into_iter().map(|problem| problem.path).collect();
    if let Some(config) = config.filter(|_| problems.is_empty()) {
        // What works but may not be meant must be sayable without a panic.
        config.warnings(SystemClock.now());
    }
    problems
}

#[tokio::test]
async fn what_people_write_is_taken() {
    for text in [
        "[apns.a]\ntopics = [\"org.example\"]\nkey_file = \"AuthKey.p8\"\nkey_id = \"ABC123DEFG\"\nteam_id = \"DEF123GHIJ\"\nendpoint = \"sandbox\"\nkind = \"background\"\n",
        "[apns.a]\ntopics = [\"org.example\"]\ncertificate_file = \"server.pem\"\nprivate_key_file = \"server.key\"\n",
        "[webpush]\nvapid_key_file = \"vapid.pem\"\nsubject = \"https://www.example.org/contact\"\nmode = \"public\"\nurgency = \"very-low\"\n",
        "[webpush]\nvapid_key_files = [\"vapid.pem\", \"AuthKey.p8\"]\nsubject = \"mailto:ops@example.org\"\nallow_hosts = [\"example.org\"]\nallow_origins = [\"https://127.0.0.1:8913\"]\nproxy = \"http://proxy.example:3128\"\n",
        "[push.feedback]\nmode = \"webhook\"\nurl = \"https://example.org/hook\"\nsecret_file = \"webhook.secret\"\n",
        "[push.public]\norigins = [\"https://a.example\", \"http://localhost:8080\"]\ntrusted_proxies = [\"10.0.0.0/8\", \"::1\"]\n[push.public.auth]\nmode = \"header\"\nheader = \"X-User\"\npeers = [\"127.0.0.1\"]\nanonymous = true\n",
        "[push.public.auth]\nmode = \"jwt\"\njwks_url = \"https://login.example/jwks\"\nissuer = \"i\"\naudience = \"a\"\n",
        "[push.public.auth]\nmode = \"sessions\"\nurl = \"http://127.0.0.1:8081/sessions/v1/\"\nwiki = \"enwiki\"\nhmac_key_file = \"webhook.secret\"\n",
        "[push.public.auth]\nanonymous = true\n[push.subscriptions]\nstale_after_days = 90\n",
        "[push.limits.default]\ncount = 20\nper_s = 3600\n[push.limits.\"edit-user-talk\"]\ncount = 5\nper_s = 600\n[push.events.thanks]\nwakes = false\n",
        "[push.feedback]\nmode = \"own\"\n[push.drop_guard]\ndead_percent_max = 10\nanswers_min = 100\nretry_s = 7200\n",
    ] {
        assert_eq!(problems(text).await, [""; 0], "{text}");
    }
}

#[tokio::test]
async fn every_problem_has_its_path() {
    let key = "key_file = \"AuthKey.p8\"\nkey_id = \"ABC123DEFG\"\nteam_id = \"DEF123GHIJ\"\n";
    let app = format!("topics = [\"org.example\"]\n{key}");
    let vapid = "vapid_key_file = \"vapid.pem\"\nsubject = \"mailto:ops@example.org\"\n";
    let rows = [
        ("[apns.a]\n".to_owned(), vec!["apns.a.key_file", "apns.a.topics"]),
        (format!("[apns.a]\n{app}[apns.b]\n{app}"), vec!["apns.b.topics"]),
        (format!("[apns.no-app]\n{app}"), vec!["apns.no-app"]),
        (format!("[apns.\"a b\"]\n{app}"), vec!["apns.a b"]),
        (format!("[apns.a]\n{app}certificate_file = \"server.pem\"\nprivate_key_file = \"server.key\"\n"), vec!["apns.a.key_file"]),
        ("[apns.a]\ntopics = [\"a b\"]\nkey_file = \"nonsense.pem\"\nkey_id = \"short\"\nteam_id = \"DEF123GHIJ\"\n".to_owned(), vec!["apns.a.key_file", "apns.a.key_id", "apns.a.topics"]),
        ("[apns.a]\ntopics = [\"t\"]\ncertificate_file = \"absent.pem\"\nprivate_key_file = \"server.key\"\n".to_owned(), vec!["apns.a.certificate_file"]),
        ("[apns.a]\ntopics = [\"t\"]\ncertificate_file = \"server.pem\"\nprivate_key_file = \"nonsense.pem\"\n".to_owned(), vec!["apns.a.private_key_file"]),
        ("[apns.a]\ntopics = [\"t\"]\ncertificate_file = \"server.pem\"\nprivate_key_file = \"AuthKey.p8\"\n".to_owned(), vec!["apns.a.certificate_file"]),
        (format!("[apns.a]\n{app}endpoint = \"x\"\nkind = \"loud\"\ntypo = 1\nfiltering_entitlement = \"yes\"\n"), vec!["apns.a.endpoint", "apns.a.filtering_entitlement", "apns.a.kind", "apns.a.typo"]),
        ("[push.limits.\"a b\"]\ncount = 0\n".to_owned(), vec!["push.limits.a b.count", "push.limits.a b.count", "push.limits.a b.per_s"]),
        ("[push.public]\norigins = [\"https://a.example/\"]\ntrusted_proxies = [\"x\"]\n".to_owned(), vec!["push.public.auth.mode", "push.public.origins", "push.public.trusted_proxies"]),
        ("[push.public.auth]\nmode = \"jwt\"\njwks_file = \"nonsense.pem\"\nissuer = \"i\"\naudience = \"a\"\n".to_owned(), vec!["push.public.auth.jwks_file"]),
        ("[push.public.auth]\nmode = \"jwt\"\n".to_owned(), vec!["push.public.auth.audience", "push.public.auth.issuer", "push.public.auth.jwks_file"]),
        ("[push.public.auth]\nmode = \"sessions\"\nurl = \"ftp://x\"\nhmac_key_file = \"absent\"\ncookie = \"a b\"\nuser_path = \"a..b\"\n".to_owned(), vec!["push.public.auth.cookie", "push.public.auth.hmac_key_file", "push.public.auth.hmac_key_file", "push.public.auth.url", "push.public.auth.user_path"]),
        ("[push.public.auth]\nmode = \"header\"\nheader = \"a b\"\n".to_owned(), vec!["push.public.auth.header", "push.public.auth.peers"]),
        ("[push.public.auth]\nmode = \"magic\"\n".to_owned(), vec!["push.public.auth.mode"]),
        ("[webpush]\n".to_owned(), vec!["webpush.subject", "webpush.vapid_key_file"]),
        ("[webpush]\nvapid_key_file = \"nonsense.pem\"\nsubject = \"ops@example.org\"\n".to_owned(), vec!["webpush.subject", "webpush.vapid_key_file"]),
        ("[webpush]\nvapid_key_file = \"vapid.pem\"\nsubject = \"mailto:mailto:a@example.org\"\n".to_owned(), vec!["webpush.subject"]),
        ("[webpush]\nvapid_key_file = \"vapid.pem\"\nsubject = \"mailto:admin@localhost\"\n".to_owned(), vec!["webpush.subject"]),
        (format!("[webpush]\n{vapid}mode = \"public\"\nproxy = \"http://proxy:3128\"\n"), vec!["webpush.proxy"]),
        (format!("[webpush]\n{vapid}proxy = \"proxy:3128\"\n"), vec!["webpush.proxy"]),
        (format!("[webpush]\n{vapid}allow_hosts = [\"https://x\"]\nallow_origins = [\"http://x\", \"https://x/y\"]\n"), vec!["webpush.allow_hosts", "webpush.allow_origins"]),
        ("[push.feedback]\nmode = \"webhook\"\n".to_owned(), vec!["push.feedback.secret_file", "push.feedback.url"]),
        ("[push.feedback]\nmode = \"webhook\"\nurl = \"https://\"\nsecret_file = \"nonsense.pem\"\n".to_owned(), vec!["push.feedback.secret_file", "push.feedback.url"]),
        ("[push.feedback]\nmode = \"own\"\nurl = \"https://example.org\"\n".to_owned(), vec!["push.feedback.mode"]),
        ("[push.feedback]\nmode = \"mediawiki\"\n".to_owned(), vec!["push.feedback.mode"]),
        ("[push.drop_guard]\nretry_s = 60\ndead_percent_max = 0\n".to_owned(), vec!["push.drop_guard.dead_percent_max", "push.drop_guard.retry_s"]),
    ];
    for (text, expected) in rows {
        assert_eq!(problems(&text).await, expected, "{text}");
    }
}

#[tokio::test]
async fn what_may_not_be_meant_is_said() {
    let sandbox = TestSandbox::start("").await;
    let folder = sandbox.file("ca.pem").parent().unwrap().to_owned();
    std::fs::write(folder.join("webhook.secret"), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
        .unwrap();
    let text = format!(
        "{PUSH}[push.feedback]\nmode = \"webhook\"\nurl = \"http://example.org/hook\"\nsecret_file = \"webhook.secret\"\n[apns.a]\ntopics = [\"t\"]\ncertificate_file = \"server.pem\"\nprivate_key_file = \"server.key\"\n"
    );
    let config = PushConfig::read(&Document::parse(&text, folder).unwrap()).unwrap();
    let (set, end) = config.credential_expiries().pop().unwrap();
    assert_eq!(set.to_string(), "apns.a");
    let day = reveille_model::Duration::from_s(86_400);
    let speaks_of_it =
        |now| config.warnings(now).iter().any(|warning| warning.contains("certificate of apns.a"));
    assert!(speaks_of_it(end.minus(day)) && speaks_of_it(end.plus(day)));
    let two_months = reveille_model::Duration::from_s(60 * 86_400);
    assert!(!speaks_of_it(end.minus(two_months)));
    assert!(config.warnings(end).iter().any(|warning| warning.contains("unencrypted")));
}
