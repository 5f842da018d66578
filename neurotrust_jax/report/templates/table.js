"use strict";
// A table of many rows, of which only those in view are in the document.
//
// All rows are equally high, so the place of a row follows from its number. An empty body above and
// another below the rows in view are as high as the rows left out. A row is opened by its link, or
// by a click anywhere on it. One link at a time can be reached by the Tab key; arrow keys move on.

const SPARE = 12; // rows drawn above and below the view
const PRINTED = 1000; // rows that are printed at most

class WindowedTable {
  // rows: in the order that decides between equal ones. columns: { field, title, help, key, cell,
  // falls }, where key(row) is a number or null, which comes last, and the first click on the title
  // of a column that falls brings the largest number first.
  constructor(holder, { rows, columns, sorted, caption, open, changed }) {
    Object.assign(this, { holder, rows, columns, open, changed });
    this.keep = () => true;
    this.drawn = new Map();
    this.height = 36;
    this.head = make("tr", { "aria-rowindex": 1 }, ...columns.map((column) => this.title(column)));
    [this.above, this.body, this.below] = ["", "rows", ""].map((name) => make("tbody", { class: name }));
    for (const body of [this.above, this.below]) {
      body.setAttribute("aria-hidden", "true");
      body.append(make("tr", {}, make("td", {}))); // a wider cell would add a column where some are hidden
    }
    this.table = make("table", { "aria-label": caption }, make("thead", {}, this.head), this.above, this.body, this.below);
    this.empty = make("p", { class: "hint" }, "No neuron fits.");
    this.printed = make("p", { class: "printed" });
    holder.replaceChildren(this.printed, this.table, this.empty);
    this.body.addEventListener("click", (event) => {
      const row = this.rowOf(event.target);
      if (!row || event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      this.active = row;
      this.open(row);
    });
    holder.addEventListener("keydown", (event) => this.pressed(event));
    holder.addEventListener("focusin", (event) => { this.active = this.rowOf(event.target) || this.active; });
    let waiting = false;
    holder.addEventListener("scroll", () => {
      if (!waiting) requestAnimationFrame(() => { waiting = false; this.draw(); });
      waiting = true;
    });
    new ResizeObserver(() => this.draw()).observe(holder);
    window.addEventListener("beforeprint", () => { this.printing = true; this.draw(); });
    window.addEventListener("afterprint", () => { this.printing = false; this.draw(); });
    this.sort(sorted, false);
  }

  title(column) {
    const button = make("button", { type: "button" }, column.title, make("span", { class: "arrow", "aria-hidden": "true" }));
    if (column.help) button.title = column.help;
    button.addEventListener("click", () => {
      const again = this.column === column;
      this.sort(column.field, again ? !this.falling : Boolean(column.falls));
    });
    return make("th", { scope: "col", class: column.field, "aria-sort": "none" }, button);
  }

  sort(field, falling) {
    this.column = this.columns.find((x) => x.field === field);
    this.falling = falling;
    this.columns.forEach((column, i) => {
      const order = column !== this.column ? "none" : falling ? "descending" : "ascending";
      this.head.children[i].setAttribute("aria-sort", order);
    });
    const sign = falling ? -1 : 1;
    const keyed = this.rows.map((row) => [row, this.column.key(row)]);
    const [there, missing] = [keyed.filter((x) => isNumber(x[1])), keyed.filter((x) => !isNumber(x[1]))];
    there.sort((a, b) => sign * (a[1] - b[1])); // equal ones stay in their order
    this.ordered = [...there, ...missing].map(([row]) => row);
    this.filter(this.keep);
  }

  filter(keep) {
    this.keep = keep;
    this.kept = this.ordered.filter(keep);
    this.table.setAttribute("aria-rowcount", this.kept.length + 1);
    this.empty.hidden = this.kept.length > 0;
    this.holder.scrollTop = 0;
    this.draw();
    const [kept, all] = [this.kept.length, this.rows.length].map(count);
    const cut = this.kept.length > PRINTED ? `; the first ${count(PRINTED)} are printed` : "";
    this.printed.textContent = `${kept} of ${all} neurons${cut}.`;
    this.changed(`${kept} of ${all} neurons`);
  }

  // the rows in view, from the first up to but without the last
  inView() {
    if (this.printing) return [0, Math.min(this.kept.length, PRINTED)];
    const top = this.holder.scrollTop / this.height;
    const first = Math.max(0, Math.floor(top) - SPARE);
    const last = Math.ceil(top + this.holder.clientHeight / this.height) + SPARE;
    return [first, Math.min(this.kept.length, last)];
  }

  draw() {
    const [first, last] = this.inView();
    const focused = this.body.contains(document.activeElement) ? document.activeElement : null;
    const before = this.drawn;
    this.drawn = new Map();
    for (let i = first; i < last; i++) {
      const row = this.kept[i];
      const element = before.get(row) || this.element(row);
      element.setAttribute("aria-rowindex", i + 2);
      this.drawn.set(row, element);
    }
    for (const [row, element] of before) if (!this.drawn.has(row)) element.remove();
    let next = this.body.firstChild;
    for (const element of this.drawn.values()) {
      if (element === next) next = next.nextSibling;
      else this.body.insertBefore(element, next);
    }
    this.space(this.above, first);
    this.space(this.below, this.printing ? 0 : this.kept.length - last);
    const reached = this.drawn.has(this.active) ? this.active : this.kept[first];
    for (const [row, element] of this.drawn) element.querySelector("a").tabIndex = row === reached ? 0 : -1;
    // moving an element takes the focus from it; one that is gone leaves it to the table
    if (focused && document.activeElement !== focused) {
      (focused.isConnected ? focused : this.holder).focus({ preventScroll: true });
    }
    const height = this.body.firstChild ? this.body.firstChild.getBoundingClientRect().height : 0;
    if (height && !this.printing && Math.abs(height - this.height) > 0.01) {
      this.height = height;
      this.draw();
    }
  }

  space(body, rows) {
    body.hidden = rows === 0;
    body.firstChild.firstChild.style.height = `${rows * this.height}px`;
  }

  element(row) {
    const link = make("a", { href: row.link, tabindex: -1 }, bdi(row.neuron));
    const cells = this.columns.map((column) => {
      const heads = column.field === "neuron";
      const content = heads ? link : column.cell(row);
      const box = make("div", {}, content);
      if (typeof content !== "string") box.title = content.textContent;
      return make(heads ? "th" : "td", heads ? { scope: "row", class: column.field } : { class: column.field }, box);
    });
    const element = make("tr", {}, ...cells);
    element.row = row;
    element.classList.toggle("shown", row === this.opened);
    return element;
  }

  rowOf(element) {
    const line = element.closest(".rows tr");
    return line && line.row;
  }

  pressed(event) {
    const inHead = event.target.closest("thead");
    if (inHead || event.ctrlKey || event.metaKey || event.altKey) return;
    const place = this.kept.indexOf(this.active);
    const page = Math.max(1, Math.floor(this.holder.clientHeight / this.height) - 2);
    const steps = {
      ArrowDown: place + 1, ArrowUp: place - 1, PageDown: place + page, PageUp: place - page,
      Home: 0, End: this.kept.length - 1,
    };
    const row = this.rowOf(event.target);
    if (event.key in steps && this.kept.length) this.move(steps[event.key]);
    else if (row && (event.key === "Enter" || event.key === " ")) this.open(row);
    else return;
    event.preventDefault();
  }

  move(place) {
    this.active = this.kept[Math.min(Math.max(place, 0), this.kept.length - 1)];
    this.reveal(this.active);
    this.focus(this.active);
  }

  // scroll until a row is in view
  reveal(row) {
    const place = this.kept.indexOf(row);
    if (place < 0) return;
    const top = place * this.height;
    const space = this.holder.clientHeight - this.head.offsetHeight - this.height;
    if (top < this.holder.scrollTop) this.holder.scrollTop = top;
    if (top > this.holder.scrollTop + space) this.holder.scrollTop = top - space;
    this.draw();
  }

  focus(row) {
    const element = this.drawn.get(row);
    if (element) element.querySelector("a").focus();
  }

  mark(row) {
    this.opened = row;
    for (const [other, element] of this.drawn) element.classList.toggle("shown", other === row);
  }
}

// the rank of each text among all, as people order them; null for an empty one
function ranks(texts) {
  const { compare } = new Intl.Collator("en", { numeric: true });
  const ordered = [...new Set(texts)].sort(compare);
  const rank = new Map(ordered.map((text, i) => [text, text ? i : null]));
  return texts.map((text) => rank.get(text));
}
