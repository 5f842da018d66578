"""What is reported of layers whose neurons were shuffled against the concepts."""

import warnings

import jax
import numpy as np
from _common.terminal import track
from scipy import stats

import neurotrust_jax as nt
from neurotrust_jax.chance.permutations import PowerWarning

from .planted import mean_and_error
from .worlds import ALPHA, Planted, at_hand, capped, holds, layer_probe, search_half, shuffler


def naive_gain(half, formula, single):
    """The gain in IoU of formulas [m, U] over concepts [m, U] on the half that chose them.

    Returns
    -------
    tuple of numpy.ndarray [U]
        The gain, and its standard error by the delta method, from sums over sampling units.
    """

    def influence(given):
        either = half.active | given
        union = np.maximum(either.sum(axis=0), 1)
        value = (half.active & given).sum(axis=0) / union
        return value, ((half.active & given) - value * either) / union

    (long, own), (short, other) = influence(formula), influence(single)
    unit = np.unique(half.groups, return_inverse=True)[1]
    order = np.argsort(unit, kind="stable")
    starts = np.searchsorted(unit[order], np.arange(unit.max() + 1))
    sums = np.add.reduceat((own - other)[order], starts, axis=0)
    return long - short, np.sqrt((sums**2).sum(axis=0))


def called_naively(key, probe, found):
    """Whether the interval of the gain on the search half excludes 0, [U] of bool."""
    half = search_half(key, probe)
    formula = holds(half.concepts, found.formula)
    gain, error = naive_gain(half, formula, half.concepts[:, np.maximum(found.single, 0)])
    return (found.formula.length > 1) & (gain > stats.norm.isf(ALPHA / 2) * error)


def shuffled_part(size):
    """A row for each layer: shares of neurons, and of shuffles with any neuron called better."""
    rows = []
    world = Planted(size)
    probes = [(f"planted, {n:,}", world.draw(0, n), size["shuffles"]) for n in size["shuffled"]]
    for name in size["layers"]:
        if at_hand(name) and "-" not in name:
            probe = capped(layer_probe(name, size["neurons"]))
            probes.append((name, probe, size["real_shuffles"]))
    key = jax.random.key(0)  # the halves stay, so that shapes do and nothing is compiled again
    for name, probe, number in probes:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PowerWarning)  # large groups have no partner
            shuffled = shuffler(probe)
        found = []
        for seed in track(range(number), f"shuffled, {name}"):
            other = shuffled(seed)
            result = nt.compose(key, other, "iou", search="beam", alpha=ALPHA)
            longer = result.search_gain > 0
            naive = called_naively(key, other, result)
            found.append([
                longer.mean(), naive.mean(), result.better.mean(), result.better.any(),
                (np.nan_to_num(result.p_value, nan=1) <= ALPHA).mean(),
                np.nanmean(result.search_gain), np.nanmean(result.gain),
            ])  # fmt: skip
        names = ("longer", "naive", "better", "any", "p_value", "search_gain", "gain")
        of_names = zip(names, map(mean_and_error, np.transpose(found)), strict=True)
        shares = {k: v for x, (mean, e) in of_names for k, v in ((x, mean), (f"{x}_error", e))}
        rows.append({"layer": name, "neurons": probe.num_neurons, "shuffles": number, **shares})
        jax.clear_caches()
    return rows
