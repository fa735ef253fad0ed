//! A stack in an account of AWS. `CloudFormation` knows its tables and its address, and Lambda the settings of its
//! functions.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_cloudformation::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::config::SharedHttpClient;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;

use super::{Place, Stack, Variables};
use crate::failure::Failure;

/// The outputs of the template, and the variables of the functions with the same value.
const TABLES: [(&str, &str); 3] = [
    ("UsersTableName", "USERS_TABLE"),
    ("SessionsTableName", "SESSIONS_TABLE"),
    ("AttemptsTableName", "ATTEMPTS_TABLE"),
];

/// Finds the stack with this name.
pub(super) async fn find(name: &str, profile: Option<&str>, region: Option<String>) -> Result<Stack> {
    let sdk = load(profile, region).await?;
    let described = aws_sdk_cloudformation::Client::new(&sdk).describe_stacks().stack_name(name).send().await;
    let described = match described {
        Ok(described) => described,
        Err(error) if error.message().is_some_and(|text| text.contains("does not exist")) => {
            let region = sdk.region().map_or("", |region| region.as_ref());
            let text = format!("There is no stack {name} in {region}. --region and --profile choose another place.");
            return Err(Failure::NotFound(text).into());
        }
        Err(error) => return Err(refused("cloudformation:DescribeStacks", &error)),
    };
    let stack = described.stacks().first().context("CloudFormation described no stack")?;
    let output = |key: &str| {
        let mut outputs = stack.outputs().iter();
        outputs
            .find(|output| output.output_key() == Some(key))
            .and_then(|output| output.output_value())
            .map(str::to_owned)
    };
    let required = |key: &str| {
        let text = format!("The stack {name} has no output {key}. Is it a stack of Latchkey?");
        output(key).ok_or(Failure::NotFound(text))
    };
    let tables = TABLES.map(|(key, variable)| Ok::<_, Failure>((variable.to_owned(), required(key)?)));
    let tables = tables.into_iter().collect::<Result<BTreeMap<_, _>, _>>()?;
    Ok(Stack { name: name.to_owned(), url: required("ApiUrl")?, place: Place::Deployed, sdk, tables })
}

/// Reads credentials and region as the AWS CLI does.
pub(super) async fn load(profile: Option<&str>, region: Option<String>) -> Result<SdkConfig> {
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .http_client(http_client())
        .timeout_config(timeouts())
        .retry_config(retries());
    if let Some(profile) = profile {
        loader = loader.profile_name(profile);
    }
    if let Some(region) = region {
        loader = loader.region(Region::new(region));
    }
    let sdk = loader.load().await;
    if sdk.region().is_none() {
        let text = "There is no region. Use --region, AWS_REGION, or a profile with a region.";
        return Err(Failure::Denied(text.into()).into());
    }
    Ok(sdk)
}

/// Returns the names of all functions, by their names in the template.
pub(super) async fn functions(sdk: &SdkConfig, stack: &str) -> Result<BTreeMap<String, String>> {
    let call = aws_sdk_cloudformation::Client::new(sdk).list_stack_resources().stack_name(stack);
    let mut pages = call.into_paginator().send();
    let mut functions = BTreeMap::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| refused("cloudformation:ListStackResources", &error))?;
        let resources = page.stack_resource_summaries.unwrap_or_default().into_iter();
        functions.extend(
            resources
                .filter(|resource| resource.resource_type() == Some("AWS::Lambda::Function"))
                .filter_map(|resource| Some((resource.logical_resource_id?, resource.physical_resource_id?))),
        );
    }
    Ok(functions)
}

