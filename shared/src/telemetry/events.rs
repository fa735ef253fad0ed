//! All events: one function for each, and two for `sessions_ended`.
//!
//! An event is a log line with a name that never changes. Each one adds 1 to the CloudWatch metric of the same name.
//! Events at levels `ERROR` and `WARN` need attention; `docs/events.md` says what to do. No event holds a password, a
//! token, a cookie, an e-mail address, a login name, or any other text from a header or a body (R97).

use std::time::Duration;

use crate::clock::Timestamp;
use crate::error::Error;
use crate::id::{SessionId, UserId};
use crate::keys::Keys;

/// A user signed in.
pub fn login_succeeded(user: &UserId, session: &SessionId, persistent: bool) {
    let (user, session) = (user.as_str(), session.fingerprint());
    tracing::info!(event = "login_succeeded", user, session, persistent, "A user signed in.");
}

/// A password was refused, at a login or at a change of password.
pub fn login_failed(reason: &'static str, user: Option<&UserId>) {
    let user = user.map(UserId::as_str);
    tracing::info!(event = "login_failed", reason, user, "A password was refused.");
}

/// An attempt was refused before its password was checked. `reason` is the kind of counter: `account`, `device` or
/// `change`.
pub fn throttled(reason: &str, wait: Duration) {
    tracing::info!(event = "throttled", reason, wait_s = wait.as_secs(), "An attempt was throttled.");
}

/// An attempt was refused before its password was checked, because there were too many wrong passwords from its source
/// address. People who share this address cannot sign in from an unknown device, even with the right password.
pub fn source_throttled(wait: Duration) {
    let wait_s = wait.as_secs();
    tracing::warn!(event = "source_throttled", wait_s, "An attempt was refused: too many failures from its address.");
}

/// An attempt failed, and the failures in a row are now at or above the limit. Without `user`, the login name does not
/// exist.
pub fn password_disabled(counter_key: &str, failures: u32, user: Option<&UserId>) {
    let user = user.map(UserId::as_str);
    tracing::error!(
        event = "password_disabled",
        counter_key,
        failures,
        user,
        "A password is disabled after too many failures. Ask its owner, then unlock the account."
    );
}

/// The success of an attempt could not be written, so that the attempt counts as failed.
pub fn success_counts_as_failed(counter_key: &str, failures: u32, causes: &str) {
    tracing::error!(
        event = "success_counts_as_failed",
        counter_key,
        failures,
        causes,
        "A right password counts as wrong until the next success."
    );
}

/// A stored hash cannot be used.
pub fn password_hash_unusable(user: &UserId, problem: &'static str) {
    let user = user.as_str();
    tracing::error!(
        event = "password_hash_unusable",
        user,
        problem,
        "A user cannot sign in: the stored hash is unusable."
    );
}

/// A hash whose cost differs from ours took longer than `PASSWORD_CHECK_MS`. Its account can be recognised by the
/// response time.
pub fn slow_password_hash(took: Duration) {
    let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    tracing::warn!(
        event = "slow_password_hash",
        milliseconds,
        "A password hash was slower than others. Set PASSWORD_CHECK_MS to more than this."
    );
}

/// A login replaced an outdated hash.
pub fn password_rehashed(user: &UserId) {
    tracing::info!(event = "password_rehashed", user = user.as_str(), "A password was rehashed.");
}

/// A login could not replace an outdated hash.
pub fn password_rehash_failed(user: &UserId, error: &Error) {
    let (user, causes) = (user.as_str(), error.causes());
    tracing::warn!(event = "password_rehash_failed", user, causes, "A password could not be rehashed.");
}

/// A user changed the password. All older sessions of the user have ended.
pub fn password_changed(user: &UserId) {
    tracing::info!(event = "password_changed", user = user.as_str(), "A password was changed.");
}

/// A session was renewed.
pub fn session_renewed(user: &UserId, session: &SessionId) {
    let (user, session) = (user.as_str(), session.fingerprint());
    tracing::info!(event = "session_renewed", user, session, "A session was renewed.");
}

/// A refresh token was used again within its grace period.
pub fn refresh_repeated(user: &UserId, session: &SessionId) {
    let (user, session) = (user.as_str(), session.fingerprint());
    tracing::info!(event = "refresh_repeated", user, session, "A refresh token got its successor again.");
}

/// A refresh token was used again within its grace period, by another address or another browser than the one that
/// renewed the session. `reason` says what differs: `address`, `browser` or `both`.
pub fn refresh_repeated_elsewhere(reason: &'static str, user: &UserId, session: &SessionId) {
    let (user, session) = (user.as_str(), session.fingerprint());
    tracing::warn!(
        event = "refresh_repeated_elsewhere",
        reason,
        user,
        session,
        "A refresh token got its successor again, from another address or another browser."
    );
}

/// A refresh token was reused, and its session has ended.
pub fn refresh_reuse(reason: &'static str, user: &UserId, session: &SessionId) {
    let (user, session) = (user.as_str(), session.fingerprint());
    tracing::warn!(
        event = "refresh_reuse",
        reason,
        user,
        session,
        "A session ended because its refresh token was reused."
    );
}

/// A user signed out.
pub fn logged_out(user: &UserId, session: &SessionId) {
    let (user, session) = (user.as_str(), session.fingerprint());
    tracing::info!(event = "logged_out", user, session, "A user signed out.");
}

