"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  // Light and dark: the system's choice until the reader chooses.
  const root = document.documentElement;
  const button = document.getElementById("theme");
  const isDark = () => root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const name = () => { button.textContent = isDark() ? "Light" : "Dark"; button.ariaLabel = `Switch to ${isDark() ? "light" : "dark"} colours`; };
  button.hidden = false;
  button.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; name(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", name);
  name();

  // Tables: sort by a column, show one label.
  const value = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.sort === undefined ? cell.textContent.trim() : Number(cell.dataset.sort);
  };
  const compare = (a, b) => typeof a === "number" && typeof b === "number" ? a - b : typeof a === "number" ? -1 : typeof b === "number" ? 1 : a.localeCompare(b, undefined, { numeric: true });
  for (const table of all("table[data-sortable]")) {
    const heads = all("thead th", table);
    heads.forEach((head, column) => {
      const sorter = document.createElement("button");
      sorter.type = "button";
      sorter.append(...head.childNodes);
      head.append(sorter);
      sorter.addEventListener("click", () => {
        const descending = head.ariaSort === "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", descending ? "descending" : "ascending");
        const rows = all("tbody tr", table).sort((a, b) => compare(value(a, column), value(b, column)));
        table.tBodies[0].append(...(descending ? rows.reverse() : rows));
      });
    });
  }
  for (const select of all("select[data-filter]")) {
    select.parentElement.hidden = false;
    select.addEventListener("change", () => {
      for (const row of all(`table[data-name="${select.dataset.filter}"] tbody tr`)) {
        row.hidden = select.value !== "" && row.dataset.group !== select.value;
      }
    });
  }

  // A link to a case opens the fold that hides it.
  const reveal = () => {
    const target = location.hash && document.getElementById(location.hash.slice(1));
    const fold = target && target.closest("details");
    if (fold && !fold.open) { fold.open = true; target.scrollIntoView(); }
  };
  addEventListener("hashchange", reveal);
  all('a[href^="#"]').forEach((link) => link.addEventListener("click", () => setTimeout(reveal)));
  reveal();

  // Charts: read the values under the pointer.
  const format = (number) => Math.abs(number) >= 1e-3 || number === 0 ? Number(number.toPrecision(4)).toString() : number.toExponential(2);
  for (const chart of all("svg[data-chart]")) {
    const { x: [low, high, left, right], series } = JSON.parse(chart.dataset.chart);
    const cursor = chart.querySelector(".cursor");
    const reading = document.createElement("div");
    reading.className = "reading";
    reading.hidden = true;
    chart.parentElement.append(reading);
    chart.addEventListener("pointermove", (event) => {
      const box = chart.getBoundingClientRect();
      const at = (event.clientX - box.left) / box.width * chart.viewBox.baseVal.width;
      const wanted = low + (at - left) / (right - left) * (high - low);
      const nearest = series.map((line) => line.points.reduce((a, b) => Math.abs(b[0] - wanted) < Math.abs(a[0] - wanted) ? b : a));
      const x = nearest.reduce((a, b) => Math.abs(b[0] - wanted) < Math.abs(a[0] - wanted) ? b : a)[0];
      const place = left + (x - low) / (high - low) * (right - left);
      cursor.setAttribute("x1", place);
      cursor.setAttribute("x2", place);
      cursor.removeAttribute("hidden");
      const head = document.createElement("div");
      head.textContent = format(x);
      reading.replaceChildren(head, ...series.map((line, index) => {
        const row = document.createElement("div");
        row.className = `key c${line.colour}`;
        row.textContent = `${line.name} ${format(nearest[index][1])}`;
        return row;
      }));
      reading.hidden = false;
      const share = place / chart.viewBox.baseVal.width;
      reading.style.left = share < 0.5 ? `${share * 100 + 3}%` : "auto";
      reading.style.right = share < 0.5 ? "auto" : `${(1 - share) * 100 + 3}%`;
    });
    chart.addEventListener("pointerleave", () => { reading.hidden = true; cursor.setAttribute("hidden", ""); });
  }

  for (const copy of all("button[data-copy]")) {
    if (!navigator.clipboard) continue;
    copy.hidden = false;
    copy.addEventListener("click", async () => {
      await navigator.clipboard.writeText(copy.previousElementSibling.textContent);
      copy.textContent = "Copied";
    });
  }

  addEventListener("beforeprint", () => all("details:not(#gallery)").forEach((fold) => { fold.open = true; }));
})();
