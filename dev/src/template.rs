//! Reads `template.yaml`: the parameters, the tables, the routes, the variables of the functions, and the CORS settings
//! of the API.
//!
//! The YAML reader drops the tags of intrinsic functions, so that `!Ref UsersTable` is read as `UsersTable`. Of a
//! choice (`!If [condition, first, second]`) this module reads the first value.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Map, Value};

/// A parsed `template.yaml`.
#[derive(Clone, Debug)]
pub struct Template(Value);

/// A table, as requests of the DynamoDB API.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// The name in the template. The table has the same name in the local stack.
    pub name: String,
    /// The `CreateTable` request.
    pub create: Value,
    /// The `UpdateTimeToLive` request, or `None` if the table has no time to live.
    pub time_to_live: Option<Value>,
}

/// A route of the API.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// The path.
    pub path: String,
    /// The method.
    pub method: String,
    /// The name of the function's binary.
    pub function: String,
}

/// The CORS headers of the response to a preflight request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cors {
    /// `Access-Control-Allow-Methods`.
    pub methods: String,
    /// `Access-Control-Allow-Headers`.
    pub headers: String,
    /// `Access-Control-Expose-Headers`.
    pub exposed: String,
    /// `Access-Control-Max-Age`, in seconds.
    pub max_age: u64,
}

impl Template {
    /// Reads a template from a file.
    ///
    /// # Errors
    /// Fails if the file does not exist or is not YAML.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self(serde_saphyr::from_str(&text).with_context(|| format!("{} is not valid YAML", path.display()))?))
    }

    /// Returns the tables.
    #[must_use]
    pub fn tables(&self) -> Vec<Table> {
        self.resources("AWS::DynamoDB::Table").map(|(name, properties)| table(name, properties)).collect()
    }

    /// Returns the variables of each function that answers requests, its own and those of `Globals`, with their values.
    /// The key is the name of the function's binary.
    #[must_use]
    pub fn variables(&self) -> BTreeMap<String, BTreeMap<String, String>> {
        self.variables_of(|function| !is_scheduled(function))
    }

    /// Returns the variables of each function that a schedule calls, as [`variables`](Self::variables) does.
    #[must_use]
    pub fn scheduled_variables(&self) -> BTreeMap<String, BTreeMap<String, String>> {
        self.variables_of(is_scheduled)
    }

    fn variables_of(&self, is_wanted: impl Fn(&Value) -> bool) -> BTreeMap<String, BTreeMap<String, String>> {
        let listed = |holder: &Value, pointer| holder.pointer(pointer).and_then(Value::as_object).cloned();
        let globals = listed(&self.0, "/Globals/Function/Environment/Variables").unwrap_or_default();
        let wanted = self.resources("AWS::Serverless::Function").filter(|(_, function)| is_wanted(function));
        let functions = wanted.map(|(name, properties)| {
            let own = listed(properties, "/Environment/Variables").unwrap_or_default();
            let all = globals.iter().chain(&own).map(|(name, value)| (name.clone(), text(value)));
            (binary(name), all.collect())
        });
        functions.collect()
    }

    /// Returns the parameters, each with `true` if it is a secret.
    #[must_use]
    pub fn parameters(&self) -> BTreeMap<String, bool> {
        let parameters = self.0["Parameters"].as_object().into_iter().flatten();
        parameters.map(|(name, parameter)| (name.clone(), parameter["NoEcho"] == true)).collect()
    }

    /// Returns the names of the secrets that `CloudFormation` makes.
    #[must_use]
    pub fn secrets(&self) -> BTreeSet<String> {
        self.resources("AWS::SecretsManager::Secret").map(|(name, _)| name.to_owned()).collect()
    }

    /// Returns the variables that contain the name of a table, each with that name.
    #[must_use]
    pub fn table_variables(&self) -> BTreeMap<String, String> {
        let tables = self.tables();
        let variables = self.variables().into_values().flatten();
        variables.filter(|(_, value)| tables.iter().any(|table| table.name == *value)).collect()
    }

    /// Returns the variables that an operator can set: all variables of all functions, except table names and `AWS_*`.
    #[must_use]
    pub fn settings(&self) -> BTreeSet<String> {
        let tables = self.table_variables();
        let names = self.variables().into_values().flat_map(BTreeMap::into_keys);
        names.filter(|name| !tables.contains_key(name) && !name.starts_with("AWS_")).collect()
    }

    /// Returns the routes, sorted.
    #[must_use]
    pub fn routes(&self) -> Vec<Route> {
        let functions = self.resources("AWS::Serverless::Function");
        let mut routes: Vec<_> = functions
            .flat_map(|(name, properties)| {
                let events = properties["Events"].as_object().into_iter().flat_map(Map::values);
                let routes = events.filter(|event| event["Type"] == "HttpApi").map(|event| &event["Properties"]);
                routes.map(move |route| Route {
                    path: text(&route["Path"]),
                    method: text(&route["Method"]).to_uppercase(),
                    function: binary(name),
                })
            })
            .collect();
        routes.sort();
        routes
    }

    /// Returns the names of the binaries of all functions that have a route.
    #[must_use]
    pub fn functions(&self) -> Vec<String> {
        let mut functions: Vec<_> = self.routes().into_iter().map(|route| route.function).collect();
        functions.sort();
        functions.dedup();
        functions
    }

    /// Returns the CORS settings of the API. They are empty if the API has none.
    #[must_use]
    pub fn cors(&self) -> Cors {
        let list = |value: &Value| value.as_array().into_iter().flatten().map(text).collect::<Vec<_>>().join(",");
        let configuration = self.resources("AWS::Serverless::HttpApi").next().map(|(_, api)| &api["CorsConfiguration"]);
        match configuration {
            // `!If [condition, settings, settings that allow no origin]`
            Some(Value::Array(choice)) if choice.len() == 3 => Cors {
                methods: list(&choice[1]["AllowMethods"]),
                headers: list(&choice[1]["AllowHeaders"]),
                exposed: list(&choice[1]["ExposeHeaders"]),
                max_age: choice[1]["MaxAge"].as_u64().unwrap_or_default(),
            },
            _ => Cors::default(),
        }
    }

    /// Returns name and properties of all resources of one type.
    fn resources(&self, kind: &'static str) -> impl Iterator<Item = (&str, &Value)> {
        let resources = self.0["Resources"].as_object().into_iter().flatten();
        let of_kind = resources.filter(move |(_, resource)| resource["Type"] == kind);
        of_kind.map(|(name, resource)| (name.as_str(), &resource["Properties"]))
    }
}

