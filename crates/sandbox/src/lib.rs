//! Look-alike APNs, FCM and Web Push services with faults on demand.
