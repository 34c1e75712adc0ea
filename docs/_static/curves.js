// The losses of the page of curves, their slopes in the logit, and the page. No other file is needed, and nothing else
// is loaded. Every number is computed in float64 by the formulas of the library, which tests compare with it.
"use strict";

const focalCurves = (() => {
  const LEAST = 1e-7; // the probability that Keras clamps to

  // p, q = 1 - p and their negative logarithms, all to full relative precision: q is never 1 - p.
  function sigmoid(z) {
    const u = Math.exp(-Math.abs(z));
    const [small, large, log] = [u / (1 + u), 1 / (1 + u), Math.log1p(u)];
    return z < 0
      ? { p: small, q: large, negLogP: log - z, negLogQ: log }
      : { p: large, q: small, negLogP: log, negLogQ: log + z };
  }

  // A power of a probability. Where that has lost digits to underflow its logarithm has not.
  const power = (q, negLogQ, gamma) => (q > 1e-300 ? q ** gamma : Math.exp(-gamma * negLogQ));

  // q^gamma L for a margin, and its derivative. No power below gamma is formed, so none is infinite.
  function ofMargin(s, gamma) {
    const { p, q, negLogP, negLogQ } = sigmoid(s);
    const factor = power(q, negLogQ, gamma);
    return { value: factor * negLogP, slope: -factor * (gamma * p * negLogP + q) };
  }

  // The expectation over a label: each side times its weight and its share.
  function expected(y, positive, negative) {
    return {
      value: y * positive.value + (1 - y) * negative.value,
      slope: y * positive.slope + (1 - y) * negative.slope,
    };
  }

  const times = (w, { value, slope }) => ({ value: w * value, slope: w * slope });
  const mirrored = ({ value, slope }) => ({ value, slope: -slope });

  function binary(z, y, gamma, posWeight = 1) {
    return expected(y, times(posWeight, ofMargin(z, gamma)), mirrored(ofMargin(-z, gamma)));
  }

  // A negative with the probability m = p - clip, or none of its cost where p <= clip.
  function clippedNegative(z, gamma, clip) {
    if (clip === 0) return mirrored(ofMargin(-z, gamma));
    const { p, q } = sigmoid(z);
    if (p <= clip) return { value: 0, slope: 0 };
    const [m, n] = [p - clip, q + clip]; // n is 1 - m, without its cancellation
    const loss = m < 0.5 ? -Math.log1p(-m) : -Math.log(n);
    const factor = m ** gamma;
    return { value: factor * loss, slope: factor * ((gamma * loss) / m + 1 / n) * p * q };
  }

  function asymmetric(z, y, gammaPos, gammaNeg, clip) {
    return expected(y, ofMargin(z, gammaPos), clippedNegative(z, gammaNeg, clip));
  }

  // As Keras computes it from the sigmoid: the logarithm of a clamped probability, whose derivative is 0 beyond the
  // clamp, and a factor that mixes the label into the probability.
  function clamped(z, y, gamma, posWeight = 1) {
    const { p, q } = sigmoid(z);
    const log = (x) => -Math.log(Math.min(Math.max(x, LEAST), 1 - LEAST));
    const inside = p > LEAST && p < 1 - LEAST ? 1 : 0;
    const entropy = y * log(p) + (1 - y) * log(q);
    const wrong = y * q + (1 - y) * p; // 1 - p_t
    const factor = wrong ** gamma;
    const change = gamma * factor * ((((1 - 2 * y) * p) / wrong) * q);
    const weight = y * posWeight + 1 - y;
    return times(weight, { value: factor * entropy, slope: change * entropy + factor * inside * (p - y) });
  }

  return { sigmoid, binary, asymmetric, clamped };
})();

