// A table that is too wide scrolls in a box that the theme makes: let the keyboard reach that box.
const reach = () => {
  for (const box of document.querySelectorAll(".md-typeset__scrollwrap")) {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  }
};
new MutationObserver(reach).observe(document.querySelector(".md-content"), { childList: true, subtree: true });
addEventListener("resize", reach);
addEventListener("load", reach);
