"""Mutants of intervals, certificates and sample sizes, each with the tests that must see it."""

from mutation import of


def limits(method: str) -> str:
    """The naive loop over blocks for one kind of limits."""
    return f"test_bounds.py::test_limits_equal_the_naive_loop_over_blocks -k {method}"


EXACT = "test_bounds.py::test_exact_is_scipys_clopper_pearson -k x64"
GROUPED_PAIRS = "test_bounds.py::test_grouped_auroc_from_pairs_of_groups"
OUTWARDS = "test_bounds.py::test_ends_of_replicates_are_rounded_outwards_from_the_closed_form"
SPENT = "test_bounds.py -k 'no_more_than_their_error and [exact'"
TWO_POINTS = "test_betting.py::test_limits_from_moments_are_those_of_two_points"
ALONE = "test_betting.py::test_a_bound_alone_is_that_of_both"
OF_GROUPS = "test_betting.py::test_certificate_of_groups_follows_from_the_bounds_by_betting"
FEW_GROUPS = "test_betting.py::test_pairs_with_trials_in_few_groups_keep_every_one_of_them"
LEADING_ONLY = "test_betting.py::test_leading_concepts_get_the_narrower_limits"
PER_PAIR = "test_betting.py::test_a_bound_for_each_pair_is_that_of_its_own_groups"
TOGETHER = "test_betting.py::test_a_wide_interval_counts_the_units_of_neuron_and_concept"
WHICH = "test_betting.py::test_which_methods_have_an_interval_per_pair"
WIDE = "test_betting.py::test_a_wide_interval_says_why"
EACH_SIDE = "test_bounds.py::test_each_side_takes_the_hits_that_widen_it -k chernoff"
THREE_PARTS = "test_bounds.py::test_uniform_limits_are_made_of_three_parts_at_a_third_of_delta"
NOT_THERE = "test_bounds.py::test_rows_of_weight_zero_are_no_evidence -k recall"
EQUAL = "test_bounds.py::test_equal_and_undefined_limits_rule_nothing_out"
DIVIDED = "test_bounds.py::test_a_side_divides_its_error_among_the_tails_it_relies_on"
CERTIFICATE = "test_bounds.py::test_certificate_follows_from_the_intervals"
REQUIRED = "test_planning.py::test_required_samples_is_the_smallest_number"
DIFFERENCES = "test_influence.py::test_equals_finite_differences"
AT_ONCE = "test_sets.py::test_lower_limits_hold_at_once"
UNITS = "test_effective.py::test_equals_a_loop_over_units"
CENTRED = "test_influence.py::test_influences_that_do_not_add_up_to_nothing_are_centred"

