//! The tables and their settings.
//!
//! [`TABLES`] says what `template.yaml` makes. A test compares them. The answers of DynamoDB decide.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::describe_table::DescribeTableError;
use aws_sdk_dynamodb::types::{
    ContinuousBackupsDescription, KeySchemaElement, KeyType, PointInTimeRecoveryStatus, TableDescription, TableStatus,
    TimeToLiveDescription, TimeToLiveStatus,
};

use super::report::Finding;
use crate::stack::{Stack, refused};

/// A table of the template.
#[derive(Debug)]
pub(super) struct Table {
    /// The name in sentences.
    pub(super) what: &'static str,
    /// The variable of the functions that has its name.
    pub(super) variable: &'static str,
    /// The partition key, then the sort key.
    pub(super) keys: &'static [&'static str],
    /// The local secondary index, with its keys.
    pub(super) index: Option<(&'static str, &'static [&'static str])>,
    /// What to do if it does not exist.
    lost: &'static str,
}

pub(super) const USERS: Table = Table {
    what: "users table",
    variable: "USERS_TABLE",
    keys: &["pk"],
    index: None,
    lost: "Restore it under the same name from a backup, which DynamoDB keeps for 35 days: aws dynamodb list-backups \
           --backup-type ALL",
};

pub(super) const SESSIONS: Table = Table {
    what: "sessions table",
    variable: "SESSIONS_TABLE",
    keys: &["user_id", "session_id"],
    index: Some(("ActiveSessions", &["user_id", "active_key"])),
    lost: CREATE,
};

pub(super) const ATTEMPTS: Table =
    Table { what: "attempts table", variable: "ATTEMPTS_TABLE", keys: &["counter_key"], index: None, lost: CREATE };

/// The tables of the template.
pub(super) const TABLES: [&Table; 3] = [&USERS, &SESSIONS, &ATTEMPTS];

/// The attribute with the time to live.
const TTL: &str = "ttl";

const CREATE: &str = "CloudFormation does not make a deleted table again. Create it under the same name, with the \
                      keys, the index and the time to live of template.yaml";

/// How to mend a table of a stack.
pub(super) struct Remedies {
    is_local: bool,
    /// The beginning of a command of the AWS CLI. Without the region or the endpoint, it could meet another table.
    aws: String,
}

impl Remedies {
    pub(super) fn of(stack: &Stack) -> Self {
        let region = stack.sdk.region().map(ToString::to_string).unwrap_or_default();
        let place = match stack.sdk.endpoint_url().filter(|_| stack.is_local()) {
            Some(endpoint) => format!("--endpoint-url {endpoint}"),
            None => format!("--region {region}"),
        };
        Self { is_local: stack.is_local(), aws: format!("aws {place} dynamodb") }
    }

    /// Returns the text for a deployed stack. A local stack makes its tables when it starts.
    fn table(&self, deployed: &str) -> String {
        let local = "Stop `cargo dev` and start it again: it makes the tables of template.yaml";
        if self.is_local { local } else { deployed }.to_owned()
    }
}

/// Returns the description of a table. `Err` is the finding if there is none.
pub(super) async fn describe(stack: &Stack, client: &Client, table: &Table) -> Result<TableDescription, Finding> {
    let name = stack.table(table.variable);
    let missing = || {
        let text = format!("the {} {name} does not exist", table.what);
        Finding::failed(text, Remedies::of(stack).table(table.lost))
    };
    let described = client.describe_table().table_name(name).send().await;
    let is_missing = |error: &DescribeTableError| error.is_resource_not_found_exception();
    match described {
        Ok(described) => described.table.ok_or_else(missing),
        Err(error) if error.as_service_error().is_some_and(is_missing) => Err(missing()),
        Err(error) => Err(Finding::error(&refused("dynamodb:DescribeTable", &error))),
    }
}

/// Checks the state and the key of a table.
pub(super) fn state_and_keys(table: &Table, found: &TableDescription, remedies: &Remedies) -> Finding {
    let name = found.table_name().unwrap_or_default();
    let keys = keys_of(found.key_schema());
    if keys != table.keys {
        return Finding::failed(
            format!("the {} {name} has the key ({}), not ({})", table.what, keys.join(", "), table.keys.join(", ")),
            remedies.table(
                "Another version made it. Save the users with `latchkey users export`, and deploy the current template",
            ),
        );
    }
    match found.table_status() {
        Some(TableStatus::Active) => Finding::ok(format!("{name} is ACTIVE")),
        Some(TableStatus::Updating) => Finding::warning(
            format!("the {} {name} is UPDATING", table.what),
            "Wait until the change is made, and run `latchkey doctor` again",
        ),
        other => Finding::failed(
            format!("the {} {name} is {}", table.what, other.map_or("in no state", TableStatus::as_str)),
            format!("The functions cannot use it. Its state: {} describe-table --table-name {name}", remedies.aws),
        ),
    }
}

/// Checks the local secondary index of a table.
pub(super) fn index(table: &Table, found: &TableDescription, remedies: &Remedies) -> Finding {
    let Some((name, keys)) = table.index else { return Finding::skipped("the table has no index") };
    let index = found.local_secondary_indexes().iter().find(|index| index.index_name() == Some(name));
    let fix = remedies.table(
        "DynamoDB cannot add it to a table. Deploy the current template: CloudFormation replaces the table, and all \
         users are signed out",
    );
    match index.map(|index| keys_of(index.key_schema())) {
        Some(found) if found == keys => Finding::ok(format!("{name} exists")),
        Some(found) => {
            let text = format!("the index {name} has the key ({}), not ({})", found.join(", "), keys.join(", "));
            Finding::failed(text, fix)
        }
        None => Finding::failed(format!("the {} has no index {name}", table.what), fix),
    }
}

/// Returns the names of the attributes: the partition key first.
fn keys_of(schema: &[KeySchemaElement]) -> Vec<&str> {
    let of_type = |kind: KeyType| schema.iter().filter(move |key| *key.key_type() == kind);
    of_type(KeyType::Hash).chain(of_type(KeyType::Range)).map(KeySchemaElement::attribute_name).collect()
}

/// Asks for the time to live of a table, and checks it.
pub(super) async fn time_to_live_of(stack: &Stack, client: &Client, table: &Table) -> Finding {
    let name = stack.table(table.variable);
    match client.describe_time_to_live().table_name(name).send().await {
        Ok(found) => time_to_live(name, found.time_to_live_description.as_ref(), &Remedies::of(stack)),
        Err(error) => Finding::error(&refused("dynamodb:DescribeTimeToLive", &error)),
    }
}

/// Checks the time to live of a table. Without it, DynamoDB keeps every expired item.
fn time_to_live(name: &str, found: Option<&TimeToLiveDescription>, remedies: &Remedies) -> Finding {
    let set = |is_enabled: bool, attribute: &str| {
        format!(
            "{} update-time-to-live --table-name {name} --time-to-live-specification \
             Enabled={is_enabled},AttributeName={attribute}",
            remedies.aws
        )
    };
    let attribute = found.and_then(TimeToLiveDescription::attribute_name).unwrap_or_default();
    match found.and_then(TimeToLiveDescription::time_to_live_status) {
        Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling) if attribute == TTL => {
            Finding::ok(format!("DynamoDB deletes expired items by `{TTL}`"))
        }
        Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling) => Finding::failed(
            format!("the time to live of {name} uses `{attribute}`, not `{TTL}`: expired items stay"),
            format!("{}, an hour later {}", set(false, attribute), set(true, TTL)),
        ),
        Some(TimeToLiveStatus::Disabling) => Finding::failed(
            format!("the time to live of {name} is being disabled: expired items will stay"),
            format!("In an hour: {}", set(true, TTL)),
        ),
        _ => Finding::failed(format!("the time to live of {name} is off: expired items stay"), set(true, TTL)),
    }
}

