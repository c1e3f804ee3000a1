"""docs/accessibility.md: what axe-core finds in every view, and where the Tab key comes."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

PAGE = Path("docs/accessibility.md")
TEXT = Path(__file__).with_name("accessibility.md.in")
"""The page with gaps."""
IMPACTS = ("critical", "serious", "moderate", "minor")
LOOKS = {"": "light", "-dark": "dark", "-phone": "phone"}
OTHERS = ("docs", "redoc", "guide")
"""Views that are not ours alone: Swagger UI, Redoc, Material for MkDocs."""

_STOPS = """() => {
  const all = 'a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex]';
  const reached = (one) => one.type !== 'radio' || one.checked
    || !document.querySelector(`input[type=radio][name="${one.name}"]:checked`);
  window.stops = [...document.querySelectorAll(all)].filter((one) => one.tabIndex >= 0 && !one.disabled
    && reached(one) && one.checkVisibility({visibilityProperty: true}));
  document.body.tabIndex = -1;  // so that Tab begins at the top, wherever the focus was
  document.body.focus();
  document.body.removeAttribute('tabindex');
  return window.stops.length;
}"""
_STOP = """() => {
  const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(document.activeElement);
  return { at: window.stops.indexOf(document.activeElement), over: document.activeElement === document.body,
    seen: (outlineStyle !== 'none' && outlineWidth !== '0px') || boxShadow !== 'none' };
}"""


class Keys(NamedTuple):
    """Of the controls of a view: how many there are, how many Tab reaches, and how many of these show the focus."""

    controls: int
    reached: int
    seen: int


@dataclass
class Audit:
    """What was found, by view and look."""

    browser: str
    axe: str = ""
    rules: set[str] = field(default_factory=set)
    found: dict[str, dict[str, list[dict[str, Any]]]] = field(default_factory=dict)
    unsure: dict[str, Counter[str]] = field(default_factory=dict)
    keys: dict[str, Keys] = field(default_factory=dict)

    def look(self, page: Page, view: str, look: str) -> None:
        """Run every rule of axe-core on a view; walk through it with Tab once."""
        told: dict[str, Any] = Axe().run(page).response
        self.axe = told["testEngine"]["version"]
        kinds = ("violations", "incomplete", "passes", "inapplicable")
        self.rules |= {rule["id"] for kind in kinds for rule in told[kind]}
        self.found.setdefault(view, {})[look] = told["violations"]
        self.unsure.setdefault(view, Counter()).update({rule["id"]: len(rule["nodes"]) for rule in told["incomplete"]})
        if not look:
            self.keys[view] = walk(page)

    def write(self) -> None:
        """The page of the guide."""
        ours, others = ([view for view in self.found if (view in OTHERS) == theirs] for theirs in (False, True))
        text = TEXT.read_text().format(
            date=datetime.now(UTC).date().isoformat(),
            axe=self.axe,
            browser=self.browser,
            rules=len(self.rules),
            views=len(ours),
            verdict=self._verdict(ours),
            ours=self._table(ours),
            others=self._table(others),
            findings=self._findings(ours),
            their_findings=self._findings(others),
            unsure=self._unsure(),
            keys=self._keys(),
        )
        PAGE.write_text(text)

    def _verdict(self, views: list[str]) -> str:
        grave = [one for view in views for one in self._of(view) if one["impact"] in ("critical", "serious")]
        return (
            "Nothing critical and nothing serious was found" if not grave else f"{len(grave)} grave findings are open"
        )

    def _of(self, view: str) -> list[dict[str, Any]]:
        return [one for found in self.found[view].values() for one in found]

    def _table(self, views: list[str]) -> str:
        lines = [f"| view | {' | '.join(IMPACTS)} |", f"| --- |{' ---: |' * len(IMPACTS)}"]
        for view in views:
            counts = Counter(one["impact"] for one in self._of(view))
            lines.append(f"| {view} | {' | '.join(str(counts[impact]) for impact in IMPACTS)} |")
        return "\n".join(lines)

    def _findings(self, views: list[str]) -> str:
        """A line for each rule that a view breaks, with the looks in which it does."""
        looks: dict[tuple[str, str, str, str], list[str]] = {}
        for view in views:
            for look, found in self.found[view].items():
                for one in found:
                    looks.setdefault((view, one["impact"], one["id"], one["help"]), []).append(LOOKS[look])
        lines = [
            f"- {view}: {impact}, `{rule}`: {told} ({', '.join(at)})"
            for (view, impact, rule, told), at in looks.items()
        ]
        return "\n".join(lines) or "None."

    def _unsure(self) -> str:
        found = [f"{view}: {', '.join(f'`{rule}`' for rule in rules)}" for view, rules in self.unsure.items() if rules]
        return "; ".join(found) or "none"

    def _keys(self) -> str:
        lines = ["| view | controls | reached by Tab | of these show the focus |", "| --- | ---: | ---: | ---: |"]
        return "\n".join(
            lines + [f"| {view} | {keys.controls} | {keys.reached} | {keys.seen} |" for view, keys in self.keys.items()]
        )


def walk(page: Page) -> Keys:
    """Press Tab until it leaves the view, or has been everywhere."""
    count: int = page.evaluate(_STOPS)
    reached: dict[int, bool] = {}
    for _ in range(2 * count + 10):
        page.keyboard.press("Tab")
        stop = page.evaluate(_STOP)
        if stop["over"]:
            break
        if stop["at"] >= 0:
            reached[stop["at"]] = stop["seen"]
    return Keys(count, len(reached), sum(reached.values()))
