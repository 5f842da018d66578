"use strict";
(async () => {
  const byId = (id) => document.getElementById(id);
  // Line by line as page.py packs it: the table, the details of blocks of neurons, and images.
  const lines = byId("data").textContent.split("\n");
  async function unpack(line) {
    const text = atob(line);
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return JSON.parse(await new Response(stream).text());
  }
  if (!window.DecompressionStream) {
    byId("table").textContent = "The table needs a browser of 2023 or later; descriptions.csv beside this page has the same rows.";
    return;
  }
  const data = await unpack(lines[0]);
  const none = "–";

  function make(tag, attributes, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) element.setAttribute(name, value);
    element.append(...children);
    return element;
  }
  const bdi = (text) => make("bdi", {}, text);
  const number = (x, digits = 3) => (typeof x === "number" ? x.toFixed(digits) : none);
  const percent = (x) => (typeof x === "number" ? `${Math.round(100 * x)}%` : none);
  const chance = (x) => (typeof x !== "number" ? none : x > 0.99 ? "> 99%" : x < 0.01 ? "< 1%" : percent(x));
  const p = (x) => (typeof x !== "number" ? none : x < 0.001 ? "< 0.001" : x.toFixed(3));
  const range = (low, high) =>
    typeof low === "number" && typeof high === "number" ? `${number(low, 2)} to ${number(high, 2)}` : none;

  // ------------------------------------------------------------------ rows
  const rows = [];
  data.layers.forEach((layer, l) => {
    layer.neurons.forEach((neuron, u) => {
      const label = layer.label[u];
      rows.push({
        id: `${l}-${u}`, l, u, layer: layer.name, neuron,
        description: label < 0 ? "" : layer.concepts[label],
        similarity: layer.similarity[u], interval: range(layer.lower[u], layer.upper[u]),
        lower: layer.lower[u], probability: layer.probability[u], agreement: layer.agreement[u],
        answers: label < 0 ? null : layer.answers[u], place: layer.place[u],
        note: layer.texts[layer.notes[u][0]],
        q: layer.q ? layer.q[u] : null, verdict: data.verdicts[layer.verdict[u]].name,
        order: layer.verdict[u], reason: layer.reasons[layer.reason[u]],
      });
    });
  });
  for (const row of rows) row.text = `${row.layer} ${row.neuron} ${row.description} ${row.reason} ${row.note}`.toLowerCase();

  // ------------------------------------------------------------------ table
  const cellText = (field) => (cell) => bdi(cell.getData()[field]);
  const shown = (format) => (cell) => document.createTextNode(format(cell.getValue()));
  const badge = (cell) => {
    const verdict = data.verdicts.find((v) => v.name === cell.getValue());
    const dot = make("span", { class: "dot" });
    dot.style.background = verdict.colour;
    return make("span", {}, dot, verdict.name);
  };
  const numeric = { sorter: "number", sorterParams: { alignEmptyValues: "bottom" }, hozAlign: "right" };
  // the strongest of each verdict comes first, whichever verdict does
  const byVerdict = (a, b, x, y, column, dir) => {
    const [one, other] = [x.getData(), y.getData()];
    return one.order - other.order || (dir === "desc" ? -1 : 1) * (one.place - other.place);
  };
  const columns = [
    { title: "layer", field: "layer", formatter: cellText("layer"), width: 120, responsive: 7, visible: data.layers.length > 1 },
    { title: "neuron", field: "neuron", formatter: cellText("neuron"), sorter: "alphanum", width: 98, responsive: 0 },
    { title: "label", field: "description", formatter: cellText("description"), minWidth: 120, widthGrow: 3, responsive: 0 },
    { title: "same label", field: "probability", ...numeric, formatter: shown(chance), width: 124, responsive: 0, headerTooltip: "Probability that a fresh probing set of the same size gives this label" },
    { title: "answers", field: "answers", ...numeric, width: 100, responsive: 3, headerTooltip: "Answers in the neuron's set: concepts of one tree of the hierarchy are one" },
    { title: data.layers.length === 1 ? data.layers[0].metric : "similarity", field: "similarity", ...numeric, formatter: shown((x) => number(x)), width: 104, responsive: 2 },
    { title: "interval", field: "lower", ...numeric, formatter: cellText("interval"), width: 120, responsive: 4, headerTooltip: "Asymptotic interval of the true similarity, for all concepts of the neuron at once" },
    { title: "agreement", field: "agreement", ...numeric, formatter: shown(percent), width: 116, responsive: 7, headerTooltip: "Share of resamples of these data that give the same label" },
    { title: "q-value", field: "q", ...numeric, formatter: shown(p), width: 96, responsive: 6 },
    { title: "verdict", field: "verdict", formatter: badge, sorter: byVerdict, width: 128, responsive: 0 },
    { title: "reason", field: "reason", formatter: (cell) => bdi([cell.getData().reason, cell.getData().note].filter(Boolean).join("; ")), minWidth: 170, widthGrow: 3, responsive: 9 },
  ];
  const table = new Tabulator("#table", {
    data: rows, columns, index: "id", height: "min(620px, 75vh)", layout: "fitColumns",
    responsiveLayout: "hide", placeholder: "No neuron fits.",
    initialSort: [{ column: "verdict", dir: "asc" }],
    rowFormatter(row) {
      const element = row.getElement();
      element.tabIndex = 0;
      element.dataset.id = row.getData().id;
      element.classList.toggle("shown", row.getData().id === current);
    },
  });
  let current = "";
  const open = (id) => { location.hash = `n-${id}`; };
  table.on("rowClick", (_, row) => open(row.getData().id));
  byId("table").addEventListener("keydown", (event) => {
    const row = event.target.closest(".tabulator-row");
    if (!row || event.target !== row) return;
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); open(row.dataset.id); }
    const step = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key];
    if (step && row[step]) { event.preventDefault(); row[step].focus(); }
  });
  // the table draws its rows again when its size changes; the row with the focus keeps it
  let focused = "";
  document.addEventListener("focusin", (event) => { focused = event.target.dataset.id || ""; });
  table.on("renderComplete", () => {
    if (!focused || document.activeElement !== document.body) return;
    const element = byId("table").querySelector(`[data-id="${focused}"]`);
    if (element) element.focus({ preventScroll: true });
  });
  const count = (kept) => {
    byId("count").textContent = `${kept.toLocaleString("en")} of ${rows.length.toLocaleString("en")} neurons`;
  };
  table.on("dataFiltered", (_, kept) => count(kept.length));

  // ------------------------------------------------------------------ filters
  let waiting;
  function filter() {
    const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const verdict = byId("verdict").value;
    const layer = byId("layer") ? byId("layer").value : "";
    table.setFilter((row) =>
      (!verdict || row.verdict === verdict) && (layer === "" || row.l === Number(layer))
      && words.every((word) => row.text.includes(word)));
  }
  byId("search").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(filter, 120); });
  for (const id of ["verdict", "layer"]) if (byId(id)) byId(id).addEventListener("change", filter);
  byId("filters").addEventListener("submit", (event) => event.preventDefault());

  // ------------------------------------------------------------------ one neuron
  let chart;
  function facts(pairs) {
    const list = make("dl", { class: "facts" });
    for (const [name, value] of pairs) list.append(make("dt", {}, name), make("dd", {}, value));
    return list;
  }
  function names(layer, members, total) {
    const text = members.map((c) => layer.concepts[c]).join(", ");
    const more = total > members.length ? ` and ${total - members.length} more` : "";
    const list = make("span", { class: "names" }, bdi(text), more);
    return members.length <= 12 ? list : make("details", {}, make("summary", {}, `${total} concepts`), list);
  }
  // the details of neuron u of layer l, and its place among those of its block
  const unpacked = new Map();
  async function details(l, u) {
    const line = data.layers[l].firstLine + Math.floor(u / data.block);
    if (!unpacked.has(line)) unpacked.set(line, await unpack(lines[line]));
    return [unpacked.get(line), u % data.block];
  }
  // a text in three parts, or the number of an image
  function sample(example) {
    if (Array.isArray(example)) {
      const [before, token, after] = example;
      return make("div", { class: "snippet" }, before, make("mark", {}, token), after);
    }
    const place = example;
    const { size, step, across, number: total, firstLine } = data.images;
    const sheet = Math.floor(place / (across * across));
    const inside = place % (across * across);
    const zoom = Math.max(1, Math.round(56 / size));
    const tile = make("span", { class: "tile", role: "img", "aria-label": "example" });
    tile.style.width = tile.style.height = `${size * zoom}px`;
    const count = Math.min(across, total - sheet * across * across); // in a row of this sheet
    tile.style.backgroundImage = `url(${lines[firstLine + sheet]})`;
    tile.style.backgroundSize = `${count * step * zoom}px auto`;
    tile.style.backgroundPosition = `${-(inside % across) * step * zoom}px ${-Math.floor(inside / across) * step * zoom}px`;
    return tile;
  }
  function leading(layer, found, i) {
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
  function draw(canvas, layer, concepts) {
    const short = (name) => (name.length > 26 ? `${name.slice(0, 25)}…` : name);
    const labels = concepts.map((x) => short(x.name));
    const finite = (x) => typeof x === "number";
    chart = new Chart(canvas, {
      data: {
        labels,
        datasets: [
          { type: "scatter", label: "measured", data: concepts.map((x, i) => ({ x: x.similarity, y: i })), backgroundColor: "#1d2330", pointRadius: 4, yAxisID: "y" },
          { type: "bar", label: `${layer.level} interval`, data: concepts.map((x) => (finite(x.lower) && finite(x.upper) ? [x.lower, x.upper] : null)), backgroundColor: "#9cc7ea", grouped: false, barPercentage: 0.5, minBarLength: 2, yAxisID: "names" },
        ],
      },
      options: {
        indexAxis: "y", animation: false, responsive: true, maintainAspectRatio: false,
        scales: {
          x: { title: { display: true, text: layer.metric } },
          names: { type: "category", labels, position: "left", offset: true, grid: { display: false } },
          y: { type: "linear", display: false, reverse: true, min: -0.5, max: concepts.length - 0.5 },
        },
        plugins: { legend: { position: "top", align: "start", labels: { boxWidth: 12 } } },
      },
    });
  }

  async function show(id) {
    const row = rows.find((x) => x.id === id);
    const detail = byId("detail");
    if (chart) { chart.destroy(); chart = undefined; }
    current = row ? id : "";
    for (const element of byId("table").querySelectorAll(".tabulator-row")) {
      element.classList.toggle("shown", element.dataset.id === current);
    }
    const opened = row && await details(row.l, row.u);
    if (current !== (row ? id : "")) return; // another one was opened meanwhile
    const before = !detail.hidden;
    document.querySelector(".split").classList.toggle("open", Boolean(row));
    detail.hidden = !row;
    if (!row) { if (before) table.redraw(true); return; }
    const { l, u } = row;
    const layer = data.layers[l];
    const [found, i] = opened;
    const close = make("button", { class: "close", type: "button" }, "Close");
    close.addEventListener("click", () => {
      history.replaceState(null, "", location.pathname + location.search);
      show("");
      const element = byId("table").querySelector(`[data-id="${id}"]`);
      if (element) element.focus();
    });
    const verdict = data.verdicts[layer.verdict[u]];
    const dot = make("span", { class: "dot" });
    dot.style.background = verdict.colour;
    const unitName = layer.unitName;
    detail.replaceChildren(
      close,
      make("h3", {}, "Neuron ", bdi(row.neuron), row.description ? ": " : "", bdi(row.description)),
      make("p", {}, bdi(row.layer)),
      make("p", {}, dot, make("b", {}, verdict.name), ": ", bdi(row.reason)),
    );
    if (row.description) detail.append(make("p", {}, "A fresh probing set gives this label with a probability of ", make("b", {}, chance(row.probability)), found.answered[i] > layer.probability[u] ? `, the same answer with ${chance(found.answered[i])}.` : "."));
    if (row.note) detail.append(make("p", { class: "note" }, bdi(row.note)));
    if (found.examples && found.examples[i].length) {
      const tiles = make("div", { class: "tiles" }, ...found.examples[i].map(sample));
      detail.append(make("h4", {}, "What activates it most"), tiles);
    }
    const concepts = leading(layer, found, i);
    if (concepts.length) {
      const canvas = make("canvas", { role: "img", "aria-label": "Similarity and interval of the leading concepts; the table below has the numbers" });
      const holder = make("div", { class: "chart" }, canvas);
      holder.style.height = `${80 + 26 * concepts.length}px`;
      const lines = make("tbody", {});
      for (const x of concepts) {
        lines.append(make("tr", {}, make("th", { scope: "row" }, bdi(x.name)), make("td", {}, number(x.similarity)),
          make("td", {}, range(x.lower, x.upper)), make("td", {}, percent(x.votes)), make("td", {}, x.kept), make("td", {}, x.positives.toLocaleString("en"))));
      }
      const head = make("thead", {}, make("tr", {}, ...["concept", layer.metric, "interval", "votes", "in set", unitName].map((x) => make("th", { scope: "col" }, x))));
      detail.append(make("h4", {}, "Leading concepts"), holder, make("table", { class: "numbers" }, head, lines));
      draw(canvas, layer, concepts);
    } else {
      detail.append(make("p", {}, `No label: ${data.undefined[found.missing[i]]}.`));
    }
    detail.append(
      make("h4", {}, `${layer.level} set`),
      facts([
        ["concepts in it", names(layer, found.set[i], found.setSize[i])],
        ["answers", String(layer.answers[u])],
        ["for this neuron alone", `${found.calibratedSize[i]} concepts, ${found.numUntested[i]} of them untested`],
      ]),
    );
    const above = layer.shares.map((share, k) => [share, found.above[i][k]]).filter(([, concept]) => concept >= 0);
    if (above.length) {
      detail.append(
        make("h4", {}, "Label if only the top of the activation counts"),
        facts(above.map(([share, concept]) => [`top ${percent(share)} of its active samples`, bdi(layer.concepts[concept])])),
      );
    }
    const why = layer.texts[layer.notes[u][1]];
    detail.append(
      make("h4", {}, "In figures"),
      facts([
        ["similarity", number(layer.similarity[u])],
        ["interval, asymptotic", range(layer.lower[u], layer.upper[u])],
        ...(typeof found.pairLower[i] === "number" ? [["interval if no group counts for more", range(found.pairLower[i], found.pairUpper[i])]] : []),
        ["interval for every sample size", make("span", {}, range(found.sureLower[i], found.sureUpper[i]), why ? ": " : "", bdi(why))],
        ["corrected for choice", number(found.corrected[i])],
        ["on data that did not choose", number(found.split[i])],
        ["agreement", `${percent(layer.agreement[u])} of ${layer.replicates.toLocaleString("en")} resamples`],
        ["another may be better by", number(found.regret[i])],
        ["certified set", `${found.certified[i].toLocaleString("en")} of ${layer.concepts.length.toLocaleString("en")} concepts`],
        ...(found.p ? [["p-value, q-value", `${p(found.p[i])}, ${p(layer.q[u])}`]] : []),
        ["active on", typeof found.active[i] === "number" ? `${(100 * found.active[i]).toPrecision(2)}% of the samples` : none],
      ]),
    );
    if (!before) table.redraw(true);
    detail.scrollTop = 0;
    if (window.matchMedia("(max-width: 1000px)").matches) detail.scrollIntoView();
    detail.focus({ preventScroll: true });
  }
  const fromHash = () => show(location.hash.startsWith("#n-") ? location.hash.slice(3) : "");
  window.addEventListener("hashchange", fromHash);
  table.on("tableBuilt", async () => {
    count(rows.length);
    await fromHash();
    requestAnimationFrame(() => requestAnimationFrame(() => { document.body.dataset.ready = "true"; }));
  });
})();
