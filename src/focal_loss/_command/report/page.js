// Updates the page when the reader moves the threshold or the costs. Without this script the page shows the initial
// choice.
"use strict";
(() => {
  const NOTHING = "–";
  const one = (selector) => document.querySelector(selector);
  const data = JSON.parse(one("#data").textContent);
  const [slider, alarm, miss] = ["#threshold", "#cost-fp", "#cost-fn"].map(one);
  const costs = { fp: Number(alarm.value), fn: Number(miss.value) };
  const positives = data.tp[0] + data.fn[0];
  const negatives = data.fp[0] + data.tn[0];

  // The same rules as `fixed` and `short` of numbers.py, so that the page reads the same with and without its script.
  const fixed = (x, decimals) => {
    const [whole, rest] = x.toFixed(decimals).split(".");
    const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ",");
    return rest === undefined ? grouped : `${grouped}.${rest}`;
  };
  const short = (x) => {
    const exponent = x ? Number(x.toExponential().split("e")[1]) : 2;
    const text = fixed(x, Math.min(Math.max(2 - exponent, 0), 12));
    return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
  };

  const cost = (k) => costs.fp * data.fp[k] + costs.fn * data.fn[k];
  const relativeCost = (k) => cost(k) / Math.min(costs.fp * negatives, costs.fn * positives);
  const cheapest = () => {
    let best = 0;
    for (let k = 1; k < data.tp.length; k += 1) if (cost(k) < cost(best)) best = k;
    return best;
  };

  const shown = (k, best) => {
    const flagged = data.tp[k] + data.fp[k];
    return {
      threshold: data.thresholds[k],
      tp: short(data.tp[k]),
      fp: short(data.fp[k]),
      fn: short(data.fn[k]),
      tn: short(data.tn[k]),
      flagged: short(flagged),
      positives: short(positives),
      precision: flagged ? fixed(data.tp[k] / flagged, 3) : NOTHING,
      recall: fixed(data.tp[k] / positives, 3),
      cost: short(cost(k)),
      per_thousand: short((1000 * cost(k)) / (positives + negatives)),
      relative_cost: fixed(relativeCost(k), 3),
      best_threshold: data.thresholds[best],
      best_cost: short(cost(best)),
      expected_threshold: short(costs.fp / (costs.fp + costs.fn)),
      cost_fp: short(costs.fp),
      cost_fn: short(costs.fn),
    };
  };

  const mark = (name, x, y) => {
    const found = one(`[data-mark="${name}"]`);
    found.toggleAttribute("data-off", Number.isNaN(x + y));
    if (Number.isNaN(x + y)) return;
    found.setAttribute("cx", `${100 * x}%`);
    found.setAttribute("cy", `${100 * (1 - y)}%`);
  };

  const height = (k) => Math.min(relativeCost(k) / data.ceiling, 1);
  const draw = (k, best) => {
    mark("cost", data.positions[k], height(k));
    mark("best", data.positions[best], height(best));
    mark("pr", data.tp[k] / positives, data.tp[k] / (data.tp[k] + data.fp[k]));
    mark("roc", data.fp[k] / negatives, data.tp[k] / positives);
    const line = one('[data-line="cost"]');
    const [across, down] = ["width", "height"].map((side) => Number(line.parentNode.getAttribute(side)));
    const point = (x, j) => `${(x * across).toFixed(1)},${((1 - relativeCost(j) / data.ceiling) * down).toFixed(1)}`;
    line.setAttribute("points", data.positions.map(point).join(" "));
  };

  // The values under the pointer: those of the stored model at the nearest threshold. Arrow keys step along a curve.
  const places = {
    pr: (k) => [data.tp[k] / positives, data.tp[k] / (data.tp[k] + data.fp[k])],
    roc: (k) => [data.fp[k] / negatives, data.tp[k] / positives],
    cost: (k) => [data.positions[k], height(k)],
  };
  const read = (name, reading) => {
    const ring = one(`[data-mark="${name}"]`);
    const axes = ring.parentNode;
    const figure = axes.ownerSVGElement;
    const dot = axes.appendChild(document.createElementNS(axes.namespaceURI, "circle"));
    dot.dataset.mark = `${name}-read`;
    dot.setAttribute("r", "3.5");
    dot.setAttribute("class", "best");
    let at = -1;
    const show = (k) => {
      at = k;
      if (k < 0) dot.toggleAttribute("data-off", true);
      else mark(dot.dataset.mark, ...places[name](k));
      reading.textContent = k < 0 ? "" : spoken(k);
    };
    const nearest = (event) => {
      const screen = axes.getScreenCTM();
      const px = (event.clientX - screen.e) / screen.a / Number(axes.getAttribute("width"));
      const py = 1 - (event.clientY - screen.f) / screen.d / Number(axes.getAttribute("height"));
      const far = data.tp.map((_, k) => {
        const [x, y] = places[name](k);
        return Math.hypot(x - px, name === "cost" ? 0 : y - py);
      });
      return far.reduce((best, d, k) => (d < far[best] || Number.isNaN(far[best]) ? k : best), 0);
    };
    figure.tabIndex = 0;
    figure.addEventListener("pointermove", (event) => show(nearest(event)));
    figure.addEventListener("pointerleave", () => show(-1));
    figure.addEventListener("blur", () => show(-1));
    figure.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      show(Math.min(Math.max((at < 0 ? Number(slider.value) : at) + step, 0), data.tp.length - 1));
    });
    show(-1);
  };
  const spoken = (k) => {
    const now = shown(k, k);
    const alarms = fixed(data.fp[k] / negatives, 3);
    const rates = `precision ${now.precision}, recall ${now.recall}, false positive rate ${alarms}`;
    return `At ${now.threshold}: ${rates}, cost ${now.cost}.`;
  };

  const update = () => {
    const k = Number(slider.value);
    const best = cheapest();
    const texts = shown(k, best);
    for (const place of document.querySelectorAll("[data-show]")) {
      if (place.textContent !== texts[place.dataset.show]) place.textContent = texts[place.dataset.show];
    }
    slider.setAttribute("aria-valuetext", texts.threshold);
    draw(k, best);
  };

  const price = (input, kind) => {
    const value = Number(input.value);
    const good = value > 0 && Number.isFinite(value);
    input.setAttribute("aria-invalid", String(!good));
    if (good) costs[kind] = value;
    one("#cost-rule").hidden = !one('[aria-invalid="true"]');
    update();
  };

  const copy = async () => {
    const command = one("#command");
    try {
      await navigator.clipboard.writeText(command.textContent);
      one("#copied").textContent = "Copied.";
    } catch {
      getSelection().selectAllChildren(command);
      one("#copied").textContent = "Selected; copy it with Ctrl+C.";
    }
  };

  // The counts and rates at every threshold; precision is empty where no row is flagged.
  const table = () => {
    const rows = data.exact.map((threshold, k) => {
      const [tp, fp, fn, tn] = ["tp", "fp", "fn", "tn"].map((name) => data[name][k]);
      return [threshold, tp, fp, fn, tn, tp + fp ? tp / (tp + fp) : "", tp / positives, fp / negatives].join(",");
    });
    return ["threshold,tp,fp,fn,tn,precision,recall,false_positive_rate", ...rows, ""].join("\n");
  };
  const save = () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([table()], { type: "text/csv" }));
    link.download = "curves.csv";
    link.click();
    URL.revokeObjectURL(link.href);
  };

  one("#csv").addEventListener("click", save);
  slider.addEventListener("input", update);
  alarm.addEventListener("input", () => price(alarm, "fp"));
  miss.addEventListener("input", () => price(miss, "fn"));
  one("#best").addEventListener("click", () => {
    slider.value = String(cheapest());
    update();
  });
  one("#copy").addEventListener("click", copy);
  for (const reading of document.querySelectorAll("[data-reading]")) read(reading.dataset.reading, reading);
  for (const element of document.querySelectorAll(".scripted")) element.hidden = false;
  update();
})();
