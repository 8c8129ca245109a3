// Follows the stream of an open page: its URL and the first position are attributes of an element.

// Delay before the next attempt after a refusal. The browser does not reconnect by itself then.
const AGAIN_MS = 10_000;

// Screen readers announce the news of this period together.
const COLLECT_MS = 5_000;

// Calls `add` with the data of each event, and `show` when the stream begins or ends. Returns a function that ends it.
export function follow({ dataset }, add, show = () => {}) {
  let { after } = dataset;
  let stream;
  let again;

  function open() {
    close();
    const url = new URL(dataset.events, location.href);
    url.searchParams.set("after", after);
    stream = new EventSource(url);
    stream.onopen = () => show(true);
    stream.onmessage = ({ data, lastEventId }) => {
      after = lastEventId;
      add(data);
    };
    stream.onerror = () => {
      show(false);
      if (stream.readyState === EventSource.CLOSED) again = setTimeout(open, AGAIN_MS);
    };
  }

  function close() {
    clearTimeout(again);
    stream?.close();
  }

  // Browsers limit the connections to a site. So a hidden page closes its stream, and resumes it when it is shown again.
  const change = () => (document.hidden ? close() : open());
  document.addEventListener("visibilitychange", change);
  change();
  return () => {
    document.removeEventListener("visibilitychange", change);
    close();
  };
}

// Returns a function that sets the text of a status, at most once in a period: to the latest result of `text`.
export function announcer(status, text) {
  let waits = false;
  return () => {
    if (waits) return;
    waits = true;
    setTimeout(() => {
      waits = false;
      status.textContent = text();
    }, COLLECT_MS);
  };
}