// The page: sliders, two figures and a table of what they show at one logit.
(() => {
  const root = document.getElementById("loss-curves");
  if (!root) return;

  const SVG = "http://www.w3.org/2000/svg";
  const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [460, 300, 46, 10, 12, 34];
  const STEPS = 240;
  // In the order in which they are drawn: a dotted curve lies on the one that it may hide.
  const CURVES = {
    focal: ({ z, label, gamma, weight }) => focalCurves.binary(z, label, gamma, weight),
    entropy: ({ z, label, weight }) => focalCurves.binary(z, label, 0, weight),
    clamped: ({ z, label, gamma, weight }) => focalCurves.clamped(z, label, gamma, weight),
    asymmetric: ({ z, label, gamma, clip }) => focalCurves.asymmetric(z, label, gamma, gamma, clip),
  };
  const RADIUS = { focal: 5, entropy: 4, clamped: 3, asymmetric: 4 };
  const NAMES = Object.keys(CURVES);
  const PRESETS = {
    start: { gamma: 2, weight: 1, label: 1, clip: 0, logit: -2, reach: 6 },
    dead: { gamma: 2, weight: 1, label: 1, clip: 0, logit: -20, reach: 24 },
    soft: { gamma: 2, weight: 1, label: 0.7, clip: 0, logit: 1, reach: 6 },
    clip: { gamma: 4, weight: 1, label: 0, clip: 0.2, logit: 1, reach: 6 },
  };
  const inputs = Object.fromEntries(
    ["gamma", "weight", "label", "clip", "logit", "reach"].map((name) => [name, root.querySelector(`#curves-${name}`)]),
  );

  const state = () => Object.fromEntries(Object.entries(inputs).map(([name, input]) => [name, Number(input.value)]));

  // Four digits where that is enough, else a power of ten; a true minus sign.
  function shown(x) {
    const size = Math.abs(x);
    const text = size === 0 || (size >= 1e-4 && size < 1e5) ? String(Number(x.toPrecision(5))) : x.toExponential(3);
    return text.replaceAll("-", "\u2212");
  }

  function element(name, attributes, text = "") {
    const made = document.createElementNS(SVG, name);
    Object.entries(attributes).forEach(([key, value]) => made.setAttribute(key, value));
    made.textContent = text;
    return made;
  }

  // Round numbers from below the least to above the largest, about five steps apart.
  function ticks(least, largest) {
    const raw = Math.max(largest - least, 1e-12) / 5;
    const unit = 10 ** Math.floor(Math.log10(raw));
    const step = unit * [1, 2, 5, 10].find((factor) => factor * unit >= raw);
    const [first, last] = [Math.floor(least / step + 1e-9), Math.ceil(largest / step - 1e-9)];
    return Array.from({ length: last - first + 1 }, (_, k) => Number(((first + k) * step).toPrecision(12)));
  }

  function drawFigure(svg, field, chosen) {
    const { reach, logit } = chosen;
    const shownCurves = NAMES.filter((name) => isShown(name, chosen));
    const logits = Array.from({ length: STEPS + 1 }, (_, k) => reach * ((2 * k) / STEPS - 1));
    const heights = shownCurves.map((name) => logits.map((z) => CURVES[name]({ ...chosen, z })[field]));
    const all = heights.flat();
    const rows = ticks(Math.min(0, ...all), Math.max(0.01, ...all));
    const columns = [-1, -0.5, 0, 0.5, 1].map((share) => share * reach);
    const x = (z) => LEFT + ((z + reach) / (2 * reach)) * (WIDTH - LEFT - RIGHT);
    const [low, high] = [rows[0], rows.at(-1)];
    const y = (v) => HEIGHT - BOTTOM - ((v - low) / (high - low)) * (HEIGHT - TOP - BOTTOM);
    const parts = [];
    columns.forEach((z) => {
      parts.push(element("path", { class: "grid", d: `M${x(z)} ${TOP}V${HEIGHT - BOTTOM}` }));
      parts.push(element("text", { x: x(z), y: HEIGHT - BOTTOM + 16, "text-anchor": "middle" }, shown(z)));
    });
    rows.forEach((v) => {
      parts.push(element("path", { class: v === 0 ? "axis" : "grid", d: `M${LEFT} ${y(v)}H${WIDTH - RIGHT}` }));
      parts.push(element("text", { x: LEFT - 6, y: y(v) + 4, "text-anchor": "end" }, shown(v)));
    });
    parts.push(element("text", { x: WIDTH - RIGHT, y: HEIGHT - 2, "text-anchor": "end" }, "logit"));
    shownCurves.forEach((name, k) => {
      const d = heights[k].map((v, i) => `${i ? "L" : "M"}${x(logits[i]).toFixed(2)} ${y(v).toFixed(2)}`).join("");
      parts.push(element("path", { class: `curve ${name}`, d }));
    });
    if (Math.abs(logit) <= reach) {
      parts.push(element("path", { class: "reading", d: `M${x(logit)} ${TOP}V${HEIGHT - BOTTOM}` }));
      shownCurves.forEach((name) => {
        const at = y(CURVES[name]({ ...chosen, z: logit })[field]);
        parts.push(element("circle", { class: name, cx: x(logit), cy: at, r: RADIUS[name] }));
      });
    }
    svg.replaceChildren(svg.querySelector("title"), ...parts);
  }

  const isShown = (name, { clip }) => name !== "asymmetric" || clip > 0;

  function drawTable(chosen) {
    const p = focalCurves.sigmoid(chosen.logit).p;
    root.querySelector("#curves-where").textContent =
      `At logit ${shown(chosen.logit)}, a probability of ${shown(p)}:`;
    NAMES.forEach((name) => {
      const row = root.querySelector(`tr[data-curve=${name}]`);
      const { value, slope } = CURVES[name]({ ...chosen, z: chosen.logit });
      row.hidden = !isShown(name, chosen);
      row.querySelector("[data-field=value]").textContent = shown(value);
      row.querySelector("[data-field=slope]").textContent = shown(slope);
    });
  }

  function draw() {
    const chosen = state();
    Object.entries(inputs).forEach(([name, input]) => {
      const output = root.querySelector(`output[for=curves-${name}]`);
      if (output) output.textContent = shown(Number(input.value));
    });
    root.querySelectorAll("svg[data-figure]").forEach((svg) => drawFigure(svg, svg.dataset.figure, chosen));
    drawTable(chosen);
  }

  function choose(name) {
    Object.entries(PRESETS[name]).forEach(([key, value]) => (inputs[key].value = value));
    draw();
  }

  // The logit under a pointer that is pressed or moves over a figure.
  function read(event) {
    const box = event.currentTarget.getBoundingClientRect();
    const share = ((event.clientX - box.left) / box.width) * WIDTH;
    const reach = Number(inputs.reach.value);
    const z = ((share - LEFT) / (WIDTH - LEFT - RIGHT) - 0.5) * 2 * reach;
    inputs.logit.value = Math.max(-reach, Math.min(reach, z));
    draw();
  }

  root.hidden = false;
  root.addEventListener("input", draw);
  root.querySelectorAll("button[data-preset]").forEach((button) => {
    button.addEventListener("click", () => choose(button.dataset.preset));
  });
  root.querySelectorAll("svg[data-figure]").forEach((svg) => {
    svg.addEventListener("pointerdown", read);
    svg.addEventListener("pointermove", read);
  });
  choose("start");
})();
