// Moves between the rows of a waterfall by keyboard, copies a trace, and loads the page of a trace that has not arrived
// yet. Without it, rows, copies and "Load again" are plain links.

import { follow } from "./live.js";

const rows = () => [...document.querySelectorAll("tr[data-row] a.name")];

const isTyping = (target) => target.closest("input, textarea, select, [contenteditable]") !== null;

document.addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey || isTyping(event.target)) return;
  const links = rows();
  const at = links.indexOf(document.activeElement);
  // Arrow keys scroll the page unless a row has the focus.
  const step = { j: 1, k: -1, ArrowDown: at < 0 ? 0 : 1, ArrowUp: at < 0 ? 0 : -1 }[event.key];
  if (step) {
    // After a link was followed, its row is the target of the URL.
    const target = links.findIndex((link) => `#${link.closest("tr").id}` === location.hash);
    const from = at < 0 ? target : at;
    const next = links[from < 0 ? 0 : Math.min(Math.max(from + step, 0), links.length - 1)];
    next?.focus();
    event.preventDefault();
    return;
  }
  if (at < 0) return;
  const toggle = links[at].closest("tr").querySelector("a.toggle");
  const wanted = { ArrowRight: "false", ArrowLeft: "true" }[event.key];
  if (toggle && wanted === toggle.getAttribute("aria-expanded")) {
    toggle.click();
    event.preventDefault();
  }
});

for (const link of document.querySelectorAll("a[data-copy]")) {
  link.addEventListener("click", async (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || !navigator.clipboard) return;
    event.preventDefault();
    const status = document.getElementById("copied");
    try {
      const response = await fetch(link.href);
      if (!response.ok) throw new Error(response.statusText);
      await navigator.clipboard.writeText(await response.text());
      status.textContent = "Copied.";
    } catch {
      location.href = link.href;
    }
  });
}

// Spans of a trace arrive in several requests. This is the time for the next ones, in milliseconds.
const REST = 1_000;

const again = document.getElementById("again");
if (again) {
  const end = follow(again, () => {
    end();
    setTimeout(() => location.reload(), REST);
  });
}
