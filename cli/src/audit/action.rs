//! The names of the operator's events.

/// What an operator did, as the name of its event. A name never changes. `docs/events.md` lists all of them.
///
/// No function of the service has an event with one of these names. So a name says who acted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Action(&'static str);

impl Action {
    /// `users add`.
    pub const USER_ADDED: Self = Self("user_added");
    /// `users import`, once for each user.
    pub const USER_IMPORTED: Self = Self("user_imported");
    /// `users export`: the file has all password hashes.
    pub const USERS_EXPORTED: Self = Self("users_exported");
    /// `users set`.
    pub const USER_CHANGED: Self = Self("user_changed");
    /// `users rename`.
    pub const USER_RENAMED: Self = Self("user_renamed");
    /// `users set-password`.
    pub const PASSWORD_SET: Self = Self("password_set");
    /// `users disable`.
    pub const USER_DISABLED: Self = Self("user_disabled");
    /// `users enable`.
    pub const USER_ENABLED: Self = Self("user_enabled");
    /// `users unlock`.
    pub const ACCOUNT_UNLOCKED: Self = Self("account_unlocked");
    /// `users delete`.
    pub const USER_DELETED: Self = Self("user_deleted");
    /// `users erase`.
    pub const USER_ERASED: Self = Self("user_erased");
    /// `sessions end`.
    pub const ONE_SESSION_ENDED: Self = Self("one_session_ended");
    /// `sessions end-all`.
    pub const ALL_SESSIONS_ENDED: Self = Self("all_sessions_ended");
    /// `unblock`.
    pub const COUNTER_DELETED: Self = Self("counter_deleted");
    /// `keys add`.
    pub const KEY_ADDED: Self = Self("key_added");
    /// `keys promote`.
    pub const KEY_PROMOTED: Self = Self("key_promoted");
    /// `keys retire`.
    pub const KEY_RETIRED: Self = Self("key_retired");

    pub(super) const fn name(self) -> &'static str {
        self.0
    }
}
