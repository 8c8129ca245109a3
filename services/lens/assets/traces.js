// Tells how many new traces match. Without this script, the page shows those at the time of loading.

import { announcer, follow } from "./live.js";

// Nobody needs to know more exactly.
const MOST = 100;

const link = document.getElementById("news");
const announce = announcer(document.getElementById("said"), () => link.textContent);
const found = new Set();

const end = follow(link, (ids) => {
  for (const id of ids.split(" ")) {
    if (!document.querySelector(`a[href="/traces/${id}"]`)) found.add(id);
  }
  if (found.size === 0) return;
  const count = found.size < MOST ? found.size : `${MOST} or more`;
  link.textContent = `${count} new ${count === 1 ? "trace" : "traces"}`;
  link.hidden = false;
  announce();
  if (found.size >= MOST) end();
});
