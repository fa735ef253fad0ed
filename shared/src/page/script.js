(() => {
const all = (selector, work) => document.querySelectorAll(selector).forEach(work);
const language = document.documentElement.lang;

// The button that shows a password.
all("[data-show]", (button) => {
  const input = document.getElementById(button.dataset.show);
  const say = (shown) => {
    input.type = shown ? "text" : "password";
    button.textContent = shown ? button.dataset.hide : button.dataset.text;
    button.setAttribute("aria-label", shown ? button.dataset.hideLabel : button.dataset.label);
  };
  button.dataset.text = button.textContent;
  button.dataset.label = button.getAttribute("aria-label");
  button.hidden = false;
  button.onclick = () => say(input.type === "password");
  // A browser saves a password only from a field of this type.
  input.form.addEventListener("submit", () => say(false));
});

// Times in the time zone of the reader.
all("time[datetime]", (time) => {
  const format = { dateStyle: "long", timeStyle: "short" };
  time.textContent = new Date(time.dateTime).toLocaleString(language, format);
});

// The countdown after too many wrong passwords.
all("[data-countdown]", (place) => {
  const end = Date.now() + place.dataset.countdown * 1000;
  const counted = (count, unit) =>
    new Intl.NumberFormat(language, { style: "unit", unit, unitDisplay: "long" }).format(count);
  const timer = setInterval(() => {
    const left = Math.ceil((end - Date.now()) / 1000);
    if (left > 0) {
      const parts = [[Math.floor(left / 60), "minute"], [left % 60, "second"]];
      place.textContent = parts.filter(([count]) => count).map(([count, unit]) => counted(count, unit)).join(" ");
    } else {
      clearInterval(timer);
      place.parentElement.textContent = place.dataset.after;
    }
  }, 500);
});

document.querySelector("#problem")?.focus();

// A notice is for one view only, and a shared address must not have the marks of this visit.
const address = new URL(location);
const marks = ["notice", "hop", "lang"].filter((name) => address.searchParams.has(name));
marks.forEach((name) => address.searchParams.delete(name));
if (marks.length) history.replaceState(null, "", address);

// A page that the browser kept in memory may be of a session that has ended.
addEventListener("pagehide", () => { document.documentElement.hidden = true; });
addEventListener("pageshow", (event) => event.persisted && location.reload());
})();
