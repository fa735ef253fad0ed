//! The encodings of numbers, salts and digests.

use aws_lc_rs::constant_time;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

use super::{BAD_ENCODING, BAD_PARAMETERS, Problem};

/// Compares in constant time (R15).
pub(super) fn are_equal(computed: &[u8], stored: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(computed, stored).is_ok()
}

/// Parses a decimal number without a sign and without leading zeros.
pub(super) fn number<N: std::str::FromStr>(text: &str) -> Option<N> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
    text.parse().ok().filter(|_| is_plain)
}

/// Parses values such as `ln=14,r=8,p=1`: each name once, in this order.
pub(super) fn parameters<const N: usize>(text: &str, names: [&str; N]) -> Result<[u32; N], Problem> {
    let pairs: Vec<_> = text.split(',').collect();
    let pairs: [&str; N] = pairs.try_into().map_err(|_| BAD_PARAMETERS)?;
    let mut values = [0; N];
    for ((value, pair), name) in values.iter_mut().zip(pairs).zip(names) {
        let digits = pair.strip_prefix(name).and_then(|rest| rest.strip_prefix('='));
        *value = digits.and_then(number).ok_or(BAD_PARAMETERS)?;
    }
    Ok(values)
}

/// Decodes base64 without padding, as in a PHC string. Rejects non-zero trailing bits, so that a hash has one form.
pub(super) fn unpadded(text: &str) -> Result<Vec<u8>, Problem> {
    STANDARD_NO_PAD.decode(text).map_err(|_| BAD_ENCODING)
}

/// Decodes base64 with padding, as Django and Firebase write it. Rejects non-zero trailing bits.
pub(super) fn padded(text: &str) -> Result<Vec<u8>, Problem> {
    STANDARD.decode(text).map_err(|_| BAD_ENCODING)
}

/// Returns a salt that is the text itself, as in Django.
pub(super) fn text_salt(salt: &str) -> Result<Vec<u8>, Problem> {
    if salt.is_empty() { Err(BAD_ENCODING) } else { Ok(salt.as_bytes().to_vec()) }
}

/// Accepts a digest of exactly this length.
pub(super) fn of_length(length: usize, digest: Vec<u8>) -> Result<Vec<u8>, Problem> {
    if digest.len() == length { Ok(digest) } else { Err(BAD_ENCODING) }
}

/// Returns the value of a digit in the base64 of `crypt`.
pub(super) fn crypt_digit(byte: u8) -> Option<u8> {
    const DIGITS: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    DIGITS.iter().position(|&digit| digit == byte).and_then(|place| u8::try_from(place).ok())
}

/// Decodes `N` bytes from the base64 of `crypt`. Each four digits are three bytes, as a little-endian number. The
/// first digit is its lowest six bits.
pub(super) fn crypt_decode<const N: usize>(text: &str) -> Option<Vec<u8>> {
    if text.len() != (N * 8).div_ceil(6) {
        return None;
    }
    let digits: Option<Vec<u8>> = text.bytes().map(crypt_digit).collect();
    let mut bytes = Vec::with_capacity(N + 2);
    for group in digits?.chunks(4) {
        let bits = group.iter().rev().fold(0_u32, |bits, &digit| bits << 6 | u32::from(digit));
        let whole = group.len() * 6 / 8;
        bytes.extend(&bits.to_le_bytes()[..whole]);
        if bits >> (whole * 8) != 0 {
            return None;
        }
    }
    Some(bytes)
}
