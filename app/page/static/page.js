// What all views share: times in the reader's own zone, questions before what cannot be undone, and what an error says.

const local = new Intl.DateTimeFormat(undefined, {
  year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", timeZoneName: "short",
});

/** Write each time below a node in the reader's zone, which it names; UTC, as reports have it, stays as its title. */
export function localise(node) {
  for (const time of node.querySelectorAll("time[datetime]")) {
    if (!time.title) {
      time.title = time.textContent;
      time.textContent = local.format(new Date(time.dateTime));
    }
  }
}

/** What the page of an error says. */
export function reason(text) {
  const said = new DOMParser().parseFromString(text, "text/html").querySelector("main .lead");
  return said ? said.textContent : "the service did not answer as it should: try again";
}

/** A button that leads to a question opens it in the dialog that it names, whose buttons close it or send its form. */
function openDialog(event) {
  const opener = event.target.closest("[data-dialog]");
  if (!opener) return;
  event.preventDefault();
  document.getElementById(opener.dataset.dialog).showModal();
}

let troubled = "";

/** Say above a view why it could not be renewed, or no more: it stays as it was. at: the id of the part, if it is one. */
export function tell(text, at = "") {
  const trouble = document.getElementById("trouble");
  trouble.hidden = !text;
  trouble.textContent = text;
  troubled = at;
}

localise(document);
document.addEventListener("click", openDialog);
document.addEventListener("htmx:after:swap", () => localise(document));
document.addEventListener("htmx:after:request", ({ detail: { ctx } }) => {
  const at = ctx.target.id;
  if (ctx.response.status >= 400) tell(`This view was not renewed: ${reason(ctx.text)}`, at);
  else if (!troubled || troubled === at) tell(""); // what became of another part says nothing of this one
});
document.addEventListener("htmx:error", ({ detail: { ctx } }) => {
  tell("The service cannot be reached: this view is as it was.", ctx?.target?.id);
});
