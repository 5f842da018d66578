"use strict";
// All about one neuron.

const WHOLE = 320; // characters of an example that are shown before it is opened

function facts(pairs) {
  const list = make("dl", { class: "facts" });
  for (const [name, value] of pairs) list.append(make("dt", {}, name), make("dd", {}, value));
  return list;
}

function conceptNames(layer, members, total) {
  const text = members.map((c) => layer.concepts[c]).join(", ");
  const more = total > members.length ? ` and ${total - members.length} more` : "";
  const list = make("span", {}, bdi(text), more);
  return members.length <= 12 ? list : make("details", {}, make("summary", {}, `${total} concepts`), list);
}

// A text, cut around its token until all of it is asked for. A text without context is the sample
// itself, of which nothing is marked.
function snippet([before, token, after]) {
  const alone = !before && !after;
  const half = WHOLE / 2;
  const marked = (text) => (alone ? text : make("mark", {}, text));
  const whole = [before, marked(token), after];
  const start = before.length > half ? `…${before.slice(-half)}` : before;
  const middle = token.length > WHOLE ? `${token.slice(0, WHOLE)}…` : token;
  const end = after.length > half ? `${after.slice(0, half)}…` : after;
  const text = make("span", {});
  const box = make("div", { class: "snippet" }, text);
  if (start === before && middle === token && end === after) {
    text.append(...whole);
    return box;
  }
  const button = make("button", { type: "button", "aria-expanded": "false" });
  const show = (all) => {
    text.replaceChildren(...(all ? whole : [start, marked(middle), end]));
    button.textContent = all ? "Show less" : "Show all";
    button.setAttribute("aria-expanded", String(all));
  };
  button.addEventListener("click", () => show(button.getAttribute("aria-expanded") === "false"));
  show(false);
  box.append(" ", button);
  return box;
}

function tile(place, images, lines) {
  const { size, step, across, number: total, firstLine } = images;
  const sheet = Math.floor(place / (across * across));
  const inside = place % (across * across);
  const zoom = Math.max(1, Math.round(56 / size));
  const element = make("span", { class: "tile", role: "img", "aria-label": "example" });
  element.style.width = element.style.height = `${size * zoom}px`;
  const inRow = Math.min(across, total - sheet * across * across); // in a row of this sheet
  element.style.backgroundImage = `url(${lines[firstLine + sheet]})`;
  element.style.backgroundSize = `${inRow * step * zoom}px auto`;
  element.style.backgroundPosition = `${-(inside % across) * step * zoom}px ${-Math.floor(inside / across) * step * zoom}px`;
  return element;
}

function leadingConcepts(layer, found, i) {
  const concepts = [];
  for (let k = i * found.width; k < (i + 1) * found.width; k++) {
    const concept = found.leading.concept[k];
    if (concept < 0) continue;
    const vote = found.voted[i].indexOf(concept);
    concepts.push({
      name: layer.concepts[concept], similarity: found.leading.similarity[k],
      lower: found.leading.lower[k], upper: found.leading.upper[k],
      votes: vote < 0 ? 0 : found.votes[i][vote], positives: layer.positives[concept],
      kept: found.set[i].includes(concept) ? "yes" : "no",
    });
  }
  return concepts;
}

function conceptTable(layer, concepts) {
  const titles = ["concept", layer.metric, "interval", "votes", "in set", layer.unitName];
  const head = make("thead", {}, make("tr", {}, ...titles.map((x) => make("th", { scope: "col" }, x))));
  const body = make("tbody", {});
  for (const x of concepts) {
    const cells = [number(x.similarity), range(x.lower, x.upper), percent(x.votes), x.kept, count(x.positives)];
    body.append(make("tr", {}, make("th", { scope: "row" }, bdi(x.name)), ...cells.map((text) => make("td", {}, text))));
  }
  return make("table", { class: "numbers" }, head, body);
}

function figures(layer, found, u, i) {
  const why = layer.texts[layer.notes[u][1]];
  const pair = isNumber(found.pairLower[i]) ? [["interval if no group counts for more", range(found.pairLower[i], found.pairUpper[i])]] : [];
  return facts([
    ["similarity", number(layer.similarity[u])],
    ["interval, asymptotic", range(layer.lower[u], layer.upper[u])],
    ...pair,
    ["interval for every sample size", make("span", {}, range(found.sureLower[i], found.sureUpper[i]), why ? ": " : "", bdi(why))],
    ["corrected for choice", number(found.corrected[i])],
    ["on data that did not choose", number(found.split[i])],
    ["agreement", `${percent(layer.agreement[u])} of ${count(layer.replicates)} resamples`],
    ["another may be better by", number(found.regret[i])],
    ["certified set", `${count(found.certified[i])} of ${count(layer.concepts.length)} concepts`],
    ...(found.p ? [["p-value, q-value", `${pValue(found.p[i])}, ${pValue(layer.q[u])}`]] : []),
    ["active on", isNumber(found.active[i]) ? `${(100 * found.active[i]).toPrecision(2)}% of the samples` : none],
  ]);
}

// a formula of concepts that is better than a single one, and what it is worth; or why there is none
function formulaParts(lines) {
  const shown = lines.map((text, k) => make("p", {}, lines.length > 1 && k === 0 ? make("b", {}, bdi(text)) : bdi(text)));
  return [make("h4", {}, "Formula of concepts"), ...shown];
}

// the elements below the heading of a neuron: u of its layer, i of its block
function neuronParts(row, layer, found, i, data, lines) {
  const { u } = row;
  const parts = [
    make("p", {}, bdi(row.layer)),
    make("p", {}, make("b", {}, verdictName(data.verdicts[layer.verdict[u]])), ": ", bdi(row.reason)),
  ];
  if (row.description) {
    const same = found.answered[i] > layer.probability[u] ? `, the same answer with ${chance(found.answered[i])}.` : ".";
    parts.push(make("p", {}, "A fresh probing set gives this label with a probability of ", make("b", {}, chance(row.probability)), same));
  }
  if (row.note) parts.push(make("p", { class: "note" }, bdi(row.note)));
  if (found.examples && found.examples[i].length) {
    const shown = found.examples[i].map((x) => (Array.isArray(x) ? snippet(x) : tile(x, data.images, lines)));
    const title = layer.ranges > 1 ? "Samples in this range" : "What activates it most";
    parts.push(make("h4", {}, title), make("div", { class: "tiles" }, ...shown));
  }
  const concepts = leadingConcepts(layer, found, i);
  if (concepts.length) {
    parts.push(make("h4", {}, "Leading concepts"), intervalPlot(concepts, layer.metric, layer.level), conceptTable(layer, concepts));
  } else {
    parts.push(make("p", {}, `No label: ${data.undefined[found.missing[i]]}.`));
  }
  if (found.formulas && found.formulas[i]) parts.push(...formulaParts(found.formulas[i]));
  parts.push(make("h4", {}, `${layer.level} set`), facts([
    ["concepts in it", conceptNames(layer, found.set[i], found.setSize[i])],
    ["answers", String(layer.answers[u])],
    ["for this neuron alone", `${found.calibratedSize[i]} concepts, ${found.numUntested[i]} of them untested`],
  ]));
  const above = layer.shares.map((share, k) => [share, found.above[i][k]]).filter(([, concept]) => concept >= 0);
  if (above.length) {
    const labels = above.map(([share, concept]) => [`top ${percent(share)} of its active samples`, bdi(layer.concepts[concept])]);
    parts.push(make("h4", {}, "Label if only the top of the activation counts"), facts(labels));
  }
  parts.push(make("h4", {}, "In figures"), figures(layer, found, u, i));
  return parts;
}
