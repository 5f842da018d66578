"""Mutants of the metrics, each with the tests that must see it."""

from mutation import of


def loop(metric: str) -> str:
    """The naive loop over samples for one metric."""
    return f"test_metrics.py::test_equals_naive_loop_on_ties -k x64-{metric}-"


def means(metric: str) -> str:
    """Limits of means, carried through the formula of one metric."""
    return f"test_bounds.py::test_means_carried_through_the_formula -k [{metric}"


def gap(metric: str) -> str:
    """The naive loop over designs for one metric."""
    return f"test_planning.py::test_gap_equals_the_naive_loop_and_broadcasts -k [{metric}"


EXACT = "test_bounds.py::test_exact_is_scipys_clopper_pearson -k x64"
WHOLE_BOX = "test_bounds.py::test_limits_for_all_thresholds_hold_on_the_whole_box"
DIVIDED = "test_bounds.py -k divides_its_error"
NAMED = "test_bounds.py -k that_the_rule_names"
RADIUS = "test_shift.py::test_radius_is_where_a_shift_overturns_the_label"
ODDS = "test_shift.py -k odds_of_an_auroc"

PRECISION = """
six_sum_metric(
    "precision", "binary", "binary", lambda s: _ratio(s.FC, s.F),
    UNIT, "P(present | active)", (Part(BOTH, ACTIVE),),
    interval_rule=IntervalRule((rules.PRECISION,), (1,), rules.same),
    uniform_rule=every_threshold(
        lambda p, r, q: (over_positive(p * r, p * r + (1 - p) * q),), (1, 1, -1)
    ),
    planning_gap=lambda d: d.rate(d.n * d.active),
    shift_rule=shift_rules.GIVEN_ACTIVE,
    neuron_eval_name="recall",
    rewards_overlap=True,
)
"""  # whole, as its formula is also that of wpmi

WEIGHTS = "test_metrics.py::test_integer_weights_equal_repeated_rows"
ORDER = "test_resampling.py::test_what_orders_spearmans_correlation_spans_its_arguments"

UNIT_SUMS = "test_unit_sums.py::test_sums_are_those_of_the_matrices"