MUTANTS = [
    *of(
        "faithfulness/concentration.py",
        ("hoeffding", "jnp.log(1 / tail) / 2", "jnp.log(1 / tail) / 3", limits("hoeffding")),
        ("_symmetric", "data.bound * scale", "scale", limits("hoeffding")),
        ("_symmetric", "jnp.sqrt(data.blocks)", "data.blocks", limits("hoeffding")),
        ("chernoff", "1 / tail", "0.5 / tail", limits("chernoff")),
        ("chernoff.accepts.accepted", "r + (hits - r * data.trials) / data.bound",
         "hits / data.trials", limits("chernoff")),
        ("bernstein", "2 / tail", "1 / tail", limits("bernstein")),
        ("bernstein.accepts.accepted",
         "jnp.maximum(xx - 2 * r * xy + r**2 * yy - mean**2, 0) * n / fewer",
         "jnp.maximum(xx - 2 * r * xy + r**2 * yy - mean**2, 0)", limits("bernstein")),
        ("bernstein.accepts.accepted", "3 * fewer", "3 * n", limits("bernstein")),
        ("bernstein.accepts.accepted", "2 * variance", "variance", limits("bernstein")),
        ("bernstein.accepts.accepted", "xx - 2 * r * xy + r**2 * yy - mean**2",
         "xx - 2 * r * xy + r**2 * yy", limits("bernstein")),
        ("dkw.accepted", "4 * jnp.sqrt(jnp.pi / 2)", "2 * jnp.sqrt(jnp.pi / 2)", limits("dkw")),
        ("dkw.accepted", "4 * y * (MASSART - y)", "-4 * y**2", limits("dkw")),
        ("dkw", "jnp.minimum(tail, 0.5)", "tail", "test_bounds.py -k massart"),
        ("dkw", "if not grouped: return hoeffding(data, jnp.minimum(tail, 0.5))",
         "if grouped or not grouped: return hoeffding(data, jnp.minimum(tail, 0.5))",
         limits("dkw")),
        ("replicate_bounds.accepted", "data.blocks * -jnp.expm1(-entropy)",
         "data.blocks * 2 * entropy", OUTWARDS),
        ("replicate_bounds.accepted", "_relative_entropy(t, middle)",
         "4 * _relative_entropy(middle, t)", OUTWARDS),
        ("boundary", "lax.fori_loop(0, steps, halve, (inside, outside))[1]",
         "lax.fori_loop(0, steps, halve, (inside, outside))[0]", OUTWARDS),
        ("_outermost", "(data.hits_low, low, jnp.zeros_like(low))",
         "(data.hits_high, high, jnp.zeros_like(low))", EACH_SIDE),
        ("excess", "q <= 0", "q < 0", OUTWARDS),
    ),
    *of(
        "faithfulness/binomial.py",
        ("exact", "_binomial_logit(x, data.blocks, tail)",
         "_binomial_logit(x, data.blocks, 2 * tail)", EXACT),
        ("exact", "jax.nn.sigmoid(-other)", "jax.nn.sigmoid(other)", EXACT),
        ("exact", "each(lambda x: _binomial_logit(x, data.blocks, tail), hits, misses)",
         "each(lambda x: _binomial_logit(x, data.blocks, tail), hits, misses - 1)", EXACT),
        ("exact", "jnp.where(misses > 0, upper, 1)", "upper", EXACT),
        ("exact", "jnp.where(hits > 0, lower, 0)", "lower", EXACT),
        ("_tail_over_mass", "n - x + 1", "n - x", EXACT),
    ),
    *of(
        "faithfulness/betting.py",
        ("_bets", "-2 * jnp.log(tail)", "-8 * jnp.log(tail)", limits("betting")),
        ("_log_mean", "total / logs.shape[axis]", "total", limits("betting")),
        ("from_blocks.lower.accepted", "hits / r[None, :] - y", "hits / r[None, :] - hits",
         limits("betting")),
        ("from_blocks", "1 - ratio", "ratio", limits("betting")),
        ("from_blocks", "x, y = x / bound[None, :], y / bound[None, :]", "pass",
         limits("betting")),
        ("from_moments.lower.accepted", "2 * cross", "cross", TWO_POINTS),
        ("from_moments.lower.accepted", "zz - z**2", "zz", TWO_POINTS),
        ("from_moments.lower.accepted", "z + zz", "zz", TWO_POINTS),
        ("from_moments", "yy - xy", "xy", TWO_POINTS),
        ("_each_side", "(sides[0], hits)", "(sides[1], hits)", ALONE),
        ("_each_side", "(sides[1], misses)", "(sides[0], misses)", OF_GROUPS),
        ("_log_product", "factors.reshape(4, -1, factors.shape[1]).prod(axis=0)",
         "factors.reshape(4, -1, factors.shape[1]).max(axis=0)", limits("betting")),
    ),
    *of(
        "faithfulness/finite_sample.py",
        ("_with_blocks", "neuron, place", "neuron, place[:, ::-1]", limits("betting")),
        ("_with_blocks.one", "n <= MOST_BLOCKS", "n < 0", LEADING_ONLY),
        ("_bounded_by_seen", "jnp.where(some, data.most_trials, data.bound)",
         "data.bound", PER_PAIR),
        ("_packed", "jnp.cumsum(some, axis=0) - 1", "jnp.cumsum(some, axis=0)", FEW_GROUPS),
        ("finite_sample_bounds", "x / rule.num_tails(bound)", "2 * x / rule.num_tails(bound)",
         SPENT),
        ("finite_sample_bounds", "rule.num_tails(bound)", "2 * len(rule.parts)", SPENT),
        ("_sides", "direction > 0", "direction < 0", OF_GROUPS),
        ("_sides", "direction > 0", "True", f"{DIVIDED} -k mad"),
    ),
    *of(
        "faithfulness/wide_intervals.py",
        ("LabelIntervals.asymptotic", "self.guarantee == self.asymptotic_guarantee", "False",
         "test_ranges_of_neurons.py::test_what_is_shown_speaks_of_ranges"),
        ("_reasons", "pair_bounds[1] - pair_bounds[0] < 0.7 * width", "pair_bounds[1] < 0", WIDE),
        ("_together", "rows[present[rows, label[u]]]", "rows", TOGETHER),
        ("_size", "LARGE * mean", "LARGE", WIDE),
    ),
    *of(
        "faithfulness/methods.py",
        ("_dkw", "EXACT if independent else BETTING", "PartBound(hoeffding)", THREE_PARTS),
        ("assumptions", "probe.groups is None", "probe.groups is not None",
         "test_bounds.py -k 'what_is_assumed'"),
        ("IntervalMethod.fits_per_pair", "not rule.paired", "True", WHICH),
        ("IntervalMethod.fits_per_pair", "self.every_threshold", "False", WHICH),
        ("reads_thresholds", 'metric.neuron_view == "binary"',
         'metric.neuron_view != "binary"', "test_bounds.py::test_auto_takes_what_is_valid"),
        ("reads_thresholds", "probe.num_ranges > 1", "False",
         "test_range_cuts.py::test_bounds_of_ranges_cut_on_the_same_samples_are_asymptotic"
         "_and_say_why"),
        ("IntervalMethod.applies", "self.every_threshold and cuts_from_data(probe)", "False",
         "test_range_cuts.py::test_dkw_is_refused_for_two_cuts_of_the_same_samples_alone -k iou"),
        ("cuts_from_data", "not probe.thresholds_fixed", "True",
         "test_range_cuts.py::test_dkw_is_refused_for_two_cuts_of_the_same_samples_alone -k iou"),
    ),
    *of(
        "faithfulness/bounds.py",
        ("intervals_at", "x.alpha / counts[x.simultaneous]", "x.alpha",
         "test_bounds.py::test_simultaneous_divides_delta -k iou"),
        ("_asymptotic_bounds", 'share / 2 if bound == "both" else share', "share",
         "test_bounds.py::test_asymptotic_interval_is_value_and_standard_error"),
        ("intervals_at", '"" if known else largest', "largest", "test_bounds.py -k largest_group"),
    ),
    *of(
        "faithfulness/result.py",
        ("Intervals.finite_sample", "not self.asymptotic and not self.assumes",
         "not self.asymptotic", "test_bounds.py -k largest_group"),
    ),
    *of(
        "faithfulness/known_beforehand.py",
        ("largest_weight", "math.isfinite(largest_unit) and largest_unit >= bound * (1 - 1e-6)",
         "math.isfinite(largest_unit)", "test_bounds.py -k 'unit or refused'"),
        ("largest_weight", "float(largest_unit) * heaviest", "float(largest_unit)",
         "test_inputs.py::test_no_result_depends_on_the_unit_of_the_weights"),
    ),
    *of(
        "faithfulness/certificates.py",
        ("certificate_levels", "(1 - LOWER_SHARE) * alpha", "alpha",
         "test_sets.py::test_untested_concepts_meet_bounds_at_three_quarters_of_alpha"),
        ("certificate_levels", "(1 - LOWER_SHARE) * alpha / neurons", "(1 - LOWER_SHARE) * alpha",
         CERTIFICATE),
        ("certificate_levels", "LOWER_SHARE * alpha", "alpha", CERTIFICATE),
        ("certificate_levels", 'Level(LOWER_SHARE * alpha, simultaneous, "lower")',
         "Level(LOWER_SHARE * alpha, simultaneous)", CERTIFICATE),
        ("certificate_levels", 'Level((1 - LOWER_SHARE) * alpha / neurons, "none", "upper")',
         'Level((1 - LOWER_SHARE) * alpha / neurons, "none")', CERTIFICATE),
        ("_certified", "jnp.maximum(rival_upper - label_lower, 0)", "rival_upper - label_lower",
         CERTIFICATE),
        ("_certified", "upper >= lower.max(axis=1, keepdims=True)",
         "upper > lower.max(axis=1, keepdims=True)", EQUAL),
        ("_certified", "lower.max(axis=1, keepdims=True)", "label_lower[:, None]",
         "test_bounds.py::test_a_common_concept_may_rule_out_what_the_label_can_not"),
        ("_certified", "jnp.where(at_label, -jnp.inf, upper)", "upper", CERTIFICATE),
        ("_certified", "jnp.where(jnp.isnan(upper), jnp.inf, upper)",
         "jnp.where(jnp.isnan(upper), -jnp.inf, upper)", EQUAL),
    ),
    *of(
        "faithfulness/estimands.py",
        ("_pairs", "jnp.minimum(positive, negative)", "jnp.maximum(positive, negative)",
         "test_bounds.py::test_auroc_given_the_labels"),
        ("_pairs", "positive * negative / d.weights.sum()",
         "2 * positive * negative / d.weights.sum()",
         "test_bounds.py::test_auroc_given_the_labels"),
        ("_pairs", "jnp.floor(number / 2)", "number", GROUPED_PAIRS),
        ("_pairs", "d.bound**2 / 2", "d.bound**2", GROUPED_PAIRS),
        ("_pairs", "jnp.maximum(value * pairs - inside, 0)", "value * pairs",
         GROUPED_PAIRS),
        ("_pairs", "jnp.minimum(value * pairs, between)", "value * pairs",
         "test_bounds.py::test_all_pairs_within_groups_leave_no_more_hits_than_trials"),
        ("_pairs", "number - 1", "number", GROUPED_PAIRS),
        ("ratio_data", "d.weights**2", "d.weights", limits("bernstein-weights")),
        ("ratio_data", "(d.weights > 0).astype(f.dtype)", "jnp.ones_like(d.weights)",
         NOT_THERE),
        ("_moments_of_groups", "(x, y, x * x, x * y, y * y)", "(x, y, x, x * y, y)",
         limits("bernstein")),
    ),
    *of(
        "faithfulness/sample_size.py",
        ("required_samples", "LOWER_SHARE * alpha", "alpha", REQUIRED),
        ("required_samples", "2 * [(num_concepts, alpha)]", "[(num_concepts, alpha)]", REQUIRED),
        ("required_samples", '"margin", 1, 2 * [(num_concepts, alpha)]',
         '"margin", 2, 2 * [(num_concepts, alpha)]', REQUIRED),
        ("required_samples.enough", "np.minimum(gaps, width).sum(axis=0) <= target",
         "np.minimum(gaps, width).sum(axis=0) < target",
         "test_planning.py::test_required_samples_undoes_the_gap_exactly"),
        ("required_samples", "np.ceil(high * present * (1 - 4e-16))", "np.floor(high * present)",
         "test_planning.py::test_positives_are_the_share_of_the_samples"),
    ),
    *of(
        "faithfulness/jackknife.py",
        ("_of_areas.neuron", "(have - lower) / have - area", "lower / have - area",
         "test_areas.py"),
        ("_of_areas.neuron", "(every - lower) / lack", "every / lack", "test_areas.py"),
        ("_is_area", "probe.even_weights", "True", "test_areas.py"),
        ("_unbiased", "count / (count - 1)", "1", f"{DIFFERENCES} -k [iou"),
        ("_by_moments", "second - total**2 / count", "second", CENTRED),
        ("_spread", "influence - influence.sum(axis=0, keepdims=True) / count", "influence",
         CENTRED),
        ("_by_moments", "weights**2", "weights", f"{DIFFERENCES} -k [iou"),
        ("_by_moments", "-(2 * g.FF * s.F + g.FC * s.C)", "2 * g.FF * s.F + g.FC * s.C",
         "test_influence.py::test_moments_equal_gradients -k mad"),
        ("_influence", "weights * slope", "slope", f"{DIFFERENCES} -k [auroc"),
        ("standard_error", "num - 1.0", "float(num)", "test_influence.py -k blocks"),
        ("_by_moments", "weights > 0", "weights >= 0", f"{DIFFERENCES} -k [iou"),
        ("_by_unit_sums.one", "x * y", "x + y",
         "test_unit_sums.py::test_standard_error_is_that_of_differences -k iou"),
    ),
    *of(
        "faithfulness/evidence.py",
        ("units_of_moments", "_quotient(fourth, square**2) - 1 / xp.maximum(count, 1)",
         "_quotient(fourth, square**2)", f"{UNITS} -k 'auroc or iou'"),
        ("units_of_moments", "xp.minimum(freedom, count - 1)", "freedom",
         f"{UNITS} -k 'auroc or iou'"),
        ("units_of_shares", "(1 - r) ** 3 + r**3", "(1 - r) ** 3", f"{UNITS} -k iou"),
        ("_least", "y**4", "y**2", f"{UNITS} -k balanced"),
        ("student_ratio", "(z2 + 1) / 4", "0 * z2", AT_ONCE),
        ("_central_moments", "~(quartic > LOST * size)", "quartic != quartic",
         "test_effective.py -k narrow"),
        ("moments_of_changes", "trials / jnp.where(in_all > 0, in_all, 1)",
         "0 * trials / jnp.where(in_all > 0, in_all, 1)", f"{UNITS} -k iou"),
        ("moments_of_changes", "part.sign * change", "change", f"{UNITS} -k 'correlation or mad'"),
        ("_concept_units", "jnp.minimum(size(present), size(~present))", "size(present)",
         "test_effective.py -k black_box"),
        ("_apart", "len(parts) == 1", "True", "test_effective.py -k own_parts"),
    ),
]  # fmt: skip
