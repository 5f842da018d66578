"""Are the formulas found that neurons mean, and do intervals of formulas cover?"""

import math

import jax
import numpy as np
from _common.terminal import track
from scipy import stats

import neurotrust_jax as nt

from .worlds import ALPHA, Planted, holds, search_half

ALIKE = 0.9  # overlap from which a formula selects the samples that are meant


def mean_and_error(by_draw):
    """Over draws: neurons of one draw share its samples, draws are independent."""
    x = np.asarray([y for y in by_draw if np.isfinite(y)], np.float64)
    if not len(x):
        return math.nan, math.nan
    return float(x.mean()), float(x.std(ddof=1) / math.sqrt(len(x))) if len(x) > 1 else math.nan


def share(values, where):
    """The share of True among the places where this is asked; NaN if there are none."""
    return values[where].mean() if where.any() else math.nan


def planted_part(size):
    """A row for each number of samples, length of the formula that is meant, and noise."""
    world = Planted(size)
    meant = holds(world.concepts, world.meaning)
    length, noise = world.meaning.length, np.array(world.noise)
    rows = []
    for n in size["samples"]:
        by_draw = {}
        for seed in track(range(size["draws"]), f"planted, {n:,} samples"):
            found = nt.compose(
                jax.random.key(seed), world.draw(seed, n), search=size["search"], alpha=ALPHA
            )
            given = holds(world.concepts, found.formula)
            both, either = (f(given, meant).sum(axis=0) for f in (np.logical_and, np.logical_or))
            exact = found.formula.same(world.meaning)
            of_length = found.by_length.take(length - 1, np.arange(len(length)))
            at_length = of_length.same(world.meaning)
            alike = both >= ALIKE * either
            right = found.single == world.meaning.concept[:, 0]
            # nothing is better than the single concept that a neuron means
            false = found.better & (length == 1) & right
            for x in (1, 2, 3):
                for kind in np.unique(noise):
                    here = (length == x) & (noise == kind)
                    by_draw.setdefault((x, str(kind)), []).append(
                        [share(y, here) for y in (exact, at_length, alike, found.better)]
                        + [share(false, here & right) if x == 1 else math.nan]
                    )
            wrong = false.sum() / max(found.better.sum(), 1)
            by_draw.setdefault((0, "all"), []).append([math.nan] * 4 + [wrong])
        names = ("exact", "at_length", "alike", "better", "false")
        for (x, kind), values in by_draw.items():
            of_names = zip(names, map(mean_and_error, np.transpose(values)), strict=True)
            shares = {
                key: value
                for name, (mean, error) in of_names
                for key, value in ((name, mean), (f"{name}_error", error))
            }
            rows.append({"n": n, "length": x, "noise": kind, "draws": size["draws"], **shares})
    return rows


def clopper_pearson(hits, either, alpha):
    """The exact interval of an IoU, the share of hits among samples with one or the other."""
    lower = stats.beta.ppf(alpha / 2, hits, either - hits + 1)
    upper = stats.beta.isf(alpha / 2, hits + 1, either - hits)
    return np.where(hits > 0, lower, 0), np.where(hits < either, upper, 1)


def counts(active, given):
    """Samples on which neuron and formula agree to hold, and on which either holds, [U] each."""
    return (active & given).sum(axis=0), (active | given).sum(axis=0)


def coverage_part(size):
    """How often intervals hold the similarity in the population: on the other half, and as control
    on the half that chose the formula."""
    world = Planted(size)
    rows = []
    for n in size["coverage_samples"]:
        held = {"other half": [], "search half": []}
        for seed in track(range(size["coverage_draws"]), f"coverage, {n:,} samples"):
            key, probe = jax.random.key(seed), world.draw(10**6 + seed, n)
            found = nt.compose(key, probe, search="beam", alpha=ALPHA)
            hits, either = counts(world.active, holds(world.concepts, found.formula))
            true = hits / either
            half = search_half(key, probe)
            naive = clopper_pearson(
                *counts(half.active, holds(half.concepts, found.formula)), ALPHA
            )
            for name, (lower, upper) in (
                ("other half", (found.lower, found.upper)), ("search half", naive),
            ):  # fmt: skip
                inside = (lower <= true + 1e-6) & (true <= upper + 1e-6)
                held[name].append([inside.mean(), (upper < true).mean(), (lower > true).mean()])
        for name, values in held.items():
            (mean, error), (below, _), (above, _) = map(mean_and_error, np.transpose(values))
            rows.append({
                "n": n, "interval": name, "draws": size["coverage_draws"], "coverage": mean,
                "standard_error": error, "too_low": below, "too_high": above,
            })  # fmt: skip
    return rows
