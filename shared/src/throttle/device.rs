//! The device cookie: a sign that somebody has been signed in on this device before.
//!
//! Owns how it is made and read. It signs nobody in: all it does is count this device's wrong passwords apart from the
//! world's, so that whoever locks an account from outside does not lock out its owner (R22). That is OWASP's device cookie
//! protocol. Knows nothing of cookies as such.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};

use crate::clock::Timestamp;
use crate::config::Config;
use crate::error::Result;
use crate::id::random_128_bits;

/// A device on which an account was signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Names it, for this account: 128 random bits as base64url.
    pub id: String,
    /// With which password that was. A device of another one is no device: whoever has collected cookies loses them all with
    /// a change of password.
    pub password_version: u64,
}

/// Makes and reads device cookies.
pub struct Devices {
    key: hmac::Key,
    time_to_live: Duration,
}

/// A device cookie on its way out.
pub struct DeviceCookie {
    /// Its value.
    pub value: SecretString,
    /// When it stops being good.
    pub expires_at: Timestamp,
}

impl Devices {
    /// Those of this configuration; nothing where there are none, or nothing is counted.
    #[must_use]
    pub fn configured(config: &Config) -> Option<Self> {
        let secret = config.throttle_secret.as_ref().filter(|_| config.throttle && config.device_cookie);
        secret.map(|secret| Self::new(secret, config.device_ttl))
    }

    fn new(secret: &SecretString, time_to_live: Duration) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, secret.expose_secret().as_bytes()), time_to_live }
    }

    /// The cookie of a device on which `account` has just signed in. A device that is known, for this password, keeps its name and
    /// so the count of its failures; after a change of password it begins anew.
    ///
    /// # Errors
    /// [`Error::Unexpected`](crate::error::Error::Unexpected) where the system has no randomness to give.
    pub fn issue(
        &self,
        known: Option<Device>,
        account: &str,
        password_version: u64,
        now: Timestamp,
    ) -> Result<DeviceCookie> {
        let known = known.filter(|device| device.password_version == password_version);
        let id = known.map_or_else(random_128_bits, |device| Ok(device.id))?;
        let (device, expires_at) = (Device { id, password_version }, now + self.time_to_live);
        let tag = URL_SAFE_NO_PAD.encode(hmac::sign(&self.key, &signed(&device, expires_at, account)));
        let value = format!("{}.{password_version}.{}.{tag}", device.id, expires_at.as_secs()).into();
        Ok(DeviceCookie { value, expires_at })
    }

    /// The device that one of these cookies names, if `account` was signed in on it and that is not too long ago: of several the
    /// one of the newest password. A cookie that somebody has planted beside ours changes nothing.
    #[must_use]
    pub fn recognise(&self, cookies: &[&[u8]], account: &str, now: Timestamp) -> Option<Device> {
        let devices = cookies.iter().filter_map(|cookie| self.read(cookie, account, now));
        devices.max_by_key(|device| device.password_version)
    }

    fn read(&self, cookie: &[u8], account: &str, now: Timestamp) -> Option<Device> {
        let text = std::str::from_utf8(cookie).ok().filter(|text| text.len() <= 128)?;
        let parts: Vec<_> = text.split('.').collect();
        let [id, password_version, expires_at, tag] = parts[..] else { return None };
        let device = Device { id: id.to_owned(), password_version: password_version.parse().ok()? };
        let expires_at = Timestamp::from_secs(expires_at.parse().ok()?);
        let tag = URL_SAFE_NO_PAD.decode(tag).ok()?;
        hmac::verify(&self.key, &signed(&device, expires_at, account), &tag).ok()?;
        (now < expires_at).then_some(device)
    }
}

/// No two different cookies have the same signed text: neither an id nor a number has a dot in it, and the name comes last.
fn signed(device: &Device, expires_at: Timestamp, account: &str) -> Vec<u8> {
    let Device { id, password_version } = device;
    format!("latchkey device\0{id}.{password_version}.{}.{account}", expires_at.as_secs()).into_bytes()
}

impl fmt::Debug for DeviceCookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceCookie").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
    const DAY: Duration = Duration::from_hours(24);

    fn devices(secret: &str) -> Devices {
        Devices::new(&secret.into(), DAY)
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
        let devices = devices("a");
        let cookie = cookie(&devices, "kim");
        let id = read(&devices, &[&cookie], "kim", NOW).unwrap();
        assert_eq!(read(&devices, &[&cookie], "kim", NOW + Duration::from_secs(86_399)), Some(id));
        assert_eq!(read(&devices, &[&cookie], "kim", NOW + DAY), None);
        assert_eq!(read(&devices, &[&cookie], "park", NOW), None);
        assert_eq!(read(&super::tests::devices("b"), &[&cookie], "kim", NOW), None);
    }

    #[test]
    fn a_device_that_signs_in_again_keeps_its_name() {
        let devices = devices("a");
        let first = devices.recognise(&[cookie(&devices, "kim").as_bytes()], "kim", NOW).unwrap();
        let again = devices.issue(Some(first.clone()), "kim", 1, NOW + DAY).unwrap();
        assert_eq!(read(&devices, &[again.value.expose_secret()], "kim", NOW + DAY), Some(first.id));
        assert_ne!(cookie(&devices, "kim"), cookie(&devices, "kim"));
    }

    /// R22: what a thief has used up of it is of no consequence after a change of password.
    #[test]
    fn a_device_gets_another_name_with_another_password() {
        let devices = devices("a");
        let first = cookie(&devices, "kim");
        let known = devices.recognise(&[first.as_bytes()], "kim", NOW).unwrap();
        let again = devices.issue(Some(known.clone()), "kim", 2, NOW).unwrap().value;
        let both = [first.as_bytes(), again.expose_secret().as_bytes()];
        let newest = devices.recognise(&both, "kim", NOW).unwrap();
        assert_eq!(newest.password_version, 2, "whichever comes first");
        assert_ne!(newest.id, known.id);
    }

    /// R22: nobody can make one, lengthen one's life, or move one to another account.
    #[test]
    fn a_cookie_that_was_changed_is_none_and_hides_none() {
        let devices = devices("a");
        let good = cookie(&devices, "kim");
        let [id, version, expires_at, tag] = good.split('.').collect::<Vec<_>>().try_into().unwrap();
        let other = |text: &str| format!("{}{}", if text.starts_with('A') { 'B' } else { 'A' }, &text[1..]);
        for bad in [
            String::new(),
            "x".repeat(129),
            format!("{id}.{version}.{expires_at}"),
            format!("{id}.{version}.{expires_at}."),
            format!("{id}.{version}.{expires_at}.{}", other(tag)),
            format!("{id}.{version}.{expires_at}.{tag}.{tag}"),
            format!("{id}.{version}.9{expires_at}.{tag}"),
            format!("{id}.2.{expires_at}.{tag}"),
            format!("{id}.{version}.{expires_at}.{tag}="),
            format!("{id}.{version}.{expires_at}.{}", &tag[..22]),
            format!("{}.{version}.{expires_at}.{tag}", other(id)),
        ] {
            assert_eq!(read(&devices, &[&bad], "kim", NOW), None, "{bad}");
            assert!(read(&devices, &[&bad, &good], "kim", NOW).is_some(), "{bad}");
        }
        assert_eq!(devices.recognise(&[b"\xff\xfe"], "kim", NOW).map(|device| device.id), None);
    }
}
