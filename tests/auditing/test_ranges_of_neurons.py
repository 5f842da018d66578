"""Audits of ranges of activation: a neuron that means two things has two labels."""

import jax
import numpy as np
import pytest
from builders import same_fields
from scipy.sparse import csr_array

import neurotrust_jax as nt
from neurotrust_jax import report
from neurotrust_jax.auditing import blocks
from neurotrust_jax.probing import activation_ranges
from neurotrust_jax.report.page_data import detail_blocks

KEY = jax.random.key(0)
OPTIONS = {"num_replicates": 60, "num_permutations": 39, "num_splits": 4}
NAMES = ["high", "low", "other", "rare"]


def two_meanings(as_matrix=np.asarray, **options):
    """Neuron 0 is most active on "high" and a little on "low"; neuron 1 follows "other" alone."""
    rng = np.random.default_rng(0)
    c = rng.random((1200, 4)) < [0.15, 0.2, 0.2, 0.002]
    f = np.abs(0.2 * rng.normal(size=(1200, 3)))
    f[:, 0] += np.where(c[:, 0], 3, 1.0 * c[:, 1])
    f[:, 1] += 2 * c[:, 2]
    f[:, 2] = np.where(rng.random(1200) < 0.1, 2, 0)  # one active value
    f[f < 0.7] = 0
    options = {"thresholds": 0.7, "concept_names": NAMES, "neuron_names": ["a", "b", "c"]} | options
    return nt.make_probe(as_matrix(f), c, **options)


@pytest.fixture(scope="module")
def cut():
    return nt.audit(KEY, two_meanings(), ranges=2, layer="block", **OPTIONS)


def test_each_range_of_a_neuron_has_its_own_label(cut):
    plain = nt.audit(KEY, two_meanings(), **OPTIONS)
    assert plain.num_ranges == 1
    assert plain.label.shape == (3,)
    assert plain.description(0) in ("high", "low")
    assert cut.neuron_names[:3] == ("a range 1/2", "a range 2/2", "b range 1/2")
    assert [cut.description(u) for u in range(4)] == ["high", "low", "other", "other"]
    assert (cut.similarity[:2] > plain.similarity[0]).all()
    # a neuron of one active value has a range that is never active
    assert cut.description(4) == ""
    assert cut.reason_text(4) == "never active"
    assert "rare" in cut.left_out_text()
    # cuts of the same samples prove nothing
    assert not cut.finite_sample
    assert nt.Verdict.CERTIFIED not in cut.verdict
    assert "the two cuts of a range of these samples" in cut.intervals.guarantee
    assert not cut.fit.top_units.any()
    assert (cut.fit.label_above == -1).all()


@pytest.mark.slow
def test_cuts_of_samples_set_aside_certify_ranges():
    p = nt.split_thresholds(jax.random.key(1), two_meanings(), top_fraction=0.3, ranges=2)
    found = nt.audit(KEY, p, **OPTIONS)
    assert found.finite_sample
    assert [found.description(u) for u in (0, 1)] == ["high", "low"]
    assert found.verdict[0] == nt.Verdict.CERTIFIED
    assert found.num_ranges == 2


def test_what_is_shown_speaks_of_ranges(cut, tmp_path):
    assert cut.title == "layer block, 6 ranges of neurons x 4 concepts by iou"
    summary = cut.summary()
    assert "of 6 ranges of neurons a fresh probing set" in summary
    assert "ranges, cut on these samples, above: given, > threshold" in summary
    assert "(asymptotic), and no interval holds for every sample size, unless the cuts" in summary
    assert "for every sample size" not in repr(cut.neuron(0))
    assert np.isnan(cut.neuron(0).sure_interval).all()
    assert np.isnan(cut.neuron(0).contenders[0].sure_interval).all()
    (details,) = detail_blocks(cut, None)
    assert details["sureLower"] == [None] * 6
    assert " neurons " not in summary.replace("ranges of neurons", "")
    assert report.neuron_table(cut).title.plain == "block: 6 of 6 ranges of neurons, best first"
    assert cut.columns()["unit"][:2] == ["a range 1/2", "a range 2/2"]
    assert "6 of 6 ranges of neurons, best first" in cut._repr_html_()
    assert "activate it most" not in repr(cut.neuron("a range 2/2"))
    page = report.write_page(cut, tmp_path / "page.html").read_text(encoding="utf-8")
    assert "6 ranges of neurons, 4 concepts, iou" in page
    assert "<b>Interval for every sample size</b>: none." in page
    same_fields(report.read_audit(report.write_audit(cut, tmp_path / "audit.json")), cut)


@pytest.mark.slow
def test_ranges_of_sparse_activations_and_of_blocks_are_the_same(cut, monkeypatch):
    sparse = two_meanings(csr_array)
    same_fields(nt.audit(KEY, sparse, ranges=2, layer="block", **OPTIONS), cut, tolerance=2e-6)
    monkeypatch.setattr(blocks, "MOST", 3)
    monkeypatch.setattr(blocks, "LEAST", 2)
    short = nt.audit(KEY, two_meanings(), ranges=2, layer="block", **OPTIONS)
    same_fields(short, cut, tolerance=2e-6)


@pytest.mark.slow
def test_ranges_with_groups_weights_and_a_hierarchy():
    p = two_meanings(groups=np.arange(1200) // 2, sample_weight=1 + np.arange(1200) % 3)
    hierarchy = {"high": "level", "low": "level"}
    options = OPTIONS | {"hierarchy": hierarchy, "min_positives": 1, "num_permutations": 0}
    found = nt.audit(KEY, p, ranges=3, **options)
    same_fields(nt.audit(KEY, activation_ranges(p, 3), **options), found)
    assert found.judged.all()
    assert [found.description(u) for u in (0, 2)] == ["high", "low"]


@pytest.mark.parametrize(("options", "message"), [
    ({"metric": "auroc"}, "ranges=2 needs a metric of active samples, such as iou, but auroc"),
    ({"metric": "correlation"}, "but correlation reads all activations; choose another metric"),
    ({"ranges": 1}, "ranges must be a whole number of at least 2, got 1"),
    ({"activation_range": (0, 9)}, r"activation_range=\(0, 9\) has no effect on ranges=2"),
    ({"method": "dkw"}, "method 'dkw' does not fit 'iou' on this probe: no bound for every"),
])  # fmt: skip
def test_an_audit_of_ranges_refuses_before_it_works(options, message):
    with pytest.raises(ValueError, match=message):
        nt.audit(
            KEY, two_meanings(), progress=lambda *x: pytest.fail("it works"),
            **{"ranges": 2} | options,
        )  # fmt: skip
