"""What the shell completes; it must not wait for JAX, so names are listed here once more."""

from __future__ import annotations

__all__ = ["BUILT_IN_TASKS", "METRIC_NAMES", "complete_metric", "complete_task"]

# the names of :data:`METRICS` and :data:`TASKS`; a test compares them
METRIC_NAMES = (
    "accuracy", "balanced_accuracy", "simulation_balanced_accuracy", "precision", "recall",
    "f1", "iou", "auroc", "simulation_auroc", "auprc", "simulation_auprc", "correlation",
    "spearman", "cosine", "cos_similarity_cubed", "mad", "standardised_mad", "wpmi",
    "soft_wpmi", "wpmi_topk", "rank_reorder", "correlation_top_and_random",
)  # fmt: skip
BUILT_IN_TASKS = (
    "digits-mlp", "digits-cnn", "glyphs-mlp", "glyphs-cnn", "python-transformer", "python-sae",
)  # fmt: skip


def complete_metric(incomplete: str) -> list[str]:
    """Names of metrics that begin so."""
    return [name for name in METRIC_NAMES if name.startswith(incomplete)]


def complete_task(incomplete: str) -> list[str]:
    """Names of built-in tasks that begin so."""
    return [name for name in BUILT_IN_TASKS if name.startswith(incomplete)]
