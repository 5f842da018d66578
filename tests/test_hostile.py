"""Files made to harm are refused, and names made to harm come out inert wherever they are shown."""

import csv
import io
import json
import pickle
import re
import struct
import subprocess
import sys
import unicodedata
import warnings
import zipfile
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote
from xml.etree import ElementTree

import fuzz
import numpy as np
import pytest
from rich.console import Console

from neurotrust_jax import report, runs
from neurotrust_jax._runtime.checkpoint import file_hash, save_arrays
from neurotrust_jax._runtime.text import as_cell, from_cell, visible
from neurotrust_jax.cli import main
from neurotrust_jax.files import (
    FileError,
    read_array,
    read_arrays,
    read_examples,
    read_hierarchy,
    read_labels,
    read_names,
)
from neurotrust_jax.runs.manifest import read_earlier

NAMES = (
    '</script><script>window.ran = 1</script><img src=x onerror="window.ran = 1">',
    '=HYPERLINK("http://x.invalid","y")', "+1+cmd|' /C calc'!A0", "-2+3", "@SUM(1)", "\t=1+1",
    "\r=1", "＝1+1", " =1", "'=1", "''=1", "-5", "'quoted'", 'a "b", c; d',
    "[red]x[/b] [link=http://x.invalid]y[/link]", "$\\frac{$ a_b^c $$", "a\nb",
    "\x1b[2Jx\x1b]0;y\x07", "\u202egnp.exe\u202c \u2066a\u2069", "nul\0nul", "half \ud800",
    "{{ 7 * 7 }}{% x %}", "x" * 100_000, "__proto__", "constructor", "<!--", "]]>",
    "&lt;b&gt;", "</title><style>*{display:none}</style>",
)  # fmt: skip
HIDDEN = {"Cc", "Cs", "Zl", "Zp"}


def hostile():
    """An audit with these names everywhere that a name can stand."""
    count = len(NAMES)
    found = fuzz.small_audit(count, count)
    return replace(
        found, concept_names=NAMES, neuron_names=NAMES, layer=NAMES[0],
        label=np.arange(count), reason=np.zeros(count, np.int32), set_guarantee=NAMES[0],
        verdict=np.arange(count) % 5, verdict_reason=tuple(f"proved best, as {x}" for x in NAMES),
        tied=np.ones(count, int), vote_share=np.eye(count), concept_set=np.eye(count) > 0,
        untested=np.zeros((count, count), bool), certified_set=np.eye(count) > 0,
        calibrated_set=np.eye(count) > 0, calibrated_guarantee=NAMES[0],
        replication_guarantee=NAMES[0],
        intervals=replace(
            found.intervals, guarantee=NAMES[0], asymptotic_guarantee=NAMES[0],
            pair_guarantee=NAMES[0], why_wide=NAMES,
        ),
        compositions=replace(
            found.compositions, concept_names=NAMES, neuron_names=NAMES, guarantee=NAMES[0],
            q_value=np.arange(count) % 2 / 2,
        ),
    )  # fmt: skip


# ---------------------------------------------------------------------------------- into the house


