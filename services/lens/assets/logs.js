// Adds new log records to the page. Without this script, the page shows those at the time of loading.

import { announcer, follow } from "./live.js";

const lines = document.getElementById("lines");
const link = document.getElementById("link");
const news = document.getElementById("news");
const reload = document.getElementById("reload");
const limit = Number(lines.dataset.limit);

let unsaid = 0;

const announce = announcer(news, () => {
  const text = `${unsaid} new log records`;
  unsaid = 0;
  return text;
});

function show(live) {
  const state = live ? "Live" : "Not live";
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
  unsaid += items.length;
  if (items.length > 0) announce();
}

follow(lines, add, show);
