//! The promises of `docs/sessions.md` about renewals, checked with the real function and the real table.
//!
//! A browser may send one refresh token several times: its tabs renew at once, and responses get lost or arrive in any
//! order. A thief who copied the token sends it, too. There are four promises:
//!
//! 1. An honest browser stays signed in, unless all responses were lost and it comes back after the grace period.
//! 2. After the grace period, at most one refresh token of a session is valid.
//! 3. If the owner and a thief both renew, more than a grace period apart, the second of them ends the session.
//! 4. An ended session stays ended.
//!
//! This file tries all bursts of up to four renewals, with every loss and every order of the responses, and all
//! sequences of five turns of an owner and a thief. `interleavings` tries all 105 orders in which the reads and writes
//! of four concurrent renewals can reach the table, and a logout at every moment of up to three renewals. `random`
//! compares long random runs with a model.
//!
//! Four other rules are common elsewhere. Each of them breaks a promise, and the checks find it. A check that no rule
//! fails would prove nothing.
#![expect(clippy::unwrap_used, reason = "a panic is a failure")]
#![expect(clippy::expect_used, reason = "a panic is a failure")]

mod interleavings;
mod random;
mod servers;

use std::collections::BTreeSet;

use servers::{GRACE, Rule, Server, Token};

const DAY: u64 = 86_400;

/// How a promise was broken.
type Broken = String;

/// Returns every selection of the numbers below `n` in every order: which responses of a burst arrive, and in which
/// order.
fn deliveries(n: usize) -> Vec<Vec<usize>> {
    let mut all = vec![vec![]];
    let mut longest = all.clone();
    for _ in 0..n {
        let longer = longest.iter().flat_map(|some: &Vec<usize>| {
            (0..n).filter(|next| !some.contains(next)).map(|next| [&some[..], &[next]].concat()).collect::<Vec<_>>()
        });
        longest = longer.collect();
        all.extend(longest.iter().cloned());
    }
    all
}

/// Promise 1. Up to four tabs renew with one token, two seconds apart. The browser keeps the token that arrives last.
async fn an_honest_browser_stays_signed_in(rule: Rule) -> Result<(), Broken> {
    for tabs in 1..=4 {
        let (mut server, first) = Server::new(rule).await;
        let mut answers = Vec::new();
        for tab in 0..tabs {
            answers.push(server.renew(&first, 2 * tab as u64).await);
        }
        let saved = server.save();
        for arrived in deliveries(tabs) {
            let jar = arrived.iter().try_fold(first.clone(), |_, &tab| answers[tab].clone());
            for (seconds, must_pass) in [(GRACE, true), (DAY, !arrived.is_empty())] {
                server.restore(&saved);
                let passes = match &jar {
                    Some(token) => server.renew(token, seconds).await.is_some(),
                    None => false,
                };
                if must_pass && !passes {
                    return Err(format!("{tabs} tabs, responses {arrived:?} arrived, signed out after {seconds} s"));
                }
            }
        }
    }
    Ok(())
}

/// Promise 2. A token is used up to four times within the grace period.
async fn at_most_one_refresh_token_is_valid(rule: Rule) -> Result<(), Broken> {
    for uses in 1..=4 {
        let (mut server, first) = Server::new(rule).await;
        let mut issued = BTreeSet::from([first.clone()]);
        for second in 0..uses {
            issued.extend(server.renew(&first, second).await);
        }
        let saved = server.save();
        let mut valid = 0;
        for token in issued {
            server.restore(&saved);
            valid += usize::from(server.renew(&token, DAY).await.is_some());
        }
        if valid > 1 {
            return Err(format!("{valid} tokens are valid after {uses} uses"));
        }
    }
    Ok(())
}

/// Promise 3. The owner and the thief take five turns, in every order. Each turn comes more than a grace period after
/// the one before. The second of the two who renews is detected. From then on, neither of them is signed in.
async fn the_second_party_to_renew_is_detected(rule: Rule) -> Result<(), Broken> {
    let (mut server, first) = Server::new(rule).await;
    let start = server.save();
    for turns in 0..32_u32 {
        server.restore(&start);
        let mut jars: [Token; 2] = [first.clone(), first.clone()];
        let (mut have_renewed, mut is_detected) = ([false, false], false);
        for turn in 0..5 {
            let party = usize::from(turns & (1 << turn) != 0);
            have_renewed[party] = true;
            is_detected |= have_renewed == [true, true];
            match server.renew(&jars[party], (turn + 1) * 2 * GRACE).await {
                Some(_) if is_detected => return Err(format!("turns {turns:05b}: undetected after turn {turn}")),
                Some(token) => jars[party] = token,
                None if is_detected => {}
                None => return Err(format!("turns {turns:05b}: signed out before the copy was used")),
            }
        }
    }
    Ok(())
}

/// Promises 2 and 4. The same two parties take five turns at any pace: some turns come within the grace period of the
/// turn before. They may stay signed in together while they hold the same token. Two tokens are never valid, and after
/// the first refusal no token is.
async fn an_ended_session_stays_ended(rule: Rule) -> Result<(), Broken> {
    let (mut server, first) = Server::new(rule).await;
    let start = server.save();
    for run in 0..4_u32.pow(5) {
        server.restore(&start);
        let (mut jars, mut now, mut has_ended) = ([first.clone(), first.clone()], 0, false);
        for turn in 0..5 {
            let choice = run / 4_u32.pow(turn) % 4;
            let party = usize::from(choice % 2 == 1);
            now += if choice < 2 { 1 } else { 2 * GRACE };
            match server.renew(&jars[party], now).await {
                Some(_) if has_ended => return Err(format!("run {run}: signed in again at turn {turn}")),
                Some(token) => jars[party] = token,
                None => has_ended = true,
            }
        }
        let saved = server.save();
        let mut valid = 0;
        for token in BTreeSet::from_iter(jars) {
            server.restore(&saved);
            valid += usize::from(server.renew(&token, now + DAY).await.is_some());
        }
        if valid > 1 {
            return Err(format!("run {run}: two tokens are valid"));
        }
    }
    Ok(())
}

/// R63 to R68.
#[tokio::test]
async fn our_rule_keeps_every_promise() {
    assert_eq!(an_honest_browser_stays_signed_in(Rule::Latchkey).await, Ok(()));
    assert_eq!(at_most_one_refresh_token_is_valid(Rule::Latchkey).await, Ok(()));
    assert_eq!(the_second_party_to_renew_is_detected(Rule::Latchkey).await, Ok(()));
    assert_eq!(an_ended_session_stays_ended(Rule::Latchkey).await, Ok(()));
}

/// Shows that the checks can fail.
#[tokio::test]
async fn each_of_four_other_rules_breaks_a_promise() {
    for (broken, how) in [
        (an_honest_browser_stays_signed_in(Rule::NoGrace).await, "1 tabs, responses [] arrived, signed out"),
        (an_honest_browser_stays_signed_in(Rule::Replace).await, "2 tabs, responses [0] arrived, signed out"),
        (at_most_one_refresh_token_is_valid(Rule::Siblings).await, "2 tokens are valid after 2 uses"),
        (the_second_party_to_renew_is_detected(Rule::EndlessGrace).await, "undetected"),
    ] {
        assert!(broken.as_ref().is_err_and(|broken| broken.contains(how)), "{broken:?}");
    }
}

/// The number of selections of 1, 2, 3 and 4 responses in every order.
#[test]
fn all_deliveries_are_tried() {
    assert_eq!([1, 2, 3, 4].map(|n| deliveries(n).len()), [2, 5, 16, 65]);
}
