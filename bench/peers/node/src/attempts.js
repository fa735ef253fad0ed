/** Counters of wrong passwords, by the rules of `shared/src/throttle`. An attempt is counted before the hash. */

import { DeleteItemCommand, PutItemCommand } from "@aws-sdk/client-dynamodb";
import { createHmac } from "node:crypto";
import { isIPv4, isIPv6 } from "node:net";
import { HttpError } from "./http.js";
import { ATTEMPTS, batchGet, number, record, send, text, updateIf } from "./store.js";

const FREE_FAILURES = 5;
const MAX_WAIT = 900;
const DISABLE_AFTER = 100;
const MEMORY = 30 * 86_400;
const HOURLY = Number(process.env.SOURCE_FAILURES_PER_HOUR ?? 100);
const ATTEMPT = 3600;

/** The limit of one account: exponential backoff. */
const backoff = {
  admit(stored, now) {
    const expires = stored && !isPermanent(stored.failures) ? stored.at + MEMORY : Infinity;
    const { failures, at } = stored && now < expires ? stored : { failures: 0, at: now };
    const wait = at + waitAfter(failures) - now;
    if (waitAfter(failures) > 0 && wait > 0) throw tooMany(wait);
    return { failures: failures + 1, at: Math.max(now, at) };
  },
  expiresAt: ({ failures, at }) => isPermanent(failures) ? undefined : at + MEMORY,
};

/** The limit of one source address: a leaky bucket. */
const bucket = {
  admit(stored, now) {
    const { level, at } = stored ?? { level: 0, at: now };
    const left = Math.max(0, level - Math.max(0, now - at) * HOURLY);
    const excess = left + ATTEMPT - HOURLY * ATTEMPT;
    if (excess > 0) throw tooMany(Math.ceil(excess / HOURLY));
    return { level: left + ATTEMPT, at: Math.max(now, at) };
  },
  expiresAt: ({ level, at }) => at + Math.ceil(level / HOURLY),
};

function waitAfter(failures) {
  return failures < FREE_FAILURES ? 0 : Math.min(2 ** (failures - FREE_FAILURES), MAX_WAIT);
}

function isPermanent(failures) {
  return failures >= DISABLE_AFTER || waitAfter(failures) >= MAX_WAIT;
}

function tooMany(wait) {
  const detail = `There have been too many wrong passwords. Try again in ${wait} s.`;
  return new HttpError(429, detail, { "retry-after": String(wait) });
}

/** Checks the limits of an attempt. Only reads. Returns the counters. */
export async function admit(loginName, sourceIp, now) {
  const tag = createHmac("sha256", process.env.THROTTLE_SECRET).update(`latchkey account\0${loginName}`).digest();
  const account = { key: `account#${tag.subarray(0, 16).toString("base64url")}`, limit: backoff };
  const network = HOURLY > 0 ? networkOf(sourceIp) : undefined;
  const counters = network ? [{ key: `source#${network}`, limit: bucket }, account] : [account];
  const found = await batchGet({ [ATTEMPTS]: counters.map(({ key }) => ({ counter_key: text(key) })) });
  for (const item of found[ATTEMPTS] ?? []) {
    counters.find(({ key }) => key === item.counter_key.S).item = item;
  }
  for (const counter of counters) counter.limit.admit(counter.item && record(counter.item), now);
  return counters;
}

/** Counts an attempt, before its result is known. Returns the failures of the account. */
export async function reserve(counters, now) {
  let count;
  for (const counter of counters) count = await increment(counter, now);
  return count.failures;
}

async function increment({ key, limit, item }, now) {
  for (;;) {
    const next = limit.admit(item && record(item), now);
    const ttl = limit.expiresAt(next);
    const attributes = { v: number(1) };
    for (const name in next) attributes[name] = number(next[name]);
    const [names, values, conditions] = [{}, {}, []];
    for (const name in attributes) {
      names[`#${name}`] = name;
      if (item) values[`:${name}`] = item[name];
      conditions.push(item ? `#${name} = :${name}` : `attribute_not_exists(#${name})`);
    }
    try {
      await send(new PutItemCommand({
        TableName: ATTEMPTS,
        Item: { ...attributes, counter_key: text(key), ...(ttl !== undefined && { ttl: number(ttl) }) },
        ConditionExpression: conditions.join(" AND "),
        ExpressionAttributeNames: names,
        ...(item && { ExpressionAttributeValues: values }),
        ReturnValuesOnConditionCheckFailure: "ALL_OLD",
      }));
      return next;
    } catch (error) {
      if (error.name !== "ConditionalCheckFailedException") throw error;
      item = error.Item;
    }
  }
}

/** Records a success, best effort: the counter of the account starts anew, and the source gets its attempt back. */
export async function succeeded(counters) {
  const undo = counters.map(({ key, limit }) => limit === backoff ? reset(key) : refund(key));
  await Promise.allSettled(undo);
}

/** Returns `true` if so many attempts failed that the password is disabled. */
export function isDisabled(failures) {
  return failures > DISABLE_AFTER;
}

function reset(key) {
  return send(new DeleteItemCommand({ TableName: ATTEMPTS, Key: { counter_key: text(key) } }));
}

function refund(key) {
  return updateIf({
    TableName: ATTEMPTS,
    Key: { counter_key: text(key) },
    UpdateExpression: "SET #level = #level - :attempt",
    ConditionExpression: "#level >= :attempt",
    ExpressionAttributeNames: { "#level": "level" },
    ExpressionAttributeValues: { ":attempt": number(ATTEMPT) },
  });
}

/** Returns the IPv4 address, or the /64 network of an IPv6 address. */
function networkOf(address = "") {
  if (isIPv4(address)) return address;
  if (!isIPv6(address)) return undefined;
  const [head, tail] = address.split("::").map((part) => part.split(":").filter(Boolean));
  const groups = tail ? [...head, ...Array(8 - head.length - tail.length).fill("0"), ...tail] : head;
  return `${groups.slice(0, 4).map((group) => parseInt(group, 16).toString(16)).join(":")}::/64`;
}
