//! `cargo xtask bench`.

pub(crate) fn run(_parts: &[&str]) -> Result<(), String> {
    crate::tools::h2load()
}
