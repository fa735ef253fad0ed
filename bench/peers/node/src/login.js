/** `POST /login`: checks a login name and a password, and opens a session. */

import { GetItemCommand, QueryCommand } from "@aws-sdk/client-dynamodb";
import { verify as verifyHash } from "@node-rs/argon2";
import { randomBytes } from "node:crypto";
import { admit, isDisabled, reserve, succeeded } from "./attempts.js";
import * as cookies from "./cookies.js";
import { handlerOf, HttpError, notAuthorized, reply } from "./http.js";
import { newSession, open, sessionCookies } from "./session.js";
import { end, record, send, SESSIONS, text, USERS } from "./store.js";
import { randomId, signedClaims } from "./tokens.js";

const MAX_BODY = 8 * 1024;
const SESSIONS_PER_USER = Number(process.env.SESSIONS_PER_USER ?? 100);
const ALLOWED_ORIGINS = (process.env.ALLOWED_ORIGINS ?? "").split(",").map((origin) => origin.trim());

/** No password has this hash. Comparing with it costs as much as comparing with a real one. */
const DECOY = `$argon2id$v=19$m=19456,t=2,p=1$${base64(randomBytes(16))}$${base64(randomBytes(32))}`;

export const handler = handlerOf(async (event, now) => {
  const { method, sourceIp } = event.requestContext.http;
  if (method !== "POST") throw new HttpError(405, "The method must be POST.", { allow: "POST" });
  checkOrigin(event.headers);
  const { userId, password, persistent } = input(event);
  const loginName = userId.trim().normalize("NFKC").toLowerCase();

  const counters = await admit(loginName, sourceIp, now);
  const credentials = await get(USERS, { pk: text(`login#${loginName}`) });
  const user = await get(USERS, { pk: text(`user#${credentials?.id ?? randomId()}`) });
  const failures = await reserve(counters, now);
  const isRight = await verifyHash(credentials?.password_hash ?? DECOY, password.normalize("NFC")).catch(() => false);
  if (!isRight || !user || user.disabled || user.password_version !== credentials.password_version ||
    isDisabled(failures)) {
    throw notAuthorized();
  }
  await succeeded(counters);

  const session = newSession(user, persistent, event, now);
  const found = cookies.read(event);
  const lines = sessionCookies(user, session, now);
  if (found.refresh.length > 0 && !persistent) lines.unshift(cookies.clear("refresh"));
  await open(session);
  await endReplaced(found, session, now);
  return reply(302, { location: "/userinfo" }, "", lines);
});

/** Accepts a request of our own pages, of an allowed origin, or of a client that is not a browser. */
function checkOrigin({ origin, host, "sec-fetch-site": site }) {
  if (origin !== undefined && ALLOWED_ORIGINS.includes(origin)) return;
  const isOurs = site !== undefined ? site === "same-origin" || site === "none"
    : origin === undefined || origin === `https://${host}`;
  if (!isOurs) throw new HttpError(403, "Requests from this origin may not change anything.");
}

/** Reads the body. */
function input(event) {
  const mediaType = (event.headers["content-type"] ?? "").split(";")[0].trim().toLowerCase();
  if (mediaType !== "application/json") throw new HttpError(415, "The body must be application/json.");
  const body = event.isBase64Encoded ? Buffer.from(event.body, "base64").toString() : event.body ?? "";
  if (Buffer.byteLength(body) > MAX_BODY) throw new HttpError(413, `The body is larger than ${MAX_BODY} bytes.`);
  let form;
  try {
    form = JSON.parse(body);
  } catch {
    throw new HttpError(400, "The body is not JSON.");
  }
  const { loginInfo, checkedKeepLogin, ...others } = form ?? {};
  const { userId, password, ...unknown } = loginInfo ?? {};
  const isKnown = Object.keys({ ...others, ...unknown }).length === 0;
  const isFlag = [undefined, null, true, false].includes(checkedKeepLogin);
  if (!isKnown || !isFlag || typeof userId !== "string" || typeof password !== "string" || password.length > 4096) {
    throw new HttpError(400, "The body has a field that is missing, unknown or of the wrong type.");
  }
  return { userId, password, persistent: checkedKeepLogin === true };
}

async function get(TableName, Key) {
  const { Item } = await send(new GetItemCommand({ TableName, Key, ConsistentRead: true }));
  return Item && record(Item);
}

/** Ends the sessions whose tokens the request brought, and the oldest sessions above the limit. */
async function endReplaced(found, opened, now) {
  const brought = [signedClaims("access", found.access[0]), signedClaims("refresh", found.refresh[0])];
  for (const claims of brought) {
    if (claims) await end(claims.sub, claims.sid, now);
  }
  const { Items } = await send(new QueryCommand({
    TableName: SESSIONS,
    IndexName: "ActiveSessions",
    ConsistentRead: true,
    KeyConditionExpression: "user_id = :user AND begins_with(active_key, :epoch)",
    ExpressionAttributeValues: { ":user": text(opened.user_id), ":epoch": text(`${opened.epoch}#`) },
  }));
  // The index is in the order of the logins.
  const others = Items.map((item) => item.session_id.S).filter((id) => id !== opened.session_id);
  for (const id of others.slice(0, Math.max(0, others.length + 1 - SESSIONS_PER_USER))) {
    await end(opened.user_id, id, now);
  }
}

function base64(bytes) {
  return bytes.toString("base64").replaceAll("=", "");
}
