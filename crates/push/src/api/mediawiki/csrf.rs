//! Tokens that prove that a form is somebody's own: pages of other sites cannot read them.

use aws_lc_rs::hmac;
use reveille_model::{Duration, Timestamp, User};

/// The token of whoever is nobody.
pub(super) const ANONYMOUS: &str = "+\\";
/// How long one is good.
const AGE_MAX: Duration = Duration::from_s(86_400);
/// Digits of the keyed hash, and of the time in seconds.
const HASH_DIGITS: usize = 32;
const TIME_DIGITS: usize = 8;

/// A token of a user, of the form `MediaWiki` has: a hash and a time in hexadecimal digits, and what mangled forms lose.
pub(super) fn mint(key: &hmac::Key, user: &User, now: Timestamp) -> String {
    let time = format!("{:08x}", now.as_s());
    format!("{}{time}{ANONYMOUS}", hash(key, user, &time))
}

/// Whether a token was made for this user, and not too long ago.
pub(super) fn is_valid(key: &hmac::Key, user: &User, token: &str, now: Timestamp) -> bool {
    let Some(digits) = token.strip_suffix(ANONYMOUS) else { return false };
    let fits = digits.len() == HASH_DIGITS + TIME_DIGITS && digits.is_ascii();
    let (Some(shown), Some(time), true) =
        (digits.get(..HASH_DIGITS), digits.get(HASH_DIGITS..), fits)
    else {
        return false;
    };
    let Ok(made_s) = i64::from_str_radix(time, 16) else { return false };
    let made = Timestamp::from_ms(made_s * 1_000);
    // The clock may have been set back a little.
    let is_current = now.plus(AGE_MAX) >= made && now.since(made) <= AGE_MAX;
    is_current && constant_time_eq(hash(key, user, time).as_bytes(), shown.as_bytes())
}

fn hash(key: &hmac::Key, user: &User, time: &str) -> String {
    let mut context = hmac::Context::with_key(key);
    context.update(time.as_bytes());
    context.update(user.expose().as_bytes());
    let first: [u8; HASH_DIGITS / 2] =
        context.sign().as_ref().first_chunk().copied().unwrap_or_default();
    format!("{:032x}", u128::from_be_bytes(first))
}

fn constant_time_eq(one: &[u8], other: &[u8]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(one, other).is_ok()
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::hmac;
    use reveille_model::{Duration, Timestamp, User};

    use super::{AGE_MAX, is_valid, mint};

    #[test]
    fn a_token_is_good_for_its_user_for_a_day() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]);
        let (alice, bob) = (User::parse("alice").unwrap(), User::parse("bob").unwrap());
        let now = Timestamp::from_ms(1_795_254_000_000);
        let token = mint(&key, &alice, now);
        assert!(is_valid(&key, &alice, &token, now.plus(AGE_MAX)));
        assert!(!is_valid(&key, &alice, &token, now.plus(AGE_MAX).plus(Duration::from_s(1))));
        assert!(!is_valid(&key, &bob, &token, now));
        let other = hmac::Key::new(hmac::HMAC_SHA256, &[8; 32]);
        assert!(!is_valid(&other, &alice, &token, now));
        for cut in 0..token.len() {
            assert!(!is_valid(&key, &alice, &token[..cut], now), "{cut}");
        }
        let long = format!("é{token}");
        for odd in ["+\\", "", "é+\\", long.as_str()] {
            assert!(!is_valid(&key, &alice, odd, now), "{odd}");
        }
    }
}