@pytest.mark.slow
def test_no_mutated_file_breaks_the_law(tmp_path):
    """A small, fixed part of what ``python tests/fuzz.py`` does."""
    done = subprocess.run(
        [sys.executable, fuzz.__file__, "--inputs", "60", "--out", str(tmp_path / "failures")],
        capture_output=True, text=True, cwd=Path(fuzz.__file__).parent.parent,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(" 60 ") >= 12


@pytest.mark.parametrize(
    ("load", "broken"),
    [
        (lambda p: [1], "gave"),
        (lambda p: 1 / 0, "ZeroDivisionError"),
        (lambda p: [np.ones(10**7)][:0], "MiB"),
        (lambda p: (_ for _ in ()).throw(FileError("a.txt: one\n" + "two " * 999)), ""),
        (lambda p: (_ for _ in ()).throw(ValueError("a.txt")), "ValueError"),
        (lambda p: (_ for _ in ()).throw(FileError("elsewhere")), "does not name"),
    ],
)
def test_the_law_can_be_broken(tmp_path, load, broken):
    """Its controls: what the fuzzer must see."""
    loader = fuzz.Loader("x", {}, load, fuzz.are_texts)
    (tmp_path / "a.txt").write_text("x")
    watch = SimpleNamespace(seen=[], on=False)
    fuzz.tracemalloc.start()
    try:
        wrong = fuzz.held(loader, tmp_path / "a.txt", watch, fuzz.Row("x"))
    finally:
        fuzz.tracemalloc.stop()
    assert broken in wrong
    assert bool(wrong) == bool(broken)


def test_messages_are_one_short_line():
    told = str(FileError(f"a.npy: \x1b[2J\u202e{'x' * 10**5}\n; save it anew"))
    assert told.startswith("a.npy: ␛[2J\ufffdxx")
    assert told.endswith("⏎; save it anew")
    assert len(told) == 1000 - 300 + 5 + 290


def npz(path, names=("a.npy",), method=zipfile.ZIP_DEFLATED, content=None):
    file = io.BytesIO()
    np.save(file, np.ones((4, 3), np.float32))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a name met twice
        with zipfile.ZipFile(path, "w", method) as archive:
            for name in names:
                archive.writestr(name, content or file.getvalue())


def test_archives_that_lie_are_refused(tmp_path):
    path = tmp_path / "a.npz"
    npz(path, ("a.npy", "a.npy"))
    with pytest.raises(FileError, match=r"holds 'a\.npy' more than once"):
        read_arrays(path)
    npz(path, method=zipfile.ZIP_LZMA)  # whose reader takes 8 MiB for a byte
    with pytest.raises(FileError, match="is not compressed by deflate"):
        read_arrays(path)
    npz(path, ("a.txt", "b"), content=pickle.dumps(fuzz.Canary()))
    with pytest.raises(FileError, match="holds no arrays"):
        read_arrays(path)
    # the directory says a gigabyte, and so does the array's header
    large = fuzz.header("<f4", False, (2**14, 2**14)) + b"1234"
    npz(path, content=large, method=zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\x01\x02") + 24
    size = len(large) - 4 + 2**30
    data[at : at + 4] = struct.pack("<I", size)
    path.write_bytes(bytes(data))
    with pytest.raises(FileError, match=r"says that it holds 1,073,\d+,\d+ bytes, more than it"):
        read_arrays(path)


@pytest.mark.parametrize("dtype", ["<c16", "|S3", "<U2", "<M8[ns]", "f4,f4", "|V8"])
def test_what_are_no_real_numbers_is_refused(tmp_path, dtype):
    np.save(tmp_path / "a.npy", np.zeros((4, 3), dtype))
    np.savez(tmp_path / "a.npz", x=np.zeros((4, 3), dtype))
    for name in ("a.npy", "a.npz"):
        with pytest.raises(FileError, match="save real numbers"):
            read_array(tmp_path / name)


def test_a_header_does_not_say_how_much_is_read(tmp_path):
    path = tmp_path / "a.npy"
    path.write_bytes(b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**31 - 1) + b"{'descr'")
    fuzz.tracemalloc.start()
    with pytest.raises(FileError, match="can not be read"):
        read_array(path)
    assert fuzz.tracemalloc.get_traced_memory()[1] < 2**22
    fuzz.tracemalloc.stop()


def test_tensors_that_say_more_than_they_hold(tmp_path):
    torch = pytest.importorskip("torch", exc_type=ImportError)
    torch.save(torch.zeros(1).expand(10**6, 10**6), tmp_path / "a.pt")
    with pytest.raises(FileError, match=r"says that it holds \(1000000, 1000000\), more than it"):
        read_array(tmp_path / "a.pt")
    torch.save({"x": torch.ones(3, 2)}, tmp_path / "b.pt", _use_new_zipfile_serialization=False)
    np.testing.assert_array_equal(read_array(tmp_path / "b.pt"), np.ones((3, 2)))


def test_lines_end_where_the_file_says(tmp_path):
    """Of all that Unicode takes for the end of a line only the line feed counts."""
    odd = "a\u2028b\x0cc\x85d\x1ce"
    (tmp_path / "a.txt").write_text(f"{odd}\ncat\n", encoding="utf-8")
    assert read_names(tmp_path / "a.txt") == [odd, "cat"]
    (tmp_path / "a.csv").write_text(f"{odd},animal\n", encoding="utf-8")
    assert read_hierarchy(tmp_path / "a.csv") == {odd: "animal"}
    text = json.dumps(odd, ensure_ascii=False)
    (tmp_path / "a.jsonl").write_text(f"{text}\n{text}\n", encoding="utf-8")
    assert read_examples(tmp_path / "a.jsonl", 2)[0](1)[1] == odd


def test_half_a_character_is_no_name(tmp_path):
    (tmp_path / "a.json").write_text('["\\ud800"]')
    with pytest.raises(FileError, match="must be a list of strings"):
        read_names(tmp_path / "a.json")
    (tmp_path / "b.json").write_text('{"a": "\\udfff"}')
    with pytest.raises(FileError, match="must state the parent"):
        read_hierarchy(tmp_path / "b.json")
    (tmp_path / "c.jsonl").write_text('"\\ud800"\n')
    with pytest.raises(FileError, match="must be a text"):
        read_examples(tmp_path / "c.jsonl", 1)


@pytest.mark.parametrize("content", ["a,b\na,c\n", '{"a": "b", "a": "c"}'])
def test_a_concept_has_one_parent(tmp_path, content):
    path = tmp_path / ("a.json" if content.startswith("{") else "a.csv")
    path.write_text(content)
    with pytest.raises(FileError, match="'a' has two parents, 'b' and 'c'"):
        read_hierarchy(path)
    path.write_text(content.replace("c", "b"))
    assert read_hierarchy(path) == {"a": "b"}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"layer": 3}, "layer must be of type str"),
        ({"alpha": True}, "alpha must be of type float"),
        ({"neuron_names": "ab"}, "neuron_names must be a list of texts"),
        ({"neuron_names": ["0"]}, "must have shape [1], got [2]"),
        ({"stability": 3}, "TypeError"),
        ({"format": "another"}, "its format is 'another'"),
        ({"label": np.array([0, 3])}, "label holds 3, outside -1 to 2"),
        ({"label": np.array([-2, 0])}, "label holds -2, outside -1 to 2"),
        ({"label": np.array([0, 1.5])}, "label must not be of float64"),
        ({"label": np.array([False, True])}, "label must not be of bool"),
        ({"verdict": np.array([0, 5])}, "verdict holds 5, outside 0 to 4"),
        ({"answers": np.array([-1, 1])}, "answers holds -1, outside 0 to ..."),
        ({"intervals.why_wide": np.array([0, 1])}, "intervals.why_wide holds 1, outside 0 to 0"),
        ({"regret": np.zeros(3)}, "regret must have shape [2], got [3]"),
        ({"vote_share": np.zeros((2, 4))}, "must have shape [2, 3], got [2, 4]"),
        ({"untested": np.zeros((2, 3))}, "untested must not be of float64"),
        ({"regret": None}, "there is no array regret"),
        ({"compositions.gain": np.zeros(3)}, "compositions.gain must have shape [2], got [3]"),
        ({"compositions.similarity": np.zeros(2)}, "must have shape [2, 2], got [2]"),
        ({"compositions.by_length.concept": np.full((2, 2, 2), 3)}, "holds 3, outside -1 to 2"),
        ({"compositions.other_formula.operator": np.full((2, 2), 3)}, "holds 3, outside -1 to 2"),
        ({"compositions": [1]}, "TypeError"),
    ],
)
def test_audits_that_are_none(tmp_path, change, why):
    path = report.write_audit(fuzz.small_audit(), tmp_path / "audit.json")
    with np.load(tmp_path / "audit.arrays.npz") as file:
        arrays = dict(file)
    content = json.loads(path.read_text())
    for name, value in change.items():
        (arrays if name in arrays else content)[name] = value
    save_arrays(tmp_path / "audit.arrays.npz", {k: x for k, x in arrays.items() if x is not None})
    content["arrays_sha256"] = file_hash(tmp_path / "audit.arrays.npz")
    path.write_text(json.dumps(content))
    with pytest.raises(FileError, match="is not an audit in the format") as error:
        report.read_audit(path)
    assert why in str(error.value)


