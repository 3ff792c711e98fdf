"use strict";
document.documentElement.classList.add("js");
for (const slider of document.querySelectorAll("input.opacity")) {
  const card = slider.closest(".card");
  const show = () => {
    card.style.setProperty("--evidence", String(slider.value / 100));
    slider.parentElement.querySelector("output").textContent = slider.value + "%";
  };
  slider.addEventListener("input", show);
  show();
}
