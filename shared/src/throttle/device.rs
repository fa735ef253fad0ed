//! The device cookie: a sign that an account was signed in on this device before.
//!
//! Owns how the cookie is made and read. It is not a credential. It only gives the device its own attempt counter, so
//! that a stranger who locks an account does not lock out its owner (R22). This is OWASP's device cookie protocol.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;

use crate::clock::Timestamp;
use crate::config::Environment;
use crate::error::Result;
use crate::id::random_128_bits;
use crate::keys::{Keys, Purpose};

/// How long a device is known after the last login on it.
const LIFETIME: Duration = Duration::from_hours(180 * 24);

/// The longest accepted cookie value in bytes.
const MAX_VALUE: usize = 192;

/// A known device: one on which an account was signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// The identifier, for one account: 128 random bits as base64url.
    pub id: String,
    /// The version of the password that was used. After a change of password the device is unknown, so that stolen
    /// device cookies become worthless.
    pub password_version: u64,
}

/// Makes and reads device cookies.
pub struct Devices {
    keys: Keys,
    lifetime: Duration,
}

/// A device cookie for a response.
pub struct DeviceCookie {
    /// The value.
    pub value: SecretString,
    /// The time at which it expires.
    pub expires_at: Timestamp,
}

impl Devices {
    /// Reads `DEVICE_COOKIE`: `on` or `off`, `on` by default, and `DEVICE_SECRET`: the keys of the cookies. Returns
    /// `None` if it is `off`.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::error::Error::Setting) for a missing or unsafe value.
    pub fn from_env(env: &Environment) -> Result<Option<Self>> {
        if !env.switch("DEVICE_COOKIE")? {
            return Ok(None);
        }
        Ok(Some(Self { keys: env.keys(Purpose::Device)?, lifetime: LIFETIME }))
    }

    /// Returns the cookie of a device on which `account` has just signed in. A device that is known for this password
    /// keeps its id, and with it its attempt counter. After a change of password it gets a new id.
    ///
    /// # Errors
    /// [`Error::Unexpected`](crate::error::Error::Unexpected) if the random number generator fails.
    pub fn issue(
        &self,
        known: Option<Device>,
        account: &str,
        password_version: u64,
        now: Timestamp,
    ) -> Result<DeviceCookie> {
        let known = known.filter(|device| device.password_version == password_version);
        let id = known.map_or_else(random_128_bits, |device| Ok(device.id))?;
        let (device, expires_at) = (Device { id, password_version }, now + self.lifetime);
        let set = self.keys.set();
        let key = set.active(now);
        let tag = URL_SAFE_NO_PAD.encode(key.sign(&signed_text(&device, expires_at, account)));
        let value = format!("{}.{password_version}.{}.{}.{tag}", device.id, expires_at.as_secs(), key.id).into();
        Ok(DeviceCookie { value, expires_at })
    }

    /// Returns the known device of `account` that one of the cookies names, or `None`. If several cookies are valid, it
    /// returns the device with the newest password. Invalid cookies beside it are ignored.
    #[must_use]
    pub fn recognise(&self, cookies: &[&[u8]], account: &str, now: Timestamp) -> Option<Device> {
        let devices = cookies.iter().filter_map(|cookie| self.read(cookie, account, now));
        devices.max_by_key(|device| device.password_version)
    }

    fn read(&self, cookie: &[u8], account: &str, now: Timestamp) -> Option<Device> {
        let text = std::str::from_utf8(cookie).ok().filter(|text| text.len() <= MAX_VALUE)?;
        let parts: Vec<_> = text.split('.').collect();
        let [id, password_version, expires_at, kid, tag] = parts[..] else { return None };
        let device = Device { id: id.to_owned(), password_version: password_version.parse().ok()? };
        let expires_at = Timestamp::from_secs(expires_at.parse().ok()?);
        let tag = URL_SAFE_NO_PAD.decode(tag).ok()?;
        let set = self.keys.set();
        let key = set.by_id(kid).filter(|key| !key.is_retired(now))?;
        let is_ours = key.has_signed(&signed_text(&device, expires_at, account), &tag);
        (is_ours && now < expires_at).then_some(device)
    }
}

/// Returns the text that is signed. It is different for different cookies: ids and numbers have no dot, and the account
/// comes last.
fn signed_text(device: &Device, expires_at: Timestamp, account: &str) -> Vec<u8> {
    let Device { id, password_version } = device;
    format!("latchkey device\0{id}.{password_version}.{}.{account}", expires_at.as_secs()).into_bytes()
}

impl fmt::Debug for DeviceCookie {
    /// Prints no part of the value (R97).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceCookie").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
    const DAY: Duration = Duration::from_hours(24);

    const SECRETS: [&str; 2] = ["first-secret-0123456789-0123456789", "second-secret-0123456789-012345678"];

    fn devices(keys: &str) -> Devices {
        Devices { keys: Keys::parse(Purpose::Device, keys).unwrap(), lifetime: DAY }
    }

    fn cookie(devices: &Devices, account: &str) -> String {
        devices.issue(None, account, 1, NOW).unwrap().value.expose_secret().to_owned()
    }

