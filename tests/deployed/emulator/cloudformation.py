"""CloudFormation: what ministack leaves out when it deploys a SAM template."""
import os
import string
import threading

import samtranslator.translator.transform as sam
from ministack.services import dynamodb
from ministack.services.cloudformation import changesets, custom_resource, engine, handlers, provisioners

parameters = threading.local()


def install():
    give_parameters_to_sam()
    apply_properties_of_tables()
    refer_to_secrets_by_arn()
    exclude_punctuation()
    accept_metric_math()
    give_custom_resources_an_address()


def give_parameters_to_sam():
    """Passes the values of the parameters to SAM's transform, as CloudFormation does. ministack passes none, and a
    `!Ref` in `CorsConfiguration` would be the default of the parameter."""
    apply, transform = engine._apply_transforms, sam.transform

    def apply_transforms(template, provided=None, previous=None):
        parameters.values = engine._transform_parameters(template, provided, previous)
        return apply(template, provided, previous)

    for module in (engine, changesets, handlers):
        module._apply_transforms = apply_transforms
    sam.transform = lambda template, _, *rest, **options: transform(template, dict(parameters.values), *rest, **options)


def apply_properties_of_tables():
    """Applies the properties of a table that ministack accepts and ignores: time to live, backups and encryption."""
    table_handlers = provisioners._RESOURCE_HANDLERS["AWS::DynamoDB::Table"]
    create, update = table_handlers["create"], table_handlers["update"]

    def apply(table, properties):
        if "TimeToLiveSpecification" in properties:
            wanted = properties["TimeToLiveSpecification"]
            is_on = (dynamodb._ttl_settings.get(table) or {}).get("TimeToLiveStatus") == "ENABLED"
            if bool(wanted.get("Enabled")) != is_on:
                dynamodb._update_ttl({"TableName": table, "TimeToLiveSpecification": wanted})
        if "PointInTimeRecoverySpecification" in properties:
            wanted = properties["PointInTimeRecoverySpecification"]
            dynamodb._update_continuous_backups({"TableName": table, "PointInTimeRecoverySpecification": wanted})
        if "SSESpecification" in properties:
            wanted = dict(properties["SSESpecification"])
            wanted["Enabled"] = wanted.pop("SSEEnabled", False)
            dynamodb._tables[table]["SSEDescription"] = dynamodb._sse_description_from_spec(wanted)

    def create_table(logical_id, properties, stack):
        created = create(logical_id, properties, stack)
        apply(created[0], properties)
        return created

    def update_table(table, old, new, stack, logical_id=None):
        updated = update(table, old, new, stack, logical_id)
        apply(updated[0], new)
        return updated

    table_handlers.update(create=create_table, update=update_table)


def refer_to_secrets_by_arn():
    """Makes the ARN of a secret the value of its `Ref`, as on AWS. In ministack, it is the name."""
    secret_handlers = provisioners._RESOURCE_HANDLERS["AWS::SecretsManager::Secret"]
    create, update, delete = (secret_handlers[action] for action in ("create", "update", "delete"))

    def name_of(arn):
        secrets = provisioners._sm._secrets
        return next((name for name, secret in secrets.items() if secret["ARN"] == arn), arn)

    def create_secret(logical_id, properties, stack):
        _, attributes = create(logical_id, properties, stack)
        return attributes["Arn"], attributes

    def update_secret(arn, old, new, stack, logical_id=None):
        _, attributes = update(name_of(arn), old, new, stack, logical_id)
        return attributes["Arn"], attributes

    secret_handlers.update(
        create=create_secret, update=update_secret, delete=lambda arn, properties: delete(name_of(arn), properties))


def exclude_punctuation():
    """Applies `ExcludePunctuation` of `GenerateSecretString`. ministack ignores it."""
    generate = provisioners._sm_secret_string

    def without_punctuation(properties):
        wanted = properties.get("GenerateSecretString") or {}
        if wanted.get("ExcludePunctuation"):
            excluded = wanted.get("ExcludeCharacters", "") + string.punctuation
            properties = {**properties, "GenerateSecretString": {**wanted, "ExcludeCharacters": excluded}}
        return generate(properties)

    provisioners._sm_secret_string = without_punctuation


def accept_metric_math():
    """Accepts alarms with an expression over several metrics. ministack refuses them. It keeps the first metric, and
    evaluates no alarm of a template anyway."""
    record = provisioners._cw_metric_alarm_record

    def record_with_metric(name, properties):
        terms = properties.get("Metrics")
        if terms:
            first = next(term["MetricStat"] for term in terms if "MetricStat" in term)
            kept = {name: value for name, value in properties.items() if name != "Metrics"}
            properties = {**first["Metric"], "Statistic": first["Stat"], "Period": first["Period"], **kept}
        return record(name, properties)

    provisioners._cw_metric_alarm_record = record_with_metric


def give_custom_resources_an_address():
    """Makes the address to which a custom resource sends its result an address of this machine. ministack uses a host
    name of AWS."""
    custom_resource._gateway_url = lambda: os.environ["AWS_ENDPOINT_URL"]
