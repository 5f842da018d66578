"""The page holds what the audit says, is inert and offline, and works in a browser."""

import base64
import gzip
import html
import json
import re
from dataclasses import fields, is_dataclass, replace

import numpy as np
import pytest

import neurotrust_jax as nt
from neurotrust_jax import report
from neurotrust_jax.report import page_images

HOSTILE = '</script><script>alert("x")</script><b onclick=a>{{ 7 * 7 }}\u202e\x00\x07 =cmd()'


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


def test_what_is_said(audited, tmp_path):
    path = report.write_page(audited, tmp_path / "a.html", examples=examples(), title="My layer")
    data, _, text = data_of(path)
    (layer,) = data["layers"]
    (details,) = layer["details"]
    np.testing.assert_allclose(layer["similarity"][:6], audited.similarity[:6], rtol=1e-3)
    assert layer["similarity"][6] is None
    assert [layer["concepts"][c] for c in layer["label"][:6]] == [
        audited.description(u) for u in range(6)
    ]
    for u in range(7):
        assert sorted(details["set"][u]) == np.flatnonzero(audited.concept_set[u]).tolist()
        assert data["verdicts"][layer["verdict"][u]]["name"] == nt.Verdict(audited.verdict[u]).text
    assert "<title>My layer</title>" in text
    np.testing.assert_allclose(
        layer["probability"][:6], audited.replication_probability[:6], rtol=1e-3
    )
    assert np.argsort(layer["place"]).tolist() == audited.ranked.tolist()
    for promise in (
        audited.intervals.guarantee,
        audited.intervals.asymptotic_guarantee,
        audited.set_guarantee,
    ):
        assert html.escape(promise).replace("&#x27;", "&#39;") in text
    assert not re.search(r"(?<![\w.-])(nan|inf|NaN|Infinity)(?![\w.-])", text.split("</main>")[0])


def test_nothing_in_names_runs_or_hides(audited, tmp_path):
    names = tuple(f"{HOSTILE} {i}" for i in range(9))
    hostile = replace(audited, concept_names=names, layer=HOSTILE)
    shown = report.Examples(np.zeros((7, 1), int), lambda row: (HOSTILE, HOSTILE, HOSTILE))
    path = report.write_page(
        hostile, tmp_path / "a.html", examples=shown, title=HOSTILE, manifest={HOSTILE: HOSTILE}
    )
    data, _, text = data_of(path)
    assert text.count("<script") == 4  # the data, two libraries, and our own
    assert "alert(" in data["layers"][0]["concepts"][0]  # it is there as text
    assert "<b onclick" not in text
    assert "49" not in re.search("<title>(.*?)</title>", text)[1]
    assert not {"\u202e", "\x00", "\x07"} & set(text)


def test_the_page_reaches_nowhere(audited, tmp_path):
    path = report.write_page(audited, tmp_path / "a.html", examples=examples())
    text = path.read_text(encoding="utf-8")
    policy = re.search('Content-Security-Policy" content="([^"]*)"', text)[1]
    assert policy.startswith("default-src &#39;none&#39;")
    assert not re.search(
        r'(src|href)="(?!#)', re.sub("<script.*?</script>", "", text, flags=re.DOTALL)
    )


