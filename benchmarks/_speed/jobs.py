"""What each part of `speed.py` runs."""

from .ceiling import ceiling
from .compare import compare_loops
from .plan import PAIR
from .scaling import scale, scaling_jobs
from .sparse import sparse
from .tools import compare_errors, compare_sets
from .whole import whole

PARTS = ("compare", "ceiling", "scaling", "scale", "sparse", "whole")


def jobs(plan):
    """Functions that give rows, and their arguments, by part."""
    return {
        "compare": [*compare_jobs(plan)],
        "ceiling": [(ceiling, plan.base, metric, plan.matrix, plan.copied) for metric in PAIR],
        "scaling": [*scaling_jobs(plan)],
        "scale": [(scale, plan.scale, plan.memory_limit)],
        "sparse": [(sparse, plan.sparse, metric, plan.budget) for metric in PAIR],
        "whole": [(whole, plan.base, metric, plan.budget) for metric in PAIR],
    }


def compare_jobs(plan):
    for metric in plan.metrics:
        yield compare_loops, plan.base, metric, plan.baselines, plan.budget
    if {"torchmetrics", "scipy"} & set(plan.baselines):
        for metric in PAIR:
            yield compare_errors, plan.small, metric, plan.baselines, plan.budget
    if "arch" in plan.baselines:
        yield compare_sets, plan.base, plan.budget
