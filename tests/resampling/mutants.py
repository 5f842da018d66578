"""Mutants of resampling, each with the tests that must see it."""

from mutation import of


def measure(name: str) -> str:
    """Tests of one measure of agreement."""
    return f"test_stability.py -k '(x64 or double) and {name}'"


MOMENTS = "test_resampling.py::test_weights_have_the_moments_of_their_scheme"
MEASURES = "test_stability.py::test_measures_of_a_bootstrap_equal_a_loop -k x64"
HALVES = "test_selection.py::test_equals_a_loop_over_replicates_and_halves"
FOLDED = "test_comparison.py::test_cross_fitting_equals_a_loop_over_folds"
JACKKNIFE = "test_comparison.py::test_errors_are_those_of_the_jackknife_over_folds"
CONFORMAL = "test_conformal.py::test_equals_a_loop"
REPLICATED = "test_replication.py::test_equals_a_loop"
FORECAST = "tests/resampling/test_trend.py -k formula"
VARY = "test_part_scores.py -k does_not_vary"
VOTES = "test_resampling.py::test_votes_are_shares_of_all_replicates"
PARTS = "test_part_scores.py::test_equals_a_loop_over_pairs"

MUTANTS = [
    *of(
        "schemes.py",
        ("_multinomial", "1 - short / n", "1.0", MOMENTS),
        ("", "MOST = 12", "MOST = 3", MOMENTS),
        ("_bayesian", "draw * (n / draw.sum())", "draw", MOMENTS),
        ("_subsample", "jnp.zeros(n, dtype).at[jax.random.permutation(key, n)[: n // 2]].set(2)",
         "jnp.zeros(n, dtype).at[jax.random.permutation(key, n)[: n // 2]].set(1)", MOMENTS),
        ("_multinomial", "jnp.arange(drawn.shape[0], dtype=jnp.int32) < missing",
         "jnp.arange(drawn.shape[0], dtype=jnp.int32) <= missing", MOMENTS),
        ("draw", "unit[groups]", "jnp.resize(unit, groups.shape)",
         "test_resampling.py::test_groups_are_drawn_whole"),
    ),
    *of(
        "resampling/stability_measures.py",
        ("_wilson", "share + z2 / (2 * n)", "share", MEASURES),
        ("_wilson", "alpha / 2", "alpha", MEASURES),
        ("_normalised_entropy", "share.shape[1]", "share.shape[1] + 1", MEASURES),
        ("_inflated", "epsilon / math.sqrt(2)", "epsilon", measure("inflated")),
        ("_inflated", "(k + 1) * t**2", "k * t**2", measure("inflated")),
        ("stability_of_votes.mean", "known.sum(dtype=values.dtype)", "values.size", MEASURES),
        ("_inflated", "range(steps)", "range(0)", measure("inflated")),
        ("bagging_epsilon", "math.sqrt((1 - 1 / c) * moved / delta)",
         "math.sqrt(moved / delta) / 2", measure("bagging")),
        ("bagging_epsilon", "p / (1 - p)", "p", "test_stability.py -k bagging"),
        ("bagging_epsilon", "2 / num_replicates", "1 / num_replicates",
         "test_stability.py -k bagging"),
    ),
    *of(
        "resampling/agreement.py",
        ("kappa_of_votes", "pairs / subjects - chance", "pairs / subjects", measure("fleiss")),
        ("_nogueira", "n / (n - 1) * (frequency * (1 - frequency)).mean(axis=-1)",
         "(frequency * (1 - frequency)).mean(axis=-1)", measure("nogueira")),
        ("_nogueira", "2 * a * b - a - b", "2 * a * b - a + b", measure("nogueira")),
        ("_nogueira", "alpha / 2", "alpha", measure("nogueira")),
        ("_jaccard", "size[:, None] + size[None, :] - both", "size[:, None] + size[None, :]",
         measure("jaccard")),
        ("_jaccard", "n - 1", "n", measure("jaccard")),
        ("rank_biased_overlap", "p**k / k", "0", measure("rank_biased")),
        ("rank_biased_overlap", "jnp.triu(match, 1)", "jnp.triu(match)", measure("rank_biased")),
        ("kendalls_w", "((tied**2 - 1).sum(axis=-1) / m).sum(axis=0)", "0", measure("kendall")),
        ("kendalls_w", "n + 1", "n", measure("kendall")),
        ("agreeing_pairs", "(votes - 1) / (num_raters - 1)", "votes / num_raters", MEASURES),
    ),
    *of(
        "resampling/selection.py",
        ("_corrected", "naive - optimism", "naive + optimism", HALVES),
    ),
    *of(
        "resampling/crossfit.py",
        ("_fit_sums.partition.choose", "(every != pair[0]) & (every != pair[1])",
         "every != pair[0]", FOLDED),
        ("_fit_sums.partition", "measure(jnp.diagonal(chosen, axis1=0, axis2=1).T, size)",
         "measure(chosen[0], size)", FOLDED),
        ("_fit_sums.partition", "jnp.where(every == k, 0, size)", "size", FOLDED),
        ("_fit_scores.partition.mean", "small + (large - small) / share",
         "large + (large - small) / share", FOLDED),
        ("_fit_scores.partition.leave", "jnp.where(is_first, with_first[own], with_second[own])",
         "with_first[own]", FOLDED),
        ("pooled_similarity.neuron", "label[:, None] == label[None, :]", "used[:, None]",
         f"{FOLDED} -k iou"),
        ("_mean_of_known", "weight * (highest[None] - value)", "highest[None] - value", FOLDED),
        ("cross_fit", "(num_folds - 2) / num_folds", "0", FOLDED),
        ("jackknife_variance",
         "(num_folds - 1) / num_folds * (deviation**2).sum(axis=1).mean(axis=0)",
         "(deviation**2).sum(axis=1).mean(axis=0)", JACKKNIFE),
        ("deal_folds", "folds if probe.groups is None else folds[:, probe.groups]", "folds",
         FOLDED),
    ),
    *of(
        "resampling/halves.py",
        ("_compare.neuron", "jnp.where(jnp.isnan(scaled), typical, scaled)",
         "jnp.nan_to_num(scaled)", CONFORMAL),
        ("_compare.neuron", "stable_scale(metric, similarity)", "similarity", CONFORMAL),
        ("_halves", "SUBSAMPLE", '__import__("neurotrust_jax").schemes.MULTINOMIAL', HALVES),
        ("_draw", "jnp.stack([halves, ~halves], axis=1)",
         "jnp.stack([halves, halves], axis=1)", HALVES),
        ("_quarters", "jax.random.permutation(k, part)", "part",
         "test_replication.py -k equal_parts"),
    ),
    *of(
        "resampling/part_scores.py",
        ("_by_counts", "counted[:1] - one", "counted[:1] + 0 * one", f"{PARTS} -k iou"),
        ("_by_counts", "active[other, neuron]", "active[other ^ 1, neuron]", f"{PARTS} -k iou"),
        ("_by_counts", "positives[other, given]", "positives[other ^ 1, given]",
         f"{PARTS} -k iou"),
        ("_by_counts", "both[other, neuron, given]", "both[other ^ 1, neuron, given]",
         f"{PARTS} -k iou"),
        ("_by_ranks", "share > 0", "share > -1", VARY),
        ("_by_ranks", "2 * -(-num_parts // (2 * steps))", "-(-num_parts // steps) | 1",
         f"{PARTS} -k auroc"),
        ("_ranked", "positives < size", "positives > -1", VARY),
        ("_twice_centred", "below[ranking.first] + below[ranking.last]",
         "2 * below[ranking.first]", f"{PARTS} -k auroc"),
        ("_on_ranked_parts", "jnp.where(rows, centred, 0)", "centred", f"{PARTS} -k auroc"),
        ("_on_ranked_parts", "twice_below(columns, ranking) - size.T",
         "twice_below(columns, ranking)", f"{PARTS} -k auroc"),
        ("_on_ranked_parts", "share[:, None] * own", "own", f"{PARTS} -k auroc"),
        ("_on_ranked_parts", "squares > 0", "squares > -1", f"{PARTS} -k auroc"),
        ("_on_ranked_parts", "fc / 2", "fc", f"{PARTS} -k spearman"),
        ("_on_ranked_parts", "positive - positive**2 / jnp.where(total > 0, total, 1)",
         "positive", f"{PARTS} -k spearman"),
        ("_on_ranked_parts", "unit * step**2 * squares", "unit * step * squares",
         f"{PARTS} -k spearman"),
        ("_on_ranked_parts", "jnp.arange(len(label), dtype=jnp.int32) ^ 1",
         "jnp.arange(len(label), dtype=jnp.int32)", f"{PARTS} -k auroc"),
        ("_by_scores.both", "x[::-1]", "x", f"{PARTS} -k correlation"),
    ),
    *of(
        "resampling/replication.py",
        ("_observe", "np.repeat((2, 4, 1), numbers)", "np.repeat((1, 4, 1), numbers)",
         f"{REPLICATED} -k iou"),
        ("_observe", "np.repeat((2, 4, 1), numbers)", "np.repeat((2, 2, 1), numbers)",
         f"{REPLICATED} -k iou"),
        ("_observe", "np.arange(num_halves) // 2", "np.arange(num_halves) // 4",
         f"{REPLICATED} -k iou"),
        ("_observe", "np.full(num_quarters + 1, -1)", "np.full(num_quarters + 1, 0)",
         f"{REPLICATED} -k iou"),
        ("_Spread.features", "(own[:, None] - apart[split]) ** 2",
         "0 * (own[:, None] - apart[split]) ** 2", f"{REPLICATED} -k iou"),
        ("_Spread.features", "used[split].astype(dtype)", "0 * used[split].astype(dtype)",
         f"{REPLICATED} -k iou"),
        ("_Spread.features", "-(score**2) / 4", "-(score**2) / 2", f"{REPLICATED} -k iou"),
        ("_Spread.features", "(size > 0) | (lead > 0)", "lead > 0",
         f"{REPLICATED} -k iou"),
        ("_observe.neuron", "(given[:, :, None] == given[:, None, :]).sum(axis=2) - 1",
         "(given[:, :, None] == given[:, None, :]).sum(axis=2)", f"{REPLICATED} -k iou"),
        ("_observe.neuron", "(dealt >= 0) & (others > 0)", "dealt >= 0", f"{REPLICATED} -k iou"),
        ("_calibrated", "DAMPING * (found[0] - found[1])", "0 * DAMPING * (found[0] - found[1])",
         f"{REPLICATED} -k iou"),
        ("_calibrated", "size + 1", "1", f"{REPLICATED} -k iou"),
        ("_calibrated", "first + DAMPING * (first - second)", "first", f"{REPLICATED} -k iou"),
        ("_calibrated", "number[size] / max(known[size], 1)", "1.0", f"{REPLICATED} -k iou"),
        ("probability_of", "missing[labelled] ** 2", "0 * missing[labelled]",
         f"{REPLICATED} -k iou"),
    ),
    *of(
        "resampling/logistic.py",
        ("fit", "found - typical", "found", f"{REPLICATED} -k iou"),
    ),
    *of(
        "resampling/trend.py",
        ("Trend._at", "np.sqrt(times)", "times", FORECAST),
        ("Trend._at", "of_lead + more * doublings", "of_lead", FORECAST),
        ("Trend._at", "DAMPING * (1 - DAMPING**doublings)", "(1 - DAMPING**doublings)", FORECAST),
        ("Trend._at", "2 * times", "times", FORECAST),
        ("Trend._at", "np.minimum(np.sqrt(times) * self.lead[labelled], FARTHEST)",
         "np.sqrt(times) * self.lead[labelled]", FORECAST),
    ),
    *of(
        "resampling/bootstrapping.py",
        ("_vote_share", "votes.at[neuron, winners].add(1)[:, :-1]",
         "votes.at[neuron, winners].add(1)[:, 1:]", VOTES),
        ("_vote_share", "winners.shape[0]", "(winners >= 0).sum(axis=0)[:, None]",
         VOTES),
    ),
]  # fmt: skip