MUTANTS = [
    *of(
        "metrics/unit_sums.py",
        ("totals_of_units", "weights[:, None] * c.astype(weights.dtype)", "c.astype(weights.dtype)",
         UNIT_SUMS),
        ("_listed_totals", "own[:, None] * c[rows].astype(own.dtype)", "c[rows].astype(own.dtype)",
         UNIT_SUMS),
        ("_padded", "np.cumsum(number, dtype=np.int32)", "number", UNIT_SUMS),
        ("in_order", "np.argsort(np.concatenate([own for own, _ in found]))",
         "np.concatenate([own for own, _ in found])", UNIT_SUMS),
    ),
    *of(
        "metrics/table.py",
        ("", "s.S - s.F - s.C + 2 * s.FC", "s.S - s.F - s.C + s.FC", loop("accuracy")),
        ("_rate", "s.S - s.C", "s.S - s.F", loop("balanced_accuracy")),
        ("_simulation_rate", "_ratio(s.FC, s.F)", "_ratio(s.FC, s.C)",
         loop("simulation_balanced_accuracy")),
        ("", PRECISION, PRECISION.replace("s.F)", "s.C)"), loop("precision")),
        ("", "lambda s: _ratio(s.FC, s.C)", "lambda s: _ratio(s.FC, s.F)", loop("recall")),
        ("", "_ratio(2 * s.FC, s.F + s.C)", "_ratio(s.FC, s.F + s.C)", loop("f1")),
        ("", "_ratio(s.FC, s.F + s.C - s.FC)", "_ratio(s.FC, s.F + s.C)", loop("iou")),
        ("", "_ratio(s.S * s.FC, s.C * (s.S - s.C))", "_ratio(s.S * s.FC, s.C * s.S)",
         loop("auroc")),
        ("", "_ratio(s.S * s.FC, s.F * (s.S - s.F))", "_ratio(s.FC, s.S - s.F)",
         loop("simulation_auroc")),
        ("_cosine", "jnp.where(s.FF > 0, s.FF, jnp.nan) * s.CC", "s.FF * s.FF",
         loop("correlation")),
        ("_mean_difference", "s.S - s.C", "s.S", loop("mad")),
        ("_standardised_mean_difference", "s.FF / s.S", "s.FF / (s.S - 1)",
         loop("standardised_mad")),
        ("", "over_positive(p * r, p + (1 - p) * q)", "over_positive(p * r, p + q)",
         f"{WHOLE_BOX} -k [iou"),
        ("",
         "IntervalRule((rules.PRODUCT, rules.MEAN, rules.MEAN_SQUARE, rules.SCORE, "
         "rules.SCORE_SQUARE), (1, 0, 0, 0, 0), rules.correlation)",
         "IntervalRule((rules.PRODUCT, rules.MEAN, rules.MEAN_SQUARE, rules.SCORE, "
         "rules.SCORE_SQUARE), (1, -1, 0, 0, 0), rules.correlation)",
         NAMED),
        ("", "IntervalRule((rules.MEAN_IF_PRESENT, rules.MEAN_IF_ABSENT), (1, -1), rules.mad)",
         "IntervalRule((rules.MEAN_IF_PRESENT, rules.MEAN_IF_ABSENT), (1, 1), rules.mad)", NAMED),
        ("",
         "every_threshold(lambda p, r, q: (over_positive(p * r, p + (1 - p) * q),), (1, 1, -1))",
         "every_threshold(lambda p, r, q: (over_positive(p * r, p + (1 - p) * q),), (-1, 1, -1))",
         NAMED),
        ("", "2 / (1 + 1 / d.union())", "d.union()", gap("f1")),
        # "denominator + 0 * numerator" without its second term: a CPU divides correctly either way
    ),
    *of(
        "metrics/metric.py",
        ("_within", "jnp.clip(value, *range)", "value",
         "test_metrics.py::test_rounding_leads_out_of_no_range"),
    ),
    *of(
        "metrics/transforms.py",
        ("centred", "weighted_total(values, weights)[None, :] / weights.sum()",
         "values.mean(axis=0, keepdims=True)", f"{WEIGHTS} -k [correlation"),
        ("_log_lift",
         "jnp.log(jnp.maximum(values, LOG_FLOOR)) - jnp.log(jnp.where(mean > 0, mean, 1))",
         "jnp.log(jnp.maximum(values, LOG_FLOOR)) + jnp.log(jnp.where(mean > 0, mean, 1))",
         loop("wpmi")),
        ("varies", "(values != one[None, :]) & used[:, None]", "values != one[None, :]",
         "test_metrics.py::test_rows_of_weight_zero_are_not_there"),
        ("both_vary", "varies(f, weights)[:, None] & varies(c, weights)[None, :]",
         "varies(f, weights)[:, None] | varies(c, weights)[None, :]",
         "test_metrics.py::test_degenerate_columns_are_undefined_with_a_reason_and_never_win "
         "-k [accuracy"),
        ("", "jnp.maximum(prepared, LOG_FLOOR)", "prepared",
         "test_metrics.py::test_rows_are_distinct_where_their_views_are"),
        ("", "lambda ranking: ranking.first", "lambda ranking: ranking.order",
         "test_metrics.py::test_rows_are_distinct_where_their_views_are"),
        ("", "centred(prepared, weights) ** 3", "centred(prepared, weights)",
         loop("cos_similarity_cubed")),
    ),
    *of(
        "metrics/scores.py",
        ("score", "jnp.concatenate(values, axis=1)", "jnp.concatenate(values[::-1], axis=1)",
         "test_metrics.py::test_concepts_come_some_at_a_time"),
    ),
    *of(
        "metrics/ranked.py",
        ("average_precision.one", "order.shape[0] - 1 - first[down]", "jnp.arange(order.shape[0])",
         loop("auprc")),
        ("_share_among_top", "jnp.clip((k - above) / jnp.where(tied > 0, tied, 1), 0, 1)",
         "(above < k).astype(tied.dtype)", loop("wpmi_topk")),
        ("over_top_rows", "(above + jnp.minimum(at_or_above, k)) / 2 - 0.5",
         "(above + jnp.minimum(at_or_above, k)) / 2", loop("soft_wpmi")),
        ("_pointwise_mutual_information", "strength * prior", "prior", loop("wpmi_topk")),
        ("soft_wpmi.score", "top.position / top_k", "top.position / (top_k - 1)",
         loop("soft_wpmi")),
        ("rank_reorder.score", "size**2", "size", loop("rank_reorder")),
        ("rank_reorder.score", "jnp.abs(t[:, None] - reordered) ** 3",
         "jnp.abs(t[:, None] - reordered) ** 2", loop("rank_reorder")),
        ("rank_reorder.score", "jnp.sqrt(mean_score)", "mean_score", loop("rank_reorder")),
        ("correlation_top_and_random", "mean(mix, c**2) - mean(mix, c) ** 2", "mean(mix, c**2)",
         loop("correlation_top_and_random")),
    ),
    *of(
        "metrics/interval_rules.py",
        ("lead_of_ranks", "jnp.where(lead[1] > 0, most, least)", "least", ORDER),
        ("lead_of_ranks", "jnp.where(lead[0] > 0, least, most)", "most", ORDER),
        ("lead_of_ranks", "jnp.where((lower[1] <= 0.5) & (upper[1] >= 0.5), 0.5, most)",
         "jnp.where((lower[1] <= 0.5) & (upper[1] >= 0.5), most, most)", ORDER),
        ("f1_of_iou", "2 * upper[0] / (1 + upper[0])", "upper[0]",
         "test_bounds.py::test_exact_is_scipys_clopper_pearson -k x64-f1"),
        ("mad", "upper[1]", "lower[1]", means("mad")),
        ("wpmi", "upper[1]", "lower[1]", means("wpmi")),
        ("_variance", "mean[1]", "mean[0]",
         "test_bounds.py::test_variance_from_mean_and_mean_square"),
        ("_quotient", "over(top[0], top[0] < 0), over(top[1], top[1] > 0)",
         "over(top[0], top[0] > 0), over(top[1], top[1] < 0)", means("correlation")),
        ("correlation", "fc[0] - f[1] * c[1], fc[1] - f[0] * c[0]",
         "fc[0] - f[0] * c[0], fc[1] - f[1] * c[1]", means("correlation")),
        ("cosine", "jnp.minimum(*shift)", "jnp.maximum(*shift)", means("cosine")),
        ("standardised_mad", "present[0] - absent[1], present[1] - absent[0]",
         "present[0] - absent[0], present[1] - absent[1]", means("standardised_mad")),
        ("", "binary_share(NEITHER, ABSENT)", "binary_share(NEITHER, INACTIVE)", EXACT),
        ("every_threshold.carry", "least(t, axis=0)", "t[0]", f"{WHOLE_BOX} -k [accuracy"),
        ("IntervalRule.num_tails", 'bound != "both" and direction', 'bound != "both"', DIVIDED),
    ),
    *of(
        "metrics/planning.py",
        ("ProbingDesign.rate", "self.tails * proportions", "proportions", gap("accuracy")),
        ("ProbingDesign.rate", "self.tails * proportions * self.num_concepts",
         "self.tails * proportions", gap("accuracy")),
        ("ProbingDesign.union", "np.maximum(self.present, self.active)",
         "np.minimum(self.present, self.active)", gap("iou")),
        ("ProbingDesign.pairs", "np.minimum(share, 1 - share)", "share", gap("auroc")),
        ("ProbingDesign.independent", "self.tails * self.num_concepts", "self.num_concepts",
         gap("correlation")),
        ("ProbingDesign.two_classes",
         "(self.rate(self.n * share, 2) + self.rate(self.n * (1 - share), 2)) / 2",
         "self.rate(self.n * share, 2) + self.rate(self.n * (1 - share), 2)",
         gap("balanced_accuracy")),
        ("ProbingDesign.shifted", "self.kurtosis + 1 / (self.present * (1 - self.present)) - 5",
         "self.kurtosis + 1 / (self.present * (1 - self.present)) - 2",
         "test_planning.py -k heavy_tails_and_rare"),
        ("ProbingDesign.shifted", "k - 1", "k", "test_planning.py -k heavy_tails_and_rare"),
    ),
    *of(
        "metrics/shift_rules.py",
        ("", "ShiftRule(4)", "ShiftRule(2)", ODDS),
        ("iou_lead", "x - z", "0", f"{RADIUS} -k iou"),
        ("recall_lead", "y > v", "y < v", f"{RADIUS} -k recall"),
        ("iou_lead", "both > 0", "both < 0", f"{RADIUS} -k iou"),
        ("", "2 * j / (1 + j)", "j",
         "test_shift.py::test_bounds_of_f1_with_sampling_error_are_those_of_iou"),
    ),
]  # fmt: skip
