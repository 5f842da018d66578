"""Mutants of the metrics, each with the tests that must see it."""

from mutation import of


def loop(metric: str) -> str:
    """The naive loop over samples for one metric."""
    return f"test_metrics.py::test_equals_naive_loop_on_ties -k x64-{metric}-"


WEIGHTS = "test_metrics.py::test_integer_weights_equal_repeated_rows"
ORDER = "test_resampling.py::test_what_orders_spearmans_correlation_spans_its_arguments"

MUTANTS = [
    *of(
        "metrics/interval_rules.py",
        ("lead_of_ranks", "jnp.where(lead[1] > 0, most, least)", "least", ORDER),
        ("lead_of_ranks", "jnp.where(lead[0] > 0, least, most)", "most", ORDER),
        ("lead_of_ranks", "jnp.where((lower[1] <= 0.5) & (upper[1] >= 0.5), 0.5, most)",
         "jnp.where((lower[1] <= 0.5) & (upper[1] >= 0.5), most, most)", ORDER),
    ),
    *of(
        "metrics/table.py",
        ("", "s.S - s.F - s.C + 2 * s.FC", "s.S - s.F - s.C + s.FC", loop("accuracy")),
        ("_rate", "s.S - s.C", "s.S - s.F", loop("balanced_accuracy")),
        ("_simulation_rate", "_ratio(s.FC, s.F)", "_ratio(s.FC, s.C)",
         loop("simulation_balanced_accuracy")),
        ("",
         'six_sum_metric("precision", "binary", "binary", lambda s: _ratio(s.FC, s.F), UNIT, '
         '"P(present | active)", (Part(BOTH, ACTIVE),))',
         'six_sum_metric("precision", "binary", "binary", lambda s: _ratio(s.FC, s.C), UNIT, '
         '"P(present | active)", (Part(BOTH, ACTIVE),))',
         loop("precision")),
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
        ("_within", "jnp.clip(value, *range)", "value",
         "test_metrics.py::test_rounding_leads_out_of_no_range"),
        # "denominator + 0 * numerator" without its second term: a CPU divides correctly either way
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
]  # fmt: skip
