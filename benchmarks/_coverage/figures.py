"""Figures of `coverage.py`."""

from _common import figures as style


def draw_coverage(rows, path):
    """Coverage of each cell against the nominal level."""
    figure, axes = style.panels(1, 2, (8, 4), sharey=True)
    for ax, suffix in zip(axes[0], ("", ", replication"), strict=True):
        for method, colour in style.SETS.items():
            mine = [x for x in rows if x["kind"] == method + suffix]
            if mine:
                shift = {"vote": -0.6, "calibrated": 0, "certified": 0.6}[method]
                at = [100 * (1 - x["alpha"]) + shift for x in mine]
                y = [100 * x["coverage"] for x in mine]
                ax.plot(at, y, "o", color=colour, alpha=0.4, ms=4, label=method)
        levels = sorted({100 * (1 - x["alpha"]) for x in rows})
        ax.plot(levels, levels, color=style.REFERENCE, lw=1)
        ax.set(xlabel="nominal coverage, %", xticks=levels)
        ax.set_title("fresh probing set's label" if suffix else "population's best concept")
    axes[0][0].set_ylabel("empirical coverage, %")
    style.legend(figure, axes[0][0], ncols=3)
    style.save(figure, path)


def draw_size(rows, path):
    """Mean size of 90% sets against the gap, by metric."""
    metrics = list(dict.fromkeys(x["metric"] for x in rows))
    figure, axes = style.panels(1, len(metrics), (3 * len(metrics), 3.2), sharey=True)
    common = max(x["frequency"] for x in rows)
    for ax, metric in zip(axes[0], metrics, strict=True):
        law = (metric, "independent", "", common, 0.1)
        names = ("metric", "structure", "groups", "frequency", "alpha")
        plain = [x for x in rows if tuple(x[name] for name in names) == law]
        m, n = next((x["num_concepts"], x["n"]) for x in plain if x["gap"] > 0)
        for method, colour in style.SETS.items():
            cell = (method, m, n)
            mine = [x for x in plain if (x["kind"], x["num_concepts"], x["n"]) == cell]
            mine.sort(key=lambda x: x["gap"])
            ax.plot([x["gap"] for x in mine], [x["size"] for x in mine], "o-", color=colour,
                    label=method)  # fmt: skip
        ax.set(xlabel="gap", title=metric)
    axes[0][0].set_ylabel("mean size of the 90% set")
    axes[0][0].legend(frameon=False)
    style.save(figure, path)
