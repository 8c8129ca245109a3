// Adds new log records to the page. Without this script, the page shows those at the time of loading.

const lines = document.getElementById("lines");
const link = document.getElementById("link");
const news = document.getElementById("news");
const reload = document.getElementById("reload");
const limit = Number(lines.dataset.limit);

// Delay before the next attempt after a refusal. The browser does not reconnect by itself then.
const AGAIN_MS = 10_000;

// Screen readers announce the log records of this period together.
const COLLECT_MS = 5_000;

let stream;
let again;
let after = lines.dataset.after;
let unsaid = 0;

function open() {
  close();
  const url = new URL(lines.dataset.events, location.href);
  url.searchParams.set("after", after);
  stream = new EventSource(url);
  stream.onopen = () => show("Live");
  stream.onmessage = ({ data, lastEventId }) => {
    after = lastEventId;
    add(data);
  };
  stream.onerror = () => {
    show("Not live");
    if (stream.readyState === EventSource.CLOSED) again = setTimeout(open, AGAIN_MS);
  };
}

function close() {
  clearTimeout(again);
  stream?.close();
}

function show(state) {
  const live = state === "Live";
  link.hidden = false;
  link.className = live ? "state good" : "state bad";
  if (link.textContent !== state) link.textContent = state;
  reload.hidden = live;
}

// The server renders and escapes lines, in the stream as in the page.
function add(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  const items = [...template.content.children].filter(
    ({ dataset: { key } }) => !key || !lines.querySelector(`[data-key="${key}"]`),
  );
  lines.prepend(...items);
  while (lines.children.length > limit) lines.lastElementChild.remove();
  if (unsaid === 0 && items.length > 0) {
    setTimeout(() => {
      news.textContent = `${unsaid} new log records`;
      unsaid = 0;
    }, COLLECT_MS);
  }
  unsaid += items.length;
}

// Browsers limit the connections to a site. So a hidden page closes its stream, and resumes it when it is shown again.
document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
if (!document.hidden) open();
