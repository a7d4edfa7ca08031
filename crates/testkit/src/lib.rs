//! Fakes and fixtures for tests; nothing but tests uses it.
