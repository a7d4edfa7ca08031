//! Who leaves with a window, and who does not.

use reveille_model::Settled;
use reveille_testkit::PushApp;
use serde_json::json;

use super::{SMALL, census, name, notify, phones, pushed, start};

#[tokio::test]
async fn with_nothing_else_set_sixteen_become_a_cohort_at_a_windows_end() {
    let app = start("").await;
    phones(&app, 0..33).await;
    assert_eq!((census(&app).await.sizes, census(&app).await.provisional), (vec![], vec![(33, 1)]));
    app.pass_window().await;
    assert_eq!(census(&app).await.sizes, [(16, 1), (17, 1)], "everybody, as evenly as can be");
    assert_eq!(census(&app).await.provisional, []);
    app.pass_window().await;
    assert_eq!(app.sender.count(), 0, "nothing has happened, and nothing leaves");
}

#[tokio::test]
async fn tokens_nobody_has_named_are_woken_in_cohorts_too() {
    let app = start("").await;
    for number in 0..42 {
        let body = json!({"deviceTokens": [format!("t{number}")], "messageType": "checkEchoV1"});
        assert_eq!(app.client.post("/v1/message/fcm", &body).await.status, 200);
    }
    app.pass_window().await;
    assert_eq!((census(&app).await.sizes, app.sender.count()), (vec![(21, 2)], 42));
    let body = json!({"deviceTokens": ["t7"], "messageType": "checkEchoV1"});
    assert_eq!(app.client.post("/v1/message/fcm", &body).await.status, 200);
    app.pass_window().await;
    assert_eq!(app.sender.count(), 84, "her cohort, and the other one as padding");
}

#[tokio::test]
async fn a_cohort_leaves_whole_and_never_alone() {
    let app = start("").await;
    phones(&app, 0..64).await;
    app.pass_window().await;
    assert_eq!(census(&app).await.sizes, [(16, 4)]);
    for round in 1_usize..=3 {
        notify(&app, &name(7)).await;
        app.pass_window().await;
        assert_eq!(app.sender.count(), 32 * round, "two cohorts of sixteen");
    }
    let windows = pushed(&app).await;
    assert_eq!(windows.len(), 3);
    let mine = "phone-of-user-7".to_owned();
    assert!(windows.values().all(|tokens| tokens.contains(&mine)));
    // Whoever was with her each time is her cohort.
    let with_her = |token: &&String| windows.values().all(|tokens| tokens.contains(token));
    let first = windows.values().next().expect("a window");
    assert!(first.iter().filter(with_her).count() >= 16);
}

#[tokio::test]
async fn a_batch_has_as_many_devices_as_is_asked_of_it() {
    let app = start("batch_devices_min = 48\n").await;
    phones(&app, 0..96).await;
    app.pass_window().await;
    notify(&app, &name(1)).await;
    app.pass_window().await;
    assert_eq!(app.sender.count(), 48);
}

#[tokio::test]
async fn those_who_wait_are_woken_by_their_deadline() {
    let app = start("nursery_deadline_s = 60\n").await;
    phones(&app, 0..3).await;
    notify(&app, &name(0)).await;
    // Accepted as a window of ten seconds began: it may wait for five windows more, and another would be too long.
    for window in 1..=5 {
        app.pass_window().await;
        assert_eq!(app.sender.count(), 0, "after window {window}");
    }
    app.pass_window().await;
    assert_eq!(app.sender.count(), 3, "all of those who wait, and not her alone");
}

#[tokio::test]
async fn what_was_accepted_for_those_who_wait_leaves_when_they_are_enough() {
    let app = start(SMALL).await;
    phones(&app, 0..3).await;
    notify(&app, &name(0)).await;
    app.pass_window().await;
    assert_eq!(app.sender.count(), 0);
    phones(&app, 3..4).await;
    app.pass_window().await;
    assert_eq!(app.sender.count(), 4);
}

