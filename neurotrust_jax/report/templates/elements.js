"use strict";
// Elements, and numbers as text.

const none = "–";

function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// a text from outside, which may run from right to left
const bdi = (text) => make("bdi", {}, text);

function verdictName(verdict) {
  const dot = make("span", { class: "dot" });
  dot.style.background = verdict.colour;
  return make("span", { class: "verdict-name" }, dot, verdict.name);
}

const isNumber = (x) => typeof x === "number";
const count = (x) => x.toLocaleString("en");
const number = (x, digits = 3) => (isNumber(x) ? x.toFixed(digits) : none);
const percent = (x) => (isNumber(x) ? `${Math.round(100 * x)}%` : none);
const chance = (x) => (!isNumber(x) ? none : x > 0.99 ? "> 99%" : x < 0.01 ? "< 1%" : percent(x));
const pValue = (x) => (!isNumber(x) ? none : x < 0.001 ? "< 0.001" : x.toFixed(3));
const range = (low, high) =>
  isNumber(low) && isNumber(high) ? `${number(low, 2)} to ${number(high, 2)}` : none;