    fn read(devices: &Devices, cookies: &[&str], account: &str, now: Timestamp) -> Option<String> {
        let cookies: Vec<_> = cookies.iter().map(|cookie| cookie.as_bytes()).collect();
        devices.recognise(&cookies, account, now).map(|device| device.id)
    }

    /// R22.
    #[test]
    fn a_device_is_known_for_its_account_until_its_cookie_expires() {
        let devices = devices(SECRETS[0]);
        let cookie = cookie(&devices, "kim");
        let id = read(&devices, &[&cookie], "kim", NOW).unwrap();
        assert_eq!(read(&devices, &[&cookie], "kim", NOW + Duration::from_secs(86_399)), Some(id));
        assert_eq!(read(&devices, &[&cookie], "kim", NOW + DAY), None);
        assert_eq!(read(&devices, &[&cookie], "park", NOW), None);
        assert_eq!(read(&super::tests::devices(SECRETS[1]), &[&cookie], "kim", NOW), None);
    }

    #[test]
    fn a_known_device_keeps_its_id_at_the_next_login() {
        let devices = devices(SECRETS[0]);
        let first = devices.recognise(&[cookie(&devices, "kim").as_bytes()], "kim", NOW).unwrap();
        let again = devices.issue(Some(first.clone()), "kim", 1, NOW + DAY).unwrap();
        assert_eq!(read(&devices, &[again.value.expose_secret()], "kim", NOW + DAY), Some(first.id));
        assert_ne!(cookie(&devices, "kim"), cookie(&devices, "kim"));
    }

    /// R22: after a change of password, a thief who used up the device's attempts does no more harm.
    #[test]
    fn a_device_gets_a_new_id_with_a_new_password() {
        let devices = devices(SECRETS[0]);
        let first = cookie(&devices, "kim");
        let known = devices.recognise(&[first.as_bytes()], "kim", NOW).unwrap();
        let again = devices.issue(Some(known.clone()), "kim", 2, NOW).unwrap().value;
        let (first, again) = (first.as_bytes(), again.expose_secret().as_bytes());
        for both in [[first, again], [again, first]] {
            let newest = devices.recognise(&both, "kim", NOW).unwrap();
            assert_eq!(newest.password_version, 2, "in either order");
            assert_ne!(newest.id, known.id);
        }
    }

    /// R56.
    #[test]
    fn a_key_verifies_as_long_as_its_device_cookies_are_valid() {
        assert_eq!(Purpose::Device.lifetime(), Some(LIFETIME));
    }

    /// R56.
    #[test]
    fn a_device_is_known_after_a_rotation_until_its_key_is_dropped() {
        let [old, new] = SECRETS;
        let before = devices(old);
        let cookie = cookie(&before, "kim");
        let during = devices(&testbed::key_set("DEVICE_SECRET", &[old, new], &[]));
        assert!(read(&during, &[&cookie], "kim", NOW).is_some());
        let again = super::tests::cookie(&during, "kim");
        assert_eq!(read(&before, &[&again], "kim", NOW), None, "the new key signs");
        let after = devices(&testbed::key_set("DEVICE_SECRET", &[new], &[]));
        assert_eq!(read(&after, &[&cookie], "kim", NOW), None);
        assert!(read(&after, &[&again], "kim", NOW).is_some());
    }

    /// R22: nobody can forge a cookie, extend its lifetime or move it to another account.
    #[test]
    fn a_modified_cookie_is_ignored_and_a_valid_one_beside_it_is_accepted() {
        let devices = devices(SECRETS[0]);
        let good = cookie(&devices, "kim");
        let [id, version, expires_at, kid, tag] = good.split('.').collect::<Vec<_>>().try_into().unwrap();
        let other = |text: &str| format!("{}{}", if text.starts_with('A') { 'B' } else { 'A' }, &text[1..]);
        for bad in [
            String::new(),
            "x".repeat(193),
            format!("{id}.{version}.{expires_at}"),
            format!("{id}.{version}.{expires_at}.{kid}"),
            format!("{id}.{version}.{expires_at}.{tag}"),
            format!("{id}.{version}.{expires_at}.{}.{tag}", other(kid)),
            format!("{id}.{version}.{expires_at}.{kid}."),
            format!("{id}.{version}.{expires_at}.{kid}.{}", other(tag)),
            format!("{id}.{version}.{expires_at}.{kid}.{tag}.{tag}"),
            format!("{id}.{version}.9{expires_at}.{kid}.{tag}"),
            format!("{id}.2.{expires_at}.{kid}.{tag}"),
            format!("{id}.{version}.{expires_at}.{kid}.{tag}="),
            format!("{id}.{version}.{expires_at}.{kid}.{}", &tag[..22]),
            format!("{}.{version}.{expires_at}.{kid}.{tag}", other(id)),
        ] {
            assert_eq!(read(&devices, &[&bad], "kim", NOW), None, "{bad}");
            assert!(read(&devices, &[&bad, &good], "kim", NOW).is_some(), "{bad}");
        }
        assert_eq!(devices.recognise(&[b"\xff\xfe"], "kim", NOW).map(|device| device.id), None);
    }
}
