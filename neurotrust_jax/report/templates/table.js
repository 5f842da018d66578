"use strict";
// The table of neurons, which Tabulator draws, sorts, filters and prints.
//
// What is added here: titles are buttons, each row has a link, and keys move between the rows. One
// link at a time can be reached by the Tab key.

const PRINTED = 1000; // rows that are printed at most

const linkOf = (row) => row.getElement().querySelector("a");

class NeuronTable {
  // rows: in the order that decides between equal ones, which row.rank counts. columns: { field,
  // title, help, key, cell, falls, right, width, least, narrow, responsive }, where key(row) is a number or
  // null, which comes last, and the first click on the title of a column that falls brings the
  // largest number first. Columns of a larger number in responsive are hidden first.
  constructor(holder, { rows, columns, sorted, caption, open, changed }) {
    Object.assign(this, { holder, rows, open, changed });
    this.printed = make("p", { class: "printed" });
    this.grid = make("div", { "aria-label": caption });
    holder.replaceChildren(this.printed, this.grid);
    const narrow = holder.clientWidth <= 460;
    holder.classList.toggle("narrow", narrow);
    this.table = new Tabulator(this.grid, {
      data: rows, index: "rank", columns: columns.map((column) => this.column(column, narrow)),
      layout: "fitColumns", responsiveLayout: "hide", height: "min(620px, 75vh)",
      rowHeight: (narrow ? 44 : 36) + (rows.some((row) => row.formula) ? 28 : 0), renderVerticalBuffer: 360, placeholder: "No neuron fits.",
      initialSort: [{ column: sorted, dir: "asc" }], columnHeaderSortMulti: false, headerSortElement: "",
      printAsHtml: true, printStyled: false,
      printRowRange: () => this.table.getRows("active").slice(0, PRINTED),
      rowFormatter: (row) => row.getElement().classList.toggle("shown", row.getData() === this.opened),
    });
    this.table.on("rowClick", (event, row) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      this.active = row.getData();
      this.open(this.active);
    });
    this.table.on("dataFiltered", (_, kept) => this.counted(kept.length));
    this.table.on("renderComplete", () => this.drawn());
    this.table.on("scrollVertical", () => requestAnimationFrame(() => this.drawn()));
    this.built = new Promise((done) => this.table.on("tableBuilt", done)).then(() => {
      // a grid may hold nothing between itself and its rows that takes the focus
      this.grid.querySelector(".tabulator-tableholder").removeAttribute("tabindex");
      this.counted(rows.length);
      this.drawn();
    });
    holder.addEventListener("keydown", (event) => this.pressed(event));
    document.addEventListener("focusin", (event) => {
      const row = event.target.closest("#table .tabulator-row");
      this.focused = Boolean(row);
      if (row) this.active = this.table.getRow(row).getData();
    });
  }

  column(column, narrow) {
    const width = narrow ? column.narrow : column.width;
    const align = column.right ? "right" : "left";
    return {
      field: column.field, title: column.title, titlePrint: column.title, cssClass: column.field,
      headerTooltip: column.help || false, responsive: column.responsive,
      ...(width ? { width } : { minWidth: narrow ? 60 : column.least || 120 }),
      hozAlign: align, headerHozAlign: align, vertAlign: "middle",
      titleFormatter: () => make("button", { type: "button" }, column.title, make("span", { class: "arrow", "aria-hidden": "true" })),
      formatter: (cell) => {
        const row = cell.getData();
        const content = column.cell(row);
        if (column.field === "neuron") return make("a", { href: row.link, tabindex: -1 }, content);
        const box = make("span", {}, content);
        if (typeof content !== "string") box.title = content.textContent;
        return box;
      },
      headerSortStartingDir: column.falls ? "desc" : "asc",
      sorter: (a, b, one, other, _, direction) => {
        const sign = direction === "asc" ? 1 : -1; // Tabulator turns the answer round for desc
        const [first, second] = [one.getData(), other.getData()];
        const [x, y] = [column.key(first), column.key(second)];
        if (isNumber(x) !== isNumber(y)) return isNumber(x) ? -sign : sign;
        return (isNumber(x) && x - y) || sign * (first.rank - second.rank);
      },
    };
  }

  filter(keep) {
    this.table.setFilter(keep);
  }

  counted(number) {
    const [kept, all] = [number, this.rows.length].map(count);
    const cut = number > PRINTED ? `; the first ${count(PRINTED)} are printed` : "";
    this.printed.textContent = `${kept} of ${all} neurons${cut}.`;
    this.grid.setAttribute("aria-rowcount", number + 1);
    this.changed(`${kept} of ${all} neurons`);
  }

  // rows that came into view: their places, and the one that the Tab key reaches
  drawn() {
    // a row that is drawn again has lost the focus
    if (this.focused && document.activeElement === document.body) this.focus(this.active);
    const inView = this.table.getRows("visible");
    const reached = inView.find((row) => row.getData() === this.active) || inView[0];
    for (const row of inView) {
      row.getElement().setAttribute("aria-rowindex", row.getPosition() + 1);
      const link = linkOf(row); // none until the row is drawn
      if (link) link.tabIndex = row === reached ? 0 : -1;
    }
  }

  pressed(event) {
    if (!event.target.closest(".tabulator-row") || event.ctrlKey || event.metaKey || event.altKey) return;
    const rows = this.table.getRows("active");
    const place = rows.findIndex((row) => row.getData() === this.active);
    const page = Math.max(1, this.table.getRows("visible").length - 2);
    const steps = {
      ArrowDown: place + 1, ArrowUp: place - 1, PageDown: place + page, PageUp: place - page,
      Home: 0, End: rows.length - 1,
    };
    if (event.key in steps) {
      const row = rows[Math.min(Math.max(steps[event.key], 0), rows.length - 1)].getData();
      this.reveal(row);
      this.focus(row);
    } else if (event.key === "Enter" || event.key === " ") this.open(this.active);
    else return;
    event.preventDefault();
  }

  // scroll until a row is in view; one that the filters leave out stays out
  reveal(row) {
    const shown = row && this.table.getRows("active").includes(this.table.getRow(row.rank));
    if (shown) this.table.scrollToRow(row.rank, "nearest", false);
  }

  focus(row) {
    this.active = row;
    this.focused = true;
    linkOf(this.table.getRow(row.rank))?.focus({ preventScroll: true });
  }

  mark(row) {
    const changed = [this.opened, row].filter(Boolean);
    this.opened = row;
    for (const one of changed) this.table.getRow(one.rank).getElement().classList.toggle("shown", one === row);
  }
}

// the rank of each text among all, as people order them; null for an empty one
function ranks(texts) {
  const { compare } = new Intl.Collator("en", { numeric: true });
  const ordered = [...new Set(texts)].sort(compare);
  const rank = new Map(ordered.map((text, i) => [text, text ? i : null]));
  return texts.map((text) => rank.get(text));
}
