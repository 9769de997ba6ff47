// Keeps a page up to date. Without it every page works and is as old as its last load.
//
// The server tells over one stream what changed (never how it is now). A region of the page names what it shows in
// data-live; when one of those changes, the page is read again and the regions are replaced. Forms are no regions.

"use strict";

(() => {
  const REGIONS = "[data-live]";
  // A burst of hints is one read, and there is at most one read a second.
  const GATHER_MS = 120;
  const AT_MOST_EVERY_MS = 1000;
  // Times such as "5 min ago" and "waits for more than a minute" move without a hint.
  const STALE_MS = 30000;

  const state = document.querySelector("[data-live-state]");
  let stream = null;
  let timer = null;
  let lastReadAt = 0;
  let isReading = false;
  let isWanted = false;

  if (!document.querySelector(REGIONS) || !window.EventSource) {
    return;
  }

  function say(word, isWell) {
    state.hidden = false;
    state.textContent = word;
    state.classList.toggle("lost", !isWell);
  }

  function listens(region, name, id) {
    return region.dataset.live.split(/\s+/).some((hint) => hint === name || hint === `${name}:${id}`);
  }

  function heard(name, event) {
    let id = "";
    try {
      id = JSON.parse(event.data).id;
    } catch {
      return;
    }
    if ([...document.querySelectorAll(REGIONS)].some((region) => listens(region, name, id))) {
      want();
    }
  }

  function want() {
    isWanted = true;
    if (timer === null && !isReading) {
      const pause = Math.max(GATHER_MS, lastReadAt + AT_MOST_EVERY_MS - Date.now());
      timer = setTimeout(read, pause);
    }
  }

  async function read() {
    timer = null;
    isWanted = false;
    isReading = true;
    lastReadAt = Date.now();
    try {
      const answer = await fetch(location.href, { headers: { "tawi-refresh": "1" }, cache: "no-store" });
      if (answer.redirected) {
        // Signed out meanwhile.
        location.reload();
        return;
      }
      if (answer.ok) {
        show(new DOMParser().parseFromString(await answer.text(), "text/html"));
      }
    } catch {
      // The stream says when the controller is back, and everything is read then.
    } finally {
      isReading = false;
    }
    if (isWanted) {
      want();
    }
  }

  function show(page) {
    for (const region of document.querySelectorAll(REGIONS)) {
      const fresh = region.id && page.getElementById(region.id);
      // Nothing is taken away from under a person's fingers.
      const isBusy = region.contains(document.activeElement) && document.activeElement !== region;
      if (!fresh || isBusy || fresh.innerHTML === region.innerHTML) {
        continue;
      }
      const known = new Set([...region.querySelectorAll("[data-key]")].map((row) => row.dataset.key));
      for (const row of fresh.querySelectorAll("[data-key]")) {
        row.classList.toggle("fresh", !known.has(row.dataset.key));
      }
      region.replaceWith(document.adoptNode(fresh));
    }
  }

  function open() {
    if (stream !== null) {
      return;
    }
    stream = new EventSource("/live");
    stream.addEventListener("ready", () => {
      say("live", true);
      want();
    });
    stream.addEventListener("resync", want);
    for (const name of ["payment", "intent", "line", "site"]) {
      stream.addEventListener(name, (event) => heard(name, event));
    }
    stream.onerror = () => {
      say("not live", false);
      // A refused stream is not tried again by the browser.
      if (stream !== null && stream.readyState === EventSource.CLOSED) {
        close();
        setTimeout(look, 5000);
      }
    };
  }

  function close() {
    if (stream !== null) {
      stream.close();
      stream = null;
    }
  }

  // A browser opens six connections to one host: a tab that nobody sees gives its own back.
  function look() {
    if (document.hidden) {
      close();
    } else {
      open();
    }
  }

  document.addEventListener("visibilitychange", look);
  window.addEventListener("pagehide", close);
  window.addEventListener("pageshow", look);
  setInterval(() => document.hidden || want(), STALE_MS);
  look();
})();
