// The search box: every word must occur; and an entry that a link leads to is opened.
"use strict";
const box = document.getElementById("search");
const entries = Array.from(document.querySelectorAll("details"));

function search() {
  const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  for (const entry of entries) {
    const fits = words.every((word) => entry.dataset.words.includes(word));
    entry.hidden = !fits;
    count += fits ? 1 : 0;
  }
  for (const section of document.querySelectorAll("main > section[id]")) {
    section.hidden = words.length > 0 && !section.querySelector("details:not([hidden])");
  }
  document.getElementById("found").textContent = words.length ? `${count} of ${entries.length}` : "";
}

function openTarget() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target instanceof HTMLDetailsElement) {
    if (target.hidden || target.closest("[hidden]")) { box.value = ""; search(); }
    target.open = true;
    target.scrollIntoView();
  }
}

box.addEventListener("input", search);
addEventListener("hashchange", openTarget);
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && document.activeElement !== box) { event.preventDefault(); box.focus(); }
});
openTarget();
