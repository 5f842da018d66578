"""Naive float64 loops: each metric once more, written from its definition and nothing else.

All take plain columns of equally weighted rows: activation f, concept score c, and the 0/1 columns
a (active) and y (present). Weighted data come as repeated rows.
"""

import math

import numpy as np
import scipy.integrate
import scipy.optimize
import scipy.special
import scipy.stats


def counts(a, y):
    table = np.zeros((2, 2))
    for i, j in zip(a, y, strict=True):
        table[int(i), int(j)] += 1
    return table


def pairs_won(score, label):
    """Share of (positive, negative) pairs that the score orders rightly, ties half."""
    won = total = 0.0
    for p in score[label == 1]:
        for q in score[label == 0]:
            won += 1.0 if p > q else 0.5 if p == q else 0.0
            total += 1
    return won / total


def average_precision(score, label):
    total = 0.0
    for i in range(len(score)):
        if label[i]:
            retrieved = [j for j in range(len(score)) if score[j] >= score[i]]
            total += sum(label[j] for j in retrieved) / len(retrieved)
    return total / sum(label)


def mid_rank(x):
    return np.array([sum(v < u for v in x) + sum(v == u for v in x) / 2 for u in x])


def cosine(x, y):
    return float(
        sum(p * q for p, q in zip(x, y, strict=True))
        / math.sqrt(sum(x * x))
        / math.sqrt(sum(y * y))
    )


def correlation(x, y):
    return cosine(x - np.mean(x), y - np.mean(y))


def top_rows(f, k):
    """Rows among the k highest, each with its share and its mean place; ties share both."""
    rows = []
    k = min(k, len(f))
    for i, v in enumerate(f):
        above = int(sum(f > v))
        tied = int(sum(f == v))
        room = min(tied, k - above)
        if room > 0:
            rows.append((i, room / tied, above + (room - 1) / 2))
    return rows


def mutual_information(log_likelihood, strength):
    prior = np.log(np.mean(np.exp(log_likelihood), axis=0))
    return log_likelihood - strength * prior[None, :]


def soft_wpmi(f, c):
    out = np.zeros((f.shape[1], c.shape[1]))
    for u in range(f.shape[1]):
        for i, share, place in top_rows(f[:, u], 100):
            p = 0.998 - place / 100 * (0.998 - 0.97)
            out[u] += share * np.log(1 + p * (c[i] - 1) + 1e-7)
    return mutual_information(out, 1.0)


def wpmi_topk(f, c):
    out = np.zeros((f.shape[1], c.shape[1]))
    for u in range(f.shape[1]):
        for i, share, _ in top_rows(f[:, u], 28):
            out[u] += share * np.log(c[i] + 1e-7)
    return mutual_information(out, 0.6)


def rank_reorder_column(f, c):
    """Only for activations without a tie at the boundary of the top 5%."""
    k = max(1, int(0.05 * len(f) + 1e-9))
    top = np.argsort(-f, kind="stable")[:k]
    t, s = f[top], c[top]
    ascending = np.sort(t)
    chance = np.mean([[abs(p - q) ** 3 for p in t] for q in t])
    error = 0.0
    for i in range(k):
        first, last = int(sum(s < s[i])), int(sum(s <= s[i]))
        error += abs(t[i] - np.mean(ascending[first:last])) ** 3 / k
    return -error / chance / math.sqrt(max(np.mean(s), 1e-7))


def correlation_top_and_random(f, c, a):
    weights = 0.5 * a / a.sum() + 0.5 / len(a)
    f = f - weights @ f
    c = c - weights @ c
    return (weights @ (f * c)) / math.sqrt((weights @ f**2) * (weights @ c**2))


PAIR = {
    "accuracy": lambda f, c, a, y: np.trace(counts(a, y)) / len(a),
    "balanced_accuracy": lambda f, c, a, y: (np.mean(a[y == 1]) + np.mean(1 - a[y == 0])) / 2,
    "simulation_balanced_accuracy": lambda f, c, a, y: (
        (np.mean(y[a == 1]) + np.mean(1 - y[a == 0])) / 2
    ),
    "precision": lambda f, c, a, y: np.mean(y[a == 1]),
    "recall": lambda f, c, a, y: np.mean(a[y == 1]),
    "f1": lambda f, c, a, y: (
        2 / (1 / np.mean(y[a == 1]) + 1 / np.mean(a[y == 1])) if counts(a, y)[1, 1] else 0.0
    ),
    "iou": lambda f, c, a, y: counts(a, y)[1, 1] / (len(a) - counts(a, y)[0, 0]),
    "auroc": lambda f, c, a, y: pairs_won(f, y),
    "simulation_auroc": lambda f, c, a, y: pairs_won(c, a),
    "auprc": lambda f, c, a, y: average_precision(f, y),
    "simulation_auprc": lambda f, c, a, y: average_precision(c, a),
    "correlation": lambda f, c, a, y: correlation(f, c),
    "spearman": lambda f, c, a, y: correlation(mid_rank(f), mid_rank(c)),
    "cosine": lambda f, c, a, y: cosine(f, c),
    "cos_similarity_cubed": lambda f, c, a, y: cosine((f - f.mean()) ** 3, (c - c.mean()) ** 3),
    "mad": lambda f, c, a, y: np.mean(f[y == 1]) - np.mean(f[y == 0]),
    "standardised_mad": lambda f, c, a, y: (np.mean(f[y == 1]) - np.mean(f[y == 0])) / np.std(f),
    "wpmi": lambda f, c, a, y: np.mean(np.log(np.maximum(c[a == 1], 1e-8))) - np.log(np.mean(c)),
    "rank_reorder": lambda f, c, a, y: rank_reorder_column(f, c),
    "correlation_top_and_random": lambda f, c, a, y: correlation_top_and_random(f, c, a),
}
JOINT = {"soft_wpmi": soft_wpmi, "wpmi_topk": wpmi_topk}


