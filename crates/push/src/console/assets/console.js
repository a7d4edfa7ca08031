// Keeps a page as it is now: its stream sends the parts that have changed. Without it the page shows how it was.

const main = document.querySelector("main[data-page]");

if (main) {
  follow(main.dataset.page);
}
document.getElementById("found")?.focus();

/** @param {string} page */
function follow(page) {
  const state = document.getElementById("live");
  const hold = document.getElementById("hold");
  hold.parentElement.hidden = false;
  let source = null;

  const say = (text) => {
    // Said once: a screen reader reads each change.
    if (state.textContent !== text) {
      state.textContent = text;
    }
  };

  const start = () => {
    source = new EventSource(`/console/live/${page}`);
    source.addEventListener("parts", (event) => {
      say("Live");
      for (const { id, html } of JSON.parse(event.data)) {
        replace(id, html);
      }
    });
    source.addEventListener("trouble", (event) => say(event.data));
    source.addEventListener("error", () => {
      say(source.readyState === EventSource.CLOSED ? "Not live: reload, or log in again" : "Trying again…");
    });
  };

  hold.addEventListener("click", () => {
    const held = hold.getAttribute("aria-pressed") !== "true";
    hold.setAttribute("aria-pressed", String(held));
    if (held) {
      source.close();
      say("Held");
    } else {
      start();
    }
  });

  start();
}

/**
 * Puts a part in its place. What somebody has opened stays open, and where their focus is nothing moves.
 * @param {string} id
 * @param {string} html
 */
function replace(id, html) {
  const place = document.getElementById(id);
  if (!place || place.contains(document.activeElement)) {
    return;
  }
  const open = [...place.querySelectorAll("details")].map((each) => each.open);
  place.innerHTML = html;
  place.querySelectorAll("details").forEach((each, index) => {
    each.open = open[index] ?? false;
  });
}
