/** Signing and verifying tokens. Each kind has its own key, its own `typ` and its own claims. */

import { createHash, createSecretKey, randomBytes } from "node:crypto";
import jwt from "jsonwebtoken";

const DAY = 86_400;
const LEEWAY = 5;
const ISSUER = process.env.ISSUER ?? "latchkey";
const AUDIENCE = process.env.AUDIENCE ?? "latchkey";

/** What `jsonwebtoken` checks. `isValidAt` checks the times. */
const OPTIONS = {
  algorithms: ["HS256"],
  issuer: ISSUER,
  audience: AUDIENCE,
  ignoreExpiration: true,
  ignoreNotBefore: true,
  complete: true,
};

/** How long an access token is valid, and how long a session lives without a renewal, in seconds. */
export const ACCESS_TTL = Number(process.env.ACCESS_TTL ?? DAY);
export const REFRESH_TTL = Number(process.env.REFRESH_TTL ?? 7 * DAY);
/** The maximum age of a session. */
export const MAX_SESSION_AGE = 30 * DAY;

const KINDS = {
  access: kind("at+jwt", process.env.ACCESS_SECRET, ACCESS_TTL, DAY),
  refresh: kind("rt+jwt", process.env.REFRESH_SECRET, REFRESH_TTL, MAX_SESSION_AGE),
};

/** The `kid` of refresh tokens. The record of a session keeps it. */
export const REFRESH_KID = KINDS.refresh.kid;

function kind(typ, secret, lifetime, longest) {
  if (!(Buffer.byteLength(secret ?? "") >= 32)) throw new Error(`the secret for ${typ} has less than 32 bytes`);
  const kid = createHash("sha256").update(`latchkey key id\0${typ}\0${secret}`).digest().subarray(0, 8);
  const key = createSecretKey(Buffer.from(secret));
  return { typ, lifetime, longest, key, kid: kid.toString("base64url") };
}

/** Returns 128 random bits as base64url. */
export function randomId() {
  return randomBytes(16).toString("base64url");
}

/** Returns the claims of a token that this service signed, or `undefined`. The token may have expired. */
export function signedClaims(name, token) {
  const { typ, kid, key } = KINDS[name];
  let verified;
  try {
    verified = token && jwt.verify(token, key, OPTIONS);
  } catch {
    return undefined;
  }
  if (!verified) return undefined;
  const { header, payload } = verified;
  const { aud, sub, id, email, sid, iat, exp, jti, gen } = payload;
  const isOurs = header.typ === typ && header.kid === kid && header.crit === undefined;
  const isText = [aud, sub, email, sid, jti].every((claim) => typeof claim === "string" && claim !== "");
  const isTime = Number.isSafeInteger(iat) && Number.isSafeInteger(exp) && 0 <= iat && iat < exp;
  const isOfKind = name === "access" ? gen === undefined : jti === `${sid}.${gen}`;
  return isOurs && isText && id === sub && isTime && isOfKind ? payload : undefined;
}

/** Returns `true` if claims are valid at `now`. */
export function isValidAt(name, { iat, nbf = iat, exp }, now) {
  const { lifetime, longest } = KINDS[name];
  const hasBegun = Math.max(iat, nbf) <= now + LEEWAY;
  const hasExpired = now >= Math.min(exp, iat + lifetime) + LEEWAY;
  return exp - iat <= longest && hasBegun && !hasExpired;
}

/** Signs an access token for this user and this session. It never outlives the session. */
export function signAccess(user, session, now) {
  const exp = Math.min(now + ACCESS_TTL, session.idle_exp, session.abs_exp);
  const claims = { ...subject(user, session), iat: now, exp, jti: randomId() };
  if (user.roles?.length > 0) claims.roles = user.roles;
  return { token: sign("access", claims), exp };
}

/** Signs the current refresh token of a session. The same session always gives the same token. */
export function signRefresh(user, session) {
  const exp = Math.min(session.idle_exp, session.abs_exp);
  const { session_id, gen, issued_at } = session;
  const claims = { ...subject(user, session), iat: issued_at, exp, jti: `${session_id}.${gen}`, gen };
  return { token: sign("refresh", claims), exp };
}

function subject({ id, email }, { session_id }) {
  return { iss: ISSUER, aud: AUDIENCE, sub: id, id, email, sid: session_id };
}

function sign(name, claims) {
  const { typ, kid, key } = KINDS[name];
  return jwt.sign(claims, key, { algorithm: "HS256", header: { alg: "HS256", kid, typ } });
}
