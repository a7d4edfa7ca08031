//! What makes answers equally long: random, so that no compression takes it away.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reveille_service::entropy;

/// So many random letters.
pub(in crate::api) fn padding(length: usize) -> String {
    let mut rng = entropy::rng();
    let bytes: Vec<u8> =
        (0..length.div_ceil(16)).flat_map(|_| rng.bytes_16()).take(length).collect();
    let mut text = URL_SAFE_NO_PAD.encode(bytes);
    text.truncate(length);
    text
}
