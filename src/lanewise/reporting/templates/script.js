(() => {
  "use strict";
  const root = document.documentElement;

  const theme = document.getElementById("theme");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);
  const name = () => { theme.textContent = isDark() ? "Light" : "Dark"; };
  theme.hidden = false;
  theme.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; name(); });
  dark.addEventListener("change", name);
  name();

  document.querySelectorAll("button.copy").forEach((copy) => {
    if (!navigator.clipboard) return;
    copy.hidden = false;
    copy.addEventListener("click", () => {
      const done = (words) => { copy.textContent = words; setTimeout(() => { copy.textContent = "Copy"; }, 1500); };
      const text = copy.parentElement.querySelector("code").textContent;
      navigator.clipboard.writeText(text).then(() => done("Copied"), () => done("Not allowed"));
    });
  });

  // On paper nothing may wait behind a click.
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    opened.forEach((one) => { one.open = true; });
  });
  addEventListener("afterprint", () => { opened.forEach((one) => { one.open = false; }); });

  const figure = document.getElementById("race-figure");
  if (!figure) return;
  const lanes = [...figure.querySelectorAll(".lane")];
  const boxes = [...figure.querySelectorAll("input[data-status]")];
  const pick = document.getElementById("optimizer");
  const drops = figure.querySelector(".drops");
  figure.classList.add("live");

  const shown = (lane) => {
    const box = boxes.find((one) => lane.classList.contains(one.dataset.status));
    return (!box || box.checked) && (!pick || !pick.value || lane.dataset.optimizer === pick.value);
  };
  const filter = () => {
    lanes.forEach((lane) => lane.classList.toggle("off", !shown(lane)));
    const box = boxes.find((one) => one.dataset.status === "pruned");
    if (drops && box) drops.classList.toggle("off", !box.checked || Boolean(pick && pick.value));
    figure.querySelectorAll("text.name, text.score, .plot .ring, .level").forEach((label) => {
      const mine = lanes.filter((lane) => ["winner", "member", "default"].some((s) => lane.classList.contains(s) && label.classList.contains(s)));
      label.classList.toggle("off", !mine.some(shown));
    });
  };
  boxes.forEach((box) => box.addEventListener("change", filter));
  if (pick) pick.addEventListener("change", filter);

  // The lane nearest to the pointer is lifted out and named below the chart.
  const chart = figure.querySelector("svg.race");
  const words = document.getElementById("race-words");
  const resting = `${words.textContent.trim()} Point at a lane, or step through them with the arrow keys, to name it.`;
  words.textContent = resting;
  const ways = lanes.map((lane) => {
    const [head, tail] = lane.getAttribute("d").slice(1).split("l");
    let [x, y] = head.split("M")[0].replace("h0", "").trim().split(" ").map(Number);
    const points = [[x, y]];
    const steps = tail ? tail.trim().split(" ").map(Number) : [];
    for (let i = 0; i + 1 < steps.length; i += 2) { x += steps[i]; y += steps[i + 1]; points.push([x, y]); }
    return points;
  });
  const distance = (points, px, py, sx, sy) => {
    let best = Infinity;
    for (let i = 0; i < points.length; i += 1) {
      const [ax, ay] = points[i];
      const [bx, by] = points[Math.min(i + 1, points.length - 1)];
      const dx = (bx - ax) * sx, dy = (by - ay) * sy;
      const long = dx * dx + dy * dy;
      const t = long ? Math.max(0, Math.min(1, ((px - ax * sx) * dx + (py - ay * sy) * dy) / long)) : 0;
      best = Math.min(best, Math.hypot(px - ax * sx - t * dx, py - ay * sy - t * dy));
    }
    return best;
  };
  let lit = null;
  const light = (lane) => {
    if (lane === lit) return;
    if (lit) lit.classList.remove("lit");
    if (lane) lane.classList.add("lit");
    words.textContent = lane ? lane.dataset.words : resting;
    lit = lane;
  };
  chart.addEventListener("pointermove", (event) => {
    const box = chart.getBoundingClientRect();
    const [px, py] = [event.clientX - box.left, event.clientY - box.top];
    let nearest = null, least = 24;
    lanes.forEach((lane, i) => {
      if (lane.classList.contains("off")) return;
      const far = distance(ways[i], px, py, box.width / 1000, box.height / 1000);
      if (far < least) { least = far; nearest = lane; }
    });
    light(nearest);
  });
  chart.addEventListener("pointerleave", () => light(null));

  // The same by keyboard, the winner's lanes first, spoken as they are named.
  chart.tabIndex = 0;
  chart.addEventListener("focus", () => words.setAttribute("aria-live", "polite"));
  chart.addEventListener("blur", () => { light(null); words.setAttribute("aria-live", "off"); });
  chart.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape") light(null);
    if (!step) return;
    event.preventDefault();
    const there = lanes.filter((lane) => !lane.classList.contains("off")).reverse();
    if (!there.length) return;
    const at = there.indexOf(lit);
    light(there[at < 0 ? 0 : (at + step + there.length) % there.length]);
  });
})();
