// What all views share: times in the reader's own zone, and questions before what cannot be undone.

const local = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

/** Write each time below a node in the reader's zone; UTC stays to be read when the pointer rests on it. */
export function localise(node) {
  for (const time of node.querySelectorAll("time[datetime]")) {
    if (!time.title) {
      time.title = time.textContent;
      time.textContent = local.format(new Date(time.dateTime));
    }
  }
}

/** A button that opens the dialog that it names; the dialog's own buttons close it or send its form. */
function openDialog(event) {
  const opener = event.target.closest("[data-dialog]");
  if (opener) document.getElementById(opener.dataset.dialog).showModal();
}

localise(document);
document.addEventListener("click", openDialog);
document.addEventListener("htmx:after:swap", () => localise(document));