def similarity(name, activations, concepts, active, present):
    """All pairs of a metric from rows of equal weight, [U, C] in float64."""
    f, c = np.asarray(activations, float), np.asarray(concepts, float)
    if name in JOINT:
        return JOINT[name](f, c)
    a, y = np.asarray(active, float), np.asarray(present, float)
    return np.array(
        [
            [PAIR[name](f[:, u], c[:, k], a[:, u], y[:, k]) for k in range(c.shape[1])]
            for u in range(f.shape[1])
        ]
    )


STABLE_SCALES = {
    "iou": lambda s: np.arcsin(np.sqrt(s)),
    "auroc": lambda s: np.log(np.clip(s, 1e-4, 1 - 1e-4) / (1 - np.clip(s, 1e-4, 1 - 1e-4))),
    "correlation": lambda s: np.arctanh(np.clip(s, -1 + 1e-4, 1 - 1e-4)),
    "mad": lambda s: s,
}


def similarity_of_pairs(metric, f, c, active, weights):
    """Of every pair on the rows of positive weight, each repeated as often as it weighs."""
    rows = np.repeat(np.arange(len(f)), weights.astype(int))
    found = np.full((f.shape[1], c.shape[1]), np.nan)
    for u in range(f.shape[1]):
        for k in range(c.shape[1]):
            x, a, y = f[rows, u], active[rows, u], c[rows, k]
            if len(np.unique(a if metric == "iou" else x)) < 2 or len(np.unique(y)) < 2:
                continue
            if metric == "iou":
                found[u, k] = (a & y).sum() / (a | y).sum()
            elif metric == "correlation":
                found[u, k] = np.corrcoef(x, y)[0, 1]
            elif metric == "spearman":
                found[u, k] = scipy.stats.spearmanr(x, y).statistic
            elif metric == "mad":
                found[u, k] = x[y].mean() - x[~y].mean()
            else:
                r, m = scipy.stats.rankdata(x), y.sum()
                found[u, k] = (r[y].sum() - m * (m + 1) / 2) / (m * (len(y) - m))
    return found


def chernoff_of_dkw(y):
    """exp(-4 y²) times the mean of exp(4 y D) where P(D > t) is as large as Massart allows."""
    least = math.sqrt(math.log(2) / 2)

    def tail(t):
        return math.exp(-2 * t * t) + (0.5 if t < least else 0)

    mean = 1 + sum(
        scipy.integrate.quad(lambda t: 4 * y * math.exp(4 * y * t) * tail(t), *ends)[0]
        for ends in ((0, least), (least, y), (y, y + 9))
    )
    below = scipy.integrate.quad(lambda t: 4 * y * math.exp(4 * y * t - 2 * t * t), -9, 0)[0]
    return math.exp(-4 * y * y) * (mean + below)  # the integral is taken over all of the line


def wealth(r, x, y, bound, tail):
    """Logarithm of the mean wealth of eight who bet that the ratio exceeds r."""
    least = min(math.sqrt(2 * math.log(1 / tail) * r / len(y)), 0.98)
    worth = [
        np.log1p(least ** (1 - k / 7) * 0.98 ** (k / 7) * (x / r - y) / bound).sum()
        for k in range(8)
    ]
    return scipy.special.logsumexp(worth) - math.log(8)


def betting_limit(x, y, bound, tail):
    """The ratio at which the wealth is 1 / tail."""
    ratio = x.sum() / y.sum()
    if ratio == 0 or wealth(1e-9, x, y, bound, tail) < math.log(1 / tail):
        return 0.0
    return scipy.optimize.brentq(
        lambda r: wealth(r, x, y, bound, tail) - math.log(1 / tail), 1e-9, ratio, xtol=1e-13
    )


def limits_of_ratio(method, x, y, bound, alpha, hits_high=None):
    """Limits on E[x] / E[y] from blocks, by root finding on the definition, in float64."""
    some = y > 1e-9
    x, y, n = x[some], y[some], int(some.sum())
    if n == 0:
        return 0.0, 1.0
    if method == "betting":
        return betting_limit(x, y, bound, alpha / 2), 1 - betting_limit(y - x, y, bound, alpha / 2)
    ratio = x.sum() / y.sum()
    if method in ("hoeffding", "dkw"):
        scale = math.sqrt(math.log(2 / alpha) / 2)
        if method == "dkw" and (bound != 1 or (y != 1).any()):
            scale = scipy.optimize.brentq(lambda t: chernoff_of_dkw(t) - alpha / 2, 1, 9)
        half = bound * scale / math.sqrt(n) / y.mean()
        return max(ratio - half, 0), min(ratio + half, 1)

    def excess(r):
        z = x - r * y
        if method == "chernoff":
            p = min(max(r + z.mean() / bound, 0), 1)
            with np.errstate(divide="ignore"):
                kl = scipy.stats.entropy([p, 1 - p], [r, 1 - r])
            return n * kl - math.log(2 / alpha)
        if n == 1:
            return -1.0
        log = math.log(4 / alpha)
        spread = math.sqrt(2 * np.var(z, ddof=1) * log / n)
        return abs(z.mean()) - spread - 7 * bound * log / (3 * (n - 1))

    def edge(end):
        if abs(ratio - end) < 1e-12 or excess(abs(end - 1e-12)) <= 0:
            return end
        return scipy.optimize.brentq(excess, *sorted([ratio, abs(end - 1e-12)]), xtol=1e-12)

    return edge(0.0), edge(1.0)
