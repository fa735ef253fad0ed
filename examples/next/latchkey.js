/** The address of the service. Only the server of the page uses it. The browser uses the rewrites. */
export const SERVICE = process.env.LATCHKEY_URL ?? "https://localhost:4000";

const isAccess = (pair) => /^(__Host-)?access_jwt=/.test(pair);
const isRefresh = (pair) => /^(__Host-)?refresh_jwt=/.test(pair);
const pairs = (cookieHeader) => (cookieHeader ?? "").split("; ").filter(Boolean);

/**
 * Returns the user, or `null` if the request has no valid access token. Sends no refresh token: the service would renew
 * the session, and a server component cannot pass the new cookies on.
 */
export async function readUser(cookieHeader) {
  const cookie = pairs(cookieHeader).filter(isAccess).join("; ");
  if (!cookie) return null;
  const response = await fetch(`${SERVICE}/userinfo`, { headers: { cookie }, cache: "no-store" });
  if (response.status === 401) return null;
  if (!response.ok) throw new Error(`The sign-in service responded with ${response.status}.`);
  return response.json();
}

/** Returns `true` for a session that can be renewed, and whose access cookie the browser has deleted when it expired. */
export function needsRenewal(cookieHeader) {
  return pairs(cookieHeader).some(isRefresh) && !pairs(cookieHeader).some(isAccess);
}

/** The service renews nothing for a prefetch or an image, and finds this out from these headers. */
const FORWARDED = ["cookie", "user-agent", "sec-fetch-site", "sec-fetch-dest", "sec-purpose", "purpose"];

/** Renews the session. Returns the `Set-Cookie` lines for the browser, and the `Cookie` header with the new cookies. */
export async function renew(requestHeaders) {
  const headers = FORWARDED.filter((name) => requestHeaders.has(name)).map((name) => [name, requestHeaders.get(name)]);
  const response = await fetch(`${SERVICE}/userinfo`, { headers, cache: "no-store" });
  // An outage must not look like a sign-out.
  if (!response.ok && response.status !== 401) {
    throw new Error(`The sign-in service responded with ${response.status}.`);
  }
  const setCookies = response.headers.getSetCookie();
  const renewed = setCookies.map((line) => line.split(";", 1)[0]);
  const others = pairs(requestHeaders.get("cookie")).filter((pair) => !isAccess(pair) && !isRefresh(pair));
  return { setCookies, cookie: [...others, ...renewed].join("; ") };
}
