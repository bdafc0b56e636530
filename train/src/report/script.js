// Sorting of tables by the buttons in their heads: down first, then up, in turn.
"use strict";
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  for (const button of table.querySelectorAll("thead button")) {
    button.addEventListener("click", () => {
      const column = Number(button.dataset.column);
      const head = button.closest("th");
      const down = head.getAttribute("aria-sort") !== "descending";
      for (const other of heads) {
        if (other.hasAttribute("aria-sort")) other.setAttribute("aria-sort", "none");
      }
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const value = (row) => {
        const text = row.cells[column].dataset.value;
        return text === undefined ? null : Number(text);
      };
      const sorted = [...body.rows].sort((a, b) => {
        const [x, y] = [value(a), value(b)];
        // What has no value comes last either way.
        if (x === null || y === null) return (x === null) - (y === null);
        return down ? y - x : x - y;
      });
      body.append(...sorted);
    });
  }
}
