// Adds new events to the list of the Activity page. Without it the list is as it was at loading.

const events = document.getElementById("events");
const link = document.getElementById("link");
const news = document.getElementById("news");
const notice = document.getElementById("notice");
const reload = document.getElementById("reload");

// Delay before the next attempt after a refusal, when the browser does not reconnect by itself.
const AGAIN_MS = 10_000;

// The server ends each stream after some minutes, and the browser resumes it within seconds.
// Only a longer interruption is shown.
const GRACE_MS = 5_000;

// Events of one moment are announced together: nobody can listen to each of many.
const COLLECT_MS = 3_000;

let stream;
let again;
let interrupted;
let unsaid = [];

function open() {
  close();
  // The browser resumes by itself as long as the stream lives; the page says where it starts.
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
    // Refused, for example because too many streams are open. The delay differs, so that not all
    // browsers try again at the same moment.
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

// Rows come as the server renders them for the page, and what they hold is escaped there.
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

// A browser opens few connections to a site, and pages that nobody sees need none: they resume
// where they were.
document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
if (!document.hidden) open();
