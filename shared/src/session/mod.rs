//! A session: the record of one login, and the rules of its life.
//!
//! Owns when a session begins, what a refresh token is to it, what it looks like once it has been renewed and when it is
//! over. Only arithmetic: knows no table, no signature, and time as it is told.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::claims::Claims;
use crate::clock::Timestamp;
use crate::config::Config;
use crate::error::Result;
use crate::id::{SessionId, UserId};

/// How long after its end a session may still be named by somebody who tries again.
const TIME_TO_TRY_AGAIN: Duration = Duration::from_mins(1);

/// The longest user agent that is kept, in bytes.
const LONGEST_USER_AGENT: usize = 512;

/// One login of one user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Whose it is: the hash key, so that the sessions of one user are one query.
    pub user_id: UserId,
    /// Which one: the range key.
    #[serde(rename = "session_id")]
    pub id: SessionId,
    /// The epoch of the user in which it was opened (R76).
    pub epoch: u64,
    /// Whether it can be renewed.
    pub keep: bool,
    /// When the user signed in.
    pub created_at: Timestamp,
    /// How many refresh tokens there have been.
    #[serde(rename = "gen")]
    pub generation: u64,
    /// When the current refresh token was issued.
    pub issued_at: Timestamp,
    /// The key that the current refresh token was signed with.
    pub kid: String,
    /// When it ends unless it is renewed.
    pub idle_exp: Timestamp,
    /// When it ends, renewed or not.
    pub abs_exp: Timestamp,
    /// When it was ended before its time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// The browser that signed in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// The address that it signed in from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_ip: Option<String>,
}

impl Session {
    /// Whether the session still lives for a user who is in `epoch`. Time is checked here and never left to DynamoDB,
    /// which deletes late (R72).
    #[must_use]
    pub fn is_live(&self, epoch: u64, now: Timestamp) -> bool {
        self.ended_at.is_none() && self.epoch == epoch && now < self.ends_at()
    }

    /// Whether the session was still going on a moment ago: its owner is signing out now, or trying again after an outage.
    /// What a token of an older one asks for is not done.
    #[must_use]
    pub fn was_just_live(&self, now: Timestamp) -> bool {
        self.ended_at.is_none_or(|ended_at| now.since(ended_at) <= TIME_TO_TRY_AGAIN) && now < self.abs_exp
    }

    /// When the session ends unless something happens to it.
    #[must_use]
    pub fn ends_at(&self) -> Timestamp {
        self.idle_exp.min(self.abs_exp)
    }

    /// The refresh token that renews the session now; none for a session that ends with the browser.
    #[must_use]
    pub fn current_generation(&self) -> Option<Generation<'_>> {
        let current = Generation {
            number: self.generation,
            kid: &self.kid,
            issued_at: self.issued_at,
            expires_at: self.ends_at(),
        };
        self.keep.then_some(current)
    }
}

/// One refresh token of a session, as its record describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation<'a> {
    /// Counts from 1.
    pub number: u64,
    /// The key that it is signed with.
    pub kid: &'a str,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When the session ends unless it is renewed.
    pub expires_at: Timestamp,
}

/// How somebody signs in.
#[derive(Clone, Debug)]
pub struct Opening<'a> {
    /// Who.
    pub user_id: &'a UserId,
    /// The epoch of the user's sessions.
    pub epoch: u64,
    /// Whether to be kept signed in when the browser is closed.
    pub keep: bool,
    /// The key that refresh tokens are signed with.
    pub kid: &'a str,
    /// The browser.
    pub user_agent: Option<String>,
    /// The address, as the gateway saw it.
    pub source_ip: Option<String>,
}

/// What a refresh token is to its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The one that renews it.
    Current,
    /// The one before, used again a moment after its first use: the answer was lost, or several tabs asked at once. The
    /// current one is handed out again, and nothing is renewed (R63).
    Replayed,
    /// One that had its successor long ago, or whose successor had one: two hold tokens of this session, and one of them
    /// is a thief (R65, R66).
    Reused(Reuse),
    /// None that the record knows of.
    Unknown,
}

/// How a refresh token comes to be used once too often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// It is the one before the current one, and the window for it has closed. That is a thief, or an honest browser that no
    /// answer has reached (F11).
    GraceMissed,
    /// Its successor has been used as well: somebody had it, and had no reason to come back to this one.
    OlderGeneration,
}

impl Reuse {
    /// What the log calls it.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::GraceMissed => "grace_missed",
            Self::OlderGeneration => "older_generation",
        }
    }
}

