"use strict";
for (const table of document.querySelectorAll("table.sortable")) {
  table.querySelectorAll("thead th").forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      table.querySelectorAll("thead th").forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const said = (body) => body.rows[0].cells[column].textContent.trim();
      const order = (a, b) => said(a).localeCompare(said(b), "en", { numeric: true });
      const bodies = [...table.tBodies].sort((a, b) => (up ? order(a, b) : order(b, a)));
      table.append(...bodies);
    });
  });
}
