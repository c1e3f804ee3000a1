// The form of a new request: ticked samples go into the list, dropped pictures are looked for in the data set, what is
// wrong is told beside its field, and nothing is lost when the session ends meanwhile.

import { reason, tell } from "./page.js";

const form = document.getElementById("request");

/** The samples that must go: the lines of the list, which alone says what is asked for. */
function listed() {
  const text = document.getElementById("ids")?.value ?? "";
  return new Set(text.split("\n").map((line) => line.trim()).filter(Boolean));
}

/** Writes into the list what was ticked, also on other pages of samples, and takes out what was unticked. */
function list(ticks) {
  const lines = listed();
  for (const tick of ticks) tick.checked ? lines.add(tick.value) : lines.delete(tick.value);
  document.getElementById("ids").value = [...lines].join("\n");
  follow();
}

/** Ticks what the list has, wherever it is shown, and nothing else. Without a name no box is sent beside the list. */
function follow() {
  const lines = listed();
  for (const box of form.querySelectorAll("input.listed")) {
    box.checked = lines.has(box.value);
    box.removeAttribute("name");
  }
}

/** Draws each dropped picture beside what was found; one that the browser cannot read stays blank. */
async function draw(matches, files) {
  for (const canvas of matches.querySelectorAll("canvas[data-file]")) {
    const file = files[canvas.dataset.file];
    if (!file || matches.querySelectorAll("canvas[data-file]").length !== files.length) continue;
    try {
      const picture = await createImageBitmap(file);
      const scale = Math.min(canvas.width / picture.width, canvas.height / picture.height);
      const [width, height] = [picture.width * scale, picture.height * scale];
      const [left, top] = [(canvas.width - width) / 2, (canvas.height - height) / 2];
      canvas.getContext("2d").drawImage(picture, left, top, width, height);
    } catch {
      continue;
    }
  }
}

async function find(files) {
  const finder = document.getElementById("finder");
  const finding = document.getElementById("finding");
  const matches = document.getElementById("matches");
  if (!finder || files.length === 0) return;
  finding.textContent = "Looking for them …";
  const body = new FormData();
  for (const file of files) body.append("file", file);
  const token = document.querySelector('meta[name="form-token"]').content;
  try {
    const answer = await fetch(finder.dataset.to, { method: "POST", body, headers: { "X-Form-Token": token } });
    const text = await answer.text();
    if (!answer.ok) throw new Error(reason(text));
    if (!matches.isConnected) return; // another data set was chosen meanwhile
    matches.innerHTML = text;
    list(matches.querySelectorAll("input.listed:checked"));
    finding.textContent = "Confirm what must go: what the list names is forgotten, and nothing else.";
    await draw(matches, files);
    judge();
  } catch (error) {
    matches.replaceChildren();
    finding.textContent = `They could not be looked for: ${error.message}`;
  }
}

/** Says beside each field what the card says of it. What is still empty is no mistake, until somebody presses the button. */
function mark() {
  for (const note of form.querySelectorAll(".wrong")) {
    const name = note.id.slice("wrong-".length);
    const field = document.getElementById(name);
    const told = document.querySelector(`#takes [data-field="${name}"]`)?.textContent ?? "";
    note.hidden = !told || (note.hidden && !field?.value);
    note.textContent = told;
    if (told && !note.hidden) field?.setAttribute("aria-invalid", "true");
    else field?.removeAttribute("aria-invalid");
  }
}

/** Has the form judged where it stands. */
function judge() {
  form.dispatchEvent(new Event("change"));
}

/** Whether somebody is signed in who may begin a job; the form then carries the token of that session. */
async function renewed() {
  const answer = await fetch("/new", { redirect: "manual" }).catch(() => null);
  if (!answer?.ok) return false;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const token = page.querySelector('meta[name="form-token"]').content;
  document.querySelector('meta[name="form-token"]').content = token;
  for (const field of document.querySelectorAll('input[name="token"]')) field.value = token;
  return true;
}

let isAsking = false;
let isReady = false;
/** Begins the job once it is known that the form is not sent into nothing; Enter in a field only has it judged. */
async function send(event) {
  if (isReady) return;
  event.preventDefault();
  if (event.submitter?.value !== "begin") return judge();
  if (isAsking) return; // pressed twice
  isAsking = true;
  isReady = await renewed();
  isAsking = false;
  if (isReady) form.requestSubmit(event.submitter);
  else tell("It was not sent: nobody is signed in who may, or the service cannot be reached. Sign in again in another tab, and press the button once more; what is filled in stays.");
  isReady = false;
}

form.addEventListener("submit", send);
form.addEventListener("change", (event) => {
  if (event.target.matches?.("input.listed")) list([event.target]);
  if (event.target.id === "pictures") find([...event.target.files]);
}, true);
form.addEventListener("input", (event) => {
  if (event.target.id === "ids") follow();
});
for (const kind of ["dragover", "drop"]) {
  form.addEventListener(kind, (event) => {
    if (!event.target.closest("#drop")) return;
    event.preventDefault();
    if (kind === "drop") find([...event.dataTransfer.files]);
  });
}

let wasInPicker = false;
document.addEventListener("htmx:before:swap", () => {
  wasInPicker = Boolean(document.activeElement.closest("#picker"));
});
document.addEventListener("htmx:after:swap", () => {
  follow();
  mark();
  // the first and the last page of samples lack the button that led there
  if (wasInPicker && document.activeElement === document.body) document.getElementById("of")?.focus();
});

let hasEnded = false;
document.addEventListener("htmx:after:request", ({ detail: { ctx } }) => {
  hasEnded = [401, 403].includes(ctx.response.status);
});
window.addEventListener("focus", async () => {
  if (hasEnded && (await renewed())) judge();
});
follow();