@pytest.mark.parametrize(
    "content", ["[" * 10**5, "{}", '{"format": "neurotrust-run-1"}', "NaN", "\ud800",
                json.dumps(fuzz.MANIFEST | {"done": [1]}),
                json.dumps(fuzz.MANIFEST | {"done": {"a": 3}}),
                json.dumps({k: v for k, v in fuzz.MANIFEST.items() if k != "layers"})],
)  # fmt: skip
def test_manifests_that_are_none(tmp_path, content):
    (tmp_path / "manifest.json").write_bytes(content.encode("utf-8", "surrogatepass"))
    with pytest.raises(FileError, match="is not the manifest of an audit"):
        read_earlier(tmp_path / "manifest.json", fuzz.MANIFEST, False)


# ------------------------------------------------------------------------------- out of the house


def is_inert(text):
    """No control character, no half of one, and none that turns the direction of reading."""
    return not any(
        unicodedata.category(x) in HIDDEN or "\u202a" <= x <= "\u202e" or "\u2066" <= x <= "\u2069"
        for x in text
    )


def test_visible_text_is_inert_and_the_rest_is_kept():
    every = "".join(map(chr, range(0x3000)))
    assert is_inert(visible(every + "".join(NAMES)))
    assert visible("é ü 漢字 a\u200db \U0001f468") == "é ü 漢字 a\u200db \U0001f468"