/// Asks for the backups of a table, and checks them.
pub(super) async fn backups_of(stack: &Stack, client: &Client, table: &Table) -> Finding {
    let name = stack.table(table.variable);
    match client.describe_continuous_backups().table_name(name).send().await {
        Ok(found) => backups(name, found.continuous_backups_description.as_ref(), &Remedies::of(stack)),
        Err(error) => Finding::error(&refused("dynamodb:DescribeContinuousBackups", &error)),
    }
}

fn backups(name: &str, found: Option<&ContinuousBackupsDescription>, remedies: &Remedies) -> Finding {
    let recovery = found.and_then(ContinuousBackupsDescription::point_in_time_recovery_description);
    match recovery.and_then(|recovery| recovery.point_in_time_recovery_status()) {
        Some(PointInTimeRecoveryStatus::Enabled) => Finding::ok("point-in-time recovery is on"),
        _ => Finding::failed(
            format!("point-in-time recovery of {name} is off: lost users cannot be restored"),
            format!(
                "{} update-continuous-backups --table-name {name} --point-in-time-recovery-specification \
                 PointInTimeRecoveryEnabled=true",
                remedies.aws
            ),
        ),
    }
}

/// Checks that deletion protection is on.
pub(super) fn deletion_protection(found: &TableDescription, remedies: &Remedies) -> Finding {
    let name = found.table_name().unwrap_or_default();
    match found.deletion_protection_enabled() {
        Some(true) => Finding::ok("deletion protection is on"),
        _ => Finding::failed(
            format!("deletion protection of {name} is off: one call deletes all users"),
            format!("{} update-table --table-name {name} --deletion-protection-enabled", remedies.aws),
        ),
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::types::{LocalSecondaryIndexDescription, PointInTimeRecoveryDescription};
    use testbed::workspace::template;

    use super::super::report::Outcome;
    use super::*;

    fn keys(names: &[&str]) -> Vec<KeySchemaElement> {
        let kinds = [KeyType::Hash, KeyType::Range].into_iter();
        let keys = names.iter().zip(kinds);
        keys.map(|(name, kind)| KeySchemaElement::builder().attribute_name(*name).key_type(kind).build().unwrap())
            .collect()
    }

    fn deployed() -> Remedies {
        Remedies { is_local: false, aws: "aws --region eu-west-1 dynamodb".to_owned() }
    }

    /// A finding as its outcome, with the text that the detail or the fix must have.
    #[track_caller]
    fn assert_finding(finding: &Finding, outcome: Outcome, text: &str) {
        let all = format!("{} {}", finding.detail, finding.fix.clone().unwrap_or_default());
        assert!(finding.outcome == outcome && all.contains(text), "{finding:?}");
    }

    #[test]
    fn the_tables_are_those_of_the_template() {
        let names = |schema: &serde_json::Value| {
            let keys = schema.as_array().unwrap().iter();
            keys.map(|key| key["AttributeName"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let (tables, variables) = (template().tables(), template().table_variables());
        assert_eq!(tables.len(), TABLES.len());
        for table in TABLES {
            let made = tables.iter().find(|made| made.name == variables[table.variable]).unwrap();
            assert_eq!(names(&made.create["KeySchema"]), table.keys);
            let index = made.create["LocalSecondaryIndexes"].as_array().map(|indexes| &indexes[..]);
            match (index, table.index) {
                (Some([made]), Some((name, keys))) => {
                    assert_eq!(
                        (made["IndexName"].as_str().unwrap(), names(&made["KeySchema"])),
                        (name, to_owned(keys))
                    );
                }
                (None, None) => {}
                other => panic!("{other:?}"),
            }
        }
        let with_ttl = tables.iter().filter(|table| table.time_to_live.is_some()).map(|table| table.name.as_str());
        let mut with_ttl: Vec<_> = with_ttl.collect();
        with_ttl.sort_unstable();
        assert_eq!(with_ttl, ["AttemptsTable", "SessionsTable"]);
    }

    fn to_owned(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_table_is_active_and_has_its_key() {
        let described = |status, names: &[&str]| {
            let table = TableDescription::builder().table_name("t").table_status(status);
            state_and_keys(&SESSIONS, &table.set_key_schema(Some(keys(names))).build(), &deployed())
        };
        let right = ["user_id", "session_id"];
        assert_finding(&described(TableStatus::Active, &right), Outcome::Ok, "ACTIVE");
        assert_finding(&described(TableStatus::Updating, &right), Outcome::Warning, "Wait");
        for status in [
            TableStatus::Creating,
            TableStatus::Deleting,
            TableStatus::Archived,
            TableStatus::InaccessibleEncryptionCredentials,
        ] {
            let text = status.as_str().to_owned();
            assert_finding(&described(status, &right), Outcome::Failed, &text);
        }
        for names in [&["user_id"][..], &["session_id", "user_id"], &["pk"], &[]] {
            assert_finding(&described(TableStatus::Active, names), Outcome::Failed, "not (user_id, session_id)");
        }
        let empty = TableDescription::builder().set_key_schema(Some(keys(&right))).build();
        assert_finding(&state_and_keys(&SESSIONS, &empty, &deployed()), Outcome::Failed, "in no state");
    }

    #[test]
    fn the_index_has_its_name_and_its_key() {
        let described = |name: &str, names: &[&str]| {
            let index = LocalSecondaryIndexDescription::builder().index_name(name).set_key_schema(Some(keys(names)));
            index_of(&TableDescription::builder().local_secondary_indexes(index.build()).build())
        };
        let index_of_none = index_of(&TableDescription::builder().build());
        assert_finding(&described("ActiveSessions", &["user_id", "active_key"]), Outcome::Ok, "exists");
        assert_finding(&described("ActiveSessions", &["user_id", "ttl"]), Outcome::Failed, "not (user_id, active_key)");
        assert_finding(&described("Other", &["user_id", "active_key"]), Outcome::Failed, "no index ActiveSessions");
        assert_finding(&index_of_none, Outcome::Failed, "signed out");
    }

    fn index_of(table: &TableDescription) -> Finding {
        index(&SESSIONS, table, &deployed())
    }

    #[test]
    fn the_time_to_live_is_enabled_on_its_attribute() {
        let described = |status, attribute: Option<&str>| {
            let found = TimeToLiveDescription::builder().set_time_to_live_status(status);
            time_to_live("t", Some(&found.set_attribute_name(attribute.map(str::to_owned)).build()), &deployed())
        };
        let enable = "--time-to-live-specification Enabled=true,AttributeName=ttl";
        for status in [TimeToLiveStatus::Enabled, TimeToLiveStatus::Enabling] {
            assert_finding(&described(Some(status.clone()), Some("ttl")), Outcome::Ok, "`ttl`");
            let other = described(Some(status), Some("expires"));
            assert_finding(&other, Outcome::Failed, "Enabled=false,AttributeName=expires");
            assert_finding(&other, Outcome::Failed, enable);
        }
        for status in [Some(TimeToLiveStatus::Disabled), Some(TimeToLiveStatus::Disabling), None] {
            assert_finding(&described(status, None), Outcome::Failed, enable);
        }
        assert_finding(&time_to_live("t", None, &deployed()), Outcome::Failed, enable);
    }

    #[test]
    fn users_have_backups_and_are_protected_from_deletion() {
        let backups = |status| {
            let recovery = PointInTimeRecoveryDescription::builder().point_in_time_recovery_status(status).build();
            let found = ContinuousBackupsDescription::builder().point_in_time_recovery_description(recovery);
            let found = found.continuous_backups_status(aws_sdk_dynamodb::types::ContinuousBackupsStatus::Enabled);
            super::backups("t", Some(&found.build().unwrap()), &deployed())
        };
        assert_finding(&backups(PointInTimeRecoveryStatus::Enabled), Outcome::Ok, "on");
        let fix = "PointInTimeRecoveryEnabled=true";
        assert_finding(&backups(PointInTimeRecoveryStatus::Disabled), Outcome::Failed, fix);
        assert_finding(&super::backups("t", None, &deployed()), Outcome::Failed, fix);

        let protected = |is_on: Option<bool>| {
            deletion_protection(
                &TableDescription::builder().set_deletion_protection_enabled(is_on).build(),
                &deployed(),
            )
        };
        assert_finding(&protected(Some(true)), Outcome::Ok, "on");
        for is_on in [Some(false), None] {
            assert_finding(&protected(is_on), Outcome::Failed, "--deletion-protection-enabled");
        }
    }
}
