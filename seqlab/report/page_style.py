"""The fixed parts of the report's page: its styles and its one script. Nothing in them is fetched from anywhere."""

from typing import Final

STYLE: Final = """
:root {
  color-scheme: light dark;
  --page: #ffffff; --text: #1b1f24; --muted: #57606a; --line: #d8dee4; --shade: #f6f8fa; --best: #0a6b3d;
  --warn: #8a5a00; --warn-shade: #fff8e5;
  --series-1: #0072b2; --series-2: #d55e00; --series-3: #009e73; --series-4: #cc79a7; --series-5: #e69f00;
  --series-6: #56b4e9;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #15191e; --text: #e6eaef; --muted: #9aa4af; --line: #363d46; --shade: #1f252c; --best: #5fd39a;
    --warn: #f0c36a; --warn-shade: #2b2618;
    --series-1: #4aa8e8; --series-2: #ff8a3d; --series-3: #35c79a; --series-4: #e39ac4; --series-5: #ffc04d;
    --series-6: #9ad7ff;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--text);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
}
main { max-width: 84rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
p { margin: .25rem 0; }
.muted, .muted li { color: var(--muted); font-size: .9rem; }
.notes { margin: 1rem 0; padding: .6rem 1rem .6rem 2rem;
         background: var(--warn-shade); border-left: 4px solid var(--warn); }
.notes li { overflow-wrap: anywhere; }
/* A shadow at the side where there is more to see: it stays, and what covers it scrolls along. */
.scroll, figure { overflow-x: auto; background:
  linear-gradient(to right, var(--page) 40%, transparent) left / 3rem 100% no-repeat local,
  linear-gradient(to left, var(--page) 40%, transparent) right / 3rem 100% no-repeat local,
  linear-gradient(to right, var(--line), transparent) left / .8rem 100% no-repeat scroll,
  linear-gradient(to left, var(--line), transparent) right / .8rem 100% no-repeat scroll; }
.scroll { margin: .5rem 0; border: 1px solid var(--line); border-radius: 6px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .92rem; }
th, td { padding: .4rem .55rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
tbody tr:last-child > * { border-bottom: 0; }
thead th { background: var(--shade); font-weight: 600; vertical-align: bottom; white-space: normal; }
th.key { text-align: left; }
/* The first column stays where a wide table is scrolled. */
th.key:first-child { position: sticky; left: 0; z-index: 1; }
tbody th.key:first-child { background: var(--page); }
th[scope="colgroup"] { text-align: center; }
tbody th.key { font-weight: 400; max-width: 22rem; white-space: normal; overflow-wrap: anywhere; }
tbody tr:hover > *, tbody tr:hover > th.key:first-child { background: var(--shade); }
tr.best > th.key, tr.best > td, td.best { color: var(--best); font-weight: 600; }
th button { all: unset; cursor: pointer; }
th button:focus-visible { outline: 2px solid currentColor; outline-offset: 2px; }
th button::after { content: "\\a0\\2195"; color: var(--muted); font-size: .85em; }
th[aria-sort="ascending"] button::after { content: "\\a0\\2191"; color: inherit; }
th[aria-sort="descending"] button::after { content: "\\a0\\2193"; color: inherit; }
figure { margin: 0; max-width: 52rem; }
.figures { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 38rem), 1fr)); }
svg { display: block; width: 100%; min-width: 30rem; height: auto; }
pre { margin: .5rem 0; padding: .7rem 1rem; background: var(--shade); border: 1px solid var(--line); border-radius: 6px;
      white-space: pre-wrap; overflow-wrap: anywhere; font-size: .9rem; }
details { margin: 1rem 0; }
summary { cursor: pointer; }
details li { overflow-wrap: anywhere; }
@media (max-width: 40rem) { main { padding: 1rem .6rem 3rem; } th, td { padding: .35rem .5rem; }
  tbody th.key { max-width: 9rem; } }
@media print { .scroll { overflow: visible; } th.key:first-child { position: static; }
  th button::after { content: ""; } }
"""

SCRIPT: Final = """
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  for (const button of table.querySelectorAll("th button")) {
    button.addEventListener("click", () => {
      const head = button.parentElement, column = head.cellIndex;
      const up = head.getAttribute("aria-sort") !== "ascending";
      for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const value = (row) => parseFloat(row.cells[column].dataset.value);
      const order = (x, y) => isNaN(x) ? (isNaN(y) ? 0 : 1) : isNaN(y) ? -1 : up ? x - y : y - x;
      body.append(...[...body.rows].sort((one, other) => order(value(one), value(other))));
    });
  }
}
"""

SHELL: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
      content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
{body}
</main>
<script>{script}</script>
</body>
</html>
"""
