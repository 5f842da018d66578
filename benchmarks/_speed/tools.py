"""One call against tools that resample by themselves: torchmetrics, SciPy and arch."""

import math
import statistics
import time
from functools import partial

import numpy as np

import neurotrust_jax as nt

from .plan import ALPHA
from .rows import ours, row
from .timing import timed
from .worlds import World


def torchmetrics_errors(world, metric):
    """Standard errors [U, C] by torchmetrics, all pairs as labels of one task."""
    import torch
    from torchmetrics.classification import MultilabelAUROC, MultilabelJaccardIndex
    from torchmetrics.wrappers import BootStrapper

    _, num_neurons, num_concepts, num_replicates = world.size
    kind = {"iou": MultilabelJaccardIndex, "auroc": MultilabelAUROC}[metric]
    predicted = np.repeat(world.neurons(metric), num_concepts, axis=1)
    target = np.tile(world.concepts, num_neurons)
    torch.manual_seed(0)
    resampled = BootStrapper(
        kind(num_labels=num_neurons * num_concepts, average=None),
        num_bootstraps=num_replicates, sampling_strategy="multinomial",
    )  # fmt: skip
    resampled.update(torch.tensor(predicted).to(torch.float32), torch.tensor(target).long())
    return resampled.compute()["std"].numpy().reshape(num_neurons, num_concepts)


def scipy_errors(world, metric):
    """Standard errors [U, C] by SciPy, all pairs and replicates in one vectorised call."""
    from scipy.stats import bootstrap, rankdata

    def iou(f, c, axis):
        return (f & c).sum(axis) / (f | c).sum(axis)

    def auroc(f, c, axis):
        positives = c.sum(axis)
        ranks = (rankdata(f, axis=axis) * c).sum(axis)
        pairs = positives * (f.shape[axis] - positives)
        return (ranks - positives * (positives + 1) / 2) / pairs

    return bootstrap(
        (world.neurons(metric).T[:, None], world.concepts.T[None]),
        {"iou": iou, "auroc": auroc}[metric], n_resamples=world.size.B, axis=-1, paired=True,
        vectorized=True, method="percentile", rng=np.random.default_rng(0),
    ).standard_error  # fmt: skip


def compare_errors(size, metric, name, tools, limits):
    """One row for us and for each tool that resamples by itself, at a size that it can hold.

    Two standard errors from B replicates each differ by a factor of about 1 +- 1/sqrt(B); those of
    the labels must do so within five times that.
    """
    world = World(size, name)
    times, boot = timed(partial(world.bootstrap, metric), limits)
    label = np.asarray(boot.label)
    error = np.asarray(boot.label_similarity).std(axis=0, ddof=1)
    rows = [ours(metric, size, times)]
    for tool, errors in (("torchmetrics", torchmetrics_errors), ("scipy", scipy_errors)):
        if tool not in tools:
            continue
        try:
            theirs, found = timed(lambda _, run=errors: run(world, metric), limits)
        except ModuleNotFoundError as missing:
            rows.append(row(metric, tool, size, missing=missing.name.split(".")[0]))
            continue
        ratio = found[np.arange(size.U), label] / error
        rows.append(row(
            metric, tool, size, seconds=theirs["seconds"], best_seconds=theirs["best_seconds"],
            replicates_timed=size.B, extrapolated=False,
            speed_up=theirs["best_seconds"] / times["best_seconds"], equal_winners=None,
            error_ratio_off=float(np.abs(ratio - 1).max()), tolerance=5 / math.sqrt(size.B),
        ))  # fmt: skip
    return [x | {"world": name} for x in rows]


def compare_sets(size, name, limits):
    """Our concept sets of all neurons against arch's model confidence set of some.

    A different procedure with the same aim: it eliminates one concept after the other by a test of
    equal accuracy. So sizes and whether our label is in are reported, and nothing has to agree.
    """
    world = World(size, name)

    def sets(key):
        boot = world.bootstrap("accuracy", key)
        return boot.label, nt.concept_sets(boot, alpha=ALPHA).mask

    times, (label, mask) = timed(sets, limits)
    label, mask = np.asarray(label), np.asarray(mask)
    rows = [ours("accuracy", size, times) | {"method": "ours, with sets"}]
    try:
        from arch.bootstrap import MCS
    except ModuleNotFoundError as missing:
        rows.append(row("accuracy", "arch", size, missing=missing.name.split(".")[0]))
        return [x | {"world": name} for x in rows]
    active = world.neurons("accuracy")
    spent, found = [], []
    for u in range(size.U):
        losses = (active[:, u, None] != world.concepts).astype(float)
        start = time.perf_counter()
        # blocks of one sample: samples are independent
        mcs = MCS(losses, size=ALPHA, reps=size.B, block_size=1, method="R", seed=u)
        mcs.compute()
        spent.append(time.perf_counter() - start)
        found.append(set(mcs.included))
        if sum(spent) > limits.loop:
            break
    each = statistics.median(spent)
    rows.append(row(
        "accuracy", "arch", size, seconds=each * size.U, replicates_timed=size.B,
        extrapolated=len(found) < size.U, speed_up=each * size.U / times["best_seconds"],
        equal_winners=None, neurons_timed=len(found),
        seconds_per_neuron=each, our_seconds_per_neuron=times["seconds"] / size.U,
        holds_our_label=float(np.mean([label[u] in x for u, x in enumerate(found)])),
        mean_size=float(np.mean([len(x) for x in found])),
        our_mean_size=float(mask[: len(found)].sum(axis=1).mean()),
    ))  # fmt: skip
    return [x | {"world": name} for x in rows]