/// How long sessions live and how many there may be, as the operator chose.
#[derive(Clone, Debug)]
pub struct Rules {
    /// How many a user may have.
    pub sessions_per_user: Option<usize>,
    access_ttl: Duration,
    refresh_ttl: Duration,
    session_max_ttl: Duration,
    replay_window: Duration,
}

impl Rules {
    /// The configured lifetimes.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            sessions_per_user: config.sessions_per_user,
            access_ttl: config.access_ttl,
            refresh_ttl: config.refresh_ttl,
            session_max_ttl: config.session_max_ttl,
            replay_window: config.replay_window,
        }
    }

    /// A new session, whatever the browser brought along (R28). It counts once it is in the table.
    ///
    /// # Errors
    /// [`Error::Unexpected`](crate::error::Error::Unexpected) where the system has no randomness to give.
    pub fn begin(&self, opening: Opening<'_>, now: Timestamp) -> Result<Session> {
        let (idle, longest) =
            if opening.keep { (self.refresh_ttl, self.session_max_ttl) } else { (self.access_ttl, self.access_ttl) };
        Ok(Session {
            user_id: opening.user_id.clone(),
            id: SessionId::random()?,
            epoch: opening.epoch,
            keep: opening.keep,
            created_at: now,
            generation: 1,
            issued_at: now,
            kid: opening.kid.to_owned(),
            idle_exp: now + idle,
            abs_exp: now + longest,
            ended_at: None,
            user_agent: opening.user_agent.map(|agent| shortened(agent, LONGEST_USER_AGENT)),
            source_ip: opening.source_ip,
        })
    }

    /// The session as it is once it has been renewed: a new refresh token, signed with the key `kid`, and more time, but
    /// never past its absolute end (R71).
    #[must_use]
    pub fn renewed(&self, session: &Session, kid: &str, now: Timestamp) -> Session {
        Session {
            generation: session.generation + 1,
            issued_at: now,
            kid: kid.to_owned(),
            idle_exp: now + self.refresh_ttl,
            ..session.clone()
        }
    }

    /// What a verified refresh token is to the session that it names. Generations are compared, not times: two renewals
    /// may fall into one second (R67). The window for the one before opens with its first use, which is when the
    /// current one was issued, and never again (R64).
    #[must_use]
    pub fn standing(&self, token: &Claims, session: &Session, now: Timestamp) -> Standing {
        let (Some(presented), Some(current)) = (token.generation, session.current_generation()) else {
            return Standing::Unknown;
        };
        let is_current = token.iat == current.issued_at && token.exp == current.expires_at;
        match current.number.checked_sub(presented) {
            Some(0) if is_current => Standing::Current,
            Some(1) if now.since(current.issued_at) <= self.replay_window => Standing::Replayed,
            Some(1) => Standing::Reused(Reuse::GraceMissed),
            Some(2..) => Standing::Reused(Reuse::OlderGeneration),
            Some(0) | None => Standing::Unknown,
        }
    }
}

