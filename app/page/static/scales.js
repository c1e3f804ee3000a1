// The slider of a result: moves a mark over the curves, and says what every method scores there.
// The numbers are those of the table of all scales, which anybody can read without this script.

const section = document.getElementById("at-scales");

if (section) {
  const slider = section.querySelector("#scale");
  const chosen = section.dataset.chosen;
  const rows = [...section.querySelectorAll("#all-scales tbody tr")];
  const own = rows[0]?.dataset.method;
  const scales = rows.filter((row) => row.dataset.method === own).map((row) => row.dataset.scale);
  const last = Math.max(...rows.map((row) => Number(row.dataset.scale)));
  const cells = new Map(rows.map((row) => [`${row.dataset.method} ${row.dataset.scale}`, row.cells]));

  const show = () => {
    const scale = scales[slider.value];
    const label = String(Number(scale));
    section.querySelector("#scale-now").textContent = label;
    slider.setAttribute("aria-valuetext", `λ = ${label}`);
    const mark = section.querySelector("#scale-mark");
    const x = (600 * Number(scale)) / (last || 1);
    mark.setAttribute("x1", x);
    mark.setAttribute("x2", x);
    for (const row of section.querySelectorAll("#at-scale tbody tr")) {
      const found = cells.get(`${row.dataset.method} ${scale}`);
      row.querySelector("[data-side=forget]").textContent = found ? found[2].textContent : "–";
      row.querySelector("[data-side=retain]").textContent = found ? found[3].textContent : "–";
    }
    const link = section.querySelector("#weights-at");
    link.href = scale === chosen ? section.dataset.weights : `${section.dataset.weights}?scale=${scale}`;
    link.querySelector("span").textContent = `Download the weights at λ = ${label}`;
  };

  slider.addEventListener("input", show);
  show();
}
