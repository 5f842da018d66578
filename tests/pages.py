"""Wide audits, examples, and what pages and notebooks show, which several files of tests share."""

import base64
import gzip
import json
import re
from contextlib import contextmanager
from dataclasses import fields, is_dataclass, replace
from html.parser import HTMLParser

import numpy as np

from neurotrust_jax import report


class Cells(HTMLParser):
    """The texts of the cells of each table, row by row, and all text."""

    def __init__(self, html):
        super().__init__()
        self.tables, self.text = [], ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attributes):
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_data(self, data):
        self.text += data
        if self.tables and self.tables[-1] and self.tables[-1][-1]:
            self.tables[-1][-1][-1] += data


def unpacked(line):
    return json.loads(gzip.decompress(base64.b64decode(line, validate=True)))


def data_of(path):
    """The table, the details of each layer by blocks, the sheets of images, and all of the page."""
    text = path.read_text(encoding="utf-8")
    found = re.search(r'<script type="text/plain" id="data">(.*?)</script>', text, re.DOTALL)
    lines = found[1].split("\n")
    table = unpacked(lines[0])
    for layer in table["layers"]:
        count = -(-len(layer["neurons"]) // table["block"])
        layer["details"] = [unpacked(x) for x in lines[layer["firstLine"] :][:count]]
    sheets = lines[table["images"]["firstLine"] :] if table["images"] else []
    return table, sheets, text


def examples(count=7):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, 8, 8), np.uint8)
    return report.Examples(rng.integers(0, 40, (count, 5)), lambda row: images[row])


def many(audit, times, num_concepts=200):
    """The same neurons again and again, and more concepts that no one is about."""

    def wider(value, name):
        if is_dataclass(value):
            return replace(
                value, **{f.name: wider(getattr(value, f.name), f.name) for f in fields(value)}
            )
        if not isinstance(value, np.ndarray) and not hasattr(value, "ndim"):
            return value
        value = np.asarray(value)
        if value.ndim and value.shape[0] == 7:
            value = np.concatenate([value] * times)
        if value.ndim == 2 and value.shape[1] == 9:
            value = np.pad(value, ((0, 0), (0, num_concepts - 9)))
        return value

    found = wider(audit, "")
    return replace(
        found,
        neuron_names=tuple(map(str, range(7 * times))),
        verdict_reason=audit.verdict_reason * times,
        intervals=replace(found.intervals, why_wide=audit.intervals.why_wide * times),
        judged=np.ones(num_concepts, bool),
        concept_names=tuple(f"concept {i}" for i in range(num_concepts)),
        positives=np.resize(audit.positives, num_concepts),
    )


AT_REST = """() => new Promise(done => {
  const top = () => document.querySelector(".tabulator-row")?.getBoundingClientRect().top;
  const before = top();
  setTimeout(() => done(top() === before), 150);
})"""  # a click on a row that is being moved is lost


@contextmanager
def opened(browser, path, address="", warning=None, **options):
    """A tab that shows the page, and asks for no other file and reports no error until the end.

    Messages that begin with the warning are expected.
    """
    page = browser.new_page(**{"viewport": {"width": 1280, "height": 800}, **options})
    said, asked = [], []
    page.on("console", lambda x: said.append(x.text))
    page.on("pageerror", lambda x: said.append(str(x)))
    page.on("request", lambda x: asked.append(x.url))
    page.goto(path.as_uri() + address)
    page.wait_for_selector("body[data-ready]")
    page.wait_for_function(AT_REST)
    yield page
    assert [x for x in said if not (warning and x.startswith(warning))] == []
    assert {x.partition("#")[0] for x in asked if not x.startswith("data:")} == {path.as_uri()}
    page.close()
