/** The renewal of a session with a refresh token, by the rules of `shared/src/session/renewal.rs`. */

import { createHash } from "node:crypto";
import * as cookies from "./cookies.js";
import { notAuthorized } from "./http.js";
import { sessionCookies } from "./session.js";
import { accepts, end, find, number, SESSIONS, sessionKey, text, updateIf } from "./store.js";
import { isValidAt, REFRESH_KID, REFRESH_TTL } from "./tokens.js";

const GRACE = Number(process.env.REFRESH_GRACE ?? 10);

/** Returns the user of a refresh token, and the cookies of the renewal. A reused token ends the session. */
export async function renew(claims, event, now) {
  const { user, session } = await find(claims);
  if (!accepts(user, session, claims, now)) throw notAuthorized();
  if (standing(claims, session, now) !== "current") return again(claims, user, session, event, now);
  if (!isValidAt("refresh", claims, now)) throw notAuthorized();
  if (!mayChange(event)) return { user, cookies: [] };
  const renewed = { ...session, gen: session.gen + 1, issued_at: now, kid: REFRESH_KID, idle_exp: now + REFRESH_TTL };
  const lines = sessionCookies(user, renewed, now);
  const stored = await write(renewed, event, now);
  if (stored === undefined) return { user, cookies: lines };
  // A concurrent renewal was first.
  if (!accepts(user, stored ?? undefined, claims, now)) throw notAuthorized();
  return again(claims, user, stored, event, now);
}

/** Returns how a token relates to the session: `current`, `grace`, `reused` or `unknown`. */
function standing({ gen, iat, exp }, session, now) {
  const isCurrent = iat === session.issued_at && exp === Math.min(session.idle_exp, session.abs_exp);
  if (!session.persistent || gen > session.gen) return "unknown";
  if (gen === session.gen) return isCurrent ? "current" : "unknown";
  return gen === session.gen - 1 && now - session.issued_at <= GRACE ? "grace" : "reused";
}

/** Answers a token that was used before. In its grace period it gets the same successor. Later, the session ends. */
async function again(claims, user, session, event, now) {
  const how = standing(claims, session, now);
  if (how === "grace") return { user, cookies: mayChange(event) ? sessionCookies(user, session, now) : [] };
  if (how !== "reused" || !mayChange(event)) throw notAuthorized();
  await end(session.user_id, session.session_id, now);
  throw notAuthorized([cookies.clear("access"), cookies.clear("refresh")]);
}

function write({ user_id, session_id, gen, kid, idle_exp }, event, now) {
  const { sourceIp, userAgent } = event.requestContext.http;
  return updateIf({
    TableName: SESSIONS,
    Key: sessionKey(user_id, session_id),
    UpdateExpression: "SET gen = :next, issued_at = :now, kid = :kid, idle_exp = :idle_exp, renewed_ip = :ip, " +
      "renewed_agent = :agent",
    ConditionExpression: "attribute_exists(session_id) AND gen = :gen AND attribute_not_exists(ended_at) AND " +
      "abs_exp > :now AND idle_exp > :now",
    ExpressionAttributeValues: {
      ":gen": number(gen - 1),
      ":next": number(gen),
      ":now": number(now),
      ":kid": text(kid),
      ":idle_exp": number(idle_exp),
      ":ip": text(fingerprint("ip", session_id, sourceIp)),
      ":agent": text(fingerprint("user agent", session_id, event.headers["user-agent"] ?? userAgent)),
    },
  });
}

function fingerprint(label, sessionId, value = "") {
  const parts = ["latchkey source", label, sessionId, value].map((part) => `${part}\0`);
  return createHash("sha256").update(parts.join("")).digest().subarray(0, 2).toString("base64url");
}

/** Returns `false` for a request that must not change anything, such as a prefetch. */
function mayChange(event) {
  const { headers } = event;
  const isPrefetch = ["sec-purpose", "purpose", "x-purpose", "x-moz"].some((name) =>
    /prefetch|preview/i.test(headers[name] ?? ""));
  const isOf = (name, ...accepted) => headers[name] === undefined || accepted.includes(headers[name]);
  return event.requestContext.http.method !== "HEAD" && !isPrefetch &&
    isOf("sec-fetch-site", "same-origin", "same-site", "none") && isOf("sec-fetch-dest", "empty", "document");
}
