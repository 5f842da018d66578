"""How well each measure tells which labels last, and which are right."""

import math

import numpy as np
from scipy import stats

from .measures import MEASURES

BINS = np.linspace(0, 1, 11)  # of the calibration error
RESAMPLED = 300  # times that the draws are resampled for an interval


def auroc(score, share):
    """P(a label that lasts scores higher than one that does not), each outcome by its weight."""
    order = np.argsort(score, kind="stable")
    _, place = np.unique(score[order], return_inverse=True)
    yes, no = share[order], 1 - share[order]
    by_place = [np.bincount(place, x) for x in (yes, no)]
    below = np.cumsum(by_place[1]) - by_place[1] / 2
    total = yes.sum() * no.sum()
    return float((by_place[0] * below).sum() / total) if total > 0 else math.nan


def calibration_error(probability, share):
    """Mean distance of the share from the probability, over ten bins of the probability."""
    which = np.clip(np.digitize(probability, BINS) - 1, 0, len(BINS) - 2)
    gaps = [abs((share - probability)[which == b].sum()) for b in range(len(BINS) - 1)]
    return sum(gaps) / len(share)


def judged(value, share, right, measure):
    """What a measure is worth, from any number of draws."""
    known = np.isfinite(value)
    score, share, right = measure.sign * value[known], share[known], right[known].astype(float)
    constant = len(score) < 3 or np.ptp(score) == 0 or np.ptp(share) == 0
    result = {
        "auroc_fresh": auroc(score, share),
        "rank_correlation": math.nan if constant else stats.spearmanr(score, share).statistic,
        "auroc_best": auroc(score, right),
    }
    if measure.probability:
        result["bias"] = (value[known] - share).mean()
        result["calibration_error"] = calibration_error(value[known], share)
    return result


def rows_of(task, n, values, share, right):
    """A row for each measure: its worth, and how far from that of top-1 agreement."""
    rng = np.random.default_rng(0)
    draws = [np.arange(len(share))]
    draws += [rng.integers(0, len(share), len(share)) for _ in range(RESAMPLED)]
    found = {
        name: [judged(values[name][i], share[i], right[i], measure) for i in draws]
        for name, measure in MEASURES.items()
    }
    rows = []
    for name, results in found.items():
        row = {"task": task, "n": n, "measure": name}
        for key, value in results[0].items():
            again = [x[key] for x in results[1:]]
            row[key] = value
            row[f"{key}_interval"] = interval(again)
            if key in ("auroc_fresh", "auroc_best", "rank_correlation"):
                gain = [
                    x[key] - y[key] for x, y in zip(results, found["top1_agreement"], strict=True)
                ]
                row[f"{key}_gain"], row[f"{key}_gain_interval"] = gain[0], interval(gain[1:])
        rows.append(row)
    return rows


def interval(values):
    values = np.array(values)
    if not np.isfinite(values).any():
        return [math.nan, math.nan]
    return np.nanquantile(values, (0.025, 0.975)).tolist()


def summary(rows):
    """By number of samples and measure: means over tasks, and in how many it beats agreement."""
    found = []
    for n, name in dict.fromkeys((x["n"], x["measure"]) for x in rows):
        mine = [x for x in rows if (x["n"], x["measure"]) == (n, name)]
        row = {"n": n, "measure": name}
        for key in ("auroc_fresh", "rank_correlation", "auroc_best"):
            row[key] = float(np.nanmean([x[key] for x in mine]))
            ends = np.array([x[f"{key}_gain_interval"] for x in mine])
            row[f"{key}_better"] = int((ends[:, 0] > 0).sum())
            row[f"{key}_worse"] = int((ends[:, 1] < 0).sum())
        for key in ("bias", "calibration_error"):
            if key in mine[0]:
                row[key] = float(np.mean([x[key] for x in mine]))
        found.append(row)
    return found
