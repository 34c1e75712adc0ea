// Lists the versions of `versions.js`, which tools/website.py writes, and opens the start page of the chosen one.
"use strict";
document.querySelectorAll(".site-versions select").forEach((select) => {
  if (select.dataset.filled) return; // this script stands beside each of them
  select.dataset.filled = "yes";
  const current = select.value;
  select.replaceChildren(
    ...window.focalLossVersions.map((name) => new Option(name, name, name === current, name === current)),
  );
  select.addEventListener("change", () => {
    location.href = `${select.dataset.root}${select.value}/index.html`;
  });
});
