//! `action=help`, and what is shown where no action is asked for.

use axum::response::{Html, IntoResponse as _, Response};

/// A page for people.
pub(super) fn page() -> Response {
    Html(concat!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"UTF-8\"/>\n",
        "<title>MediaWiki API help</title>\n</head>\n<body>\n<h1>MediaWiki API help</h1>\n",
        "<p>This is the part of MediaWiki's Action API with which apps are woken and read what for.</p>\n<dl>\n",
        "<dt><kbd>action=echopushsubscriptions</kbd></dt>\n",
        "<dd><kbd>command=create</kbd> with <kbd>provider</kbd> (<kbd>fcm</kbd>, <kbd>apns</kbd>), ",
        "<kbd>providertoken</kbd> and, for <kbd>apns</kbd>, <kbd>topic</kbd>; <kbd>command=delete</kbd> with ",
        "<kbd>providertoken</kbd>; both are posted with a csrf <kbd>token</kbd></dd>\n",
        "<dt><kbd>action=query</kbd></dt>\n<dd><kbd>meta=tokens|userinfo</kbd>, and where there is an inbox ",
        "<kbd>notifications</kbd> and <kbd>unreadnotificationpages</kbd></dd>\n",
        "<dt><kbd>action=echomarkread</kbd>, <kbd>action=echomarkseen</kbd></dt>\n<dd>where there is an inbox</dd>\n",
        "</dl>\n<p><kbd>format=json</kbd> is for programs; <a href=\"/docs\">the native API</a> does more.</p>\n",
        "</body>\n</html>\n"
    ))
    .into_response()
}
