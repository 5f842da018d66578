"""Data, probes and comparisons that several files of tests share."""

import io
import itertools
import os
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import fields, is_dataclass
from typing import NamedTuple

import jax
import numpy as np
import pytest
from scipy.sparse import csr_array

import neurotrust_jax as nt
from neurotrust_jax.datasets import planted
from neurotrust_jax.resampling import halves, part_scores

EVERY = list(nt.METRICS)
# the last metric of each kind, for tests that compile much; a thorough run takes every one
KINDS = list(
    {(m.neuron_view, m.concept_view, m.finalise is None): m.name for m in nt.METRICS.values()}
    .values()
) if os.environ.get("HYPOTHESIS_PROFILE") != "thorough" else EVERY  # fmt: skip
TOLERANCE = {"x32": 2e-5, "x64": 1e-10}
LONG_SUMS = ("soft_wpmi", "wpmi_topk")  # sums of up to 100 logarithms as large as 16
RANGE = (-4.0, 6.0)
GROUPS = np.random.default_rng(1).permutation(np.repeat(np.arange(40), 3))


class Result(NamedTuple):
    exit_code: int
    output: str
    stdout: str


def command(*arguments):
    """Run the command in this process, as a shell would."""
    from neurotrust_jax.cli import main

    class Shown(io.StringIO):
        def write(self, text):
            told.write(text)
            return super().write(text)

    told, shown, code = io.StringIO(), Shown(), 0
    with redirect_stdout(shown), redirect_stderr(told), pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["neurotrust", *map(str, arguments)])
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
    return Result(code, told.getvalue(), shown.getvalue())


def tied_data(seed=0, n=160, num_neurons=3, num_concepts=4, binary=False):
    """Columns full of ties: activations in steps of 1/4, many of them zero; scores in tenths."""
    rng = np.random.default_rng(seed)
    f = np.maximum(np.round(4 * rng.normal(size=(n, num_neurons))) / 4, 0)
    f[:8] = 10 + np.arange(8)[:, None] / 4  # the top 5% are distinct, as rank_reorder's loop needs
    c = np.round(rng.uniform(size=(n, num_concepts)), 1)
    return f, (c > 0.6) if binary else c


def assert_close(ours, expected, metric, precision):
    tolerance = TOLERANCE[precision] * (10 if metric in LONG_SUMS else 1)
    np.testing.assert_allclose(np.asarray(ours), expected, rtol=tolerance, atol=tolerance)


def small_probe(n=120, groups=None, weights=None, soft=False, repeat=1, **options):
    """Three neurons that follow concepts, a dead one; the last two concepts never, always there."""
    rng = np.random.default_rng(0)
    c = rng.uniform(size=(n, 5)) < [0.3, 0.1, 0.5, 0, 1]
    f = np.round(rng.normal(size=(n, 4)) + c[:, :4], 1).clip(*RANGE)
    f[:, 3] = 0
    scores = np.where(c, 0.9, 0.2) - 0.2 * rng.uniform(size=c.shape) if soft else c
    if groups is not None:
        options["groups"] = np.tile(groups, repeat)
    if weights is not None:
        options["sample_weight"] = np.tile(weights, repeat)
    options.setdefault("thresholds", 0.8)
    return nt.make_probe(np.tile(f, (repeat, 1)), np.tile(scores, (repeat, 1)), **options)


def awkward_probe(groups=None, weighted=True):
    """Ties, dead and constant neurons, concepts of one sample, equal concepts, whole weights."""
    f, c = tied_data(seed=5)
    c = c >= 0.5
    f = np.maximum(f, np.median(f))  # half of the activations tie
    ends = np.full((len(f), 1), -9.0), np.full((len(f), 1), 9.0)  # never active, and always
    f = np.concatenate([f, *ends, np.random.default_rng(0).normal(size=(len(f), 1))], axis=1)
    c = np.concatenate([c, np.eye(len(f))[:, :2], c[:, :1]], axis=1)
    thresholds = np.r_[np.quantile(f[:, :-3], 0.8, axis=0), 0, 0, 1]
    if groups is not None:
        groups = np.arange(len(f)) // groups
    weights = np.where(np.arange(len(f)) % 3, 1.0, 2.0) if weighted else None
    return nt.make_probe(f, c, thresholds=thresholds, groups=groups, sample_weight=weights)