def test_a_large_layer_is_not_too_large_a_page(audited, tmp_path):
    rng = np.random.default_rng(0)
    large = many(audited, 293)  # 2,051 neurons
    images = rng.integers(0, 256, (6000, 28, 28), np.uint8)
    shown = report.Examples(rng.integers(0, 6000, (2051, 6)), lambda row: images[row])
    path = report.write_page(large, tmp_path / "a.html", examples=shown)
    assert path.stat().st_size < 10e6
    data, sheets, _ = data_of(path)
    (layer,) = data["layers"]
    assert len(layer["neurons"]) == 2051
    assert [len(x["set"]) for x in layer["details"]] == [512, 512, 512, 512, 3]
    assert data["images"]["number"] == len(np.unique(shown.top))
    assert len(sheets) == -(-data["images"]["number"] // 256)
    assert all(x.startswith("data:image/") for x in sheets)


def test_details_of_every_block_are_those_of_its_neurons(audited, tmp_path):
    large = many(audited, 100, num_concepts=9)  # 700 neurons
    data, _, _ = data_of(report.write_page([large, audited], tmp_path / "a.html"))
    for layer, audit in zip(data["layers"], (large, audited), strict=True):
        for name, values in (
            ("corrected", audit.winners_curse.corrected), ("sureLower", audit.lower),
            ("regret", audit.regret), ("p", audit.null.p_value), ("active", audit.active_rate),
            ("setSize", audit.set_size), ("answered", audit.answer_probability),
        ):  # fmt: skip
            found = [x for block in layer["details"] for x in block[name]]
            shown = np.array([np.nan if x is None else float(x) for x in found])
            np.testing.assert_allclose(shown, np.asarray(values, float), rtol=1e-3)
        leading = [x for block in layer["details"] for x in block["leading"]["concept"]]
        np.testing.assert_array_equal(leading, audit.leading.concept.ravel())
        votes = [x for block in layer["details"] for x in block["voted"]]
        assert [x[0] for x in votes if x] == [
            row.argmax() for row in audit.vote_share if row.max() > 0.005
        ]


def test_where_there_are_many_examples_each_neuron_has_fewer(audited, tmp_path, monkeypatch):
    texts = report.Examples(
        np.where(np.arange(3) < 2, np.arange(21).reshape(7, 3), -1),
        lambda row: ("b" * 300, str(row), "a" * 300),
    )

    def shown(most, given=texts):
        monkeypatch.setattr(page_images, "MOST", most)
        data, sheets, _ = data_of(report.write_page(audited, tmp_path / "a.html", examples=given))
        return data["layers"][0]["details"][0]["examples"], sheets

    found, _ = shown(28)
    assert [[int(x[1]) for x in row] for row in found] == [[3 * u, 3 * u + 1] for u in range(7)]
    assert {len(x[0]) for row in found for x in row} == {160}
    found, _ = shown(10)  # the second of the three surest
    assert {len(x[0]) for row in found for x in row} == {80}
    counts = np.array([len(row) for row in found])
    assert counts[audited.ranked].tolist() == [2, 2, 2, 1, 1, 1, 1]
    # images that take too much: half of them, and half again
    noise = np.random.default_rng(0).integers(0, 256, (21, 64, 64, 3), np.uint8)
    images = report.Examples(np.arange(21).reshape(7, 3), lambda row: noise[row])
    whole, sheets = shown(21, images)
    assert [len(row) for row in whole] == [3] * 7
    monkeypatch.setattr(page_images, "TILES", page_images.TILES[-1:])
    budget = len(page_images.image_sheets(list(noise))["sheets"][0]) // 2
    monkeypatch.setattr(page_images, "BUDGET", budget)
    assert page_images.image_sheets(list(noise)) is None
    fewer, sheets = shown(21, images)
    assert 0 < sum(map(len, fewer)) < 21
    assert sum(map(len, sheets)) <= budget


def test_what_does_not_fit_is_refused(audited, tmp_path):
    with pytest.raises(ValueError, match="at least one audit"):
        report.write_page([], tmp_path / "a.html")
    with pytest.raises(ValueError, match="one row for each of 7 neurons"):
        report.write_page(audited, tmp_path / "a.html", examples=examples(3))
    with pytest.raises(ValueError, match="examples are given for 2 layers, audits for 1"):
        report.write_page(audited, tmp_path / "a.html", examples=[None, None])
    with pytest.raises(ValueError, match="an image must have shape"):
        report.write_page(
            audited, tmp_path / "a.html",
            examples=report.Examples(np.zeros((7, 1), int), lambda row: np.zeros((2, 2, 4))),
        )  # fmt: skip


def sort_by(page, field):
    """Click on a column's title, and wait until the rows that it brings are drawn."""
    title = page.locator(f".tabulator-col[tabulator-field={field}]")
    title.click()
    page.wait_for_selector(f".tabulator-col[tabulator-field={field}]:not([aria-sort=none])")


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 360])
def test_in_a_browser(audited, tmp_path, browser, width):
    expect = pytest.importorskip("playwright.sync_api").expect
    expect.set_options(timeout=30_000)
    large = many(audited, 293)
    path = report.write_page([large, audited], tmp_path / "a.html", examples=[None, examples()])
    page = browser.new_page(viewport={"width": width, "height": 800})
    said, asked = [], []
    page.on("console", lambda x: said.append(x.text))
    page.on("pageerror", lambda x: said.append(str(x)))
    page.on("request", lambda x: asked.append(x.url))
    page.goto(path.as_uri())
    page.wait_for_selector("body[data-ready]")
    count = page.locator("#count")
    expect(count).to_have_text("2,058 of 2,058 neurons")
    page.fill("#search", "concept, 3")
    expect(count).to_have_text("1 of 2,058 neurons")
    row = page.locator(".tabulator-row").first
    assert "concept, 3" in row.inner_text()
    page.fill("#search", "")
    page.select_option("#layer", "1")
    expect(count).to_have_text("7 of 2,058 neurons")
    page.select_option("#verdict", "undecided")
    expect(count).to_have_text("1 of 2,058 neurons")
    page.select_option("#verdict", "")
    expect(count).to_have_text("7 of 2,058 neurons")

    # only the rows in view are drawn, by keys too, and details are those of any neuron
    page.select_option("#layer", "0")
    expect(count).to_have_text("2,051 of 2,058 neurons")
    first = page.locator(".tabulator-row").first
    expect(first).to_have_attribute("data-id", f"0-{large.ranked[0]}")
    first.focus()
    for _ in range(100):
        page.keyboard.press("ArrowDown")
    place = page.evaluate("document.activeElement.dataset.id")
    assert place == f"0-{large.ranked[100]}"
    assert page.locator(".tabulator-row").count() < 200
    page.keyboard.press("Enter")
    detail = page.locator("#detail")
    for unit in (int(place[2:]), 2050, 1023, 1024):
        page.evaluate(f"location.hash = 'n-0-{unit}'")
        expect(detail.locator("h3")).to_contain_text(f"Neuron {unit}")
        value = large.winners_curse.corrected[unit]
        shown = "–" if np.isnan(value) else f"{float(f'{value:.4g}'):.3f}"
        expect(detail).to_contain_text(f"corrected for choice{shown}")
    page.get_by_role("button", name="Close").click()
    page.select_option("#layer", "1")
    expect(count).to_have_text("7 of 2,058 neurons")

    # the surest come first, whichever verdict does; a click on a title sorts by it when drawn
    order = [audited.neuron_names[u] for u in audited.ranked]
    units = page.locator(".tabulator-cell[tabulator-field=neuron]")
    expect(units).to_have_text(order)
    kinds = [audited.verdict[int(u)] for u in order]
    turned = sorted(range(7), key=lambda i: -kinds[i])  # of each verdict as before
    sort_by(page, "verdict")
    expect(units).to_have_text([order[i] for i in turned])

    labels = page.locator(".tabulator-cell[tabulator-field=description]")
    wanted = sorted(labels.all_inner_texts())
    sort_by(page, "description")
    expect(labels).to_have_text(wanted)
    page.locator(".tabulator-row", has_text="concept, 2").press("Enter")
    detail.wait_for(state="visible")
    assert "Neuron 2: concept, 2" in detail.inner_text()
    assert detail.locator(".tile").count() == 5
    assert detail.locator("canvas").bounding_box()["height"] > 50
    assert "#n-1-2" in page.url
    # nothing is wider than the window
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    detail.get_by_role("button", name="Close").click()
    detail.wait_for(state="hidden")
    assert said == []
    assert [x for x in asked if not x.startswith("data:")] == [path.as_uri()]
    page.close()
