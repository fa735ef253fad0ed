/** DynamoDB: the client, and the records of users and sessions. */

import { BatchGetItemCommand, DynamoDBClient, UpdateItemCommand } from "@aws-sdk/client-dynamodb";

export const USERS = process.env.USERS_TABLE;
export const SESSIONS = process.env.SESSIONS_TABLE;
export const ATTEMPTS = process.env.ATTEMPTS_TABLE;

/** How long DynamoDB keeps the record of a session after its end, in seconds. */
export const RETENTION = 7 * 86_400;

/** The client. It is made at init, and its connections are kept alive, which is the default of the SDK. */
const client = new DynamoDBClient({
  maxAttempts: 3,
  requestHandler: { connectionTimeout: 500, requestTimeout: 700 },
});

/** Sends a command. */
export function send(command) {
  return client.send(command);
}

/** Returns a string attribute. */
export const text = (value) => ({ S: value });

/** Returns a number attribute. */
export const number = (value) => ({ N: String(value) });

/** Returns a record as plain values. */
export function record(item) {
  const values = {};
  for (const name in item) values[name] = plain(item[name]);
  return values;
}

function plain(value) {
  if (value.S !== undefined) return value.S;
  if (value.N !== undefined) return Number(value.N);
  if (value.BOOL !== undefined) return value.BOOL;
  return value.L?.map(plain);
}

/** Reads items in one strongly consistent call. `keys` has a list of keys for each table. Returns items by table. */
export async function batchGet(keys) {
  let pending = {};
  for (const table in keys) pending[table] = { Keys: keys[table], ConsistentRead: true };
  const found = {};
  for (let pause = 50; ; pause *= 2) {
    const { Responses, UnprocessedKeys } = await send(new BatchGetItemCommand({ RequestItems: pending }));
    for (const table in Responses) (found[table] ??= []).push(...Responses[table]);
    if (!UnprocessedKeys || Object.keys(UnprocessedKeys).length === 0) return found;
    if (pause > 800) throw Object.assign(new Error("DynamoDB left keys unprocessed"), { name: "TimeoutError" });
    pending = UnprocessedKeys;
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

/** Returns the key of a session. */
export function sessionKey(userId, sessionId) {
  return { user_id: text(userId), session_id: text(sessionId) };
}

/** Returns the user and the session that claims name, each `undefined` if it does not exist. */
export async function find({ sub, sid }) {
  const { [USERS]: users, [SESSIONS]: sessions } = await batchGet({
    [USERS]: [{ pk: text(`user#${sub}`) }],
    [SESSIONS]: [sessionKey(sub, sid)],
  });
  return { user: users?.[0] && record(users[0]), session: sessions?.[0] && record(sessions[0]) };
}

/** Returns `true` if a token with these claims is valid for this user and this session. */
export function accepts(user, session, claims, now) {
  return user !== undefined && session !== undefined && user.disabled === false && user.email === claims.email &&
    session.ended_at === undefined && session.epoch === user.session_epoch &&
    now < Math.min(session.idle_exp, session.abs_exp);
}

/**
 * Updates a record if a condition holds. Returns `undefined` if it held, and else the stored record, which is `null`
 * without a record.
 */
export async function updateIf(input) {
  try {
    await send(new UpdateItemCommand({ ReturnValuesOnConditionCheckFailure: "ALL_OLD", ...input }));
  } catch (error) {
    if (error.name !== "ConditionalCheckFailedException") throw error;
    return error.Item ? record(error.Item) : null;
  }
}

/** Ends a session. Ending it again changes nothing. */
export function end(userId, sessionId, now) {
  return updateIf({
    TableName: SESSIONS,
    Key: sessionKey(userId, sessionId),
    UpdateExpression: "SET ended_at = :now, #ttl = :ttl REMOVE active_key",
    ConditionExpression: "attribute_exists(session_id) AND attribute_not_exists(ended_at)",
    ExpressionAttributeNames: { "#ttl": "ttl" },
    ExpressionAttributeValues: { ":now": number(now), ":ttl": number(now + RETENTION) },
  });
}
