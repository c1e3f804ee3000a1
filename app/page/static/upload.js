// Uploads with how far they are: XMLHttpRequest tells of what was sent, fetch does not. The token goes in a header, so
// that the service asks for it before it reads the body.

import { reason } from "./page.js";

const form = document.getElementById("upload");
const sent = document.getElementById("sent");
const told = document.getElementById("upload-told");

function done(busy, text) {
  form.querySelector("button").disabled = busy;
  sent.hidden = !busy;
  told.textContent = text;
  told.className = busy || !text ? "hint" : "message bad";
}

function upload(event) {
  event.preventDefault();
  const request = new XMLHttpRequest();
  request.upload.addEventListener("progress", ({ loaded, total }) => {
    sent.value = total ? loaded / total : 0;
    const percent = Math.floor(100 * sent.value);
    told.textContent = loaded < total ? `${percent} % sent` : "All sent: it is being checked …";
  });
  request.addEventListener("load", () => {
    if (request.status === 201) location.assign(request.getResponseHeader("Location"));
    else done(false, reason(request.responseText));
  });
  request.addEventListener("error", () => done(false, "The connection broke: try again."));
  request.open("POST", form.getAttribute("action"));
  request.setRequestHeader("X-Form-Token", document.querySelector('meta[name="form-token"]').content);
  request.send(new FormData(form));
  done(true, "Begun …");
}

form?.addEventListener("submit", upload);
