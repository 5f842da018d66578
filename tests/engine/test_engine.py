"""The engine has one door, and whoever comes with a scheme of their own gets through it."""

import ast
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse

import neurotrust_jax as nt
from neurotrust_jax import _engine
from neurotrust_jax.resampling import bagging_epsilon, bootstrap_weights
from neurotrust_jax.schemes import SCHEMES, Scheme

KEY = jax.random.key(0)
PACKAGE = Path(nt.__file__).parent


def imports_of_the_engine(path):
    """What a file imports of the engine: a module and a name each."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and "_engine" in (node.module or "").split("."):
            yield from ((node.module.split("_engine")[1], x.name) for x in node.names)


def test_the_package_imports_nothing_but_the_door():
    files = [x for x in PACKAGE.rglob("*.py") if x.parent.name != "_engine"]
    used = {x for path in files for x in imports_of_the_engine(path)}
    assert ("", "compute_replicates") in used
    assert {module for module, _ in used} == {""}
    assert {name for _, name in used} <= set(_engine.__all__)


def three_tenths(key, n, dtype):
    """Draw 3 of every 10 units without replacement, each with the weight of 10/3."""
    chosen = jax.random.permutation(key, n)[: 3 * n // 10]
    return jnp.zeros(n, dtype).at[chosen].set(10 / 3)


def presence(n):
    share = (3 * n // 10) / n
    return share, share * (1 - share) / (n - 1)


def twice_or_never(key, n, dtype):
    return 2 * jax.random.bernoulli(key, 0.5, (n,)).astype(dtype)


THREE_TENTHS = Scheme("three tenths", three_tenths, scale=10 / 3, presence=presence)
COIN = Scheme("coin", twice_or_never, whole_counts=True, scale=2.0)


def layer(sparse=False):
    rng = np.random.default_rng(0)
    c = rng.random((300, 6)) < 0.3
    f = np.maximum(rng.normal(size=(300, 4)) + 1.2 * c[:, :4], 0)
    return nt.make_probe(scipy.sparse.csc_array(f) if sparse else f, c, thresholds=1.0)


@pytest.mark.quick("auroc-rows-three tenths", "iou-dense-coin")
@pytest.mark.parametrize("scheme", [THREE_TENTHS, COIN], ids=lambda x: x.name)
@pytest.mark.parametrize(("metric", "strategy"), [("iou", "dense"), ("auroc", "rows")])
def test_a_scheme_from_outside_is_bootstrapped(scheme, metric, strategy):
    probe = layer()
    boot = nt.bootstrap(KEY, probe, metric, num_replicates=20, scheme=scheme, strategy=strategy)
    assert boot.scheme == scheme.name
    weights = bootstrap_weights(KEY, probe, num_replicates=20, scheme=scheme)
    for b, w in enumerate(np.asarray(weights)):
        np.testing.assert_array_equal(w, scheme.draw(jax.random.fold_in(KEY, b), 300, jnp.float32))
        found = nt.similarity(
            nt.make_probe(probe.activations, probe.concepts, thresholds=1.0, sample_weight=w),
            metric,
        )
        np.testing.assert_array_equal(boot.winners[b], np.argmax(found, axis=1))
        np.testing.assert_allclose(boot.winning_similarity[b], found.max(axis=1), rtol=1e-5)


def test_a_scheme_promises_nothing_that_it_does_not_say():
    probe = layer()
    with pytest.raises(ValueError, match="a scheme with bounds; got 'iou' and 'coin'"):
        nt.bootstrap(KEY, probe, scheme=COIN, strategy="screened")
    with pytest.raises(ValueError, match="repeats rows, which the three tenths scheme's"):
        nt.bootstrap_black_box(KEY, nt.similarity, probe, scheme=THREE_TENTHS)
    with pytest.raises(ValueError, match=r"presence of units is known, .* got 'coin'"):
        bagging_epsilon(100, 5, scheme=COIN)
    boot = nt.bootstrap_black_box(KEY, nt.similarity, probe, num_replicates=5, scheme=COIN)
    assert boot.scheme == "coin"


def test_bagged_sets_of_a_scheme_from_outside_are_stable():
    epsilon = bagging_epsilon(300, 6, scheme=THREE_TENTHS, delta=0.1)
    assert epsilon < bagging_epsilon(300, 6, scheme="subsample", delta=0.1)
    boot = nt.bootstrap(KEY, layer(), num_replicates=50, scheme=THREE_TENTHS)
    sets = np.asarray(nt.inflated_argmax(boot.vote_share, epsilon))
    assert sets[np.arange(4), np.asarray(boot.vote_share).argmax(axis=1)].all()
    assert float(nt.stability(boot).top1_agreement.min()) > 0


@pytest.mark.parametrize("sparse", [False, True])
def test_two_are_compared_by_a_scheme_from_outside(sparse, tmp_path):
    label = np.arange(4)
    sides = nt.Labelling(layer(sparse), "iou", label), nt.Labelling(layer(sparse), "auroc", label)

    def run(**options):
        return nt.compare(
            KEY, *sides, num_replicates=30, scheme=THREE_TENTHS, checkpoint=tmp_path, **options
        )

    found, done = run(), []
    assert found.shared
    assert len(list(tmp_path.iterdir())) == 2
    again = run(progress=lambda *x: done.append(x))
    assert done[-1] == (30, 30)
    for ours, theirs in zip(again.neurons, found.neurons, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    weights = bootstrap_weights(KEY, layer(), num_replicates=30, scheme=THREE_TENTHS)
    gaps = []
    for w in np.asarray(weights):
        probe = nt.make_probe(
            layer().activations, layer().concepts, thresholds=1.0, sample_weight=w
        )
        iou, auroc = (np.diag(nt.similarity(probe, metric)) for metric in ("iou", "auroc"))
        gaps.append(iou - auroc)
    half = (found.neurons.upper - found.neurons.lower) / 2
    np.testing.assert_allclose(half, 1.6448536 * np.std(gaps, axis=0, ddof=1), rtol=1e-3)


def test_two_schemes_of_one_name_share_no_checkpoint(tmp_path):
    other = Scheme(
        "coin", lambda key, n, dtype: twice_or_never(jax.random.fold_in(key, 7), n, dtype)
    )
    first, second = (
        nt.bootstrap(KEY, layer(), num_replicates=8, scheme=x, checkpoint=tmp_path)
        for x in (COIN, other)
    )
    assert not np.array_equal(first.replicates, second.replicates)


@pytest.mark.parametrize("scheme", list(SCHEMES))
def test_a_name_stands_for_its_scheme(scheme):
    by_name, by_object = (
        nt.bootstrap(KEY, layer(), num_replicates=8, scheme=x) for x in (scheme, SCHEMES[scheme])
    )
    np.testing.assert_array_equal(by_name.replicates, by_object.replicates)
