//! What `docs/sessions.md` promises about renewals, checked on every case of a small world and on random runs in a larger one.
//!
//! Each promise is a function that returns how it was broken. Ours keeps them all; for each of the rules that are common
//! elsewhere there is one that is broken, or the check would be worth nothing.
#![expect(clippy::unwrap_used, reason = "a panic is a failure")]
#![expect(clippy::expect_used, reason = "a panic is a failure")]

mod interleavings;
mod random;
mod servers;

use std::collections::BTreeSet;

use servers::{Rule, Server, Token, WINDOW};

const DAY: u64 = 86_400;

/// How a promise was broken.
type Broken = String;

/// The first `n` numbers, some of them, in every order: which answers of a burst arrive, one after the other.
fn deliveries(n: usize) -> Vec<Vec<usize>> {
    let mut all = vec![vec![]];
    let mut last = all.clone();
    for _ in 0..n {
        let longer = last.iter().flat_map(|some: &Vec<usize>| {
            (0..n).filter(|next| !some.contains(next)).map(|next| [&some[..], &[next]].concat()).collect::<Vec<_>>()
        });
        last = longer.collect();
        all.extend(last.iter().cloned());
    }
    all
}

/// A browser with up to four tabs renews with one token at once. Whatever gets lost and whatever overtakes what, it stays
/// signed in, unless every answer was lost and it comes back after the window.
async fn an_honest_browser_stays_signed_in(rule: Rule) -> Result<(), Broken> {
    for tabs in 1..=4 {
        let (mut server, first) = Server::new(rule).await;
        let mut answers = Vec::new();
        for tab in 0..tabs {
            answers.push(server.renew(&first, 2 * tab as u64).await);
        }
        let saved = server.save();
        for arrive in deliveries(tabs) {
            let jar = arrive.iter().try_fold(first.clone(), |_, &tab| answers[tab].clone());
            for (later, must_pass) in [(WINDOW, true), (DAY, !arrive.is_empty())] {
                server.restore(&saved);
                let passes = match &jar {
                    Some(token) => server.renew(token, later).await.is_some(),
                    None => false,
                };
                if must_pass && !passes {
                    return Err(format!(
                        "{tabs} tabs, of which {arrive:?} got their answers, signed out after {later} s"
                    ));
                }
            }
        }
    }
    Ok(())
}

/// However often a token was shown, at most one is good for a renewal once the window has closed.
async fn one_refresh_token_is_alive(rule: Rule) -> Result<(), Broken> {
    for tabs in 1..=4 {
        let (mut server, first) = Server::new(rule).await;
        let mut known = BTreeSet::from([first.clone()]);
        for tab in 0..tabs {
            known.extend(server.renew(&first, tab).await);
        }
        let saved = server.save();
        let mut alive = Vec::new();
        for token in known {
            server.restore(&saved);
            alive.extend(server.renew(&token, DAY).await);
        }
        if alive.len() > 1 {
            return Err(format!("after {tabs} uses {} tokens are alive", alive.len()));
        }
    }
    Ok(())
}

/// A thief has copied the jar. The two take turns, in every order and for five turns, each more than a window after the
/// turn before: the second of them who renews is found out, and from then on nobody is signed in.
async fn a_thief_is_found_at_the_second_renewal(rule: Rule) -> Result<(), Broken> {
    let (mut server, first) = Server::new(rule).await;
    let start = server.save();
    for turns in 0..32_u32 {
        server.restore(&start);
        let mut jars: [Token; 2] = [first.clone(), first.clone()];
        let (mut have_renewed, mut found) = ([false, false], false);
        for turn in 0..5 {
            let who = usize::from(turns & (1 << turn) != 0);
            have_renewed[who] = true;
            found |= have_renewed == [true, true];
            match server.renew(&jars[who], (turn + 1) * 2 * WINDOW).await {
                Some(_) if found => return Err(format!("turns {turns:05b}: undetected after turn {turn}")),
                Some(token) => jars[who] = token,
                None if found => {}
                None => return Err(format!("turns {turns:05b}: signed out before a copy was used")),
            }
        }
    }
    Ok(())
}

/// The same at any pace, some turns within the window of the turn before. They may go on in step, but at no time are two
/// tokens alive, and once one of them was refused, nobody gets in again.
async fn what_ended_stays_ended(rule: Rule) -> Result<(), Broken> {
    let (mut server, first) = Server::new(rule).await;
    let start = server.save();
    for run in 0..4_u32.pow(5) {
        server.restore(&start);
        let (mut jars, mut now, mut ended) = ([first.clone(), first.clone()], 0, false);
        for turn in 0..5 {
            let choice = run / 4_u32.pow(turn) % 4;
            let who = usize::from(choice % 2 == 1);
            now += if choice < 2 { 1 } else { 2 * WINDOW };
            match server.renew(&jars[who], now).await {
                Some(_) if ended => return Err(format!("run {run}: alive again at turn {turn}")),
                Some(token) => jars[who] = token,
                None => ended = true,
            }
        }
        let saved = server.save();
        let mut alive = 0;
        for token in BTreeSet::from_iter(jars) {
            server.restore(&saved);
            alive += usize::from(server.renew(&token, now + DAY).await.is_some());
        }
        if alive > 1 {
            return Err(format!("run {run}: both hold a token of their own"));
        }
    }
    Ok(())
}

/// R63 to R68.
#[tokio::test]
async fn our_rule_keeps_every_promise() {
    assert_eq!(an_honest_browser_stays_signed_in(Rule::Latchkey).await, Ok(()));
    assert_eq!(one_refresh_token_is_alive(Rule::Latchkey).await, Ok(()));
    assert_eq!(a_thief_is_found_at_the_second_renewal(Rule::Latchkey).await, Ok(()));
    assert_eq!(what_ended_stays_ended(Rule::Latchkey).await, Ok(()));
}

/// Or the checks would prove nothing.
#[tokio::test]
async fn every_other_rule_breaks_one() {
    for (broken, how) in [
        (an_honest_browser_stays_signed_in(Rule::Strict).await, "1 tabs, of which [] got their answers, signed out"),
        (an_honest_browser_stays_signed_in(Rule::ReRotate).await, "2 tabs, of which [0] got their answers, signed out"),
        (one_refresh_token_is_alive(Rule::Siblings).await, "after 2 uses 2 tokens are alive"),
        (a_thief_is_found_at_the_second_renewal(Rule::ParentForEver).await, "undetected"),
    ] {
        assert!(broken.as_ref().is_err_and(|said| said.contains(how)), "{broken:?}");
    }
}

#[test]
fn every_delivery_is_tried() {
    assert_eq!([1, 2, 3, 4].map(|n| deliveries(n).len()), [2, 5, 16, 65]);
}
