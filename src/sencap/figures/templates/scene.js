"use strict";
const picture = document.getElementById("picture");
const view = document.getElementById("view");
const said = document.getElementById("said");
const seen = document.getElementById("seen");
const edge = document.getElementById("edge");
const swipe = document.getElementById("swipe");
const boxes = [...document.querySelectorAll(".windows rect")];
const buttons = [...document.querySelectorAll("[data-window]")];
const whole = picture.viewBox.baseVal;
const full = { x: whole.x, y: whole.y, width: whole.width, height: whole.height };

// The slider is over what is shown, so that it swipes in a zoomed part too.
function draw() {
  const shown = picture.viewBox.baseVal;
  const at = shown.x + (shown.width * swipe.value) / 1000;
  seen.setAttribute("x", at);
  edge.setAttribute("x1", at);
  edge.setAttribute("x2", at);
}

function zoom(x, y, width, height) {
  picture.setAttribute("viewBox", `${x} ${y} ${width} ${height}`);
  draw();
}

function pick(number, near) {
  const box = boxes[number];
  for (const other of boxes) other.classList.toggle("picked", other === box);
  for (const button of buttons) {
    const is = Number(button.dataset.window) === number;
    button.setAttribute("aria-pressed", String(is));
    if (is && !near) button.scrollIntoView({ block: "nearest" });
  }
  said.textContent = box.querySelector("title").textContent;
  if (!near) return;
  const [x, y, width, height] = ["x", "y", "width", "height"].map((name) => Number(box.getAttribute(name)));
  // three windows around it, in the proportions of the scene
  const side = Math.min(Math.max(3 * width, (3 * height * full.width) / full.height), full.width);
  const tall = (side * full.height) / full.width;
  const left = Math.min(Math.max(x + width / 2 - side / 2, 0), full.width - side);
  const top = Math.min(Math.max(y + height / 2 - tall / 2, 0), full.height - tall);
  zoom(left, top, side, tall);
}

swipe.addEventListener("input", draw);
boxes.forEach((box, number) => {
  box.addEventListener("pointerenter", () => { said.textContent = box.querySelector("title").textContent; });
  box.addEventListener("click", () => pick(number, false));
});
for (const button of buttons) {
  button.addEventListener("click", () => pick(Number(button.dataset.window), true));
}
document.getElementById("whole").addEventListener("click", () => zoom(full.x, full.y, full.width, full.height));
for (const choice of document.querySelectorAll("[name=shown]")) {
  choice.addEventListener("change", () => { view.className = `view ${choice.value}`.trim(); });
}
draw();
