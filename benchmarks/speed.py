"""How much faster is one batched call than what one would otherwise run, at the same answer?

Bootstraps the labels of planted neurons, B replicates in one call, and times what a user could run
instead on the very same resampled rows, checking that both name the same winners. Writes
``speed.json`` after each measurement and a figure, ``speed.png``; exits with status 1 if a winner
differs where the similarities do not tie, or standard errors do not agree. Parts:

compare  per metric, against loops over replicates in NumPy and PyTorch and a published style of
         code; against torchmetrics, SciPy's bootstrap and arch's confidence sets at what they do
ceiling  time against what the dense formulation needs at this machine's own peak
scaling  time and memory against samples, neurons, concepts and replicates
scale    a wide layer and a large vocabulary under a memory limit
sparse   features of a sparse autoencoder, against a loop of SciPy's sparse products
whole    an audit, and its permutation test against a product by NumPy for each permutation

    python benchmarks/speed.py            # everything
    python benchmarks/speed.py --quick    # tiny sizes, seconds

Times exclude data creation and, unless said otherwise, compilation. A baseline runs for as many
replicates as a few seconds allow; the total is B times their median. Speed-ups compare best times,
which other processes disturb least. Still, the machine must be idle ("load" in the JSON): threads
that wait for each other can lose a hundredfold, and most baselines have such threads.
"""

import argparse
import datetime
import importlib.metadata
import json
import math
import multiprocessing
import os
import platform
import re
import resource
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import scipy.sparse
from matplotlib import pyplot as plt
from rich.console import Console
from rich.table import Table

import neurotrust_jax as nt
from neurotrust_jax.chance.permutations import draw_rows, layout_of

HERE = Path(__file__).parent
KEY, WARM_UP_KEY = 0, 1
TOLERANCE = 1e-5  # of a mean similarity
TIE = 1e-6  # relative difference below which float32 similarities tie
ALPHA = 0.1  # of concept sets
BUSY = 0.5  # load average above which others run
PATIENCE = 20  # seconds for repeated calls where they are long
GIB = 2**30
COLOURS = {
    "numpy_rows": "#999999", "torch_rows": "#56B4E9", "torch_weights": "#0072B2",
    "published": "#D55E00", "torchmetrics": "#CC79A7", "scipy": "#E69F00", "arch": "#009E73",
    "n": "#0072B2", "U": "#D55E00", "C": "#009E73", "B": "#CC79A7",
}  # fmt: skip


class Size(NamedTuple):
    """Samples, neurons, concepts, replicates."""

    n: int
    U: int
    C: int
    B: int


class Plan(NamedTuple):
    """How much is run."""

    base: Size
    small: Size  # for tools that go pair by pair
    scale: Size
    sparse: Size
    metrics: tuple[str, ...]
    baselines: tuple[str, ...]  # of the part compare
    scaled: tuple[str, ...]  # metrics of the part scaling
    variables: tuple[str, ...]  # of the base size, multiplied by each of the factors
    factors: tuple[float, ...]
    budget: float  # seconds that the replicates of a baseline may take
    matrix: int  # side of the product that finds the ceiling
    copied: int  # float32 numbers copied
    memory_limit: int  # bytes, of the part scale


PAIR = ("iou", "auroc")  # one metric of counts and one of ranks
LOOPS = ("numpy_rows", "published", "torch_rows", "torch_weights")
TOOLS = ("torchmetrics", "scipy", "arch")  # that resample by themselves
FULL = Plan(
    base=Size(10_000, 512, 256, 1000),
    small=Size(1000, 8, 8, 200),
    scale=Size(20_000, 2048, 20_000, 1000),
    sparse=Size(20_000, 16_384, 100, 1000),
    metrics=("iou", "accuracy", "f1", "precision", "recall", "auroc", "spearman"),
    baselines=LOOPS + TOOLS,
    scaled=PAIR,
    variables=Size._fields,
    factors=(1 / 8, 1 / 4, 1 / 2, 1, 2),
    budget=4.0,
    matrix=4096,
    copied=2**28,
    memory_limit=4 * GIB,
)
QUICK = Plan(
    base=Size(1000, 6, 6, 50),
    small=Size(1000, 6, 6, 50),  # nothing to compile anew
    scale=Size(1000, 6, 6, 50),
    sparse=Size(1000, 64, 6, 50),
    metrics=PAIR,
    baselines=LOOPS + TOOLS,
    scaled=("iou",),
    variables=("B",),
    factors=(1, 2),
    budget=0.1,
    matrix=512,
    copied=2**22,
    memory_limit=GIB // 4,
)


