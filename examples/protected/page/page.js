// A page on https://app.example.com. Replace the two addresses here and in the policy of index.html.
const LOGIN = "https://login.example.com";
const API = "https://api.example.com";

const element = (id) => document.getElementById(id);

/** Sends a request with the cookies, which no script can read. */
function send(address, options = {}) {
  return fetch(address, { credentials: "include", cache: "no-store", ...options });
}

/** Sends a request to the API. If the authorizer denies it, renews the session once and sends the request again. */
async function sendToApi(path) {
  const response = await send(API + path);
  if (response.status !== 403 || isOwnAnswer(response)) return response;
  // Only /userinfo renews a session. A 401 means that no user is signed in.
  const user = await send(`${LOGIN}/userinfo`);
  if (user.status === 401) show(null);
  return user.ok ? send(API + path) : user;
}

/** Returns true if a function refused the request, and not the authorizer. The functions send problem details. */
function isOwnAnswer(response) {
  return response.headers.get("content-type") === "application/problem+json";
}

/** Returns what the page says about a response that is not 200. */
async function problem(response) {
  if (isOwnAnswer(response)) return (await response.json()).detail;
  if (response.status === 401) return "You are not signed in.";
  if (response.status === 403) return "You may not see this.";
  return "The service cannot answer right now. Try again.";
}

/** Shows a user, or the form without a user. */
function show(user) {
  element("sign-in").hidden = user !== null;
  element("signed-in").hidden = user === null;
  element("list").replaceChildren();
  if (user) element("user").textContent = user.name || user.userId;
}

/** Runs an action of the user, and says why it failed. */
async function run(action) {
  element("message").textContent = "";
  try {
    const failure = await action();
    if (failure) element("message").textContent = failure;
  } catch {
    // `fetch` fails without a status if there is no connection, or if the service does not allow this origin.
    element("message").textContent = "There is no connection to the service.";
  }
}

async function signIn(event) {
  const { name, password } = event.target.elements;
  const loginInfo = { userId: name.value, password: password.value };
  const response = await send(`${LOGIN}/login`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ loginInfo, checkedKeepLogin: true }),
  });
  password.value = "";
  if (response.ok) {
    // `fetch` has followed the redirect to /userinfo.
    show(await response.json());
    // The form is gone. A screen reader goes on at the heading.
    return element("heading").focus();
  }
  return response.status === 401 && !response.redirected ? "The name or the password is wrong." : problem(response);
}

async function signOut() {
  const response = await send(`${LOGIN}/logout`, { method: "POST" });
  return response.ok ? show(null) : problem(response);
}

/** Shows one line for each entry of a list that the API returns. */
async function list(path, line) {
  element("list").replaceChildren();
  const response = await sendToApi(path);
  if (!response.ok) return problem(response);
  const items = line(await response.json()).map((text) => {
    const item = document.createElement("li");
    item.textContent = text;
    return item;
  });
  element("list").replaceChildren(...items);
}

element("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  run(() => signIn(event));
});
element("sign-out").addEventListener("click", () => run(signOut));
element("get-orders").addEventListener("click", () =>
  run(() => list("/orders", ({ orders }) => orders.map(({ item }) => item))),
);
element("get-invoices").addEventListener("click", () =>
  run(() => list("/invoices", ({ invoices }) => invoices.map(({ number, total }) => `${number}: ${total}`))),
);

run(async () => {
  const response = await send(`${LOGIN}/userinfo`);
  if (response.status === 401) return show(null);
  return response.ok ? show(await response.json()) : problem(response);
});
