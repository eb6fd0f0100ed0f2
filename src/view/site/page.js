// Follows what a page shows: when the server says that it has changed, the page is fetched again, and the parts that
// differ take the place of those that are shown. What is open stays open, and nothing else moves.
"use strict";
(() => {
  const body = document.body;
  const shown = new Map();
  const name = (part) => part.id || part.tagName;
  const parts = (page) => [page.querySelector("header"), ...page.querySelectorAll("main > section")];

  const keep = (old, part) => {
    const open = new Set([...old.querySelectorAll("details[open] > summary")].map((summary) => summary.textContent));
    for (const summary of part.querySelectorAll("details > summary")) {
      summary.parentElement.open = open.has(summary.textContent);
    }
    const across = [...old.querySelectorAll(".scroll, pre")].map((box) => box.scrollLeft);
    old.replaceWith(part);
    part.querySelectorAll(".scroll, pre").forEach((box, at) => { box.scrollLeft = across[at] || 0; });
  };

  const put = (page) => {
    const main = document.querySelector("main");
    const fresh = parts(page);
    const names = new Set(fresh.map(name));
    for (const part of parts(document)) {
      if (!names.has(name(part))) {
        shown.delete(name(part));
        part.remove();
      }
    }
    fresh.forEach((part, at) => {
      const html = part.outerHTML;
      const old = at === 0 ? document.querySelector("header") : document.getElementById(part.id);
      if (old && shown.get(name(part)) === html) return;
      shown.set(name(part), html);
      const own = document.importNode(part, true);
      if (old) keep(old, own);
      else main.insertBefore(own, main.children[at - 1] || null);
    });
    document.title = page.title;
    body.dataset.version = page.body.dataset.version;
  };

  let isFetching = false;
  let wanted = body.dataset.version;
  const refresh = async () => {
    if (isFetching) return;
    isFetching = true;
    try {
      while (wanted !== body.dataset.version) {
        const asked = wanted;
        const reply = await fetch(location.href, { cache: "no-store" });
        if (!reply.ok) break;
        put(new DOMParser().parseFromString(await reply.text(), "text/html"));
        // The page may be newer than what was asked for.
        if (wanted === asked) wanted = body.dataset.version;
      }
    } catch {
      // The server is gone; the events say so.
    } finally {
      isFetching = false;
    }
  };

  const lost = (isLost) => { document.getElementById("lost").hidden = !isLost; };
  for (const part of parts(document)) shown.set(name(part), part.outerHTML);
  const events = new EventSource(body.dataset.events);
  events.addEventListener("open", () => lost(false));
  events.addEventListener("error", () => lost(true));
  events.addEventListener("version", (event) => {
    wanted = event.data;
    refresh();
  });
})();
