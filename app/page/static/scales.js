// The slider of a result: moves a mark over the curves, and says what every method scores there.
// The numbers are those of the table of all scales, which anybody can read without this script.

const section = document.getElementById("at-scales");

if (section) {
  const slider = section.querySelector("#scale");
  const chosen = section.dataset.chosen;
  const rows = [...section.querySelectorAll("#all-scales tbody tr")];
  const scales = [...new Set(rows.map((row) => row.dataset.scale))].sort((one, other) => one - other);
  const last = Number(scales.at(-1));
  const cells = new Map(rows.map((row) => [`${row.dataset.method} ${row.dataset.scale}`, row.cells]));
  const ends = new Map(rows.map((row) => [row.dataset.method, Number(row.dataset.scale)])); // rows of a method ascend

  const show = () => {
    const scale = scales[slider.value];
    const label = String(Number(scale));
    section.querySelector("#scale-now").textContent = label;
    section.querySelector("#scale-told").textContent = label;
    slider.setAttribute("aria-valuetext", `λ = ${label}`);
    const mark = section.querySelector("#scale-mark");
    const x = (600 * Number(scale)) / (last || 1);
    mark.setAttribute("x1", x);
    mark.setAttribute("x2", x);
    for (const row of section.querySelectorAll("#at-scale tbody tr")) {
      const found = cells.get(`${row.dataset.method} ${scale}`);
      row.querySelector("[data-side=forget]").textContent = found ? found[2].textContent : "–";
      row.querySelector("[data-side=retain]").textContent = found ? found[3].textContent : "–";
      const told = row.querySelector("[data-unmeasured]");
      const end = ends.get(row.dataset.method);
      const beyond = Number(scale) > end ? `not measured beyond λ = ${end}` : "not measured here";
      told.textContent = found ? "" : beyond;
    }
    const link = section.querySelector("#weights-at");
    link.href = scale === chosen ? section.dataset.weights : `${section.dataset.weights}?scale=${scale}`;
    link.querySelector("span").textContent = `Download the weights at λ = ${label}`;
    const folder = section.querySelector("#theirs-at");
    if (folder) folder.href = `${section.dataset.weights}?format=transformers${scale === chosen ? "" : `&scale=${scale}`}`;
  };

  slider.closest(".slider").hidden = false;
  slider.addEventListener("input", show);
  show();
}