class World:
    """Neurons driven by one concept each, with effects from weak to plain.

    Built in blocks of columns, so that the peak of memory is about what is kept.
    """

    def __init__(self, size, seed=0, block=256):
        rng = np.random.default_rng(seed)
        self.size = size
        self.concepts = np.empty((size.n, size.C), bool)
        self.activations = np.empty((size.n, size.U), np.float32)
        for start in range(0, size.C, block):
            part = self.concepts[:, start : start + block]
            frequency = rng.uniform(0.01, 0.2, part.shape[1])
            part[:] = rng.random(part.shape, np.float32) < frequency
        for start in range(0, size.U, block):
            part = self.activations[:, start : start + block]
            driver = rng.integers(0, size.C, part.shape[1])
            effect = rng.uniform(1, 4, part.shape[1]).astype(np.float32)
            part[:] = rng.standard_normal(part.shape, np.float32)
            part += effect * self.concepts[:, driver]
        self.probe = nt.make_probe(self.activations, self.concepts, top_fraction=0.05)

    def neurons(self, metric):
        """What a metric reads of the neurons: activations, or 0 and 1."""
        if metric in RANKED:
            return self.activations
        return np.asarray(self.probe.neurons.present)

    def bootstrap(self, metric, key, **options):
        return nt.bootstrap(
            jax.random.key(key), self.probe, metric, num_replicates=self.size.B, **options
        )


class SparseWorld:
    """Features that are 0 but on a few samples, of rates from 40 samples to 3 in 10."""

    def __init__(self, size, seed=0):
        rng = np.random.default_rng(seed)
        self.size = size
        self.concepts = rng.random((size.n, size.C)) < rng.uniform(0.01, 0.2, size.C)
        rates = np.exp(rng.normal(np.log(0.006), 1, size.U)).clip(40 / size.n, 0.3)
        rows = []
        for rate, driver in zip(rates, rng.integers(0, size.C, size.U), strict=True):
            present = self.concepts[:, driver]
            rows.append(np.flatnonzero(rng.random(size.n) < np.where(present, 6, 1) * rate))
        stored = np.concatenate(rows)
        starts = np.r_[0, np.cumsum([len(x) for x in rows])]
        values = rng.exponential(size=len(stored)).astype(np.float32)
        self.features = scipy.sparse.csc_array((values, stored, starts), shape=(size.n, size.U))
        self.probe = nt.make_probe(self.features, self.concepts, thresholds=0.0)

    bootstrap = World.bootstrap


# ---------------------------------------------------------------------------- measuring


