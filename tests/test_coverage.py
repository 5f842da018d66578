"""Monte Carlo checks of what the README claims, each with a negative control.

Counts of covered datasets are compared with their binomial law: a sound interval fails a check by
chance less than once in 10,000 runs (4 standard errors), and here the seed is fixed besides.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import neurotrust_jax as nt
from neurotrust_jax.datasets import planted
from neurotrust_jax.datasets.planted import planted_similarity

pytestmark = [pytest.mark.x32, pytest.mark.slow]
DATASETS, COPIES = 400, 4


def covered(metric, repeat, grouped):
    """On how many of DATASETS planted datasets the 90% interval holds the true similarity.

    With ``repeat`` each sample stands there four times, as tokens of one document might.
    """
    hits = 0
    for seed in range(DATASETS):
        p = planted(jax.random.key(seed), 300, num_neurons=1, num_concepts=2, frequency=0.3)
        rows = np.repeat(np.arange(300), COPIES if repeat else 1)
        probe = nt.make_probe(
            p.activations[rows], p.concepts[rows], thresholds=0.0,
            groups=rows if grouped else None,
        )  # fmt: skip
        result = nt.audit(jax.random.key(10_000 + seed), probe, metric, num_replicates=300)
        assert result.label[0] == 0  # far ahead, so that choosing it biases nothing
        truth = float(planted_similarity(p, metric)[0, 0])
        hits += bool(result.lower[0] <= truth <= result.upper[0])
    return hits


@pytest.mark.parametrize("metric", ["iou", "auroc"])
def test_percentile_interval_covers_with_groups_and_not_without(metric):
    # the percentile interval is first-order accurate: at n = 300 allow 2 points beside the noise
    slack = 4 * np.sqrt(0.9 * 0.1 / DATASETS) + 0.02
    assert abs(covered(metric, repeat=True, grouped=True) / DATASETS - 0.9) < slack
    # negative control: copies taken as independent samples halve the width
    assert covered(metric, repeat=True, grouped=False) / DATASETS < 0.9 - slack - 0.1


def test_vote_sets_under_cover_among_near_ties_as_the_warning_says():
    """Ten concepts within 0.002 of each other: far below 90%; one clear winner: at least 90%."""

    def share(gap, rivals):
        effect = np.zeros((1, rivals + 2))
        effect[0, :rivals] = 0.05
        effect[0, 0] += gap
        hits = 0
        for seed in range(DATASETS):
            p = planted(
                jax.random.key(seed), 1000, num_neurons=1, num_concepts=rivals + 2,
                frequency=0.2, effect=effect,
            )  # fmt: skip
            probe = nt.make_probe(p.activations, p.concepts, thresholds=0.0)
            boot = nt.bootstrap(jax.random.key(seed), probe, num_replicates=100, chunk_size=100)
            assert int(jnp.argmax(planted_similarity(p, "iou")[0])) == 0
            with pytest.warns(nt.CoverageWarning):
                hits += bool(nt.concept_sets(boot, alpha=0.1).mask[0, 0])
        return hits / DATASETS

    noise = 4 * np.sqrt(0.9 * 0.1 / DATASETS)
    assert share(gap=0.002, rivals=10) < 0.9 - noise
    assert share(gap=0.5, rivals=2) > 0.9 - noise
