"use strict";
// Similarities with their intervals, drawn of elements, so that they follow the width and colours.

function steps(low, high) {
  const rough = (high - low || 1) / 5;
  const size = 10 ** Math.floor(Math.log10(rough));
  const step = size * [1, 2, 5, 10].find((x) => x * size >= rough);
  const digits = Math.max(0, -Math.floor(Math.log10(step)));
  const first = Math.floor(low / step + 1e-9);
  const last = Math.max(first + 1, Math.ceil(high / step - 1e-9));
  return Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step).map((x) => [x, x.toFixed(digits)]);
}

function intervalPlot(concepts, title, level) {
  const finite = concepts.flatMap((x) => [x.similarity, x.lower, x.upper]).filter(isNumber);
  if (!finite.length) return "";
  const ticks = steps(Math.min(...finite), Math.max(...finite));
  const [low, high] = [ticks[0][0], ticks[ticks.length - 1][0]];
  const at = (x) => `${(100 * (x - low)) / (high - low)}%`;
  const mark = (kind, x, text = "") => {
    const element = make("span", { class: kind }, text);
    element.style.left = at(x);
    return element;
  };
  const rows = concepts.flatMap((x) => {
    const track = make("span", { class: "track" }, ...ticks.map(([tick]) => mark("tick", tick)));
    if (isNumber(x.lower) && isNumber(x.upper)) {
      const bar = mark("interval", x.lower);
      bar.style.right = `${(100 * (high - x.upper)) / (high - low)}%`;
      track.append(bar);
    }
    if (isNumber(x.similarity)) track.append(mark("point", x.similarity));
    return [make("span", { class: "name" }, bdi(x.name)), track];
  });
  const axis = make("span", { class: "axis" }, ...ticks.map(([x, text]) => mark("value", x, text)));
  const key = make("p", { class: "key" }, make("span", { class: "point" }), ` ${title}, measured `, make("span", { class: "interval" }), ` ${level} interval`);
  const label = "Similarity and interval of the leading concepts; the table below has the numbers";
  return make("div", { class: "plot", role: "img", "aria-label": label }, key, ...rows, make("span", {}), axis);
}
