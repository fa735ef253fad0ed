//! The strings in English.

use time::OffsetDateTime;

use super::Text;

pub(crate) static EN: Text = Text {
    tag: "en",
    language: "Language",

    sign_in: "Sign in",
    login_name: "Login name",
    password: "Password",
    show: "Show",
    show_password: "Show password",
    hide: "Hide",
    hide_password: "Hide password",
    keep: "Keep me signed in",
    keep_hint: "Not on a device that other people use.",
    returns_to: ("You then return to ", "."),

    account: "Your account",
    email: "E-mail",
    position: "Position",
    location: "Location",
    bio: "About",
    roles: "Roles",
    sessions: "Where you are signed in",
    this_device: "This device",
    unknown_device: "Unknown device",
    signed_in_at: ("Signed in ", ""),
    renewed_at: ("Renewed ", ""),
    sign_out: "Sign out",
    sign_out_others: "Sign out all other devices",
    sign_out_everywhere: "Sign out everywhere",
    everywhere_hint: "Signs out every device, this one included.",
    show_all: ("Show all ", " devices"),
    session_ended: "That device is signed out.",
    others_ended: "All other devices are signed out.",
    press_again: "You were away for a while, so nothing was changed. Press the button again.",
    password_changed: "Your password is changed. All other devices are signed out.",

    change_password: "Change password",
    change_hint: "A change signs out all other devices.",
    current_password: "Current password",
    new_password: "New password",
    new_password_hint: ("At least ", " characters. A few words that do not belong together are a good choice."),
    back_to_account: "Back to your account",

    wrong_password: "The login name or the password is wrong. Check both and try again.",
    wrong_current_password: "The current password is wrong. Type it again.",
    too_many: ("There have been too many wrong passwords. Try again in ", "."),
    after_wait: "You can try again now.",
    form_unreadable: "A field is empty or too long. Fill in both fields and try again.",
    form_unavailable: "We cannot check this right now. Try again in a moment.",
    form_fault: "Something went wrong on our side. Try again later.",
    too_short: ("The new password has ", " characters. Use at least ", "."),
    maybe_changed: "We could not find out whether the password was changed. Try again. If the current password is \
                    refused, sign in with the new one.",
    is_current: "The new password is your current password. Choose another one.",
    is_personal: "The new password is your name, your address or the name of this service. Choose another one.",
    is_common: "The new password is a common one. Attackers try those first. Choose another one.",
    is_repetitive: "The new password repeats a few characters, or is a sequence such as 123456. Choose another one.",

    invalid_request: ("This link or form does not work", "A part of it is missing or wrong. Nothing was changed."),
    not_everywhere: (
        "Only this device is signed out",
        "Your session had ended before, so we could not sign out the other devices. Sign in again, then choose “Sign \
         out everywhere”.",
    ),
    forbidden: (
        "This form came from another site",
        "To protect you, we accept forms from our own pages only. Nothing was changed.",
    ),
    not_found: ("This device is not in your list", "It is signed out already, or it was never yours."),
    method_not_allowed: ("This address does not work like that", "Nothing was changed."),
    too_large: ("The form is too long", "Shorten what you typed and send it again. Nothing was changed."),
    unsupported: ("We cannot read this form", "It has a format that this address does not accept."),
    too_many_attempts: "Too many attempts",
    fault: (
        "Something went wrong on our side",
        "Try again later. If it happens again, tell us the number of this request.",
    ),
    unavailable: ("The service is busy", "We cannot answer right now. Try again in a moment."),
    details: "Details",
    status: "Status",
    request: "Request",
    go_on: "Continue",
    try_again: "Try again",

    one_moment: ("One moment", "You come from another site. We check whether you are signed in."),

    duration,
    time,
};

fn duration(seconds: u64) -> String {
    let counted = |count, unit| match count {
        0 => None,
        1 => Some(format!("1 {unit}")),
        count => Some(format!("{count} {unit}s")),
    };
    let parts = [counted(seconds / 60, "minute"), counted(seconds % 60, "second")];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn time(time: OffsetDateTime) -> String {
    let (day, month, year) = (time.day(), time.month(), time.year());
    format!("{day} {month} {year}, {:02}:{:02} UTC", time.hour(), time.minute())
}
