#!/usr/bin/env python3
"""Prints what a stack costs a month, by number of users, as the table of docs/operate.md.

    bench/cost.py              the table by number of users
    bench/cost.py authorizer   the table of docs/integrate.md: a million requests through the authorizer

Prices are list prices of us-east-1 in US dollars, without free tiers. Change the numbers below for your own case.
"""
import sys

# Prices. On-demand DynamoDB, Lambda on arm64, the first tier of each price.
LAMBDA_REQUEST = 0.20e-6
LAMBDA_GB_SECOND = 0.0000133334
HTTP_API_REQUEST = 1.00e-6
READ_UNIT = 0.125e-6
WRITE_UNIT = 0.625e-6
TABLE_GB = 0.25
BACKUP_GB = 0.20
LOG_GB = 0.50
SECRET = 0.40
SECRET_CALL = 0.05 / 10_000
KMS_CALL = 0.03 / 10_000
ALARM_METRIC = 0.10
CUSTOM_METRIC = 0.30
COGNITO = {"Lite": 0.0055, "Essentials": 0.015}
COGNITO_FREE_USERS = 10_000

# What one user does in a month: 20 days of use with a persistent session.
LOGINS = 2
RENEWALS = 20
USERINFO = 100
LOGOUTS = 1
AUTHORIZED = 600

# Billed time in seconds, and memory in GB. We have not measured the times on AWS.
LOGIN = 0.060 * 1769 / 1024
OTHER = 0.010 * 256 / 1024

# Read and write units of a request: docs/passwords.md, docs/sessions.md and `cargo ended-sessions`.
UNITS = {"login": (5, 6), "renewal": (2, 1), "userinfo": (2, 0), "logout": (0, 2), "authorized": (2, 0)}

# Bytes in the log for a request: the line of the function, the two lines of Lambda, and the line of API Gateway.
LOG_BYTES = 500 + 360 + 380
# Bytes that an average user has in the users table, and in the sessions table.
USER_BYTES, SESSION_BYTES = 1000, 2000

# What does not depend on the number of users. One instance of each function reads its secrets every 300 s.
SECRETS, ALARM_METRICS, EVENT_METRICS = 4, 38, 15
SECRETS_OF_FUNCTIONS = 4 + 2 + 2 + 3 + 2 + 2 + 1
TABLES_OF_FUNCTIONS = 3 + 2 + 2 + 3 + 2 + 2
PERIODS = 730 * 3600 / 300
# Requests at the busiest time, compared with the average. Each instance reads two secrets, and more for a login.
PEAK = 10


def units(kind, count):
    reads, writes = UNITS[kind]
    return count * (reads * READ_UNIT + writes * WRITE_UNIT)


def logs(requests):
    return requests * LOG_BYTES / 2**30 * LOG_GB


def authorizer(requests):
    """Returns the cost of the authorizer for this number of requests."""
    return {
        "Lambda": requests * (LAMBDA_REQUEST + OTHER * LAMBDA_GB_SECOND),
        "DynamoDB": units("authorized", requests),
        "logs": logs(requests),
    }


def month(users):
    """Returns the cost of a month for this number of monthly users."""
    each = {"login": LOGINS, "renewal": RENEWALS, "userinfo": USERINFO, "logout": LOGOUTS}
    counts = {kind: count * users for kind, count in each.items()}
    requests = sum(counts.values())
    authorized = authorizer(AUTHORIZED * users)
    gb_seconds = counts["login"] * LOGIN + (requests - counts["login"]) * OTHER
    gigabytes = users / 2**30
    more_instances = PEAK * (requests + AUTHORIZED * users) * 0.010 / (730 * 3600)
    secret_calls = PERIODS * (SECRETS_OF_FUNCTIONS + 2 * more_instances)
    fixed = SECRETS * SECRET + secret_calls * SECRET_CALL + PERIODS * TABLES_OF_FUNCTIONS * KMS_CALL
    return {
        "secrets, alarms, metrics": fixed + ALARM_METRICS * ALARM_METRIC + EVENT_METRICS * CUSTOM_METRIC,
        "HTTP API": requests * HTTP_API_REQUEST,
        "Lambda": requests * LAMBDA_REQUEST + gb_seconds * LAMBDA_GB_SECOND + authorized["Lambda"],
        "DynamoDB": sum(units(kind, count) for kind, count in counts.items()) + authorized["DynamoDB"]
        + gigabytes * (USER_BYTES * (TABLE_GB + BACKUP_GB) + SESSION_BYTES * TABLE_GB),
        "logs": logs(requests) + authorized["logs"],
    }


def by_users():
    columns = list(month(1))
    columns = ["users", *columns, "**Latchkey**", *(f"Cognito {tier}" for tier in COGNITO)]
    print("| " + " | ".join(columns) + " |")
    print("|" + "---:|" * len(columns))
    for users in (1_000, 10_000, 100_000, 1_000_000):
        cost = month(users)
        billed = max(0, users - COGNITO_FREE_USERS)
        cells = [f"{value:,.2f}" for value in cost.values()]
        cells.append(f"**{sum(cost.values()):,.2f}**")
        cells += [f"{billed * price:,.2f}" for price in COGNITO.values()]
        print(f"| {users:,} | " + " | ".join(cells) + " |")


def by_request():
    cost = authorizer(1_000_000)
    print("| a million requests | US dollars |")
    print("|---|---:|")
    for name, value in cost.items():
        print(f"| {name} | {value:.2f} |")
    print(f"| **together** | **{sum(cost.values()):.2f}** |")


if __name__ == "__main__":
    by_request() if sys.argv[1:] == ["authorizer"] else by_users()
