"use strict";
// The page: its data, the table of neurons, and the neuron that its address names.

const byId = (id) => document.getElementById(id);

async function unpack(line) {
  const text = atob(line);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

// names that stand for one thing each: a second "a" becomes "a (2)"
function distinct(names) {
  const taken = new Set(names);
  const used = new Set();
  const counts = new Map();
  return names.map((name) => {
    let own = name;
    while (used.has(own)) {
      const n = (counts.get(name) || 1) + 1;
      counts.set(name, n);
      if (!taken.has(`${name} (${n})`)) own = `${name} (${n})`;
    }
    used.add(own);
    return own;
  });
}

// one for each neuron, strongest first
function neuronRows(data) {
  const rows = [];
  const layers = distinct(data.layers.map((layer) => layer.name)).map(encodeURIComponent);
  data.layers.forEach((layer, l) => {
    const names = distinct(layer.neurons);
    layer.neurons.forEach((neuron, u) => {
      const label = layer.label[u];
      rows.push({
        l, u, layer: layer.name, neuron, link: `#${layers[l]}/${encodeURIComponent(names[u])}`,
        description: label < 0 ? "" : layer.concepts[label], formula: layer.formula ? layer.formula[u] : "",
        similarity: layer.similarity[u], interval: range(layer.lower[u], layer.upper[u]),
        lower: layer.lower[u], probability: layer.probability[u], agreement: layer.agreement[u],
        answers: label < 0 ? null : layer.answers[u], place: layer.place[u],
        note: layer.texts[layer.notes[u][0]], q: layer.q ? layer.q[u] : null,
        verdict: layer.verdict[u], reason: layer.reasons[layer.reason[u]],
      });
    });
  });
  rows.sort((a, b) => a.verdict - b.verdict || a.place - b.place);
  rows.forEach((row, i) => { row.rank = i; });
  for (const row of rows) row.text = `${row.layer} ${row.neuron} ${row.description} ${row.formula} ${row.reason} ${row.note}`.toLowerCase();
  return rows;
}

// the label, and under it the formula where it is better
function labelCell(row) {
  if (!row.formula) return bdi(row.description);
  return make("span", { class: "labelled" }, bdi(row.description), " ", make("small", {}, "better: ", bdi(row.formula)));
}

function tableColumns(data, rows) {
  const textual = (field, title) => {
    let found; // ranks are only needed to sort
    return {
      field, title, cell: (row) => bdi(row[field]),
      key: (row) => (found ||= ranks(rows.map((x) => x[field])))[row.rank],
    };
  };
  const numeric = (field, title, format, falls, help) =>
    ({ field, title, help, falls, right: true, key: (row) => row[field], cell: (row) => format(row[field]) });
  const similarity = data.layers.length === 1 ? data.layers[0].metric : "similarity";
  // the width of a column, that on a phone, and which columns are hidden first where there is no room
  const sizes = {
    layer: [100, 70, 0], neuron: [88, 62, 0], description: [0, 0, 0], probability: [120, 66, 0], answers: [94, 94, 2],
    similarity: [106, 106, 1], lower: [122, 122, 3], agreement: [122, 122, 6], q: [92, 92, 4], verdict: [128, 92, 0],
    reason: [0, 0, 5],
  };
  const columns = [
    ...(data.layers.length > 1 ? [textual("layer", "layer")] : []),
    textual("neuron", "neuron"),
    { ...textual("description", "label"), cell: labelCell, least: rows.some((row) => row.formula) ? 240 : 0 },
    numeric("probability", "same label", chance, true, "Probability that a fresh probing set of the same size gives this label"),
    numeric("answers", "answers", (x) => (x === null ? none : count(x)), false, "Answers in the neuron's set: concepts of one tree of the hierarchy are one"),
    numeric("similarity", similarity, number, true),
    { field: "lower", title: "interval", key: (row) => row.lower, cell: (row) => row.interval, falls: true, right: true, help: "Asymptotic interval of the true similarity, for all concepts of the neuron at once" },
    numeric("agreement", "agreement", percent, true, "Share of resamples of these data that give the same label"),
    numeric("q", "q-value", pValue, false),
    { field: "verdict", title: "verdict", key: (row) => row.verdict, cell: (row) => verdictName(data.verdicts[row.verdict]) },
    { field: "reason", title: "reason", key: textual("reason").key, cell: (row) => bdi([row.reason, row.note].filter(Boolean).join("; ")) },
  ];
  return columns.map((column) => {
    const [width, narrow, responsive] = sizes[column.field];
    return { ...column, width, narrow, responsive };
  });
}

async function start() {
  // line by line as page.py packs it: the table, the details of blocks of neurons, and images
  const lines = byId("data").textContent.split("\n");
  const data = await unpack(lines[0]);
  const rows = neuronRows(data);
  const byLink = new Map(rows.map((row) => [row.link, row]));
  const [detail, notice] = [byId("detail"), byId("notice")];
  let current;

  const table = new NeuronTable(byId("table"), {
    rows, columns: tableColumns(data, rows), sorted: "verdict", caption: "Neurons",
    open: (row) => { if (location.hash === row.link) follow(); else location.hash = row.link; },
    changed: (text) => { byId("count").textContent = text; },
  });

  await table.built;

  function filter() {
    const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const verdict = byId("verdict").value;
    const layer = byId("layer") ? byId("layer").value : "";
    table.filter((row) =>
      (!verdict || row.verdict === Number(verdict)) && (!layer || row.l === Number(layer))
      && words.every((word) => row.text.includes(word)));
  }
  byId("search").addEventListener("input", filter);
  for (const id of ["verdict", "layer"]) if (byId(id)) byId(id).addEventListener("change", filter);
  byId("filters").addEventListener("submit", (event) => event.preventDefault());

  const unpacked = new Map(); // the details of blocks of neurons, by line
  function block(row) {
    const line = data.layers[row.l].firstLine + Math.floor(row.u / data.block);
    if (!unpacked.has(line)) unpacked.set(line, unpack(lines[line]));
    return unpacked.get(line);
  }

  function close() {
    const row = current;
    history.replaceState(null, "", location.pathname + location.search);
    show();
    table.reveal(row);
    table.focus(row);
  }

  async function copy() {
    let done = "The link was copied.";
    try { await navigator.clipboard.writeText(location.href); } catch { done = "Copy the link from the address bar."; }
    notice.textContent = done;
  }

  function button(name, pressed) {
    const element = make("button", { type: "button" }, name);
    element.addEventListener("click", pressed);
    return element;
  }

  async function show(row) {
    current = row;
    table.mark(row);
    notice.textContent = "";
    const found = row && await block(row);
    if (current !== row) return; // another one was opened meanwhile
    document.querySelector(".split").classList.toggle("open", Boolean(row));
    detail.hidden = !row;
    if (!row) return;
    const controls = make("div", { class: "controls" }, make("a", { href: row.link }, "Link to this neuron"), button("Copy link", copy), button("Close", close));
    const title = make("h3", { id: "detail-title" }, "Neuron ", bdi(row.neuron), row.description ? ": " : "", bdi(row.description));
    detail.replaceChildren(controls, title, ...neuronParts(row, data.layers[row.l], found, row.u % data.block, data, lines));
    detail.scrollTop = 0;
    table.reveal(row);
  }
  detail.addEventListener("keydown", (event) => { if (event.key === "Escape") close(); });

  async function follow() {
    // the skip link and an empty address name no neuron
    const row = byLink.get(location.hash);
    await show(row);
    if (row && current === row) {
      const narrow = window.matchMedia("(max-width: 1000px)").matches;
      if (narrow || !document.body.dataset.ready) document.querySelector(".split").scrollIntoView();
      detail.focus({ preventScroll: true });
    } else if (location.hash.includes("/")) {
      notice.textContent = `This page has no neuron ${location.hash.slice(1)}.`;
    }
  }
  window.addEventListener("hashchange", follow);
  await follow();
  requestAnimationFrame(() => requestAnimationFrame(() => {
    performance.mark("ready");
    document.body.dataset.ready = "true";
  }));
}

if (window.DecompressionStream) start();
else byId("table").textContent = "The table needs a browser of 2023 or later; descriptions.csv beside this page has the same rows.";