@contextmanager
def worker():
    """A process that starts when first needed, and a function that calls others in it."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        yield lambda function, *args: pool.submit(function, *args).result()


def fresh(function, *args):
    """The result of one call in a process of its own.

    It inherits no memory, compiled code or full accelerator; the parent never touches the device.
    """
    with worker() as call:
        return call(function, *args)


def seconds_of(call):
    start = time.perf_counter()
    result = jax.block_until_ready(call())
    return time.perf_counter() - start, result


def timed(call, patience=math.inf):
    """Times of ``call(key)``, and its result: three calls after one that compiles.

    Fewer, but one at least, where they take longer than ``patience`` seconds together.
    """
    first, _ = seconds_of(lambda: call(WARM_UP_KEY))
    warm = []
    while not warm or (len(warm) < 3 and sum(warm) < patience):
        seconds, result = seconds_of(lambda: call(KEY))
        warm.append(seconds)
    median = statistics.median(warm)
    times = {"seconds": median, "best_seconds": min(warm), "compile_seconds": first - median}
    return times, result


def peak_memory():
    """Peak bytes so far: resident in this process, and on the accelerator where there is one."""
    unit = 1 if sys.platform == "darwin" else 1024
    peak = {"rss": unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}
    device = jax.devices()[0].memory_stats() or {}
    return peak | ({"device": device["peak_bytes_in_use"]} if device else {})


def memory_since(before):
    after = peak_memory()
    return {f"peak_{k}_bytes": v for k, v in after.items()} | {
        f"{k}_increase_bytes": v - before[k] for k, v in after.items()
    }


def row(metric, method, size, **values):
    rounded = {k: float(f"{v:.5g}") if isinstance(v, float) else v for k, v in values.items()}
    return {"metric": metric, "method": method, **size._asdict(), **rounded}


def ours(metric, size, times):
    return row(
        metric, "ours", size, **times, replicates_timed=size.B, speed_up=1.0, equal_winners=1.0
    )


def baseline(metric, name, size, each, best_seconds, **checked):
    """B times what each replicate took, against our best."""
    least = min(each) * size.B
    return row(
        metric, name, size, seconds=statistics.median(each) * size.B, best_seconds=least,
        replicates_timed=len(each), extrapolated=len(each) < size.B, speed_up=least / best_seconds,
        **checked,
    )  # fmt: skip


# ---------------------------------------------------------------------------- baselines

# Of a neuron's view x and a binary concept c under weights w: s = sum w, c = sum w c,
# fc = sum w x c, and f = sum w x, but sum w x x for Spearman. The view is 0 or 1; that of RANKED
# metrics is the mid-rank over s, less one half, so that sum w x = 0. Mid-ranks of a binary concept
# are linear in it, so Spearman's correlation is Pearson's of ranks with the concept itself.
FORMULAS = {
    "iou": lambda s, f, c, fc: fc / (f + c - fc),
    "accuracy": lambda s, f, c, fc: (s - f - c + 2 * fc) / s,
    "f1": lambda s, f, c, fc: 2 * fc / (f + c),
    "precision": lambda s, f, c, fc: fc / f,
    "recall": lambda s, f, c, fc: fc / c,
    "auroc": lambda s, f, c, fc: 0.5 + s * fc / (c * (s - c)),
    "spearman": lambda s, f, c, fc: fc / (f * (c * (s - c) / s)) ** 0.5,
}
RANKED = ("auroc", "spearman")

# Each baseline takes a world and a metric, prepares what no replicate changes, and returns a
# function of a replicate's counts [n] that gives the similarities [U, C].


def rows_of(counts):
    """The rows that a replicate drew; in order, which a gather reads faster than a random one."""
    return np.repeat(np.arange(len(counts)), counts.astype(int))


def numpy_view(x, metric):
    """What a metric sums of the neurons [n, U]."""
    if metric in RANKED:
        from scipy.stats import rankdata

        x = (rankdata(x, axis=0) - 0.5) / len(x) - 0.5
    return x.astype(np.float32)


def numpy_rows(world, metric):
    """Resample rows, one matrix product."""
    f, n = world.neurons(metric), world.size.n

    def score(counts):
        rows = rows_of(counts)
        x, c = numpy_view(f[rows], metric), world.concepts[rows].astype(np.float32)
        total = (x * x if metric == "spearman" else x).sum(0)
        return FORMULAS[metric](n, total[:, None], c.sum(0), x.T @ c)

    return score


def torch_sides(world, metric, device):
    """Neurons [U, n] and concepts [n, C]."""
    import torch

    # 0 and 1 and small counts are exact in TF32, sums are taken in float32
    torch.backends.cuda.matmul.allow_tf32 = metric not in RANKED
    f = torch.tensor(world.neurons(metric).T, dtype=torch.float32, device=device)
    return f.contiguous(), torch.tensor(world.concepts, dtype=torch.float32, device=device)


def new_values(values):
    """Where each row of sorted ``values`` [U, n] differs from the place before."""
    import torch

    return torch.nn.functional.pad(values[:, 1:] != values[:, :-1], (1, 0), value=True)


def torch_mid_ranks(x):
    """Mid-ranks of each row of ``x`` [U, n], over n, less one half."""
    import torch

    values, order = x.sort(dim=1)
    tie = new_values(values).cumsum(1) - 1
    size = torch.zeros_like(x).scatter_add_(1, tie, torch.ones_like(x))
    rank = (size.cumsum(1) - size / 2) / x.shape[1] - 0.5
    return torch.empty_like(x).scatter_(1, order, rank.gather(1, tie))


def torch_rows(world, metric, device, block=None):
    """Resample rows; sort, for metrics of ranks, and multiply a block of neurons at a time.

    All neurons at once by default. One at a time is how published code goes.
    """
    import torch

    f, c = torch_sides(world, metric, device)
    f, n, block = f.T.contiguous(), world.size.n, block or world.size.U

    @torch.no_grad()
    def score(counts):
        rows = torch.as_tensor(rows_of(counts), device=device)
        y, scores = c[rows], []
        positives = y.sum(0)
        for part in f.split(block, dim=1):
            x = part[rows].T
            if metric in RANKED:
                x = torch_mid_ranks(x.contiguous())
            total = (x * x if metric == "spearman" else x).sum(1, keepdim=True)
            scores.append(FORMULAS[metric](n, total, positives, x @ y))
        return torch.cat(scores)

    return score


def torch_weighted_mid_ranks(x):
    """Sort ``x`` [U, n] once, and return a function of weights [n] that gives the mid-ranks."""
    import torch

    values, order = x.sort(dim=1)
    start = new_values(values)
    place = torch.empty_like(order).scatter_(
        1, order, torch.arange(x.shape[1]).to(order).expand_as(x)
    )
    # the few places that tie with a neighbour, and where their tie starts and ends
    end = torch.nn.functional.pad(start[:, 1:], (0, 1), value=True)
    tied = (~(start & end)).flatten().nonzero()[:, 0]
    starts, ends = (side.flatten().nonzero()[:, 0] for side in (start, end))
    tie = torch.searchsorted(starts, tied, right=True) - 1
    first, last = starts[tie], ends[tie]

    def mid_ranks(w):
        sorted_w = w.expand_as(x).gather(1, order)
        up_to = sorted_w.cumsum(1)
        rank = up_to - sorted_w / 2
        low = up_to.view(-1)[first] - sorted_w.view(-1)[first]
        rank.view(-1)[tied] = (low + up_to.view(-1)[last]) / 2
        return rank.div_(w.sum()).sub_(0.5).gather(1, place)

    return mid_ranks


def torch_weights(world, metric, device):
    """Weight samples instead of gathering them, sort once, one matrix product.

    The weights multiply the smaller side.
    """
    import torch

    f, c = torch_sides(world, metric, device)
    c = c.T.contiguous()
    view = torch_weighted_mid_ranks(f) if metric in RANKED else lambda w: f

    @torch.no_grad()
    def score(counts):
        w = torch.as_tensor(counts, device=device)
        x = view(w)
        total = (x * x if metric == "spearman" else x) @ w
        fc = x @ (c * w).T if len(c) <= len(x) else (x * w) @ c.T
        return FORMULAS[metric](w.sum(), total[:, None], c @ w, fc)

    return score


def baselines(metric, names):
    """The loops of these names, on each device: functions of a world and a metric."""
    try:
        import torch

        devices = ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)
    except ModuleNotFoundError:
        devices = ("cpu",)
    found = {"numpy_rows": numpy_rows}
    if metric == "auroc":
        found["published"] = partial(torch_rows, device="cpu", block=1)
    for build in (torch_rows, torch_weights):
        for device in devices:
            name = build.__name__ + ("" if device == "cpu" else f", {device}")
            found[name] = partial(build, device=device)
    # "torch_rows" is both devices', "torch_rows, cuda" one's
    return {k: build for k, build in found.items() if {k, k.split(",")[0]} & set(names)}


def on_host(x):
    return x.cpu().numpy() if hasattr(x, "cpu") else x


def run_replicates(score, counts, budget):
    """Seconds, similarities and winners of each replicate, after one that warms up."""
    score(counts[0])
    seconds, found = [], []
    for w in counts:
        start = time.perf_counter()
        scores = score(w)
        winners = on_host(scores.argmax(1))
        seconds.append(time.perf_counter() - start)
        found.append((on_host(scores), winners))
        if sum(seconds) > budget:
            break
    return seconds, found


def agreement(ours, found):
    """Share of equal winners, and the number of unequal ones whose similarities do not tie."""
    different, real = 0, 0
    for mine, (scores, theirs) in zip(ours, found, strict=False):
        u = np.flatnonzero(mine != theirs)
        best, other = scores[u, theirs[u]], scores[u, mine[u]]
        different += len(u)
        real += int(((mine[u] < 0) | ~(best - other <= TIE * np.abs(best))).sum())
    return {
        "equal_winners": 1 - different / (len(found) * ours.shape[1]),
        "disagreements": real,
    }


# ---------------------------------------------------------------------------- compare


def compare_loops(size, metric, names, budget):
    """One row for us and for each loop over replicates."""
    world = World(size)
    times, boot = timed(partial(world.bootstrap, metric))
    winners = np.asarray(boot.winners)
    drawn = nt.resampling.bootstrap_weights(
        jax.random.key(KEY), world.probe, num_replicates=min(size.B, 200)
    )
    counts = np.array(drawn)
    rows = [ours(metric, size, times)]
    for name, build in baselines(metric, names).items():
        try:
            score = build(world, metric)
        except ModuleNotFoundError as error:
            rows.append(row(metric, name, size, missing=error.name.split(".")[0]))
            continue
        each, found = run_replicates(score, counts, budget)
        checked = agreement(winners, found)
        rows.append(baseline(metric, name, size, each, times["best_seconds"], **checked))
    return rows


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


def compare_errors(size, metric, names, budget):
    """One row for us and for each tool that resamples by itself, at a size that it can hold.

    Two standard errors from B replicates each differ by a factor of about 1 +- 1/sqrt(B); those of
    the labels must do so within five times that.
    """
    world = World(size)
    times, boot = timed(partial(world.bootstrap, metric))
    label = np.asarray(boot.label)
    error = np.asarray(boot.label_similarity).std(axis=0, ddof=1)
    rows = [ours(metric, size, times)]
    for name, errors in (("torchmetrics", torchmetrics_errors), ("scipy", scipy_errors)):
        if name not in names:
            continue
        try:
            theirs, found = timed(lambda _, run=errors: run(world, metric), budget)
        except ModuleNotFoundError as missing:
            rows.append(row(metric, name, size, missing=missing.name.split(".")[0]))
            continue
        ratio = found[np.arange(size.U), label] / error
        rows.append(row(
            metric, name, size, seconds=theirs["seconds"], best_seconds=theirs["best_seconds"],
            replicates_timed=size.B, extrapolated=False,
            speed_up=theirs["best_seconds"] / times["best_seconds"], equal_winners=None,
            error_ratio_off=float(np.abs(ratio - 1).max()), tolerance=5 / math.sqrt(size.B),
        ))  # fmt: skip
    return rows


def compare_sets(size, budget):
    """Our concept sets of all neurons against arch's model confidence set of some.

    A different procedure with the same aim: it eliminates one concept after the other by a test of
    equal accuracy. So sizes and whether our label is in are reported, and nothing has to agree.
    """
    world = World(size)

    def sets(key):
        boot = world.bootstrap("accuracy", key)
        return boot.label, nt.concept_sets(boot, alpha=ALPHA).mask

    times, (label, mask) = timed(sets)
    label, mask = np.asarray(label), np.asarray(mask)
    rows = [ours("accuracy", size, times) | {"method": "ours, with sets"}]
    try:
        from arch.bootstrap import MCS
    except ModuleNotFoundError as missing:
        return [*rows, row("accuracy", "arch", size, missing=missing.name.split(".")[0])]
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
        if sum(spent) > budget:
            break
    each = statistics.median(spent)
    return [*rows, row(
        "accuracy", "arch", size, seconds=each * size.U, replicates_timed=size.B,
        extrapolated=len(found) < size.U, speed_up=each * size.U / times["best_seconds"],
        equal_winners=None, neurons_timed=len(found),
        seconds_per_neuron=each, our_seconds_per_neuron=times["seconds"] / size.U,
        holds_our_label=float(np.mean([label[u] in x for u, x in enumerate(found)])),
        mean_size=float(np.mean([len(x) for x in found])),
        our_mean_size=float(mask[: len(found)].sum(axis=1).mean()),
    )]  # fmt: skip


# ---------------------------------------------------------------------------- ceiling


def peaks(side, copied):
    """Matrix products and copies a second."""
    key, found = jax.random.key(KEY), {}
    on_cpu = jax.default_backend() == "cpu"
    side = side if on_cpu else 2 * side  # or it would take no longer than to start it
    for dtype in ("float32",) if on_cpu else ("float32", "bfloat16"):
        x = jax.random.normal(key, (side, side), dtype)
        product = jax.jit(partial(jnp.matmul, precision="highest"))
        times, _ = timed(lambda _, x=x, product=product: product(x, x))
        found[f"{dtype}_gflops"] = 2e-9 * side**3 / times["best_seconds"]
    x = jax.random.normal(key, copied, jnp.float32)
    times, _ = timed(lambda _: jnp.copy(x))
    return found | {"copy_gbytes": 8e-9 * copied / times["best_seconds"]}  # one read, one write


def ceiling(size, metric, side, copied):
    """What the dense formulation needs at this machine's peak, and what we take.

    A replicate of it reads both sides once, multiplies them, and writes the similarities.
    """
    peak = peaks(side, copied)
    times, _ = timed(partial(World(size).bootstrap, metric), PATIENCE)
    n, num_neurons, num_concepts, num_replicates = size
    operations = 2.0 * math.prod(size)
    moved = 4.0 * num_replicates * (n * (num_neurons + num_concepts) + num_neurons * num_concepts)
    fastest = max(v for k, v in peak.items() if k.endswith("gflops"))
    least = 1e-9 * max(operations / fastest, moved / peak["copy_gbytes"])
    seconds = times["seconds"]
    rate = 1e-9 * operations / seconds
    meaning = (
        f"{metric}: all neurons with all concepts on all samples take {least:.3g} s or more at "
        f"this machine's peak; ours takes {seconds:.3g} s, as if at {rate:.4g} GFlop/s, "
        f"{rate / fastest:.3g} times the peak: "
        + ("work is avoided" if seconds < least else "time goes to what is not that product")
    )
    return [row(
        metric, "ours", size, **times, replicates_timed=num_replicates, speed_up=least / seconds,
        equal_winners=None, **peak, dense_operations=operations, dense_bytes=moved,
        dense_seconds_at_peak=least, as_if_dense_gflops=rate, over_ceiling=rate / fastest,
        meaning=meaning,
    )]  # fmt: skip


# ---------------------------------------------------------------------------- scaling, scale


def scaling_point(size, metric, variable, factor):
    world = World(size)
    before = peak_memory()
    times, _ = timed(partial(world.bootstrap, metric), PATIENCE)
    return [ours(metric, size, times | memory_since(before))
            | {"variable": variable, "factor": factor}]  # fmt: skip


def scaling_jobs(plan):
    for metric in plan.scaled:
        yield scaling_point, plan.base, metric, "base", 1
        for variable in plan.variables:
            for factor in plan.factors:
                scaled = max(round(factor * getattr(plan.base, variable)), 1)
                size = plan.base._replace(**{variable: scaled})
                if size != plan.base:
                    yield scaling_point, size, metric, variable, factor


def curves(rows):
    """Factors, seconds and fitted exponent by metric and variable."""
    for metric, variable in dict.fromkeys((x["metric"], x["variable"]) for x in rows):
        mine = [x for x in rows if x["metric"] == metric and x["variable"] in (variable, "base")]
        if variable != "base":
            mine.sort(key=lambda x: x["factor"])
            factors, seconds = ([x[k] for x in mine] for k in ("factor", "seconds"))
            exponent = np.polyfit(np.log(factors), np.log(seconds), 1)[0]
            yield metric, variable, factors, seconds, float(exponent)


def scale(size, memory_limit):
    """One call, compilation included: a second one would take as long."""
    world = World(size)
    before = peak_memory()
    run = partial(world.bootstrap, "iou", KEY, memory_limit=memory_limit)
    seconds, _ = seconds_of(run)
    times = {"seconds": seconds, "memory_limit": memory_limit, "compilation_included": True}
    return [ours("iou", size, times | memory_since(before))]


def sparse(size, metric, budget):
    """As :func:`compare_loops`, of sparse features; the loop for a metric of counts only."""
    world = SparseWorld(size)
    before = peak_memory()
    times, boot = timed(partial(world.bootstrap, metric), PATIENCE)
    told = {"density": world.features.nnz / (size.n * size.U), "dense_bytes": 4 * size.n * size.U}
    rows = [ours(metric, size, times | memory_since(before) | told)]
    if metric in RANKED:
        return rows
    drawn = np.array(
        nt.resampling.bootstrap_weights(
            jax.random.key(KEY), world.probe, num_replicates=min(size.B, 200)
        )
    )
    active = scipy.sparse.csr_array((world.features > 0).astype(np.float32).T)
    concepts = world.concepts.astype(np.float32)

    def score(w):
        both = active @ (w[:, None] * concepts)
        return FORMULAS[metric](w.sum(), (active @ w)[:, None], (w @ concepts)[None, :], both)

    each, found = run_replicates(lambda w: np.nan_to_num(score(w), nan=-1), drawn, budget)
    checked = agreement(np.asarray(boot.winners), found)
    return [*rows, baseline(metric, "scipy_sparse", size, each, times["best_seconds"], **checked)]


def whole(size, metric, budget):
    """An audit; and of its permutation test, the same permutations by NumPy."""
    world = World(size)

    def audit(key):
        numbers = {"num_replicates": size.B, "num_permutations": size.B}
        return nt.audit(jax.random.key(key), world.probe, metric, **numbers).label

    def test(key, number=size.B):
        return nt.permutation_test(
            jax.random.key(key), world.probe, metric, num_permutations=number, alpha=0.5
        )

    in_all, _ = timed(audit, PATIENCE)
    times, _ = timed(test, PATIENCE)
    x = np.ascontiguousarray(numpy_view(world.neurons(metric), metric).T)
    total = x.sum(1, keepdims=True)
    layout, num_units, _ = layout_of(world.probe, None, 0.5)
    rows = draw_rows(jax.random.key(KEY), np.arange(min(size.B, 200)), layout, num_units=num_units)

    def score(permuted):
        c = world.concepts[permuted].astype(np.float32)
        return FORMULAS[metric](size.n, total, c.sum(0), x @ c)

    each, found = run_replicates(score, np.asarray(rows), budget)
    expected = np.mean([scores.max(1) for scores, _ in found], axis=0)
    difference = float(np.abs(test(KEY, len(found)).null_mean - expected).max())
    checked = {"tolerance": TOLERANCE, "difference": difference}
    return [
        row(metric, "audit", size, **in_all),
        row(metric, "ours", size, **times, speed_up=1.0),
        baseline(metric, "numpy_product", size, each, times["best_seconds"], **checked),
    ]


def jobs(plan):
    """Of each part, functions that give rows, and their arguments."""
    return {
        "compare": [
            *(
                (compare_loops, plan.base, metric, plan.baselines, plan.budget)
                for metric in plan.metrics
            ),
            *(
                (compare_errors, plan.small, metric, plan.baselines, plan.budget)
                for metric in PAIR
                if {"torchmetrics", "scipy"} & set(plan.baselines)
            ),
            *([(compare_sets, plan.base, plan.budget)] if "arch" in plan.baselines else []),
        ],
        "ceiling": [(ceiling, plan.base, metric, plan.matrix, plan.copied) for metric in PAIR],
        "scaling": [*scaling_jobs(plan)],
        "scale": [(scale, plan.scale, plan.memory_limit)],
        "sparse": [(sparse, plan.sparse, metric, plan.budget) for metric in PAIR],
        "whole": [(whole, plan.base, metric, plan.budget) for metric in PAIR],
    }


# ---------------------------------------------------------------------------- output


def machine():
    """What the times depend on."""
    device = jax.devices()[0]
    model = device.device_kind
    cpu_info = Path("/proc/cpuinfo")
    if device.platform == "cpu" and cpu_info.exists():
        found = re.search(r"model name\s*: (.*)", cpu_info.read_text())
        model = found[1] if found else model
    versions = {}
    for name in ("jax", "jaxlib", "numpy", "scipy", "torch", "torchmetrics", "arch"):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "device": model, "backend": device.platform, "cores": os.cpu_count(),
        "load": os.getloadavg()[0], "python": platform.python_version(), "versions": versions,
    }  # fmt: skip


def verdict(x):
    """What was checked of a row of the part compare."""
    if "missing" in x:
        return f"{x['missing']} is not installed"
    if "disagreements" in x:
        return f"{x['equal_winners']:.3%} equal winners, {x['disagreements']} real differences"
    if "error_ratio_off" in x:
        off, allowed = x["error_ratio_off"], x["tolerance"]
        return f"standard errors within {off:.0%} ({allowed:.0%} allowed)"
    if "holds_our_label" in x:
        return (
            f"{x['neurons_timed']} neurons: holds our label in {x['holds_our_label']:.0%}, "
            f"size {x['mean_size']:.1f}, ours {x['our_mean_size']:.1f}"
        )
    return f"compiled in {x['compile_seconds']:.1f} s"


def show(part, rows, console):
    if part in ("compare", "sparse"):
        table = Table(title="seconds of B replicates", title_justify="left")
        for column in ("metric", "method", "n x U x C x B", "timed", "s", "speed-up", "checked"):
            table.add_column(column, justify="right")
        for x in rows:
            numbers = ("", "", "") if "missing" in x else (
                f"{x['replicates_timed']:,}", f"{x['seconds']:.3g}", f"{x['speed_up']:.3g}"
            )  # fmt: skip
            size = " x ".join(f"{x[k]:,}" for k in Size._fields)
            table.add_row(x["metric"], x["method"], size, *numbers, verdict(x))
        console.print(table)
    for metric, variable, _, _, exponent in curves(rows) if part == "scaling" else ():
        console.print(f"time of {metric} grows as {variable} to the power {exponent:.2f}")
    for x in rows:
        if part == "ceiling":
            console.print(x["meaning"])
        if part == "whole":
            console.print(
                f"{x['metric']}, {x['method']}: {x['seconds']:.3g} s"
                + (f", {x['speed_up']:.3g} times ours" if "difference" in x else "")
            )
        if part == "scale":
            limit, peak, more = (
                x[k] / GIB for k in ("memory_limit", "peak_rss_bytes", "rss_increase_bytes")
            )
            console.print(
                f"{x['U']:,} neurons x {x['C']:,} concepts x {x['B']:,} replicates, "
                f"n = {x['n']:,}: {x['seconds']:.1f} s, peak {peak:.2f} GiB, {more:.2f} more than "
                f"before, under a limit of {limit:.2f} GiB"
            )


def draw_speed_ups(ax, rows):
    rows = [x for x in rows if "speed_up" in x and not x["method"].startswith("ours")]
    groups = {}
    for x in rows:
        groups.setdefault((x["metric"], *(x[k] for k in Size._fields)), []).append(x)
    base = max(groups, key=lambda g: math.prod(g[1:]))[1:]
    place, ticks = 0.0, {}
    for (metric, *size), mine in groups.items():
        for i, x in enumerate(mine):
            colour = COLOURS[x["method"].split(",")[0]]
            hatch = "//" if "cuda" in x["method"] else None
            ax.barh(place + i, x["speed_up"], color=colour, hatch=hatch, label=x["method"])
            ax.text(1.1 * x["speed_up"], place + i, f"{x['speed_up']:,.3g}", va="center", size=7)
        n, num_neurons, num_concepts, _ = size
        small = "" if tuple(size) == base else f"\nn = {n:,}, {num_neurons} x {num_concepts}"
        ticks[place + (len(mine) - 1) / 2] = metric + small
        place += len(mine) + 0.8
    ax.set_yticks(list(ticks), ticks.values())
    ax.invert_yaxis()
    ax.axvline(1, color="#444444", lw=1, zorder=0)
    speed_ups = [x["speed_up"] for x in rows]
    limits = min(0.5, *speed_ups) / 2, 5 * max(speed_ups)
    ax.set(xscale="log", xlabel="time of the other / time of ours", xlim=limits)
    handles = dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
    ax.figure.legend(
        handles.values(), handles, frameon=False, fontsize=8, ncols=4, loc="outside lower left"
    )
    n, num_neurons, num_concepts, num_replicates = base
    ax.set_title(
        f"n = {n:,}, {num_neurons} neurons, {num_concepts} concepts, {num_replicates:,} replicates",
        fontsize=9,
    )


def draw_scaling(ax, rows):
    for metric, variable, factors, seconds, exponent in curves(rows):
        style = {"marker": "o"} if metric == PAIR[0] else {"marker": "s", "ls": "--"}
        ax.plot(
            factors, seconds, color=COLOURS[variable], ms=4, **style,
            label=f"{metric}, {variable}: {exponent:.2f}",
        )  # fmt: skip
    ticks = sorted({x["factor"] for x in rows})
    ax.set(xscale="log", yscale="log", xlabel="size / base size", ylabel="time, s")
    ax.set_xticks(ticks, [f"{x:g}" for x in ticks])
    ax.set_xticks([], minor=True)
    ax.legend(frameon=False, fontsize=8, title="exponent of the time in", title_fontsize=8)
    ax.set_title("one size at a time", fontsize=9)


def draw(found, path):
    panels = {"compare": draw_speed_ups, "scaling": draw_scaling}
    panels = {
        part: drawn for part, drawn in panels.items()
        if any(not x["method"].startswith("ours") or "factor" in x
               for x in found.get(part, {"rows": ()})["rows"])
    }  # fmt: skip
    height = 2 + 0.19 * len(found.get("compare", {"rows": ()})["rows"])
    figure, axes = plt.subplots(
        1, max(len(panels), 1), squeeze=False, layout="constrained",
        figsize=(2 + 4.5 * len(panels), max(height, 4.5)),
    )  # fmt: skip
    for ax, (part, drawn) in zip(axes[0], panels.items(), strict=False):
        ax.spines[["top", "right"]].set_visible(False)
        drawn(ax, found[part]["rows"])
    figure.savefig(path, dpi=160)
    plt.close(figure)


def failures(found):
    """What contradicts that the answer is the same."""
    for x in (x for part in ("compare", "sparse") for x in found.get(part, {"rows": ()})["rows"]):
        if x.get("disagreements") or x.get("error_ratio_off", 0) > x.get("tolerance", 0):
            yield f"{x['metric']}, {x['method']}: {verdict(x)}"
    for x in found.get("whole", {"rows": ()})["rows"]:
        if x.get("difference", 0) > x.get("tolerance", 0):
            yield f"{x['metric']}: chance finds what differs by {x['difference']:.2g}"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="tiny sizes")
    parser.add_argument("--out", type=Path, default=HERE / "results", metavar="FOLDER")
    parser.add_argument("--parts", nargs="+", choices=jobs(FULL), default=list(jobs(FULL)))
    size = {"nargs": 4, "type": int, "metavar": Size._fields}
    parser.add_argument("--size", **size, help="of the first three parts")
    parser.add_argument(
        "--metrics", nargs="+", choices=FULL.metrics, help="of the loops that the part compare runs"
    )
    known = ", ".join(LOOPS + TOOLS)
    told = f'of the part compare: {known}; of one device alone as "torch_rows, cuda"'
    parser.add_argument("--baselines", nargs="+", metavar="NAME", help=told)
    parser.add_argument("--scale-size", **size, help="of the part scale")
    parser.add_argument("--memory-limit", type=float, metavar="GIB", help="of the part scale")
    arguments = parser.parse_args()
    plan = QUICK if arguments.quick else FULL
    if arguments.size:
        plan = plan._replace(base=Size(*arguments.size))
    for name in arguments.baselines or ():
        if name.split(",")[0] not in LOOPS + TOOLS:
            parser.error(f"unknown baseline {name!r}; known: {known}")
    for field in ("metrics", "baselines"):
        if getattr(arguments, field):
            plan = plan._replace(**{field: tuple(getattr(arguments, field))})
    if arguments.scale_size:
        plan = plan._replace(scale=Size(*arguments.scale_size))
    if arguments.memory_limit:
        plan = plan._replace(memory_limit=int(arguments.memory_limit * GIB))

    matplotlib.use("Agg")
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / "speed.json"
    run = {
        "date": datetime.datetime.now().isoformat(timespec="seconds"),
        "parts": arguments.parts,
    }
    console = Console(width=120)
    with worker() as shared:
        call = shared if arguments.quick else fresh
        found = run | call(machine)
        run["load"] = found["load"]
        if found["load"] > BUSY:
            console.print(f"load is {found['load']:.1f}: do not trust these times", style="red")
        if path.exists():
            # parts that are not run anew stay, with their own date, if this machine made them
            earlier = json.loads(path.read_text())
            if all(earlier.get(k) == found[k] for k in ("device", "cores", "versions")):
                found |= {part: earlier[part] for part in jobs(plan) if part in earlier}
        for part in arguments.parts:
            found[part] = run | {"rows": []}
            for job in jobs(plan)[part]:
                found[part]["rows"] += call(*job)
                path.write_text(json.dumps(found, indent=1) + "\n")
            show(part, found[part]["rows"], console)
    draw(found, arguments.out / "speed.png")
    failed = list(failures(found))
    for line in failed:
        console.print(line, style="bold red")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
