/** A new session, and the cookies of a session. */

import { PutItemCommand } from "@aws-sdk/client-dynamodb";
import * as cookies from "./cookies.js";
import { number, RETENTION, send, SESSIONS, text } from "./store.js";
import {
  ACCESS_TTL, MAX_SESSION_AGE, randomId, REFRESH_KID, REFRESH_TTL, signAccess, signRefresh,
} from "./tokens.js";

/** Returns the `Set-Cookie` lines of a session. */
export function sessionCookies(user, session, now) {
  const access = signAccess(user, session, now);
  if (!session.persistent) return [cookies.set("access", access.token)];
  const refresh = signRefresh(user, session);
  return [
    cookies.set("access", access.token, access.exp, now),
    cookies.set("refresh", refresh.token, refresh.exp, now),
  ];
}

/** Returns a new session of a user. */
export function newSession(user, persistent, event, now) {
  const [idle, absolute] = persistent ? [REFRESH_TTL, MAX_SESSION_AGE] : [ACCESS_TTL, ACCESS_TTL];
  return {
    user_id: user.id,
    session_id: randomId(),
    epoch: user.session_epoch,
    persistent,
    created_at: now,
    gen: 1,
    issued_at: now,
    kid: REFRESH_KID,
    idle_exp: now + idle,
    abs_exp: now + absolute,
    user_agent: event.headers["user-agent"]?.slice(0, 512),
    source_ip: event.requestContext.http.sourceIp,
  };
}

/** Stores a new session. */
export async function open(session) {
  const Item = {
    v: number(1),
    ttl: number(session.abs_exp + RETENTION),
    active_key: text(`${session.epoch}#${String(session.created_at).padStart(12, "0")}`),
  };
  for (const [name, value] of Object.entries(session)) {
    if (value === undefined) continue;
    Item[name] = typeof value === "string" ? text(value) : typeof value === "number" ? number(value) : { BOOL: value };
  }
  const ConditionExpression = "attribute_not_exists(session_id)";
  await send(new PutItemCommand({ TableName: SESSIONS, Item, ConditionExpression }));
}
