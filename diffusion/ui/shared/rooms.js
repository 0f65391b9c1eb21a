// The rooms of the page: the address says which one is open, as in #compare or #lab/swiss-roll?seed=3.

const WITH_AN_ADDRESS = ["compare", "lab"];

export function openRoom() {
  const name = location.hash.slice(1).split(/[/?]/)[0];
  return WITH_AN_ADDRESS.includes(name) ? name : "compose";
}

// Lets the style sheets and the navigation know.
export function showRoom() {
  const room = document.body.dataset.room = openRoom();
  for (const link of document.querySelectorAll(".rooms a")) {
    if (link.hash.slice(1) === (room === "compose" ? "" : room)) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  return room;
}