/// One session was ended early. Writes the event `sessions_ended`, as [`sessions_ended`] does.
pub fn session_ended(reason: &'static str, user: &UserId, session: &SessionId) {
    let (user, session) = (user.as_str(), session.fingerprint());
    tracing::info!(event = "sessions_ended", reason, user, session, "A session was ended.");
}

/// All sessions of a user were ended, or all but one. Writes the event `sessions_ended`, as [`session_ended`] does for
/// one session.
pub fn sessions_ended(reason: &'static str, user: &UserId) {
    tracing::info!(event = "sessions_ended", reason, user = user.as_str(), "The sessions of a user were ended.");
}

/// A login could not end sessions of `user`: with the reason `login` the session of a token that the browser sent, with
/// the reason `limit` the oldest ones above the limit.
pub fn sessions_not_ended(reason: &'static str, user: &UserId, error: &Error) {
    let (user, causes) = (user.as_str(), error.causes());
    tracing::warn!(event = "sessions_not_ended", reason, user, causes, "A login could not end older sessions.");
}

/// The roles of a user are too large for a token. The access token has no `roles` claim.
pub fn roles_left_out(user: &UserId, bytes: usize) {
    tracing::warn!(
        event = "roles_left_out",
        user = user.as_str(),
        bytes,
        "The roles of a user are too large for a token, so the token has none."
    );
}

/// Logs each key of a set that a function has read.
pub fn keys_loaded(keys: &Keys) {
    let secs = |time: Option<Timestamp>| time.map(Timestamp::as_secs);
    for (kid, sign_from, retire_at) in keys.set().times() {
        key_loaded(keys.purpose().name(), kid, secs(sign_from), secs(retire_at));
    }
}

/// A key is accepted from now on. Without `sign_from` it does not sign yet. Both times are seconds since the epoch.
fn key_loaded(purpose: &'static str, kid: &str, sign_from: Option<u64>, retire_at: Option<u64>) {
    tracing::info!(event = "key_loaded", purpose, kid, sign_from, retire_at, "A key was loaded.");
}

/// Secrets Manager did not return a key set. The keys that were read before are used until they are 900 s old.
pub fn keys_not_read(purpose: &'static str, error: &Error) {
    let causes = format!("{error:?}");
    tracing::error!(event = "keys_not_read", purpose, causes, "A key set could not be read.");
}

/// The rotation changed a key set. `kid` is the key that signs now.
pub fn keys_rotated(purpose: &'static str, kid: &str, keys: usize) {
    tracing::info!(event = "keys_rotated", purpose, kid, keys, "A key set was changed.");
}

/// The rotation could not change a key set. It tries again with the next run.
pub fn keys_not_rotated(purpose: &'static str, error: &Error) {
    let causes = format!("{error:?}");
    tracing::error!(event = "keys_not_rotated", purpose, causes, "A key set could not be rotated.");
}

/// A key set breaks a rule. The keys that were read before stay in use.
pub fn keys_rejected(purpose: &'static str, problem: &str) {
    tracing::error!(event = "keys_rejected", purpose, problem, "A new key set cannot be used.");
}

/// A page of a foreign origin tried to change something.
pub fn foreign_origin(function: &str, request_id: &str) {
    tracing::info!(event = "foreign_origin", function, request_id, "A request from a foreign origin was refused.");
}

/// A store did not answer in time.
pub fn store_failed(function: &str, error: &Error, request_id: &str) {
    let causes = error.causes();
    tracing::error!(
        event = "store_failed",
        function,
        causes,
        request_id,
        "A store did not answer. The response is 503."
    );
}

/// Another request was first, or this instance does not have the newest key yet.
pub fn concurrent_update(function: &str, error: &Error, request_id: &str) {
    let causes = error.causes();
    tracing::info!(
        event = "concurrent_update",
        function,
        causes,
        request_id,
        "Another request was first, or a newer key is missing. The response is 503."
    );
}

/// A stored record cannot be read.
pub fn record_unreadable(function: &str, error: &Error, request_id: &str) {
    let causes = error.causes();
    tracing::error!(event = "record_unreadable", function, causes, request_id, "A stored record cannot be read.");
}

/// A stored session cannot be read. It counts as ended.
pub fn session_unreadable(error: &Error) {
    tracing::error!(
        event = "session_unreadable",
        causes = error.causes(),
        "A stored session cannot be read. It counts as ended."
    );
}

/// A stored attempt counter cannot be read. It starts anew. `reason` is the kind of counter, as for [`throttled`].
pub fn counter_unreadable(reason: &str, error: &Error) {
    tracing::error!(
        event = "counter_unreadable",
        reason,
        causes = error.causes(),
        "A stored attempt counter cannot be read. It starts anew."
    );
}

/// AWS refuses a call of the service, or a setting is wrong.
pub fn misconfigured(function: &str, error: &Error, request_id: &str) {
    let causes = error.causes();
    tracing::error!(
        event = "misconfigured",
        function,
        %error,
        causes,
        request_id,
        "The service is not set up correctly."
    );
}

/// A bug, or a fault of the system.
pub fn internal_error(function: &str, error: &Error, request_id: &str) {
    let causes = error.causes();
    tracing::error!(event = "internal_error", function, causes, request_id, "Something went wrong on our side.");
}

/// The function panicked. If the handler panicked, `internal_error` follows. If `lambda_http` panicked because of a
/// hostile header, the response is 400.
pub fn panicked(place: Option<&str>) {
    tracing::warn!(event = "panicked", place, "The function panicked. A panic in a request does not stop it.");
}