fn shortened(mut text: String, longest: usize) -> String {
    text.truncate(text.floor_char_boundary(longest));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::Subject;
    use crate::tokens::{Signer, Verifier};

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
    const DAY: u64 = 86_400;

    fn after(secs: u64) -> Timestamp {
        NOW + Duration::from_secs(secs)
    }

    fn config() -> Config {
        Config::from_lookup(testbed::settings(&[])).unwrap()
    }

    fn rules() -> Rules {
        Rules::new(&config())
    }

    fn begun(keep: bool) -> Session {
        let user_id = UserId::parse("0").unwrap();
        let kid = Signer::new(&config()).refresh_kid().to_owned();
        let opening = Opening { user_id: &user_id, epoch: 1, keep, kid: &kid, user_agent: None, source_ip: None };
        rules().begin(opening, NOW).unwrap()
    }

    fn renewed(session: &Session, now: Timestamp) -> Session {
        rules().renewed(session, &session.kid, now)
    }

    /// The claims of the refresh token that renews this session.
    fn token(session: &Session) -> Claims {
        let subject =
            Subject { user_id: &session.user_id, email: "kim@example.com", roles: &[], session_id: &session.id };
        let token = Signer::new(&config()).refresh(&subject, &session.current_generation().unwrap()).unwrap();
        Verifier::new(&config()).authentic(crate::claims::Kind::Refresh, token.expose().as_bytes()).unwrap()
    }

    #[test]
    fn a_kept_session_lives_seven_days_without_renewal_and_thirty_at_most() {
        let session = begun(true);
        assert_eq!((session.idle_exp, session.abs_exp), (after(7 * DAY), after(30 * DAY)));
        let current = session.current_generation().unwrap();
        assert_eq!((current.number, current.issued_at, current.expires_at), (1, NOW, after(7 * DAY)));
    }

    #[test]
    fn a_session_that_is_not_kept_ends_after_a_day_and_is_never_renewed() {
        let session = begun(false);
        assert_eq!(session.ends_at(), after(DAY));
        assert_eq!(session.current_generation(), None);
        assert_eq!(rules().standing(&token(&begun(true)), &session, NOW), Standing::Unknown);
    }

    #[test]
    fn a_user_agent_is_cut_between_two_characters() {
        let user_id = UserId::parse("0").unwrap();
        let user_agent = Some("é".repeat(400));
        let opening = Opening { user_id: &user_id, epoch: 1, keep: true, kid: "k", user_agent, source_ip: None };
        assert_eq!(rules().begin(opening, NOW).unwrap().user_agent.unwrap(), "é".repeat(256));
    }

    /// R70, R71, R72, R76.
    #[test]
    fn a_session_lives_until_its_time_its_end_or_the_end_of_its_epoch() {
        let session = begun(true);
        assert!(session.is_live(1, NOW) && session.is_live(1, after(7 * DAY - 1)));
        assert!(!session.is_live(1, after(7 * DAY)));
        assert!(!session.is_live(2, NOW));
        assert!(!Session { ended_at: Some(NOW), ..session }.is_live(1, NOW));
    }

    #[test]
    fn a_session_was_just_live_until_a_minute_after_its_end_and_never_after_its_time() {
        let session = begun(true);
        assert!(session.was_just_live(after(30 * DAY - 1)) && !session.was_just_live(after(30 * DAY)));
        let ended = Session { ended_at: Some(NOW), ..session };
        assert!(ended.was_just_live(after(60)) && !ended.was_just_live(after(61)));
    }

    /// R71: however often it is renewed.
    #[test]
    fn a_renewal_gives_seven_more_days_but_never_more_than_thirty() {
        let mut session = begun(true);
        for day in 1..30 {
            session = renewed(&session, after(day * DAY));
            let ends_at = after((day + 7).min(30) * DAY);
            assert_eq!((session.ends_at(), session.abs_exp), (ends_at, after(30 * DAY)));
            assert_eq!(session.current_generation().unwrap().expires_at, ends_at);
        }
        assert_eq!(session.generation, 30);
    }

    /// R63, R64, R65, R66, R67: what the token of one generation is, two renewals and some time later.
    #[test]
    fn the_parent_is_replayed_for_ten_seconds_and_everything_older_is_reuse() {
        let first = begun(true);
        let second = renewed(&first, after(100));
        let standing =
            |token_of: &Session, session: &Session, secs| rules().standing(&token(token_of), session, after(secs));
        assert_eq!(standing(&first, &first, 100), Standing::Current);
        let late = Standing::Reused(Reuse::GraceMissed);
        for (secs, expected) in [(100, Standing::Replayed), (110, Standing::Replayed), (111, late), (7 * DAY, late)] {
            assert_eq!(standing(&first, &second, secs), expected, "{secs}");
            assert_eq!(standing(&second, &second, secs), Standing::Current, "{secs}");
        }
        let third = renewed(&second, after(100));
        assert_eq!(
            standing(&first, &third, 100),
            Standing::Reused(Reuse::OlderGeneration),
            "the same second, two generations old"
        );
        assert_eq!(standing(&second, &third, 100), Standing::Replayed);
    }

    /// F29: a clock that was behind when the successor was issued, or is behind now, is no reason to call anybody a thief.
    #[test]
    fn a_clock_that_is_behind_does_not_make_a_thief() {
        let first = begun(true);
        let second = renewed(&first, after(100));
        assert_eq!(rules().standing(&token(&first), &second, after(70)), Standing::Replayed);
    }

    /// F24: a record that is older than the token, as after a restored backup, proves nothing against anybody.
    #[test]
    fn a_token_that_the_record_does_not_know_is_refused_and_no_theft() {
        let first = begun(true);
        let second = renewed(&first, after(100));
        let standing = |token_of: &Session, session: &Session| rules().standing(&token(token_of), session, after(100));
        assert_eq!(standing(&second, &first), Standing::Unknown);
        assert_eq!(standing(&renewed(&first, after(50)), &second), Standing::Unknown, "issued at another time");
        let shorter = Session { idle_exp: after(DAY), ..second.clone() };
        assert_eq!(standing(&shorter, &second), Standing::Unknown, "good until another time");
    }
}
