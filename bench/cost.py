#!/usr/bin/env python3
"""Prints what a stack costs, as the tables of docs/scale.md and docs/integrate.md.

    bench/cost.py              a month, by number of users
    bench/cost.py requests     a million requests of each kind
    bench/cost.py prices       the list prices
    bench/cost.py authorizer   a million requests through the authorizer

Prices are list prices of us-east-1 in US dollars, without free tiers. They are in bench/cost.json, together with the
capacity units and the assumed billed time of each request, and with what a user does in a month. Change the numbers
there for your own case.
"""
import json
import pathlib
import sys

COST = json.loads(pathlib.Path(__file__).with_name("cost.json").read_text())
PRICES, REQUESTS, LOG_BYTES = COST["prices"], COST["requests"], COST["log_bytes"]

# What one user does in a month: 20 days of use with a persistent session. Requests through the authorizer are requests
# to other routes, so that their cost at the HTTP API is not counted.
MONTH = {kind: count for kind, count in COST["month"].items() if kind != "authorizer"}
AUTHORIZED = COST["month"]["authorizer"]

# Bytes that an average user has in the users table, and in the sessions table.
USER_BYTES, SESSION_BYTES = 1000, 2000

# What does not depend on the number of users. One instance of each function reads its secrets every 300 s.
SECRETS, ALARM_METRICS, EVENT_METRICS = 4, 38, 15
SECRETS_OF_FUNCTIONS = 4 + 2 + 2 + 3 + 2 + 2 + 1
TABLES_OF_FUNCTIONS = 3 + 2 + 2 + 3 + 2 + 2
PERIODS = 730 * 3600 / 300
# Requests at the busiest time, compared with the average. Each instance reads two secrets, and more for a login.
PEAK = 10


def tiers(prices, quantity):
    """Returns the price of a quantity. Each tier is the quantity from which on its price applies, and this price."""
    ends = [start for start, _ in prices[1:]] + [float("inf")]
    return sum(max(0, min(quantity, end) - start) * price for (start, price), end in zip(prices, ends))


def usd(name, quantity):
    return tiers(PRICES[name]["tiers"], quantity) / PRICES[name]["per"]


def requests(counts, has_api=True):
    """Returns the cost of these numbers of requests, by service."""
    total = sum(counts.values())

    def every(of_one):
        return sum(count * of_one(REQUESTS[kind]) for kind, count in counts.items())

    gb_seconds = every(lambda request: request["ms"] / 1000 * request["mb"] / 1024)
    return {
        "HTTP API": usd("http_api_request", total) if has_api else 0,
        "Lambda": usd("lambda_request", total) + usd("lambda_gb_second", gb_seconds),
        "DynamoDB": usd("read_unit", every(lambda request: request["reads"]))
        + usd("write_unit", every(lambda request: request["writes"])),
        "logs": usd("log_gb", total * sum(LOG_BYTES.values()) / 2**30),
    }


def month(users):
    """Returns the cost of a month for this number of monthly users."""
    counts = {kind: count * users for kind, count in MONTH.items()}
    cost = requests(counts)
    for name, value in requests({"authorizer": AUTHORIZED * users}, has_api=False).items():
        cost[name] += value
    all_requests = sum(counts.values()) + AUTHORIZED * users
    more_instances = PEAK * all_requests * REQUESTS["userinfo"]["ms"] / 1000 / (730 * 3600)
    fixed = (
        usd("secret", SECRETS)
        + usd("secret_call", PERIODS * (SECRETS_OF_FUNCTIONS + 2 * more_instances))
        + usd("kms_call", PERIODS * TABLES_OF_FUNCTIONS)
        + usd("alarm_metric", ALARM_METRICS)
        + usd("custom_metric", EVENT_METRICS)
    )
    gigabytes = users / 2**30
    cost["DynamoDB"] += usd("table_gb", gigabytes * (USER_BYTES + SESSION_BYTES))
    cost["DynamoDB"] += usd("backup_gb", gigabytes * USER_BYTES)
    return {"secrets, alarms, metrics": fixed} | cost


def table(header, rows, is_text=1):
    print("| " + " | ".join(header) + " |")
    print("|" + "---|" * is_text + "---:|" * (len(header) - is_text))
    for row in rows:
        print("| " + " | ".join(row) + " |")


def by_users():
    header = ["users", *month(1), "**Latchkey**", *(f"Cognito {plan}" for plan in COST["cognito"])]
    rows = []
    for users in (10_000, 100_000, 1_000_000, 10_000_000):
        cost = month(users)
        plans = [tiers(prices, users) for prices in COST["cognito"].values()]
        total = sum(cost.values())
        rows.append([f"{users:,}", *(f"{value:,.0f}" for value in cost.values()), f"**{total:,.0f}**"])
        rows[-1] += [f"{value:,.0f}" if value else "free" for value in plans]
    table(header, rows, is_text=0)


def by_request():
    rows = []
    for kind in REQUESTS:
        cost = requests({kind: 1_000_000}, has_api=kind != "authorizer")
        rows.append([kind, *(f"{value:.2f}" for value in cost.values()), f"**{sum(cost.values()):.2f}**"])
    table(["a million of", *requests({}), "**together**"], rows)


def list_prices():
    def steps(tiers):
        return ", ".join(f"{value:g}" + (f" from {start:,} on" if start else "") for start, value in tiers)

    def page(name):
        return f"[{name}](https://aws.amazon.com/{name}/pricing/)"

    rows = [[price["what"], steps(price["tiers"]), page(price["page"])] for price in PRICES.values()]
    for plan, prices in COST["cognito"].items():
        rows.append([f"Cognito {plan}: a monthly active user", steps(prices), page("cognito")])
    table(["what", "US dollars", "page of AWS"], rows, is_text=3)


def by_authorized_request():
    cost = requests({"authorizer": 1_000_000}, has_api=False)
    del cost["HTTP API"]
    rows = [[name, f"{value:.2f}"] for name, value in cost.items()]
    table(["a million requests", "US dollars"], [*rows, ["**together**", f"**{sum(cost.values()):.2f}**"]])


if __name__ == "__main__":
    commands = {"": by_users, "requests": by_request, "prices": list_prices, "authorizer": by_authorized_request}
    name = sys.argv[1] if len(sys.argv) == 2 else ""
    if name not in commands or len(sys.argv) > 2 or name in ("-h", "--help"):
        sys.exit(__doc__)
    commands[name]()
