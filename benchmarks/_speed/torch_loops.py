"""Loops over replicates in PyTorch, which is imported where it is used."""

from .formulas import FORMULAS, rows_of
from .plan import RANKED


def torch_sides(layer, metric, device):
    """Neurons [U, n] and concepts [n, C]."""
    import torch

    # 0 and 1 and small counts are exact in TF32, sums are taken in float32
    torch.backends.cuda.matmul.allow_tf32 = metric not in RANKED
    f = torch.tensor(layer.neurons(metric).T, dtype=torch.float32, device=device)
    return f.contiguous(), torch.tensor(layer.concepts, dtype=torch.float32, device=device)


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


def torch_rows(layer, metric, device, block=None):
    """Resample rows; sort, for metrics of ranks, and multiply a block of neurons at a time.

    All neurons at once by default. One at a time is how published code goes.
    """
    import torch

    f, c = torch_sides(layer, metric, device)
    f, n, block = f.T.contiguous(), f.shape[1], block or len(f)

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


def torch_weights(layer, metric, device):
    """Weight samples instead of gathering them, sort once, one matrix product.

    The weights multiply the smaller side.
    """
    import torch

    f, c = torch_sides(layer, metric, device)
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
