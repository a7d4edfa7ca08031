//! The configuration of providers, feedback and drop guard: what is taken, and every problem at once with its path.
#![cfg(test)]

use std::path::PathBuf;

use reveille_push::PushConfig;
use reveille_service::clock::{Clock as _, SystemClock};
use reveille_service::config::Document;
use reveille_testkit::TestSandbox;

const PUSH: &str = "[push]\nstore = \"sqlite:unused\"\n[push.mix]\nmode = \"batch\"\n";

/// The paths of all problems of a configuration in mode `batch`, beside the sandbox's files.
async fn problems(text: &str) -> Vec<String> {
    let sandbox = TestSandbox::start("").await;
    let folder = sandbox.file("ca.pem").parent().unwrap().to_owned();
    std::fs::write(folder.join("webhook.secret"), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n")
        .unwrap();
    std::fs::write(folder.join("nonsense.pem"), "nonsense").unwrap();
    problems_in(folder, &format!("{PUSH}{text}"))
}

/// The paths of all problems of a configuration that stands in this folder.
fn problems_in(folder: PathBuf, text: &str) -> Vec<String> {
    let document = Document::parse(text, folder).unwrap();
    let config = PushConfig::read(&document);
    let problems: Vec<String> =
        document.problems().take().into_iter().map(|problem| problem.path).collect();
    if let Some(config) = config.filter(|_| problems.is_empty()) {
        // What works but may not be meant must be sayable without a panic.
        config.warnings(SystemClock.now());
    }
    problems
}

/// The same of one that names no files.
fn problems_of(text: &str) -> Vec<String> {
    problems_in(PathBuf::new(), text)
}

#[tokio::test]
async fn what_people_write_is_taken() {
    for text in [
        "[apns.a]\ntopics = [\"org.example\"]\nkey_file = \"AuthKey.p8\"\nkey_id = \"ABC123DEFG\"\nteam_id = \"DEF123GHIJ\"\nendpoint = \"sandbox\"\nkind = \"background\"\n",
        "[apns.a]\ntopics = [\"org.example\"]\ncertificate_file = \"server.pem\"\nprivate_key_file = \"server.key\"\n",
        "[webpush]\nvapid_key_file = \"vapid.pem\"\nsubject = \"https://www.example.org/contact\"\nmode = \"public\"\nurgency = \"very-low\"\n",
        "[webpush]\nvapid_key_files = [\"vapid.pem\", \"AuthKey.p8\"]\nsubject = \"mailto:ops@example.org\"\nallow_hosts = [\"example.org\"]\nallow_origins = [\"https://127.0.0.1:8913\"]\nproxy = \"http://proxy.example:3128\"\n",
        "[push.feedback]\nmode = \"webhook\"\nurl = \"https://example.org/hook\"\nsecret_file = \"webhook.secret\"\n",
        "[push.feedback]\nmode = \"mediawiki\"\napi = \"https://meta.example.org/w/api.php\"\nusername = \"PushBot\"\npassword_file = \"webhook.secret\"\nhost_header = \"meta.example.org\"\nforwarded_proto = \"https\"\n",
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
        (format!("[apns.a]\n{app}key_id_file = \"absent\"\n"), vec!["apns.a.key_id", "apns.a.key_id_file"]),
        (format!("[apns.a]\n{}", app.replace("key_id = \"ABC123DEFG\"", "key_id_file = \"nonsense.pem\"")), vec!["apns.a.key_id_file"]),
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
        ("[push.feedback]\nmode = \"mediawiki\"\n".to_owned(), vec!["push.feedback.api", "push.feedback.password_file", "push.feedback.username"]),
        ("[push.feedback]\nmode = \"mediawiki\"\napi = \"w/api.php\"\nusername = \"Bot\"\npassword_file = \"none\"\nforwarded_proto = \"ftp\"\nhost_header = \"\"\nurl = \"https://example.org\"\n".to_owned(), vec!["push.feedback.api", "push.feedback.forwarded_proto", "push.feedback.host_header", "push.feedback.mode", "push.feedback.password_file"]),
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
    let end = config.providers.apns[0].expires_at.unwrap();
    let day = reveille_model::Duration::from_s(86_400);
    let speaks_of_it =
        |now| config.warnings(now).iter().any(|warning| warning.contains("certificate of apns.a"));
    assert!(speaks_of_it(end.minus(day)) && speaks_of_it(end.plus(day)));
    let two_months = reveille_model::Duration::from_s(60 * 86_400);
    assert!(!speaks_of_it(end.minus(two_months)));
    assert!(config.warnings(end).iter().any(|warning| warning.contains("unencrypted")));
}

/// An app at Apple, a project at Firebase, browsers.
const PROVIDERS: &str = "[webpush]\nvapid_key_file = \"vapid.pem\"\nsubject = \"mailto:ops@example.org\"\n[fcm.default]\nservice_account_file = \"service-account.json\"\n[apns.a]\ntopics = [\"org.example\"]\nkey_file = \"AuthKey.p8\"\nkey_id = \"ABC123DEFG\"\nteam_id = \"DEF123GHIJ\"\n";

#[test]
fn every_problem_of_mixing_has_its_path() {
    let rows: [(&str, &[&str]); 14] = [
        ("", &[]),
        ("mode = \"cohort\"\n", &[]),
        (
            "cohort_form = 64\ncohort_floor = 32\nbatch_devices_min = 100\nwakeups_per_device_day_max = 96\nnursery_deadline_s = 300\nsealed_period_s = 1800\nghost_after_erasure = false\nnoop_per_minute = 0\n",
            &[],
        ),
        // What is for cohorts may stand where there are none for now.
        ("mode = \"batch\"\ncohort_form = 4\ncohort_floor = 2\nnoop_per_minute = 10000\n", &[]),
        ("cohort_form = 8\ncohort_floor = 9\n", &["push.mix.cohort_floor"]),
        ("cohort_form = 4\n", &["push.mix.cohort_floor"]),
        ("cohort_form = 1\ncohort_floor = 1\n", &["push.mix.cohort_floor", "push.mix.cohort_form"]),
        ("cohort_form = 1001\n", &["push.mix.cohort_form"]),
        ("noop_per_minute = 1\n", &["push.mix.noop_per_minute"]),
        ("mode = \"batch\"\nnoop_per_minute = 10001\n", &["push.mix.noop_per_minute"]),
        (
            "wakeups_per_device_day_max = 0\nsealed_period_s = 59\n",
            &["push.mix.sealed_period_s", "push.mix.wakeups_per_device_day_max"],
        ),
        (
            "wakeups_per_device_day_max = 1441\nsealed_period_s = 86401\nnursery_deadline_s = 0\nbatch_devices_min = -1\n",
            &[
                "push.mix.batch_devices_min",
                "push.mix.nursery_deadline_s",
                "push.mix.sealed_period_s",
                "push.mix.wakeups_per_device_day_max",
            ],
        ),
        (
            "mode = \"sealed\"\nghost_after_erasure = 1\ntypo = 1\n",
            &["push.mix.ghost_after_erasure", "push.mix.mode", "push.mix.typo"],
        ),
        ("window_s = 5\nwindow_min_s = 5\n", &["push.mix.window_s"]),
    ];
    for (text, expected) in rows {
        let text = format!("[push]\nstore = \"sqlite:unused\"\n[push.mix]\n{text}");
        assert_eq!(problems_of(&text), expected, "{text}");
    }
}

#[test]
fn in_a_cohort_all_are_told_the_same() {
    let types = "[push]\nstore = \"sqlite:unused\"\nmessage_types = [\"one\", \"two\"]\n";
    let events = "[push.events.mention]\nmessage_type = \"two\"\n[push.events.thanks]\nmessage_type = \"one\"\n";
    let expected = ["push.events.mention.message_type", "push.message_types"];
    assert_eq!(problems_of(&format!("{types}{events}")), expected);
    assert_eq!(problems_of(types), ["push.message_types"]);
    let batch = format!("{types}{events}[push.mix]\nmode = \"batch\"\n");
    assert_eq!(problems_of(&batch), [""; 0]);
}

#[tokio::test]
async fn whoever_is_in_no_cohort_is_warned_of() {
    let sandbox = TestSandbox::start("").await;
    let folder = sandbox.file("ca.pem").parent().unwrap().to_owned();
    let read = |mix: &str, providers: &str| {
        let text = format!("[push]\nstore = \"sqlite:unused\"\n[push.mix]\n{mix}{providers}");
        let document = Document::parse(&text, folder.clone()).unwrap();
        let config = PushConfig::read(&document);
        assert_eq!(document.problems().take(), []);
        config.unwrap()
    };
    let silent = |config: &PushConfig| -> Vec<String> {
        config.mix().silent.iter().map(ToString::to_string).collect()
    };
    let said = |config: &PushConfig, what: &str| {
        config.warnings(SystemClock.now()).iter().filter(|warning| warning.contains(what)).count()
    };
    let loud = read("", PROVIDERS);
    assert_eq!(silent(&loud), ["fcm.default"]);
    assert_eq!(loud.mix().sizes, Some(reveille_model::CohortSizes::DEFAULT));
    assert_eq!((said(&loud, "apns.a shows every push"), said(&loud, "browsers may show")), (1, 1));
    assert_eq!((said(&loud, "is \"batch\""), said(&loud, "cohort_floor")), (0, 0));
    for quiet in ["kind = \"background\"\n", "filtering_entitlement = true\n"] {
        let quiet = read("", &format!("{PROVIDERS}{quiet}"));
        assert_eq!(silent(&quiet), ["apns.a", "fcm.default"]);
        assert_eq!(said(&quiet, "apns.a shows every push"), 0);
    }
    let hasty = read("", &PROVIDERS.replace("[apns.a]", "priority = \"high\"\n[apns.a]"));
    assert_eq!(said(&hasty, "fcm.default.priority is \"high\""), 1);
    assert_eq!(said(&read("cohort_form = 8\ncohort_floor = 7\n", PROVIDERS), "one time in 7"), 1);
    // A proxy that is not named: everybody behind it is one address.
    for (more, is_said) in [("", 1), ("trusted_proxies = [\"10.0.0.0/8\"]\n", 0)] {
        let public = format!(
            "[push.public]\nlisten = \"0.0.0.0:8901\"\n{more}[push.public.auth]\nanonymous = true\n"
        );
        let read = read("", &format!("{public}{PROVIDERS}"));
        assert_eq!(said(&read, "count as one address"), is_said, "{more}");
    }
    let batch = read("mode = \"batch\"\n", PROVIDERS);
    assert_eq!((said(&batch, "is \"batch\""), said(&batch, "shows every push")), (1, 0));
    assert_eq!((batch.mix().sizes, silent(&batch).len()), (None, 1), "sealed devices are woken so");
}
