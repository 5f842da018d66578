"""The page holds what the audit says, and is inert and offline."""

import html
import re
from dataclasses import replace

import numpy as np
import pytest
from pages import data_of, examples, many

import neurotrust_jax as nt
from neurotrust_jax import report
from neurotrust_jax.report import page_images

HOSTILE = '</script><script>alert("x")</script><b onclick=a>{{ 7 * 7 }}\u202e\x00\x07 =cmd()'


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
    assert text.count("<script") == 3  # the data, Tabulator, and our own
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
    assert {(x[0], x[2]) for row in found for x in row} == {("…" + "b" * 160, "a" * 159 + "…")}
    found, _ = shown(10)  # the second of the three surest
    assert {(x[0], x[2]) for row in found for x in row} == {("…" + "b" * 80, "a" * 79 + "…")}
    counts = np.array([len(row) for row in found])
    assert counts[audited.ranked].tolist() == [2, 2, 2, 1, 1, 1, 1]
    found, _ = shown(1000)  # all of a text, where there are few
    assert {(x[0], x[2]) for row in found for x in row} == {("b" * 300, "a" * 300)}
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


def test_a_text_without_context_is_not_cut_as_a_token(audited, tmp_path):
    whole = report.Examples(np.zeros((7, 1), int), lambda row: ("", "t" * 3000, ""))
    longer = report.Examples(np.zeros((7, 1), int), lambda row: ("", "t" * 9000, ""))
    token = report.Examples(np.zeros((7, 1), int), lambda row: ("b", "t" * 3000, ""))
    for given, length in ((whole, 3000), (longer, 4000), (token, 80)):
        data, _, _ = data_of(report.write_page(audited, tmp_path / "a.html", examples=given))
        assert len(data["layers"][0]["details"][0]["examples"][0][0][1]) == length


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