#[tokio::test]
async fn a_cohort_that_has_spent_its_budget_leaves_in_longer_windows() {
    // A quarter of eight may leave at once; the rest comes back every four hours.
    let mix = format!("{SMALL}wakeups_per_device_day_max = 8\n");
    let app = start(&mix).await;
    phones(&app, 0..4).await;
    app.pass_window().await;
    for _ in 0..6 {
        notify(&app, &name(0)).await;
        app.pass_window().await;
    }
    assert_eq!(app.sender.count(), 2 * 4);
    assert!(app.ledger().await.waiting > 0, "what happened is not lost");
    app.clock.advance(reveille_model::Duration::from_s(4 * 3_600));
    PushApp::turns().await;
    app.pass_window().await;
    assert_eq!(app.sender.count(), 3 * 4, "all of it in one");
    assert_eq!(app.ledger().await.waiting, 0);
}

#[tokio::test]
async fn whoever_is_not_silent_is_woken_alone() {
    let app = start(SMALL).await;
    phones(&app, 0..4).await;
    let iphone = |number: usize| json!({"provider": "apns", "token": format!("{number:064x}"), "topic": PushApp::TOPICS[0]});
    for number in 0..4 {
        let path = format!("/v1/users/{}/subscriptions", name(number));
        let answer = app.client.post(&path, &iphone(number)).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["mode"]), (201, &json!("batch")));
    }
    app.pass_window().await;
    notify(&app, &name(2)).await;
    app.pass_window().await;
    assert_eq!((app.sender.count(), app.apns.count()), (4, 1));
    assert_eq!(app.apns.sent(1).await[0].token.expose(), format!("{:064x}", 2));
}

#[tokio::test]
async fn what_a_request_says_about_its_wakeup_is_not_seen_outside() {
    let app = start(SMALL).await;
    phones(&app, 0..4).await;
    app.pass_window().await;
    for more in [json!({"ttl_s": 77}), json!({"dry_run": true}), json!({"type": "thanks"})] {
        let mut body = json!({"users": [name(0)], "type": "mention"});
        body.as_object_mut().unwrap().append(&mut more.as_object().unwrap().clone());
        assert_eq!(app.client.post("/v1/notifications", &body).await.status, 202);
        app.pass_window().await;
    }
    let sent = app.sender.sent(8).await;
    assert_eq!(sent.len(), 8, "a dry run stops before the network");
    let windows = pushed(&app).await;
    assert_eq!(windows.len(), 2, "each counts its hour from the end of its window");
    assert!(sent.iter().all(|push| push.dry_run == reveille_model::DryRun::No));
    assert_eq!(app.ledger().await.settled(Settled::DryRun), 1);
}

#[tokio::test]
async fn what_was_scheduled_leaves_with_the_window_it_falls_due_in() {
    let app = start("").await;
    phones(&app, 0..64).await;
    app.pass_window().await;
    let due = PushApp::START.plus(reveille_model::Duration::from_s(25));
    for number in 0..3 {
        let due = reveille_service::text_time::format(due);
        let body = json!({"users": [name(number)], "type": "mention", "deliver_after": due});
        assert_eq!(app.client.post("/v1/notifications", &body).await.status, 202);
    }
    notify(&app, &name(0)).await;
    app.pass_window().await;
    let before = app.sender.count();
    assert_eq!(before, 32, "she and her company");
    app.pass_window().await;
    let windows = pushed(&app).await;
    let ends: Vec<_> = windows.keys().copied().collect();
    let end = |windows: u32| PushApp::START.plus(reveille_model::Duration::from_s(10 * windows));
    assert_eq!(ends, [end(2), end(3)]);
    assert!(windows.values().all(|tokens| tokens.len() % 16 == 0 && tokens.len() >= 32));
    let all = (0..3).map(|number| format!("phone-of-{}", name(number)));
    let last = windows.get(&end(3)).expect("a window");
    assert!(all.into_iter().all(|token| last.contains(&token)));
    app.pass_window().await;
    assert_eq!(pushed(&app).await.len(), 2, "and with no other");
}
