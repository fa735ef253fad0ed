//! The pages as a person sees them: each page in each state, and how to look at it.
//!
//! Owns [`View`] and [`Visitor`], who brings a browser to a view. The checks of the pages, the screenshots and the page
//! weights use the same views.

mod people;
mod screen;
mod visitor;
pub mod weight;

pub use screen::{Language, Preferences, Screen};
pub use visitor::{Stage, Visitor};

/// A page in one state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// The sign-in page.
    SignIn,
    /// The sign-in page that leads back to another page.
    SignInToReturn,
    /// The sign-in page after a wrong password: 401.
    WrongPassword,
    /// The sign-in page after too many wrong passwords: 429.
    TooManyAttempts,
    /// The sign-in page during an outage: 503.
    SignInDuringOutage,
    /// The page that repeats a navigation from another site.
    Hop,
    /// The account page of a user with one session and no profile.
    NewAccount,
    /// The account page of a user with three sessions.
    Account,
    /// The account page of a user with more sessions than it lists at first.
    AccountWithManySessions,
    /// The account page with the longest texts that a profile may have, in a script from right to left.
    AccountWithLongTexts,
    /// The account page after a session was ended.
    SessionEnded,
    /// The account page after all other sessions were ended.
    OthersEnded,
    /// The account page after a change of password.
    PasswordChanged,
    /// The account page after a button that was too old.
    PressAgain,
    /// The page to change the password.
    ChangePassword,
    /// The same after a wrong current password: 401.
    WrongCurrentPassword,
    /// The same after a new password that is too short: 400.
    ShortPassword,
    /// The same after the current password as the new one: 400.
    SamePassword,
    /// The same after a new password that is a word about the user: 400.
    PersonalPassword,
    /// The same after a common new password: 400.
    CommonPassword,
    /// The same after a repetitive new password: 400.
    RepetitivePassword,
    /// The same after too many wrong passwords: 429.
    TooManyChanges,
    /// An invalid request: 400.
    BadRequest,
    /// A user without an active session signs out everywhere: 401.
    NotEverywhere,
    /// A form of another site: 403.
    Forbidden,
    /// A session that does not exist: 404.
    NoSuchSession,
    /// A form that is too long: 413.
    TooLarge,
    /// A form in another format: 415.
    UnsupportedForm,
    /// An error of the service: 500.
    Fault,
    /// An outage: 503.
    Outage,
}

impl View {
    /// All views.
    pub const ALL: [Self; 30] = [
        Self::SignIn,
        Self::SignInToReturn,
        Self::WrongPassword,
        Self::TooManyAttempts,
        Self::SignInDuringOutage,
        Self::Hop,
        Self::NewAccount,
        Self::Account,
        Self::AccountWithManySessions,
        Self::AccountWithLongTexts,
        Self::SessionEnded,
        Self::OthersEnded,
        Self::PasswordChanged,
        Self::PressAgain,
        Self::ChangePassword,
        Self::WrongCurrentPassword,
        Self::ShortPassword,
        Self::SamePassword,
        Self::PersonalPassword,
        Self::CommonPassword,
        Self::RepetitivePassword,
        Self::TooManyChanges,
        Self::BadRequest,
        Self::NotEverywhere,
        Self::Forbidden,
        Self::NoSuchSession,
        Self::TooLarge,
        Self::UnsupportedForm,
        Self::Fault,
        Self::Outage,
    ];

    /// Returns the name, for messages and files.
    #[must_use]
    pub fn name(self) -> String {
        let mut name = String::new();
        for letter in format!("{self:?}").chars() {
            if letter.is_uppercase() && !name.is_empty() {
                name.push('-');
            }
            name.push(letter.to_ascii_lowercase());
        }
        name
    }

    /// Returns the status of the response.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::SignIn
            | Self::SignInToReturn
            | Self::Hop
            | Self::ChangePassword
            | Self::NewAccount
            | Self::Account
            | Self::AccountWithManySessions
            | Self::AccountWithLongTexts
            | Self::SessionEnded
            | Self::OthersEnded
            | Self::PasswordChanged
            | Self::PressAgain => 200,
            Self::ShortPassword
            | Self::SamePassword
            | Self::PersonalPassword
            | Self::CommonPassword
            | Self::RepetitivePassword
            | Self::BadRequest => 400,
            Self::WrongPassword | Self::WrongCurrentPassword | Self::NotEverywhere => 401,
            Self::Forbidden => 403,
            Self::NoSuchSession => 404,
            Self::TooLarge => 413,
            Self::UnsupportedForm => 415,
            Self::TooManyAttempts | Self::TooManyChanges => 429,
            Self::Fault => 500,
            Self::SignInDuringOutage | Self::Outage => 503,
        }
    }
    /// Returns a selector of what distinguishes the view from the other views of its page.
    #[must_use]
    pub const fn mark(self) -> &'static str {
        match self {
            Self::SignIn | Self::SignInToReturn => "#sign-in",
            Self::WrongPassword | Self::SignInDuringOutage => "#problem ~ #sign-in",
            Self::TooManyAttempts | Self::TooManyChanges => "#problem [data-countdown]",
            Self::Hop => "[name=refresh]",
            Self::NewAccount | Self::Account | Self::AccountWithLongTexts => "#sessions",
            Self::AccountWithManySessions => "#sessions a[href*='sessions=all']",
            Self::SessionEnded | Self::OthersEnded | Self::PasswordChanged | Self::PressAgain => "#notice",
            Self::ChangePassword => "#change-password",
            Self::WrongCurrentPassword
            | Self::ShortPassword
            | Self::SamePassword
            | Self::PersonalPassword
            | Self::CommonPassword
            | Self::RepetitivePassword => "#problem",
            Self::NotEverywhere => "a[href='/login']",
            Self::BadRequest
            | Self::Forbidden
            | Self::NoSuchSession
            | Self::TooLarge
            | Self::UnsupportedForm
            | Self::Fault
            | Self::Outage => "#request-id",
        }
    }
}
