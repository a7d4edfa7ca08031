//! What every server here shares: configuration reading, clock, lifecycle, listeners, problems, auth, health, telemetry.
