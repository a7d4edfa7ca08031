//! The push server: intake, delivery workers, feedback, operations.
