//! Talking to APNs, FCM and Web Push: pure requests and replies, one HTTP/2 client.
