(() => {
  "use strict";
  const page = document.querySelector(".comparison");
  page.classList.add("live");
  const all = (query) => [...document.querySelectorAll(query)];
  all(".methods input").forEach((box) => box.addEventListener("change", () => {
    all(`[data-method="${box.dataset.method}"]`).forEach((one) => { if (one !== box) one.classList.toggle("off", !box.checked); });
  }));

  const player = document.getElementById("player");
  if (!player) return;
  const [play, scrub, clock] = ["play", "scrub", "clock"].map((id) => document.getElementById(id));
  const numbers = (text) => text.split(" ").map(Number);
  const ways = all(".way").map((way) => {
    const own = way.dataset.method;
    return {
      lines: all(`path[data-method="${own}"].way, path[data-method="${own}"].halo`),
      head: document.querySelector(`.head[data-method="${own}"]`),
      live: document.querySelector(`[data-live="${own}"]`),
      places: way.getAttribute("d").slice(1).split("L").map(numbers),
      at: numbers(way.dataset.at),
      values: way.dataset.values.split(" "),
    };
  });
  const most = Math.max(2, ...ways.map((way) => way.at[way.at.length - 1]));
  const seconds = 12;

  const draw = (share) => {
    const spent = most ** share;  // a logarithmic clock: the first steps are the ones to see
    ways.forEach((way) => {
      let last = -1;
      while (last + 1 < way.at.length && way.at[last + 1] <= spent + 1e-9) last += 1;
      const begun = last >= 0;
      const places = begun ? way.places.slice(0, last + 1) : [];
      if (begun && last + 1 < way.places.length && spent > way.at[last]) {
        const part = (spent - way.at[last]) / (way.at[last + 1] - way.at[last] || 1);
        const [[ax, ay], [bx, by]] = [way.places[last], way.places[last + 1]];
        places.push([ax + part * (bx - ax), ay + part * (by - ay)]);
      }
      const data = begun ? `M${places.map((place) => place.join(" ")).join("L")}` : "M0 0";
      way.lines.forEach((line) => line.setAttribute("d", data));
      if (way.head) {
        way.head.style.visibility = begun ? "visible" : "hidden";
        const [x, y] = begun ? places[places.length - 1] : [0, 0];
        way.head.setAttribute("cx", `${x / 10}%`);
        way.head.setAttribute("cy", `${y / 10}%`);
      }
      way.live.textContent = share >= 1 ? way.live.dataset.last : begun ? way.values[last] : "\u2013";
    });
    const whole = Math.max(1, Math.floor(spent + 1e-9));
    clock.textContent = `${whole.toLocaleString("en")} evaluation${whole === 1 ? "" : "s"}`;
    scrub.setAttribute("aria-valuetext", clock.textContent);
  };

  let share = 1, playing = false, before = 0;
  const tick = (now) => {
    if (!playing) return;
    share = Math.min(1, share + Math.min(100, now - before) / 1000 / seconds);
    before = now;
    scrub.value = Math.round(share * 1000);
    draw(share);
    if (share >= 1) set(false); else requestAnimationFrame(tick);
  };
  const set = (on) => {
    playing = on;
    play.textContent = on ? "Pause" : share >= 1 ? "Replay" : "Play";
    play.setAttribute("aria-pressed", String(on));
    if (!on) return;
    if (share >= 1) share = 0;
    before = performance.now();
    requestAnimationFrame(tick);
  };
  play.addEventListener("click", () => set(!playing));
  scrub.addEventListener("input", () => { share = Number(scrub.value) / 1000; set(false); draw(share); });
  addEventListener("beforeprint", () => { set(false); share = 1; scrub.value = 1000; draw(1); });
  player.hidden = false;
  draw(1);
  set(!matchMedia("(prefers-reduced-motion: reduce)").matches);
})();
