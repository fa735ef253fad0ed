//! The events of a deployed stack, in the log groups of CloudWatch Logs: the audit log, and the log of the functions.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use aws_sdk_cloudwatchlogs::Client;
use aws_sdk_cloudwatchlogs::operation::filter_log_events::FilterLogEventsError;

use super::event::{Event, Filter};
use super::{functions_group_of, group_of};
use crate::stack::{Stack, refused};

/// How far back each round after the first one reads again. An event becomes visible some seconds after its time, and
/// the clock of this machine may differ from that of AWS by minutes.
const OVERLAP: Duration = Duration::from_mins(5);

/// Reads log groups in rounds. A round returns the events of all groups in the order of their times. The events of an
/// earlier round are not returned again.
pub(super) struct LogEvents {
    client: Client,
    pattern: String,
    groups: Vec<Group>,
    /// The start of this round, in milliseconds since 1970.
    from: i64,
    /// The start of the next round.
    next_from: i64,
    /// The time of each event that the next round can see again, by its id.
    seen: HashMap<String, i64>,
}

/// A log group in a round.
struct Group {
    name: String,
    /// The events of the last page that are not returned yet.
    events: VecDeque<Event>,
    next: Next,
}

/// What a round reads next of a group.
enum Next {
    First,
    Page(String),
    End,
}

impl LogEvents {
    /// Opens the log groups of a stack.
    pub(super) fn of(stack: &Stack, filter: &Filter) -> Self {
        let group = |name| Group { name, events: VecDeque::new(), next: Next::First };
        Self {
            client: Client::new(&stack.sdk),
            pattern: filter.pattern(),
            groups: [functions_group_of(&stack.name), group_of(&stack.name)].map(group).into(),
            from: filter.since,
            next_from: filter.since.max(overlap_before_now()),
            seen: HashMap::new(),
        }
    }

    /// Returns the next event, or `None` at the end of the round.
    pub(super) async fn next(&mut self) -> Result<Option<Event>> {
        for position in 0..self.groups.len() {
            while self.groups[position].events.is_empty() && !matches!(self.groups[position].next, Next::End) {
                self.read_page(position).await?;
            }
        }
        let time_of_first = |group: &&mut Group| group.events.front().map_or(i64::MAX, |event| event.at);
        let earliest = self.groups.iter_mut().filter(|group| !group.events.is_empty()).min_by_key(time_of_first);
        Ok(earliest.and_then(|group| group.events.pop_front()))
    }

    /// Begins the next round.
    pub(super) fn restart(&mut self) {
        self.from = self.next_from;
        self.next_from = self.from.max(overlap_before_now());
        self.seen.retain(|_, at| *at >= self.from);
        for group in &mut self.groups {
            group.next = Next::First;
        }
    }

    /// Reads a page of a group. A page can be empty, and need not be the last one then.
    async fn read_page(&mut self, position: usize) -> Result<()> {
        let group = &mut self.groups[position];
        let token = match &group.next {
            Next::Page(token) => Some(token.clone()),
            Next::First | Next::End => None,
        };
        let page = self.client.filter_log_events().log_group_name(&group.name).start_time(self.from);
        let page = match page.filter_pattern(&self.pattern).set_next_token(token).send().await {
            Ok(page) => page,
            // A stack of an older template has no group of all functions.
            Err(error)
                if error.as_service_error().is_some_and(FilterLogEventsError::is_resource_not_found_exception) =>
            {
                group.next = Next::End;
                return Ok(());
            }
            Err(error) => return Err(refused("logs:FilterLogEvents", &error)),
        };
        group.next = page.next_token.map_or(Next::End, Next::Page);
        for found in page.events.unwrap_or_default() {
            let (Some(at), Some(line)) = (found.timestamp, found.message) else { continue };
            let id = found.event_id.unwrap_or_default();
            if self.seen.contains_key(&id) {
                continue;
            }
            if at >= self.next_from {
                self.seen.insert(id, at);
            }
            group.events.extend(Event::parse(&line, Some(at)));
        }
        Ok(())
    }
}

fn overlap_before_now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.saturating_sub(OVERLAP).as_millis()).unwrap_or(i64::MAX)
}
