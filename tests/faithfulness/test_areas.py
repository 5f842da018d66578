"""Standard errors of areas under curves, from running totals, are those of the gradient."""

import numpy as np
import pytest

import neurotrust_jax as nt
from neurotrust_jax.faithfulness import jackknife
from neurotrust_jax.metrics.scores import prepare

AUROC = nt.METRICS["auroc"]


@pytest.mark.double
@pytest.mark.parametrize("tied", [False, True], ids=["distinct", "tied"])
@pytest.mark.parametrize("some", [False, True], ids=["all", "some of weight 0"])
def test_influences_of_an_area_are_those_of_its_gradient(tied, some):
    rng = np.random.default_rng(0)
    concepts = rng.random((300, 6)) < [0.3, 0.1, 0.5, 0.02, 0, 1]  # the last two never vary
    activations = rng.normal(size=(300, 4)) + 2 * concepts[:, :4]
    if tied:
        activations = np.maximum(np.round(2 * activations) / 2, 0)
    activations[:, 3] = 0  # one tie of all samples: an area of 1/2 without any spread
    weights = np.where(rng.random(300) < 0.2, 0.0, 2.0) if some else None
    probe = nt.make_probe(activations, concepts, thresholds=1.0, sample_weight=weights)
    assert jackknife._is_area(probe, AUROC)
    found = np.asarray(jackknife.standard_error(probe, AUROC)[0])
    slow = jackknife._by_gradients(
        prepare(probe, AUROC), probe.weights, None, metric=AUROC, num_units=300
    )
    np.testing.assert_allclose(found, slow, rtol=1e-10, atol=1e-14)
    assert np.isnan(found[:, 4:]).all()

    # DeLong, DeLong & Clarke-Pearson (1988), by a loop; all samples in place of n - 1 of each kind
    used = np.ones(300, bool) if weights is None else weights > 0
    f, c = activations[used, 0], concepts[used, 1]
    above = (f[c][:, None] > f[~c][None, :]) + (f[c][:, None] == f[~c][None, :]) / 2
    n = used.sum()
    variance = above.mean(axis=1).var() / c.sum() + above.mean(axis=0).var() / (~c).sum()
    assert found[0, 1] == pytest.approx(np.sqrt(variance * n / (n - 1)), rel=1e-10)


def test_other_data_keep_the_gradient():
    rng = np.random.default_rng(0)
    activations, concepts = rng.normal(size=(40, 2)), rng.random((40, 2)) < 0.5
    for options in ({"groups": np.arange(40) // 2}, {"sample_weight": np.arange(40) + 1}):
        probe = nt.make_probe(activations, concepts, thresholds=0.5, **options)
        assert not jackknife._is_area(probe, AUROC)
    probe = nt.make_probe(activations, concepts, thresholds=0.5)
    assert not jackknife._is_area(probe, nt.METRICS["simulation_auroc"])
    assert not jackknife._is_area(probe, nt.METRICS["spearman"])
