// What the theme leaves unnamed or out of the keyboard's reach.
document.addEventListener("DOMContentLoaded", () => {
  for (const summary of document.querySelectorAll(".bd-sidebar-primary summary")) {
    const link = summary.closest("li").querySelector("a");
    summary.setAttribute("aria-label", `Pages below ${link.textContent.trim()}`);
  }
  for (const entry of document.querySelectorAll("[role=list] > [role=doc-biblioentry]")) {
    entry.setAttribute("role", "listitem"); // what a list may hold
  }
  // Wide tables and cells' outputs scroll sideways: with the arrow keys, once they have the focus.
  const scrolls = ".bd-article table, .bd-article pre, .bd-article .cell_output > .output";
  for (const box of document.querySelectorAll(scrolls)) {
    if (/auto|scroll/.test(getComputedStyle(box).overflowX)) box.tabIndex = 0;
  }
});