/// Converts the properties of a table. The template and `CreateTable` use the same names for them.
fn table(name: &str, properties: &Value) -> Table {
    let shared_names = ["AttributeDefinitions", "KeySchema", "BillingMode", "LocalSecondaryIndexes"];
    let schema = shared_names.into_iter().filter_map(|key| Some((key.to_owned(), properties.get(key)?.clone())));
    let mut create: Map<String, Value> = schema.collect();
    create.insert("TableName".to_owned(), name.into());
    let time_to_live = properties
        .get("TimeToLiveSpecification")
        .map(|specification| serde_json::json!({ "TableName": name, "TimeToLiveSpecification": specification }));
    Table { name: name.to_owned(), create: create.into(), time_to_live }
}

/// Returns `true` for a function that a schedule calls.
fn is_scheduled(function: &Value) -> bool {
    function["Events"].as_object().into_iter().flat_map(Map::values).any(|event| event["Type"] == "Schedule")
}

/// Returns the name of a function's binary: `login` for `LoginFunction`.
fn binary(function: &str) -> String {
    function.trim_end_matches("Function").to_lowercase()
}

/// Returns a text, or the first value of a choice (`[condition, first, second]`).
fn text(value: &Value) -> String {
    value.get(1).unwrap_or(value).as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn root() -> &'static Path {
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
    }

    fn template() -> Template {
        Template::read(&root().join("template.yaml")).unwrap()
    }

    #[test]
    fn cargo_lambda_serves_the_routes_of_the_template() {
        let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
        let manifest: toml::Table = manifest.parse().unwrap();
        let router = manifest["workspace"]["metadata"]["lambda"]["watch"]["router"].as_array().unwrap();
        let mut served: Vec<_> = router
            .iter()
            .flat_map(|entry| {
                let text = |value: &toml::Value| value.as_str().unwrap().to_owned();
                let methods = entry["methods"].as_array().unwrap().iter();
                methods.map(move |method| Route {
                    path: text(&entry["path"]),
                    method: text(method),
                    function: text(&entry["function"]),
                })
            })
            .collect();
        served.sort();
        assert_eq!(served, template().routes());
        assert!(served.len() >= 4);
    }

    /// R90: a route must not accept any method.
    #[test]
    fn every_route_names_its_method() {
        assert!(template().routes().iter().all(|route| !["ANY", "", "*", "$DEFAULT"].contains(&route.method.as_str())));
    }

    #[test]
    fn tables_have_the_keys_that_the_stores_use() {
        let keys = |table: &Table| {
            table.create["KeySchema"]
                .as_array()
                .unwrap()
                .iter()
                .map(|key| text(&key["AttributeName"]))
                .collect::<Vec<_>>()
        };
        let tables = template().tables();
        let named = |name| tables.iter().find(|table| table.name == name).unwrap();
        assert_eq!(keys(named("UsersTable")), ["pk"]);
        assert_eq!(keys(named("SessionsTable")), ["user_id", "session_id"]);
        assert_eq!(keys(named("AttemptsTable")), ["counter_key"]);
        assert_eq!(named("UsersTable").time_to_live, None);
        for table in ["SessionsTable", "AttemptsTable"] {
            let time_to_live = named(table).time_to_live.as_ref().unwrap();
            assert_eq!(time_to_live["TimeToLiveSpecification"]["AttributeName"], "ttl");
        }
        let expected =
            [("ATTEMPTS_TABLE", "AttemptsTable"), ("SESSIONS_TABLE", "SessionsTable"), ("USERS_TABLE", "UsersTable")];
        let expected: BTreeMap<_, _> = expected.map(|(name, table)| (name.to_owned(), table.to_owned())).into();
        assert_eq!(template().table_variables(), expected);
    }

    /// Returns the resources of a statement: one, the first of a choice (`!If [condition, first, second]`), or a list.
    fn resources_of(statement: &Value) -> Vec<String> {
        let resource = &statement["Resource"];
        let is_choice = ["HasPepper", "MakesUsersTable"].iter().any(|condition| resource[0] == *condition);
        match resource.as_array() {
            Some(listed) if !is_choice => listed.iter().map(text).collect(),
            _ => vec![text(resource)],
        }
    }

    /// R96: each function has exactly the actions that it uses, on exactly the tables on which it uses them.
    #[test]
    fn each_function_has_exactly_the_permissions_that_it_uses() {
        let template = template();
        let mut granted = BTreeSet::new();
        for (function, properties) in template.resources("AWS::Serverless::Function") {
            let policies = properties["Policies"].as_array().unwrap();
            for statement in policies.iter().flat_map(|policy| policy["Statement"].as_array().unwrap()) {
                let action = &statement["Action"];
                let resources = resources_of(statement);
                assert_eq!(statement["Effect"], "Allow");
                let only = |pointer: &str| {
                    let said = statement["Condition"].pointer(pointer).and_then(Value::as_array);
                    said.into_iter().flatten().map(text).collect::<Vec<_>>().join(",")
                };
                let keys = only("/ForAllValues:StringLike/dynamodb:LeadingKeys");
                let attributes = only("/ForAllValues:StringEquals/dynamodb:Attributes");
                for action in action.as_array().unwrap_or(&vec![action.clone()]) {
                    for resource in &resources {
                        // Otherwise, an update that changes nothing could return a whole profile or a password hash.
                        if (action, resource.as_str()) == (&json!("dynamodb:UpdateItem"), "UsersTable.Arn") {
                            let returned = "/StringEqualsIfExists/dynamodb:ReturnValues";
                            assert_eq!(statement["Condition"].pointer(returned), Some(&json!("NONE")), "{function}");
                        }
                        granted.insert([function, &text(action), resource, &keys, &attributes].map(str::to_owned));
                    }
                }
            }
        }
        let expected = [
            ["AuthorizerFunction", "dynamodb:BatchGetItem", "SessionsTable.Arn", "", ""],
            ["AuthorizerFunction", "dynamodb:BatchGetItem", "UsersTable.Arn", "user#*", ""],
            ["LoginFunction", "dynamodb:BatchGetItem", "AttemptsTable.Arn", "", ""],
            ["LoginFunction", "dynamodb:BatchGetItem", "SessionsTable.Arn", "", ""],
            ["LoginFunction", "dynamodb:BatchGetItem", "UsersTable.Arn", "user#*,login#*", ""],
            ["LoginFunction", "dynamodb:ConditionCheckItem", "SessionsTable.Arn", "", ""],
            ["LoginFunction", "dynamodb:DeleteItem", "AttemptsTable.Arn", "", ""],
            ["LoginFunction", "dynamodb:GetItem", "UsersTable.Arn", "user#*,login#*", ""],
            ["LoginFunction", "dynamodb:PutItem", "AttemptsTable.Arn", "", ""],
            ["LoginFunction", "dynamodb:PutItem", "SessionsTable.Arn", "", ""],
            ["LoginFunction", "dynamodb:Query", "${SessionsTable.Arn}/index/ActiveSessions", "", ""],
            ["LoginFunction", "dynamodb:UpdateItem", "SessionsTable.Arn", "", ""],
            ["LoginFunction", "dynamodb:UpdateItem", "AttemptsTable.Arn", "", ""],
            ["LoginFunction", "dynamodb:UpdateItem", "UsersTable.Arn", "login#*", "pk,password_hash,password_version"],
            ["LogoutFunction", "dynamodb:BatchGetItem", "SessionsTable.Arn", "", ""],
            ["LogoutFunction", "dynamodb:BatchGetItem", "UsersTable.Arn", "user#*", ""],
            ["LogoutFunction", "dynamodb:UpdateItem", "SessionsTable.Arn", "", ""],
            ["LogoutFunction", "dynamodb:UpdateItem", "UsersTable.Arn", "user#*", "pk,session_epoch"],
            ["PasswordFunction", "dynamodb:BatchGetItem", "AttemptsTable.Arn", "", ""],
            ["PasswordFunction", "dynamodb:BatchGetItem", "SessionsTable.Arn", "", ""],
            ["PasswordFunction", "dynamodb:BatchGetItem", "UsersTable.Arn", "user#*,login#*", ""],
            ["PasswordFunction", "dynamodb:DeleteItem", "AttemptsTable.Arn", "", ""],
            ["PasswordFunction", "dynamodb:GetItem", "UsersTable.Arn", "user#*,login#*", ""],
            ["PasswordFunction", "dynamodb:PutItem", "AttemptsTable.Arn", "", ""],
            ["PasswordFunction", "dynamodb:PutItem", "SessionsTable.Arn", "", ""],
            ["PasswordFunction", "dynamodb:UpdateItem", "SessionsTable.Arn", "", ""],
            [
                "PasswordFunction",
                "dynamodb:UpdateItem",
                "UsersTable.Arn",
                "user#*,login#*",
                "pk,disabled,password_hash,password_version,session_epoch",
            ],
            ["SessionsFunction", "dynamodb:BatchGetItem", "SessionsTable.Arn", "", ""],
            ["SessionsFunction", "dynamodb:BatchGetItem", "UsersTable.Arn", "user#*", ""],
            ["SessionsFunction", "dynamodb:Query", "${SessionsTable.Arn}/index/ActiveSessions", "", ""],
            ["SessionsFunction", "dynamodb:UpdateItem", "SessionsTable.Arn", "", ""],
            ["SessionsFunction", "dynamodb:UpdateItem", "UsersTable.Arn", "user#*", "pk,session_epoch"],
            ["UserinfoFunction", "dynamodb:BatchGetItem", "SessionsTable.Arn", "", ""],
            ["UserinfoFunction", "dynamodb:BatchGetItem", "UsersTable.Arn", "user#*", ""],
            ["UserinfoFunction", "dynamodb:Query", "${SessionsTable.Arn}/index/ActiveSessions", "", ""],
            ["UserinfoFunction", "dynamodb:UpdateItem", "SessionsTable.Arn", "", ""],
            ["RotationFunction", "secretsmanager:GetSecretValue", "AccessSecret", "", ""],
            ["RotationFunction", "secretsmanager:PutSecretValue", "AccessSecret", "", ""],
            ["RotationFunction", "secretsmanager:UpdateSecretVersionStage", "AccessSecret", "", ""],
            ["RotationFunction", "secretsmanager:GetSecretValue", "RefreshSecret", "", ""],
            ["RotationFunction", "secretsmanager:PutSecretValue", "RefreshSecret", "", ""],
            ["RotationFunction", "secretsmanager:UpdateSecretVersionStage", "RefreshSecret", "", ""],
            ["RotationFunction", "secretsmanager:GetSecretValue", "DeviceSecret", "", ""],
            ["RotationFunction", "secretsmanager:PutSecretValue", "DeviceSecret", "", ""],
            ["RotationFunction", "secretsmanager:UpdateSecretVersionStage", "DeviceSecret", "", ""],
            ["AuthorizerFunction", "secretsmanager:GetSecretValue", "AccessSecret", "", ""],
            ["AuthorizerFunction", "secretsmanager:GetSecretValue", "RefreshSecret", "", ""],
            ["JwksFunction", "secretsmanager:GetSecretValue", "AccessSecret", "", ""],
            ["LoginFunction", "secretsmanager:GetSecretValue", "AccessSecret", "", ""],
            ["LoginFunction", "secretsmanager:GetSecretValue", "RefreshSecret", "", ""],
            ["LoginFunction", "secretsmanager:GetSecretValue", "DeviceSecret", "", ""],
            ["LoginFunction", "secretsmanager:GetSecretValue", "ThrottleSecret", "", ""],
            ["LoginFunction", "secretsmanager:GetSecretValue", "PasswordPepper", "", ""],
            ["LogoutFunction", "secretsmanager:GetSecretValue", "AccessSecret", "", ""],
            ["LogoutFunction", "secretsmanager:GetSecretValue", "RefreshSecret", "", ""],
            ["PasswordFunction", "secretsmanager:GetSecretValue", "AccessSecret", "", ""],
            ["PasswordFunction", "secretsmanager:GetSecretValue", "RefreshSecret", "", ""],
            ["PasswordFunction", "secretsmanager:GetSecretValue", "ThrottleSecret", "", ""],
            ["PasswordFunction", "secretsmanager:GetSecretValue", "PasswordPepper", "", ""],
            ["SessionsFunction", "secretsmanager:GetSecretValue", "AccessSecret", "", ""],
            ["SessionsFunction", "secretsmanager:GetSecretValue", "RefreshSecret", "", ""],
            ["UserinfoFunction", "secretsmanager:GetSecretValue", "AccessSecret", "", ""],
            ["UserinfoFunction", "secretsmanager:GetSecretValue", "RefreshSecret", "", ""],
        ];
        assert_eq!(granted, expected.map(|row| row.map(str::to_owned)).into());
    }

    /// Otherwise, a function of the operator's own in this template could write events of ours.
    #[test]
    fn only_our_functions_write_to_their_log_group() {
        let template = template();
        assert!(template.0.pointer("/Globals/Function/LoggingConfig/LogGroup").is_none());
        for (function, properties) in template.resources("AWS::Serverless::Function") {
            assert_eq!(properties["LoggingConfig"]["LogGroup"], "FunctionLogGroup", "{function}");
        }
    }

    /// R33: a deployment creates tables without items.
    #[test]
    fn a_deployed_stack_starts_without_users() {
        let resources = template().0["Resources"].as_object().unwrap().clone();
        let kinds: BTreeSet<_> = resources.values().map(|resource| text(&resource["Type"])).collect();
        let expected = [
            "AWS::ApiGatewayV2::ApiMapping",
            "AWS::ApiGatewayV2::DomainName",
            "AWS::CertificateManager::Certificate",
            "AWS::CloudWatch::Alarm",
            "AWS::CloudWatch::Dashboard",
            "AWS::DynamoDB::Table",
            "AWS::IAM::Role",
            "AWS::Lambda::Function",
            "AWS::Logs::LogGroup",
            "AWS::Route53::RecordSet",
            "AWS::SNS::Subscription",
            "AWS::SNS::Topic",
            "AWS::SecretsManager::Secret",
            "AWS::Serverless::Function",
            "AWS::Serverless::HttpApi",
            "Custom::DeploymentCheck",
        ];
        assert_eq!(kinds, expected.map(str::to_owned).into());
        assert!(resources.values().all(|resource| resource["Properties"].get("ImportSourceSpecification").is_none()));
    }

    #[test]
    fn preflight_allows_the_methods_of_the_routes() {
        let cors = template().cors();
        let allowed: BTreeSet<_> = cors.methods.split(',').map(str::to_owned).collect();
        assert_eq!(allowed, template().routes().into_iter().map(|route| route.method).collect());
        assert!(cors.headers.contains("content-type") && cors.headers.contains("authorization") && cors.max_age > 0);
        assert_eq!(cors.exposed, "retry-after", "otherwise no page of another origin can read Retry-After");
    }

    #[test]
    fn a_missing_template_is_reported_by_name() {
        let error = Template::read(Path::new("no-such-template.yaml")).unwrap_err();
        assert!(error.to_string().contains("no-such-template.yaml"), "{error}");
    }
}
