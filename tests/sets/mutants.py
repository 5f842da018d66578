"""Mutants of sets of concepts, each with the tests that must see it."""

from mutation import of

LEVELS = "test_sets.py::test_calibrated_sets_equal_a_loop_at_every_level -k best"
SETS = "test_sets.py::test_calibrated_sets_equal_a_loop -k [iou"
RANK = "test_sets.py::test_the_rank_counts_the_data_as_a_replicate"
AT_ONCE = "test_sets.py::test_lower_limits_hold_at_once"
CONFORMAL = "test_conformal.py::test_equals_a_loop"
PLAIN = "test_max_test.py::test_bounds_change_no_answer"
LARGEST = "test_max_test.py::test_bounds_of_the_largest_deviation_hold"
FOLDED = "test_max_test.py::test_rows_are_folded_whatever_their_number"
PLACES = "test_max_test.py::test_places_of_a_mask_are_listed_in_order"
WORTH = "test_max_test.py::test_a_short_list_of_candidates_is_compiled_where_it_saves_time"
RIVALS = "test_sets.py::test_rivals_seen_a_few_times_rule_nothing_out"
AT_TOP = "test_sets.py::test_a_label_at_the_top_of_the_range_is_judged_by_bounds"
BEYOND = "test_sets.py::test_concepts_beyond_the_candidates_are_members_on_ample_evidence"
LITTLE = "test_sets.py::test_too_little_evidence_is_said_and_stays_in_the_set"

MUTANTS = [
    *of(
        "sets/calibrated.py",
        ("replicate_rank", "num_replicates + 1", "num_replicates", RANK),
        ("_list_lengths", "chosen[0] - width", "width", WORTH),
        ("calibrated_sets", "1 - alpha + beta", "1 - alpha", LEVELS),
        ("_with_bounds", "stable_scale(metric, upper) >= floor",
         "stable_scale(metric, upper) >= -9", LITTLE),
        ("_with_bounds", "jnp.where(thin_label, certified, stays)", "stays", AT_TOP),
        ("_with_bounds", "certified & several & scarce", "certified & several", AT_TOP),
        ("_by_replicates", "_scatter(candidates, tested, num_concepts) | beyond",
         "_scatter(candidates, tested, num_concepts)", BEYOND),
        ("_lower_bounds",
         "neuron.similarity - quantile * student_factor(quantile, neuron.evidence) * spread",
         "neuron.similarity + quantile * student_factor(quantile, neuron.evidence) * spread",
         AT_ONCE),
    ),
    *of(
        "sets/pairs.py",
        ("true_places", "size - number", "size - number + 1", PLACES),
        ("student_factor", "ratio * jnp.sqrt((freedom + 1) / freedom)", "ratio", AT_ONCE),
        ("pairs_of", "both - 2 * covariance", "both", LEVELS),
        ("pairs_of", "present & _strong_rivals(evidence)", "present", RIVALS),
        ("pairs_of", "known - known.mean(axis=1, keepdims=True)", "known", LEVELS),
        ("fold_rows", "x[whole * ROWS:]", "x[whole * ROWS + 1:]", FOLDED),
    ),
    *of(
        "sets/max_test.py",
        ("retained", "jnp.where(unsettled, tested, stays)", "stays", PLAIN),
        ("_critical_values.one", "lead[:, c] * scale + slack", "0 * slack", PLAIN),
        ("_critical_values.one", "num_replicates + 1 - first", "num_replicates - first", PLAIN),
        ("_critical_values.one", "jnp.where(undefined[c], jnp.inf, most)", "most",
         f"{PLAIN} -k undefined"),
        ("_critical_values.one", "jnp.where(rival[:, c], 0, inf)", "jnp.zeros_like(scale)", PLAIN),
        ("settled_by_bounds", "pairs.deviation.shape[1] + 1 - rank",
         "pairs.deviation.shape[1] - rank", PLAIN),
        # bounds on the wrong side
        ("_hits_by_classes", "least[classes].min(axis=1)", "least[classes].max(axis=1)", PLAIN),
        ("_hits_by_classes", "most[classes].max(axis=1)", "most[classes].min(axis=1)", PLAIN),
        ("settled_by_bounds",
         "_settled_by_all(rows, least, most, hits.sure, enough, stays, possible & ~stays)",
         "_settled_by_all(rows, most, least, hits.sure, enough, stays, possible & ~stays)", PLAIN),
        ("_thresholds", "lax.fori_loop(0, 4, closer, (start, start))",
         "lax.fori_loop(0, 1, closer, (start, start))", PLAIN),
        ("_needs", "jnp.minimum(pairs.lead + slack[None, :] * pairs.sigma, 0)",
         "jnp.zeros_like(pairs.lead)", PLAIN),
        ("_slack_floor", "jnp.where(pairs.rival[0] & often, slack, floor)",
         "jnp.full_like(floor, slack)",
         "test_max_test.py::test_slacks_are_at_least_their_floor"),
    ),
    *of(
        "sets/common_bar.py",
        ("_stays", "quantile * math.sqrt(2)", "quantile", SETS),
        ("deviation_bounds", "sigma.T[classes].min(axis=1)",
         "sigma.T[classes].max(axis=1)", LARGEST),
        ("deviation_bounds", "below[classes].min(axis=1)", "below[classes].max(axis=1)", LARGEST),
        ("retained_for_fresh_label", "(upper >= least) & ~decided", "(upper < least) & ~decided",
         PLAIN),
    ),
    *of(
        "sets/vote.py",
        ("vote_sets", "before < needed", "before <= needed",
         "test_resampling.py::test_vote_set_is_the_smallest_and_holds_the_label"),
        ("vote_sets", "jnp.ceil((1 - alpha) * boot.num_replicates * (1 - 1e-6))",
         "jnp.floor((1 - alpha) * boot.num_replicates * (1 - 1e-6))",
         "test_resampling.py::test_vote_set_is_the_smallest_and_holds_the_label"),
    ),
    *of(
        "sets/conformal.py",
        ("_scores.neuron.lead_over", "2 * variance", "variance", CONFORMAL),
        ("_scores.neuron.lead_over", "jnp.where(others, square, 0)", "square", CONFORMAL),
        ("_scores.neuron.lead_over", "number - 1", "number", CONFORMAL),
        ("_quantile", "(1 - alpha) * (1 + 1 / num_neurons)", "1 - alpha", CONFORMAL),
        ("_scores.neuron", "at[:, ::-1]", "at", CONFORMAL),
        ("_in_errors", "jnp.where(jnp.isnan(lead), jnp.inf, score)", "score", CONFORMAL),
        ("_scores.neuron", "apart[:, best][:, None] - apart", "apart", CONFORMAL),
        ("conformal_of", "own == name", "own == own", "test_conformal.py -k has_its_own"),
        ("conformal_of", "known & (drawn == name)", "known", CONFORMAL),
        ("_classes_by_lead", "np.maximum(count, 1)", "len(lead)", CONFORMAL),
        ("_runner_up", "rival & ~jnp.isnan(similarity)", "~jnp.isnan(similarity)", CONFORMAL),
        ("conformal_of", "(score <= cut[:, None]) | full[:, None]", "score <= cut[:, None]",
         "test_conformal.py -k satisfies"),
    ),
]  # fmt: skip