@pytest.mark.parametrize("name", NAMES[1:12])
def test_cells_are_no_formulas_and_come_back(name):
    cell = as_cell(name)
    assert from_cell(cell) == name
    assert from_cell(as_cell(cell)) == cell
    first = cell.lstrip()[:1]
    assert first not in set("=+-@＝＋－＠") or re.fullmatch(r"-?\d+", cell)
    assert cell[:1] not in ("\t", "\r", "\n")


def test_a_table_has_no_formula_and_reads_back(tmp_path):
    audit = hostile()
    path = report.write_descriptions(audit, tmp_path / "descriptions.csv")
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        for name, cell in row.items():
            runs_as_formula = cell.lstrip()[:1] in set("=+-@＝＋－＠") or cell[:1] in ("\t", "\r")
            assert not runs_as_formula or re.fullmatch(r"[-+]?[\d.e+-]+", cell), (name, cell)
    claims = read_labels(path)
    assert len(claims) == len(NAMES)
    for claim, name in zip(claims, NAMES, strict=True):
        kept = name.encode("utf-8", "backslashreplace").decode()  # half a character is no UTF-8
        if name.startswith(("\t", "\r", " ")):  # the apostrophe keeps what would be stripped
            assert as_cell(name) == f"'{name}"
        assert claim.description == claim.neuron == kept


def test_an_audit_reads_back_exactly(tmp_path):
    audit = hostile()
    path = report.write_audit(audit, tmp_path / "audit.json")
    assert is_inert(path.read_text(encoding="utf-8").replace("\n", ""))  # all of it is escaped
    again = report.read_audit(path)
    for name in ("concept_names", "neuron_names", "layer", "verdict_reason"):
        assert getattr(again, name) == getattr(audit, name)
    assert again.intervals.guarantee == audit.intervals.guarantee
    np.testing.assert_array_equal(again.vote_share, audit.vote_share)
    assert again.compositions.descriptions == audit.compositions.descriptions
    assert again.compositions.neuron_names == NAMES


def test_a_terminal_shows_names_as_they_are():
    audit = replace(hostile(), layer="[/b] \x1b[2J", metric="[red]")
    told = io.StringIO()
    console = Console(file=told, width=300, force_terminal=True, color_system=None)
    console.print(report.neuron_table(audit, rows=None))
    text = re.sub(r"\x1b\[[0-9;]*m", "", told.getvalue())  # its own styles
    assert is_inert(text.replace("\n", ""))
    assert "[/b] ␛[2J" in text
    assert "[red]x[/b] [link=http://x.invalid]y[/link]" in text
    assert len(text) < 200_000  # the longest name is cut


class Tags(HTMLParser):
    """The tags and attributes of a page."""

    def __init__(self, html):
        super().__init__()
        self.found = set()
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.found |= {tag, *(f"{tag} {name}" for name, _ in attributes)}

    def handle_comment(self, data):
        self.found.add("comment")


def test_a_notebook_shows_names_as_they_are():
    audit = hostile()
    plain = fuzz.small_audit(len(NAMES), len(NAMES))
    ours = Tags(plain._repr_html_() + plain.neuron(0)._repr_html_()).found
    assert "comment" not in ours
    formulas = audit.compositions._repr_html_()
    assert Tags(formulas).found <= ours | {"i"}
    each = [audit.neuron(u)._repr_html_() for u in range(len(NAMES))]
    for html in (audit._repr_html_(), formulas, *each):
        assert Tags(html).found <= ours
        assert is_inert(html)
        assert "mathjax_ignore" in html  # no name is a formula
        assert len(html) < 20_000
    for u in range(len(NAMES)):
        text = repr(audit.neuron(u))
        assert is_inert(text.replace("\n", ""))
        assert len(text) < 20_000
    assert is_inert(repr(audit))


