// Adds new events to the list of the Activity page. Without this script, the list shows the events
// at the time of loading.

const events = document.getElementById("events");
const link = document.getElementById("link");
const news = document.getElementById("news");
const notice = document.getElementById("notice");
const reload = document.getElementById("reload");

// Delay before the next attempt after a refusal. The browser does not reconnect by itself then.
const AGAIN_MS = 10_000;

// The server ends each stream after some minutes, and the browser resumes it within seconds. The
// page shows only longer interruptions.
const GRACE_MS = 5_000;

// Screen readers announce the events of this period together, because a burst would take too long
// to read.
const COLLECT_MS = 3_000;

let stream;
let again;
let interrupted;
let unsaid = [];

function open() {
  close();
  // An EventSource resumes by itself. A new one starts after the newest event of the page.
  const newest = events.firstElementChild;
  stream = new EventSource("/activity/events" + (newest ? `?after=${newest.id}` : ""));
  stream.onopen = () => {
    clearTimeout(interrupted);
    interrupted = undefined;
    show("Live");
  };
  stream.onmessage = ({ data }) => add(data);
  stream.addEventListener("notice", ({ data }) => {
    if (notice.innerHTML !== data) notice.innerHTML = data;
  });
  stream.onerror = () => {
    // Refused, for example because too many streams are open. The delay is random, so that browsers
    // do not retry together.
    if (stream.readyState === EventSource.CLOSED) {
      show("Not live");
      again = setTimeout(open, AGAIN_MS * (0.5 + Math.random()));
    } else {
      interrupted ??= setTimeout(show, GRACE_MS, "Reconnecting");
    }
  };
}

function close() {
  clearTimeout(again);
  clearTimeout(interrupted);
  interrupted = undefined;
  stream?.close();
}

function show(state) {
  const live = state === "Live";
  link.className = live ? "state good" : "state bad";
  // Screen readers announce each assignment.
  if (link.textContent !== state) link.textContent = state;
  reload.hidden = live;
}

// The server renders and escapes rows, in the stream as in the page.
function add(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  const row = template.content.firstElementChild;
  if (!row || document.getElementById(row.id)) return;
  // Ids are in the order of time.
  const older = [...events.children].find((other) => other.id < row.id) ?? null;
  if (!older && events.children.length >= Number(events.dataset.limit)) return;
  row.classList.add("new");
  events.insertBefore(row, older);
  while (events.children.length > Number(events.dataset.limit)) events.lastElementChild.remove();
  announce(row.querySelector(".state").textContent);
}

function announce(what) {
  if (unsaid.push(what) === 1) {
    setTimeout(() => {
      news.textContent = unsaid.length === 1 ? `New: ${unsaid[0]}` : `${unsaid.length} new events`;
      unsaid = [];
    }, COLLECT_MS);
  }
}

// Browsers limit the connections to a site. So a hidden page closes its stream, and resumes it when
// it is shown again.
document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
if (!document.hidden) open();
