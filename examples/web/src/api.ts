/** Sends requests to Latchkey. The browser keeps the tokens in cookies that no script can read. */

import type { components } from "./openapi";

type Schemas = components["schemas"];
export type User = Schemas["User"];
export type Session = Schemas["Session"];

/** Where the service is. By default, it is on the page's own origin, behind the proxy in vite.config.ts. */
const SERVICE: string = import.meta.env.VITE_API ?? "";

/** A request without success. The message is a sentence for the user. */
export class Failure extends Error {
  constructor(
    /** The HTTP status, or 0 if there was no response. */
    readonly status: number,
    message: string,
    /** The number of seconds to wait before the next try, if waiting helps. */
    readonly retryAfter?: number,
  ) {
    super(message);
  }
}

interface Options {
  body?: unknown;
  /** What a 401 means. */
  unauthorized?: string;
}

async function send<T = void>(method: string, path: string, { body, unauthorized }: Options = {}): Promise<T> {
  const headers: HeadersInit = body ? { "content-type": "application/json" } : {};
  const request: RequestInit = { method, headers, body: JSON.stringify(body), credentials: "include" };
  let response: Response;
  let text: string;
  try {
    response = await fetch(SERVICE + path, { ...request, signal: AbortSignal.timeout(15_000) });
    text = await response.text();
  } catch {
    // There is no network, or CORS does not allow this page. The console of the browser has the reason.
    throw new Failure(0, "The service does not respond.", 5);
  }
  if (!response.ok) throw failure(response, text, unauthorized);
  return (text ? JSON.parse(text) : undefined) as T;
}

function failure({ status, headers, redirected }: Response, text: string, unauthorized?: string): Failure {
  if (status === 401 && redirected) {
    // The page and the service are different sites.
    return new Failure(401, "The password is right, but the browser does not send the cookies.");
  }
  if (status === 401) return new Failure(401, unauthorized ?? "You are not signed in.");
  const isTemporary = status === 429 || status >= 500;
  const retryAfter = isTemporary ? Number(headers.get("retry-after")) || 5 : undefined;
  if (headers.get("content-type") === "application/problem+json") {
    const problem: Schemas["Problem"] = JSON.parse(text);
    return new Failure(status, problem.detail, retryAfter);
  }
  return new Failure(status, "The service cannot answer right now.", retryAfter);
}

let asking: Promise<User> | undefined;
let renewals = 0;

/**
 * Returns the signed-in user. If the access token has expired, the service also renews the session. Parallel calls
 * share one request.
 */
export function getUser(): Promise<User> {
  asking ??= send<User>("GET", "/userinfo")
    .then((user) => {
      renewals += 1;
      return user;
    })
    .finally(() => {
      asking = undefined;
    });
  return asking;
}

/** Sends a request for a signed-in user. If the access token has expired, renews the session and sends it again. */
async function sendSignedIn<T = void>(method: string, path: string): Promise<T> {
  const before = renewals;
  try {
    return await send<T>(method, path);
  } catch (error) {
    if (!isFailure(error, 401)) throw error;
    // Only /userinfo renews. Another request may have done it while this one was on its way.
    if (renewals === before) await getUser();
    return send<T>(method, path);
  }
}

function isFailure(error: unknown, status: number): boolean {
  return error instanceof Failure && error.status === status;
}

/** Opens a session. `fetch` follows the redirect to /userinfo, so the response is the user. */
export function signIn(userId: string, password: string, keep: boolean): Promise<User> {
  const body: Schemas["Login"] = { loginInfo: { userId, password }, checkedKeepLogin: keep };
  return send<User>("POST", "/login", { body, unauthorized: "The user name or the password is wrong." });
}

/** Ends the session. The service needs no valid access token for that. */
export function signOut(): Promise<void> {
  return send("POST", "/logout");
}

export async function listSessions(): Promise<Session[]> {
  return (await sendSignedIn<Schemas["Sessions"]>("GET", "/sessions")).sessions;
}

/** Ends one session. 404 means that it has ended already. */
export async function endSession(id: string): Promise<void> {
  try {
    await sendSignedIn("DELETE", `/sessions/${id}`);
  } catch (error) {
    if (!isFailure(error, 404)) throw error;
  }
}

export function endOtherSessions(): Promise<void> {
  return sendSignedIn("DELETE", "/sessions");
}

/**
 * Changes the password and ends all other sessions. Call `getUser` first, so that 401 means the password and not the
 * access token. The request is not sent again after a 401, because each one counts as a wrong password.
 */
export function changePassword(currentPassword: string, newPassword: string): Promise<void> {
  const body: Schemas["PasswordChange"] = { currentPassword, newPassword };
  return send("PUT", "/password", { body, unauthorized: "The current password is wrong." });
}