/// Returns the variables of a function, and its memory.
pub(super) async fn variables(sdk: &SdkConfig, stack: &str, function: &str) -> Result<Variables> {
    let logical = format!("{}Function", capitalised(function));
    let resource = aws_sdk_cloudformation::Client::new(sdk)
        .describe_stack_resource()
        .stack_name(stack)
        .logical_resource_id(&logical)
        .send()
        .await
        .map_err(|error| refused("cloudformation:DescribeStackResource", &error))?;
    let name = resource.stack_resource_detail.and_then(|resource| resource.physical_resource_id);
    let name = name.with_context(|| format!("the stack has no {logical}"))?;
    let settings = aws_sdk_lambda::Client::new(sdk)
        .get_function_configuration()
        .function_name(name)
        .send()
        .await
        .map_err(|error| refused("lambda:GetFunctionConfiguration", &error))?;
    let environment = settings.environment.context("the function has no settings")?;
    if let Some(error) = environment.error {
        // For example, an operator who may not use the KMS key of the settings. Without them, a password would be
        // stored without the pepper.
        let text = error.message.or(error.error_code).unwrap_or_default();
        return Err(Failure::Denied(format!("Lambda cannot show the settings of {function}: {text}")).into());
    }
    let mut variables: Variables = environment.variables.unwrap_or_default().into_iter().collect();
    // The template sets this variable for every function.
    if !variables.contains_key("METRICS_NAMESPACE") {
        return Err(Failure::Denied(format!("Lambda shows no settings of {function}.")).into());
    }
    if let Some(memory) = settings.memory_size {
        variables.insert("AWS_LAMBDA_FUNCTION_MEMORY_SIZE".to_owned(), memory.to_string());
    }
    Ok(variables)
}

/// Returns the text of a secret.
pub(super) async fn secret(sdk: &SdkConfig, arn: &str) -> Result<String> {
    let call = aws_sdk_secretsmanager::Client::new(sdk).get_secret_value().secret_id(arn);
    let secret = call.send().await.map_err(|error| refused("secretsmanager:GetSecretValue", &error))?;
    secret.secret_string.context("the secret has no text")
}

fn capitalised(function: &str) -> String {
    let mut letters = function.chars();
    letters.next().map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + letters.as_str())
}

/// Returns the failure for a call that AWS refused, or that did not reach AWS.
pub fn refused<E>(action: &str, error: &aws_sdk_dynamodb::error::SdkError<E>) -> anyhow::Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    use aws_sdk_dynamodb::error::SdkError;
    let causes = {
        let causes = std::iter::successors(Some(error as &dyn std::error::Error), |cause| cause.source());
        causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
    };
    let service =
        error.as_service_error().and_then(|service| Some(format!("{}: {}", service.code()?, service.message()?)));
    let is_outage = error.raw_response().is_some_and(|response| response.status().is_server_error())
        || error.as_service_error().and_then(ProvideErrorMetadata::code).is_some_and(is_throttling);
    match (error, service) {
        (SdkError::ServiceError(_), Some(text)) if is_outage => {
            Failure::Unavailable(format!("AWS did not answer {action}: {text}")).into()
        }
        (SdkError::ServiceError(_), Some(text)) => Failure::Denied(format!(
            "AWS refused {action}. {text}\n`latchkey iam-policy` prints the policy that the commands need."
        ))
        .into(),
        (SdkError::DispatchFailure(_) | SdkError::TimeoutError(_), _) if !causes.contains("credentials") => {
            Failure::Unavailable(format!("AWS did not answer {action}: {causes}")).into()
        }
        _ if causes.contains("credentials") => Failure::Denied(format!(
            "There are no AWS credentials: {causes}\nUse --profile, `aws sso login`, or the variables of the AWS CLI."
        ))
        .into(),
        _ => Failure::Denied(format!("AWS refused {action}: {causes}")).into(),
    }
}

fn is_throttling(code: &str) -> bool {
    code.starts_with("Throttl") || matches!(code, "TooManyRequestsException" | "RequestLimitExceeded")
}

/// Returns a client that trusts the certificate authorities of this machine.
pub(super) fn http_client() -> SharedHttpClient {
    Builder::new().tls_provider(Provider::Rustls(CryptoMode::AwsLc)).build_https()
}

/// An operator waits longer than a login form does.
pub(super) fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(5))
        .read_timeout(Duration::from_secs(20))
        .operation_attempt_timeout(Duration::from_secs(20))
        .operation_timeout(Duration::from_mins(2))
        .build()
}

/// A few attempts, so that an operator soon learns of an outage. An import waits longer by itself.
pub(super) fn retries() -> RetryConfig {
    RetryConfig::standard().with_max_attempts(4).with_max_backoff(Duration::from_secs(2))
}
