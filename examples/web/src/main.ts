/** Connects the page to the session: shows the user and the sessions, and sends the forms. */

import { changePassword, endOtherSessions, endSession, Failure, getUser, listSessions, type Session } from "./api";
import * as session from "./session";

function find<T extends HTMLElement>(selector: string, within: ParentNode = document): T {
  const element = within.querySelector<T>(selector);
  if (!element) throw new Error(`The page has no ${selector}.`);
  return element;
}

const notice = find("#notice");
const signedOut = find("#signed-out");
const signedIn = find("#signed-in");
const list = find("#sessions");
const endOthers = find<HTMLButtonElement>("#end-others");

session.onChange(({ user, notice: text }) => {
  const wasSignedIn = !signedIn.hidden;
  notice.textContent = text;
  signedOut.hidden = user !== null;
  signedIn.hidden = !user;
  document.title = user ? `${user.name} · Latchkey` : "Sign in · Latchkey";
  find("#name").textContent = user?.name ?? "";
  find("#about").textContent = [user?.position, user?.location].filter(Boolean).join(" · ");
  find<HTMLInputElement>("#password [name=userId]").value = user?.userId ?? "";
  if (wasSignedIn && !user) clear();
  // The focus moves to the new view, so that a screen reader reads its title.
  if (wasSignedIn !== Boolean(user)) find("h1", user ? signedIn : signedOut).focus();
  if (user && !text) showSessions().catch(session.failed);
});

/** Removes what the next user of this browser must not see. */
function clear(): void {
  listed += 1;
  list.replaceChildren();
  endOthers.hidden = true;
  document.querySelectorAll("form").forEach((form) => form.reset());
}

let listed = 0;

async function showSessions(): Promise<void> {
  listed += 1;
  const current = listed;
  const sessions = await listSessions();
  // A newer list, or a sign-out, came first.
  if (current !== listed) return;
  list.replaceChildren(...sessions.map(row));
  endOthers.hidden = sessions.length < 2;
}

function row({ id, device, source_ip, created_at, current }: Session): DocumentFragment {
  const item = document.importNode(find<HTMLTemplateElement>("#session").content, true);
  const name = device ?? "Unknown device";
  const since = new Date(created_at).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
  find("strong", item).textContent = name;
  find(".here", item).hidden = !current;
  find("p", item).textContent = source_ip ? `Since ${since}, from ${source_ip}` : `Since ${since}`;
  const button = find<HTMLButtonElement>("button", item);
  button.hidden = current;
  button.setAttribute("aria-label", `End the session on ${name} since ${since}`);
  button.onclick = () => end(() => endSession(id), "The session has ended.");
  return item;
}

/** Ends sessions and says so. The pressed button goes away, so the focus moves to the title of the list. */
async function end(request: () => Promise<void>, done: string): Promise<void> {
  try {
    await request();
    await showSessions();
    notice.textContent = done;
    find("#sessions-title").focus();
  } catch (error) {
    session.failed(error);
  }
}

/** Sends a form. Shows the reason of a failure in words, and blocks the button until the user may try again. */
function onSubmit(form: HTMLFormElement, send: (field: (name: string) => string) => Promise<void>): void {
  const button = find<HTMLButtonElement>("button", form);
  const reason = find("[role=alert]", form);
  const passwords = [...form.querySelectorAll<HTMLInputElement>("[type=password]")];
  form.onreset = () => {
    reason.textContent = "";
  };
  form.onsubmit = async (event) => {
    event.preventDefault();
    // Not `disabled`: a disabled button loses the focus.
    if (button.ariaDisabled === "true") return;
    button.ariaDisabled = "true";
    reason.textContent = "";
    const data = new FormData(form);
    try {
      await send((name) => String(data.get(name) ?? ""));
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      reason.textContent = error.message;
      // 401 is about the first password of a form, and 400 about the last one.
      passwords.at(error.status === 401 ? 0 : -1)?.select();
      if (!error.retryAfter) return;
      await countDown(button, error.retryAfter);
      reason.textContent = "";
    } finally {
      button.ariaDisabled = "false";
    }
  };
}

/** Counts the seconds down on a button. A screen reader reads the reason once, and not every second. */
async function countDown(button: HTMLButtonElement, seconds: number): Promise<void> {
  const { textContent } = button;
  const end = Date.now() + seconds * 1000;
  for (let left = seconds; left > 0; left = Math.ceil((end - Date.now()) / 1000)) {
    button.textContent = `Try again in ${left} s`;
    await new Promise((resolve) => setTimeout(resolve, Math.min(1000, end - Date.now())));
  }
  button.textContent = textContent;
}

const signIn = find<HTMLFormElement>("#sign-in");
onSubmit(signIn, async (field) => {
  await session.signIn(field("userId"), field("password"), field("keep") === "on");
  signIn.reset();
});

const password = find<HTMLFormElement>("#password");
onSubmit(password, async (field) => {
  try {
    await getUser();
  } catch (error) {
    session.failed(error);
    return;
  }
  // The user is signed in, so 401 now means the password.
  await changePassword(field("current"), field("new"));
  password.reset();
  notice.textContent = "Your password is changed. All other sessions have ended.";
  showSessions().catch(session.failed);
});

find("#sign-out").onclick = session.signOut;
endOthers.onclick = () => end(endOtherSessions, "All other sessions have ended.");
void session.check();
