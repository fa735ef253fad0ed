/** Knows who is signed in, in every tab of the page. */

import * as api from "./api";
import { Failure, type User } from "./api";

export interface State {
  /** The signed-in user. `null`: no user is signed in. `undefined`: the service has not answered yet. */
  user: User | null | undefined;
  /** A sentence about the last change, or about an outage. */
  notice: string;
}

let state: State = { user: undefined, notice: "" };
let changes = 0;
let retry: number | undefined;
let listener: (state: State) => void = () => {};

// The tabs of a page share the cookies. Each tab tells the others when it signs a user in or out.
const tabs = new BroadcastChannel("latchkey");
tabs.onmessage = ({ data }) => {
  if (data === "signed out") set(null, "You signed out in another tab.");
  else void check();
};

// A session can end without the page, for example from another device.
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible") void check();
});

/** Calls the listener after each change. */
export function onChange(callback: (state: State) => void): void {
  listener = callback;
}

function set(user: State["user"], notice = ""): void {
  changes += 1;
  clearTimeout(retry);
  state = { user, notice };
  listener(state);
}

/** Asks the service who is signed in. Ignores the answer if the user has signed in or out meanwhile. */
export async function check(): Promise<void> {
  const before = changes;
  try {
    const user = await api.getUser();
    if (changes === before) set(user);
  } catch (error) {
    if (changes === before) failed(error);
  }
}

/**
 * Shows why a request failed. Only 401 signs the user out. In an outage, the page keeps the user, and asks again after
 * the time in `Retry-After`.
 */
export function failed(error: unknown): void {
  if (!(error instanceof Failure)) throw error;
  if (error.status === 401) {
    if (state.user !== null) set(null, state.user ? "Your session has ended. Sign in again." : "");
    return;
  }
  const { retryAfter } = error;
  set(state.user, retryAfter ? `${error.message} The page tries again in ${retryAfter} s.` : error.message);
  if (retryAfter) retry = setTimeout(check, retryAfter * 1000);
}

export async function signIn(userId: string, password: string, keep: boolean): Promise<void> {
  set(await api.signIn(userId, password, keep));
  tabs.postMessage("signed in");
}

/** Signs out in every tab. In an outage, the user stays signed in, and the page says so. */
export async function signOut(): Promise<void> {
  try {
    await api.signOut();
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    set(state.user, `You are still signed in. ${error.message} Try again.`);
    return;
  }
  set(null, "You are signed out.");
  tabs.postMessage("signed out");
}
