//! What a real wiki has answered, served to us as it was (MediaWiki 1.39.17 with Echo; the files are raw dialogues).

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use reveille_testkit::Delivered;

use crate::{Rig, tokens};

/// The answers of a dialogue, in order.
fn answers(name: &str) -> Vec<Response<Full<Bytes>>> {
    let file = format!("{}/tests/fixtures/mediawiki/{name}.raw", env!("CARGO_MANIFEST_DIR"));
    let text = String::from_utf8(std::fs::read(file).unwrap()).unwrap().replace("\r\n", "\n");
    let blocks = text
        .split("\n##### ")
        .filter(|block| block.lines().next().is_some_and(|line| line.contains(" RESPONSE ")));
    let read = |block: &str| {
        let (head, body) = block.split_once("\n\n").unwrap();
        let mut lines = head.lines().skip(1);
        let status = lines.next().unwrap().split(' ').nth(1).unwrap();
        let mut answer = Response::builder().status(status);
        for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
            if !["Host", "Connection", "Content-Length"].contains(&name) {
                answer = answer.header(name, value);
            }
        }
        answer.body(Full::new(Bytes::from(body.trim_end().to_owned()))).unwrap()
    };
    blocks.map(read).collect()
}

fn nth(name: &str, place: usize) -> Response<Full<Bytes>> {
    answers(name).into_iter().nth(place).unwrap()
}

/// What leads to a session: nobody, a login token, a login, a token, and what the account may do.
fn login() -> Vec<Response<Full<Bytes>>> {
    let mut login = answers("01-clientlogin-delete");
    login.truncate(4);
    login.push(nth("03-botpassword-withgrant", 2));
    login
}

fn actions(delivered: &[Delivered]) -> Vec<String> {
    let action = |request: &Delivered| {
        let form = form_urlencoded::parse(request.body.as_bytes()).into_owned();
        let of: Vec<String> = form
            .filter(|(name, _)| ["action", "type", "meta"].contains(&name.as_str()))
            .map(|(_, value)| value)
            .collect();
        of.join(" ")
    };
    delivered.iter().map(action).collect()
}

const LOGIN: [&str; 5] = [
    "query tokens csrf",
    "query tokens login",
    "clientlogin",
    "query tokens csrf",
    "query userinfo",
];
const DELETE: &str = "echopushsubscriptions";

/// Serves these, lets one token die, and says what was asked until half a minute has passed.
async fn asked(responses: Vec<Response<Full<Bytes>>>) -> (Rig, Vec<String>) {
    let rig = Rig::start().await;
    let count = responses.len();
    rig.wiki.receiver.answer(responses);
    rig.die(&tokens("dead", 1)).await;
    for _ in 0..600 {
        if rig.wiki.receiver.delivered().len() >= count {
            break;
        }
        rig.wait(1).await;
    }
    rig.wait(30).await;
    let asked = actions(&rig.wiki.receiver.delivered());
    (rig, asked)
}

#[tokio::test]
async fn a_real_login_and_deletion_work() {
    for (deletion, place) in [
        ("01-clientlogin-delete", 4),
        ("10-notfound", 0),
        ("11-mixed", 0),
        ("12-us-separator", 0),
        ("21-success", 0),
        ("30-blocked", 0),
    ] {
        let mut responses = login();
        responses.push(nth(deletion, place));
        let (rig, asked) = asked(responses).await;
        let expected: Vec<&str> = LOGIN.into_iter().chain([DELETE]).collect();
        assert_eq!(asked, expected, "{deletion}: told, once");
        let last = rig.wiki.receiver.delivered().pop().unwrap();
        let cookies = last.headers.get("cookie").unwrap().to_str().unwrap();
        for name in ["testwiki_session=fhqp6f", "testwikiUserID=6", "testwikiUserName=PushBot"] {
            assert!(cookies.contains(name), "{cookies}");
        }
    }
}

#[tokio::test]
async fn cookies_that_are_marked_secure_are_shown_behind_a_proxy_too() {
    let mut responses = vec![nth("29-sessionlost-csrf", 0)];
    responses.extend(answers("25-xfp").into_iter().take(2));
    responses.push(nth("01-clientlogin-delete", 3));
    responses.push(nth("03-botpassword-withgrant", 2));
    responses.push(nth("21-success", 0));
    let (rig, asked) = asked(responses).await;
    assert_eq!(asked.last().map(String::as_str), Some(DELETE));
    let last = rig.wiki.receiver.delivered().pop().unwrap();
    let cookies = last.headers.get("cookie").unwrap().to_str().unwrap();
    assert!(cookies.contains("testwiki_session=qa1515clheg28sse54r68b9tj2tet56b"), "{cookies}");
}

#[tokio::test]
async fn a_lost_session_or_an_old_token_is_seen_and_mended_once() {
    for lost in [
        "14-badcsrf",
        "15-anoncsrf",
        "17-nocookie",
        "18-nocookie-anontoken",
        "20-assert",
        "28-sessionlost",
    ] {
        let mut responses = login();
        responses.push(nth(lost, 0));
        responses.push(nth("29-sessionlost-csrf", 0));
        responses.extend(login().into_iter().skip(1));
        responses.push(nth("21-success", 0));
        let (_, asked) = asked(responses).await;
        let expected: Vec<&str> =
            LOGIN.into_iter().chain([DELETE]).chain(LOGIN).chain([DELETE]).collect();
        assert_eq!(asked, expected, "{lost}");
    }
}

#[tokio::test]
async fn a_wiki_that_takes_no_token_of_its_own_is_not_asked_for_ever() {
    let again = || [nth("01-clientlogin-delete", 3), nth("03-botpassword-withgrant", 2)];
    let mut responses = login();
    responses.push(nth("14-badcsrf", 0));
    responses.extend(again());
    responses.push(nth("14-badcsrf", 0));
    let (_, asked) = asked(responses).await;
    let expected: Vec<&str> = LOGIN
        .into_iter()
        .chain([DELETE])
        .chain(LOGIN.into_iter().skip(3))
        .chain([DELETE])
        .collect();
    assert_eq!(asked, expected, "the next try is in minutes");
}

#[tokio::test]
async fn what_is_no_success_deletes_nothing_and_is_tried_again() {
    // Of each what comes after half a minute of it: what passes is tried soon, a refusal is not.
    for (said, is_soon) in [
        (vec![nth("13-51tokens", 0)], false),
        (vec![nth("19-noformat", 0)], true),
        (vec![nth("27-readonly", 0)], true),
    ] {
        let mut responses = login();
        let count = responses.len() + said.len();
        responses.extend(said);
        let (rig, asked) = asked(responses).await;
        assert_eq!(asked.len() > count, is_soon, "{asked:?}");
        rig.wait(1_000).await;
        assert!(rig.wiki.receiver.delivered().len() > count, "it is not given up");
    }
    for (refused, is_soon) in
        [("23-wrongpassword", false), ("31-throttled", false), ("27b-readonly-login", true)]
    {
        let mut responses = vec![nth("29-sessionlost-csrf", 0)];
        responses.extend(answers(refused));
        let (rig, asked) = asked(responses).await;
        assert_eq!(asked.len() > 3, is_soon, "{refused}: {asked:?}");
        rig.wait(1_000).await;
        assert!(rig.wiki.receiver.delivered().len() > 3, "it is not given up");
    }
    let mut responses = vec![nth("29-sessionlost-csrf", 0), nth("31-throttled", 0)];
    responses.push(nth("24-badlogintoken", 0));
    let (_, asked) = asked(responses).await;
    assert!(asked.len() > 3, "a login token of another session is asked for anew: {asked:?}");
}