@pytest.mark.parametrize(
    "name", [NAMES[0], "$\\frac{$ a_b^c $$", "\x1b[2J\u202e\0\n", "half \ud800", "x" * 100_000]
)
def test_figures_are_drawn_with_any_name(tmp_path, name):
    audit = fuzz.small_audit()
    audit = replace(audit, layer=name, concept_names=(name, "b", "c"), neuron_names=(name, "1"))
    for path in report.save_figures(audit, tmp_path):
        assert path.parent == tmp_path
        if path.suffix == ".svg":
            kinds = {x.tag.rpartition("}")[2] for x in ElementTree.parse(path).iter()}
            assert kinds.isdisjoint({"script", "foreignObject", "a"})


@pytest.mark.parametrize(
    "layer",
    ["../../x", "/etc/passwd", "..", ".", "", "CON", "nul.txt", "a/b\\c", "x" * 10**5, "𝒜" * 200,
     "漢" * 200, "half \ud800", "a\0b", "C:\\x", "-rf", "~", "a\nb", "con .", " "],
)  # fmt: skip
def test_folders_of_layers_stay_inside(tmp_path, layer):
    name = runs.folder_name(layer)
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*-[0-9a-f]{12}", name)
    assert len(name.encode()) < 100
    (tmp_path / name).mkdir()
    assert (tmp_path / name).resolve().parent == tmp_path.resolve()
    assert name.lower() != runs.folder_name(layer + "x").lower()


@pytest.fixture
def page(browser):
    """A tab of a browser."""
    found = browser.new_page(viewport={"width": 1280, "height": 800})
    yield found
    found.close()


@pytest.mark.slow
def test_no_name_runs_in_a_browser(tmp_path, page):
    audit = hostile()
    shown = report.Examples(
        np.arange(len(NAMES))[:, None], lambda row: (NAMES[row], NAMES[row], NAMES[row])
    )
    path = report.write_page(
        audit, tmp_path / "a.html", examples=shown, title=NAMES[0],
        manifest={NAMES[0]: NAMES[0], "x": dict.fromkeys(NAMES, NAMES[1])},
    )  # fmt: skip
    assert is_inert(re.sub(r"[\n\t]", "", re.sub("<script>.*?</script>", "", path.read_text(
        encoding="utf-8"), flags=re.DOTALL)))  # fmt: skip
    said, asked = [], []
    page.on("console", lambda x: said.append(x.text))
    page.on("pageerror", lambda x: said.append(str(x)))
    page.on("dialog", lambda x: said.append("dialog"))
    page.on("request", lambda x: asked.append(x.url))
    layer, *names = (quote(visible(x), safe="!'()*") for x in (NAMES[0], *NAMES))
    for unit, name in enumerate(names):
        page.goto("about:blank")
        page.goto(f"{path.as_uri()}#{layer}/{name}")
        page.wait_for_selector("body[data-ready]")
        detail = page.locator("#detail")
        detail.wait_for(state="visible")
        assert visible(NAMES[unit])[:40].strip() in detail.inner_text()
    assert page.evaluate("window.ran") is None
    assert page.evaluate("document.querySelectorAll('script').length") == 3
    assert page.evaluate("document.querySelectorAll('[onerror], [onclick], img').length") == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    assert said == []
    assert {x.split("#")[0] for x in asked if not x.startswith("data:")} <= {
        path.as_uri(), "about:blank",
    }  # fmt: skip


def test_the_command_says_a_refusal_on_an_inert_line(tmp_path, capsys, monkeypatch):
    (tmp_path / "labels.csv").write_text("unit,label\n\x1b[2J,x\n\x1b[2J,y\n")
    monkeypatch.setattr("sys.argv", ["neurotrust", "check", str(tmp_path / "labels.csv")])
    with pytest.raises(SystemExit, match="2"):
        main()
    told = capsys.readouterr().err
    assert "␛[2J a second time" in " ".join(told.split())
    assert is_inert(told.replace("\n", ""))
