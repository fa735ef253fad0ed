/** The two cookies of tokens. */

const DOMAIN = process.env.COOKIE_DOMAIN;
const ATTRIBUTES = `Path=/; Secure; HttpOnly; SameSite=Strict${DOMAIN ? `; Domain=${DOMAIN}` : ""}`;
const NAMES = DOMAIN
  ? { access: "access_jwt", refresh: "refresh_jwt" }
  : { access: "__Host-access_jwt", refresh: "__Host-refresh_jwt" };

/** Returns the different values of our cookies: `{ access: [...], refresh: [...] }`. */
export function read(event) {
  const found = { access: [], refresh: [] };
  for (const line of event.cookies ?? []) {
    for (const pair of line.split(";")) {
      const equals = pair.indexOf("=");
      if (equals < 0) continue;
      const name = pair.slice(0, equals).trim();
      const kind = name === NAMES.access ? "access" : name === NAMES.refresh ? "refresh" : undefined;
      const value = pair.slice(equals + 1).trim();
      if (kind && value && !found[kind].includes(value)) found[kind].push(value);
    }
  }
  return found;
}

/** Returns the `Set-Cookie` line of a token. Without `expiresAt`, the cookie ends with the browser. */
export function set(kind, value, expiresAt, now) {
  const line = `${NAMES[kind]}=${value}; ${ATTRIBUTES}`;
  if (expiresAt === undefined) return line;
  return `${line}; Max-Age=${expiresAt - now}; Expires=${new Date(expiresAt * 1000).toUTCString()}`;
}

/** Returns the `Set-Cookie` line that deletes the cookie of a token. */
export function clear(kind) {
  return `${NAMES[kind]}=; ${ATTRIBUTES}; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT`;
}
