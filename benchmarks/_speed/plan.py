"""Sizes and names of `speed.py`."""

from typing import NamedTuple

KEY, WARM_UP_KEY = 0, 1
TOLERANCE = 1e-5  # of a similarity
TIE = 1e-6  # relative difference below which float32 similarities tie
ALPHA = 0.1  # of sets, intervals and tests
BUSY = 0.1  # cores that other processes use, above which a time is not to be trusted
CALLS = 3  # whose median is the time
GIB = 2**30
RANKED = ("auroc", "spearman")  # metrics of ranks; the others are metrics of counts


class Size(NamedTuple):
    """Samples, neurons, concepts, replicates."""

    n: int
    U: int
    C: int
    B: int

    @property
    def text(self):
        return " x ".join(map(str, self))


class Limits(NamedTuple):
    """How many seconds a measurement may take."""

    loop: float  # of a loop of a baseline; what it has not done by then is extrapolated
    calls: float  # of repeated calls, where they are long
    wait: float  # until other processes leave the cores alone
    job: float | None = None  # until a process of its own is given up


class Plan(NamedTuple):
    """How much is run."""

    base: Size
    small: Size  # for tools that go pair by pair
    scale: Size
    features: Size  # of a sparse autoencoder
    wide: Size
    documents: int  # of the sparse layers
    memory: tuple[Size, ...]
    command: Size
    metrics: tuple[str, ...]
    worlds: tuple[str, ...]
    sparse_worlds: tuple[str, ...]
    baselines: tuple[str, ...]  # of the part compare
    layers: tuple[str, ...]
    neurons: int  # of a real layer, at most
    permutations: tuple[int, int]  # in all worlds, and where labels are weak
    scaled: tuple[str, ...]  # metrics of the part scaling
    variables: tuple[str, ...]  # of the base size, multiplied by each of the factors
    factors: tuple[float, ...]
    limits: Limits
    matrix: int  # side of the product that finds the ceiling
    copied: int  # float32 numbers copied
    memory_limit: int  # bytes, of the part scale


WORLDS = ("strong", "weak", "noise")
PAIR = ("iou", "auroc")  # one metric of counts and one of ranks
LOOPS = ("numpy_rows", "numpy_weights", "published", "torch_rows", "torch_weights")
TOOLS = ("torchmetrics", "scipy", "arch")  # that resample by themselves
LAYERS = ("magika conv", "magika logits", "ocr svtr")
FULL = Plan(
    base=Size(10_000, 512, 256, 1000),
    small=Size(1000, 8, 8, 200),
    scale=Size(20_000, 2048, 20_000, 1000),
    features=Size(50_000, 16_384, 60, 1000),
    wide=Size(1_000_000, 131_072, 100, 1000),
    documents=250,
    memory=tuple(Size(2000, x, 100, 1000) for x in (512, 4096, 32_768)),
    command=Size(2000, 64, 20, 1000),
    metrics=("iou", "accuracy", "f1", "precision", "recall", "auroc", "spearman"),
    worlds=WORLDS,
    sparse_worlds=("weak",),
    baselines=LOOPS + TOOLS,
    layers=LAYERS,
    neurons=192,
    permutations=(1000, 100_000),
    scaled=PAIR,
    variables=Size._fields,
    factors=(1 / 8, 1 / 4, 1 / 2, 1, 2),
    limits=Limits(loop=1.7, calls=20, wait=120),
    matrix=4096,
    copied=2**28,
    memory_limit=4 * GIB,
)
QUICK = FULL._replace(
    base=Size(1000, 24, 8, 50),
    small=Size(1000, 24, 8, 50),  # the same shapes, which are compiled already
    scale=Size(1000, 24, 8, 50),
    features=Size(1000, 64, 8, 50),
    wide=Size(1000, 64, 8, 50),
    documents=50,
    memory=(Size(1000, 24, 8, 50),),
    command=Size(600, 24, 8, 50),
    metrics=PAIR,
    layers=LAYERS[:1],
    neurons=24,
    permutations=(99, 999),
    scaled=("iou",),
    variables=("B",),
    factors=(1, 2),
    limits=Limits(loop=0.1, calls=0, wait=0),
    matrix=512,
    copied=2**22,
    memory_limit=GIB // 4,
)