def few_ties(num_samples, num_neurons, num_concepts):
    """Activations that tie at both ends and in between, and concepts."""
    rng = np.random.default_rng(10)
    c = rng.random((num_samples, num_concepts)) < 0.3
    f = rng.normal(size=(num_samples, num_neurons)) + c[:, :num_neurons]
    order = np.argsort(f, axis=0)
    for first, last in ((0, 3), (250, 262), (num_samples - 4, num_samples)):
        tied = order[first:last]
        np.put_along_axis(f, tied, np.take_along_axis(f, tied[:1], axis=0), axis=0)
    return f, c


def layer_of_near_ties(seed=0, n=131, num_neurons=24, num_concepts=6):
    """Neurons with near ties; one that is never active; concepts of one sample, and of none."""
    rng = np.random.default_rng(seed)
    c = rng.random((n, num_concepts)) < 0.3
    c[:, -2:] = False
    c[5, -2] = True
    strength = rng.random((num_concepts, num_neurons)) * (rng.random(num_neurons) < 0.8)
    f = rng.normal(size=(n, num_neurons)) + 1.5 * c @ strength
    f[:, 0] = -1.0
    f[:, 1] = np.where(np.arange(n) < 1, 2.0, -1.0)  # active once
    return f, c


def three_probes(f, c, seed=3):
    """Alone, in groups, and with weights."""
    rng = np.random.default_rng(seed)
    yield nt.make_probe(f, c, thresholds=0.8)
    yield nt.make_probe(f, c, thresholds=0.8, groups=rng.integers(0, 50, len(f)))
    yield nt.make_probe(f, c, thresholds=0.8, sample_weight=rng.integers(0, 4, len(f)))


def routes_by_halves(compute):
    """Yield the pairs of results that must agree, whichever route similarities on halves take.

    These are matrix products on sparse activations, for two metrics, and then by iou all pairs of
    halves as products instead of counted rows, and one neuron at a time.
    """
    f, c = layer_of_near_ties(seed=2)
    f = np.maximum(f - 0.5, 0)
    dense = nt.make_probe(f, c, thresholds=0.3)
    for metric in ("iou", "auroc"):
        sparse = nt.make_probe(csr_array(f), c, thresholds=0.3)
        yield np.asarray(compute(sparse, metric)), np.asarray(compute(dense, metric))
    expected = np.asarray(compute(dense, "iou"))
    for module, name, value in (
        (part_scores, "countable", lambda *_: False), (halves, "COPIES", 10**6),
    ):  # fmt: skip
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, name, value)
            found = np.asarray(compute(dense, "iou"))
        yield found, expected


def planted_probe(names="concept, {}", **options):
    """Six planted neurons with nine concepts, then a dead one; 1,500 samples."""
    p = planted(jax.random.key(1), 1500, num_neurons=6, num_concepts=9, effect=0.7)
    f = np.concatenate([np.asarray(p.activations), np.full((1500, 1), -1.0)], axis=1)
    return nt.make_probe(
        f, p.concepts, thresholds=0.0, concept_names=[names.format(i) for i in range(9)], **options
    )


class Foreign:
    """An array of another library: DLPack and nothing else."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **kwargs):
        return self.array.__dlpack__(**kwargs)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


def same_fields(theirs, ours, tolerance=0.0):
    """Two results are equal, but for the rounding of floats where there is a tolerance."""
    for field in fields(ours):
        a, b = getattr(theirs, field.name), getattr(ours, field.name)
        if is_dataclass(b):
            same_fields(a, b, tolerance)
        elif isinstance(b, np.ndarray):
            if tolerance and b.dtype.kind == "f":
                np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)
            else:
                np.testing.assert_array_equal(a, b)
            assert a.dtype == b.dtype
        else:
            assert a == b


def chains(num_concepts, max_length, operators=(0, 1, 2)):
    """All chains of different concepts, as they may be written."""
    from neurotrust_jax.composition.formulas import NONE, Formulas

    found = []
    for length in range(1, max_length + 1):
        fill = (NONE,) * (max_length - length)
        for concepts in itertools.permutations(range(num_concepts), length):
            for joins in itertools.product(operators, repeat=length - 1):
                found.append(((*concepts, *fill), (NONE, *joins, *fill)))
    concept, operator = zip(*found, strict=True)
    return Formulas(np.array(concept, np.int32), np.array(operator, np.int8))
