"""Mutants of sets of concepts, each with the tests that must see it."""

from mutation import of

LEVELS = "test_sets.py::test_calibrated_sets_equal_a_loop_at_every_level -k best"
SETS = "test_sets.py::test_calibrated_sets_equal_a_loop -k [iou"
RANK = "test_sets.py::test_the_rank_counts_the_data_as_a_replicate"
AT_ONCE = "test_sets.py::test_lower_limits_hold_at_once"
CONFORMAL = "test_conformal.py::test_equals_a_loop"
RIVALS = "test_sets.py::test_rivals_seen_a_few_times_rule_nothing_out"
AT_TOP = "test_sets.py::test_a_label_at_the_top_of_the_range_is_judged_by_bounds"
BEYOND = "test_sets.py::test_concepts_beyond_the_candidates_are_members_on_ample_evidence"
LITTLE = "test_sets.py::test_too_little_evidence_is_said_and_stays_in_the_set"

MUTANTS = [
    *of(
        "sets/calibrated.py",
        ("replicate_rank", "num_replicates + 1", "num_replicates", RANK),
        ("_keep", "bar * math.sqrt(2)", "bar", SETS),
        ("_keep", "worst > bar", "worst >= bar", "test_sets.py -k as_good"),
        ("_student", "ratio * jnp.sqrt((freedom + 1) / freedom)", "ratio", AT_ONCE),
        ("calibrated_sets", "1 - alpha + beta", "1 - alpha", LEVELS),
        ("_keep.critical", "jnp.minimum(ahead[:, c] + slack * _student(slack, evidence[c]), 0)",
         "jnp.minimum(ahead[:, c] + slack * _student(slack, evidence[c]), 9)", LEVELS),
        ("_keep", "both - 2 * covariance", "both", LEVELS),
        ("_keep.critical", "jnp.where(undefined[c], jnp.inf, highest)", "highest",
         "test_sets.py::test_undefined_replicates_rule_nothing_out"),
        ("_keep.critical", "num_replicates + 1", "num_replicates", LEVELS),
        ("_by_bounds", "floor[:, None]", "-9", LITTLE),
        ("_with_bounds", "jnp.where(thin_label, certified, stays)", "stays", AT_TOP),
        ("_keep", "present & _strong(evidence)", "present", RIVALS),
        ("_lower_bounds", "present & _strong(evidence)", "present", RIVALS),
        ("_with_bounds", "certified & several & scarce", "certified & several", AT_TOP),
        ("_by_replicates", "_scatter(candidates, tested, num_concepts) | beyond",
         "_scatter(candidates, tested, num_concepts)", BEYOND),
        ("_lower_bounds", "similarity - quantile * _student(quantile, evidence) * spread",
         "similarity + quantile * _student(quantile, evidence) * spread", AT_ONCE),
        ("_keep", "known - known.mean(axis=1, keepdims=True)", "known", LEVELS),
        ("_keep", "lax.map(largest, every).max(axis=0)", "lax.map(largest, every)[0]", SETS),
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
