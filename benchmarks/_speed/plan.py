"""Sizes and names of `speed.py`."""

from typing import NamedTuple

KEY, WARM_UP_KEY = 0, 1
TOLERANCE = 1e-5  # of a mean similarity
TIE = 1e-6  # relative difference below which float32 similarities tie
ALPHA = 0.1  # of concept sets
BUSY = 0.5  # load average above which other processes disturb the times
PATIENCE = 20  # seconds for repeated calls where they are long
GIB = 2**30
RANKED = ("auroc", "spearman")  # metrics of ranks; the others are metrics of counts


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
    small=Size(1000, 6, 6, 50),  # the same shapes, which are compiled already
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
