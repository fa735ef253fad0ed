/** `GET /userinfo`: returns the signed-in user, and renews the session. */

import * as cookies from "./cookies.js";
import { handlerOf, HttpError, json, notAuthorized } from "./http.js";
import { renew } from "./renewal.js";
import { accepts, find } from "./store.js";
import { isValidAt, signedClaims } from "./tokens.js";

export const handler = handlerOf(async (event, now) => {
  const { method } = event.requestContext.http;
  if (method !== "GET" && method !== "HEAD") {
    throw new HttpError(405, "The method must be GET or HEAD.", { allow: "GET, HEAD" });
  }
  const { access, refresh } = credentials(event);
  if (access && isValidAt("access", access, now)) {
    const { user, session } = await find(access);
    if (accepts(user, session, access, now)) return json(profile(user));
  }
  if (!refresh) throw notAuthorized();
  const renewed = await renew(refresh, event, now);
  return json(profile(renewed.user), renewed.cookies);
});

/** Returns the claims of the tokens that this service signed. A `Bearer` token is the only credential. */
function credentials(event) {
  const [scheme, bearer] = event.headers.authorization?.split(" ") ?? [];
  if (scheme?.toLowerCase() === "bearer") return { access: signedClaims("access", bearer) };
  const found = cookies.read(event);
  if (found.access.length > 1 || found.refresh.length > 1) {
    throw notAuthorized([cookies.clear("access"), cookies.clear("refresh")]);
  }
  const access = signedClaims("access", found.access[0]);
  const refresh = signedClaims("refresh", found.refresh[0]);
  if (access && refresh && access.sub !== refresh.sub) {
    throw new HttpError(400, "The credentials of the request belong to two users. Sign out, then sign in again.");
  }
  return { access, refresh };
}

/** Returns the public part of a user. */
function profile({ id, userId, email, name, position, location, bio, roles }) {
  const user = { id, userId, email, name, position, location, bio };
  return roles?.length > 0 ? { ...user, roles } : user;
}
