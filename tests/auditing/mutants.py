"""Mutants of audits, each with the tests that must see it."""

from mutation import of


def loop(metric: str) -> str:
    """The naive loop over samples for one metric."""
    return f"test_metrics.py::test_equals_naive_loop_on_ties -k x64-{metric}-"


COMPARED = "test_comparison.py -k 'not cover'"
JACKKNIFE = "test_comparison.py::test_errors_are_those_of_the_jackknife_over_folds"
ENDLESS = "test_comparison.py::test_limits_of_stability_tell_what_other_replicates_give"
SAME_LABELS = "test_comparison.py::test_labels_given_are_those_of_all_replicates"
JUDGED = "test_verdicts.py::test_the_first_rule_that_applies"
SETTLED = "test_verdicts.py::test_a_certified_neuron_has_the_set_of_its_certificate"
MERGED = "test_verdicts.py::test_sets_under_one_root_are_one_answer"
SHARES = "test_comparison.py::test_shares_are_of_the_neurons_that_have_a_label"
SUMS = "test_composite_labels.py::test_a_weighted_sum_has_the_similarity_of_the_plain_sum"
WRONG = (
    "test_composite_labels.py::test_labels_that_are_merely_wrong_are_hardly_ever_taken_for_shifted"
)
SHIFTED = "test_composite_labels.py::test_labels_of_the_neuron_before_or_after_are_found"
SHIFTLESS = "test_composite_labels.py::test_few_or_undefined_labels_show_no_shift"

MUTANTS = [
    *of(
        "auditing/vocabulary.py",
        ("left_out_text", "needed / k", "k / needed",
         "test_vocabulary.py::test_the_text_says_how_much_larger_a_set_is_needed"),
        ("judged_concepts", 'metric.concept_view == "binary"', 'metric.concept_view == "rank"',
         "test_vocabulary.py::test_probabilities_below_the_threshold_are_judged_by_metrics_th"
         "at_read_them"),
    ),
    *of(
        "auditing/result.py",
        ("Audit.formula", "found is not None and found.better[neuron]", "found is not None",
         "test_compositions.py::test_formulas_are_those_of_compose_and_nothing_else_changes"),
    ),
    *of(
        "auditing/compositions.py",
        ("compose_layer", "jax.random.fold_in(key, OWN_SEED)", "key",
         "test_compositions.py::test_formulas_are_those_of_compose_and_nothing_else_changes"),
        ("_joins_values", "not probe.binary_concepts", "True",
         "test_compositions.py::test_hard_concepts_are_not_joined_by_values"),
        ("compose_layer", "fingerprint(compose, ranges or 0, min_positives, "
         "list(probe.concept_names), similarity)", "fingerprint(compose)",
         "test_compositions.py::test_a_finished_search_is_stored"),
    ),
    *of(
        "auditing/given_columns.py",
        ("on_given_columns.given", "column[label]", "label",
         "test_vocabulary.py::test_an_audit_is_that_of_the_judged_concepts_in_the_columns_given"),
    ),
    *of(
        "auditing/result.py",
        ("Audit.ranked", "-np.nan_to_num(x, nan=-np.inf)", "np.nan_to_num(x, nan=-np.inf)",
         "test_audit.py::test_ranked_puts_the_surest_of_the_best_verdict_first"),
    ),
    *of(
        "auditing/changes.py",
        ("compare_audits", "in_first[theirs]", "theirs", "test_changes.py -k another_order"),
        ("compare_audits", "second.concept_set[neurons][:, concepts]",
         "second.concept_set[neurons]", "test_changes.py -k another_order"),
        ("compare_audits", "shared == 0", "shared >= 0", "test_changes.py -k firm"),
        ("compare_audits", "np.isin(verdict, FIRM).all(axis=0)", "np.isin(verdict, FIRM)[0]",
         "test_changes.py -k firm"),
        ("compare_audits", "judged[label].all(axis=0)", "True", "test_changes.py -k firm"),
        ("AuditChanges.same_label", "self.label[0] >= 0", "True",
         "test_changes.py -k firm"),
    ),
    *of(
        "metrics/scores.py",
        ("check_ranges", 'metric.neuron_view != "binary"', "False",
         "test_ranges_of_neurons.py::test_an_audit_of_ranges_refuses_before_it_works"),
        ("check_ranges", "activation_range is not None", "False",
         "test_ranges_of_neurons.py::test_an_audit_of_ranges_refuses_before_it_works"),
    ),
    *of(
        "auditing/fit.py",
        ("_tops", "probe.num_ranges == 1", "True",
         "test_ranges_of_neurons.py::test_each_range_of_a_neuron_has_its_own_label"),
        ("label_fit", "top_units[:, None]", "0", "test_fit.py -k loop"),
        ("_tops", "first <= place", "first <= len(rows)", "test_fit.py -k loop"),
        ("_tops", "np.sort(np.unique(groups[rows], return_index=True)[1])",
         "np.unique(groups[rows], return_index=True)[1]", "test_fit.py -k loop"),
        ("LabelFit.poor", "2 * self.label_hits", "self.label_hits", "test_fit.py -k poor"),
    ),
    *of(
        "auditing/composite_labels.py",
        ("with_weighted_sums", "concepts @ weights - low", "concepts @ weights", SUMS),
        ("with_weighted_sums", "high - low", "high", SUMS),
        ("with_weighted_sums", "weights[column[name], k] += weight",
         "weights[column[name], k] += abs(weight)", SUMS),
        ("join_features", "part.min(axis=1)", "part.max(axis=1)",
         "test_composite_labels.py::test_a_group_is_active_where_all_of_its_features_are"),
        ("feature_groups", "len(known) < len(features)", "not known",
         "test_composite_labels.py::test_groups_that_there_are_not"),
    ),
    *of(
        "auditing/label_checks.py",
        ("match_labels", "text in exact", "None in exact",
         "test_published.py::test_an_exact_name_comes_before_a_loose_one"),
        ("find_shift", "np.fmax(at[0], at[-step])", "at[0]", WRONG),
        ("find_shift", "np.fmax(at[0], at[-step])", "at[-step]", SHIFTLESS),
        ("find_shift", "better - 1", "better", SHIFTLESS),
        ("find_shift", "bdtrc(better - 1, compared, 0.5) <= 0.001", "True", SHIFTLESS),
        ("find_shift", "neurons + step", "neurons - step", SHIFTED),
    ),
    *of(
        "auditing/comparison.py",
        ("_spread", "np.nanstd(np.where(some, values, 0), axis=0, ddof=1)",
         "np.nanstd(np.where(some, values, 0), axis=0, ddof=0)", COMPARED),
        ("_compared.similarity", "[left[0] - left[1]] if shared else left", "left", JACKKNIFE),
        ("_compared.similarity", "[left[0] - left[1]] if shared else left", "[left[0] - left[1]]",
         JACKKNIFE),
        ("_compared", "_spread(shares[0] - shares[1]) / np.sqrt(num_replicates)",
         "_spread(shares[0] - shares[1])", ENDLESS),
        ("_Side.labels_of_replicates", "self.given", "False", SAME_LABELS),
        ("_compared", "NormalDist().inv_cdf(1 - alpha / 2)", "NormalDist().inv_cdf(1 - alpha)",
         COMPARED),
        ("compare", "key if shared else jax.random.fold_in(key, 1)", "jax.random.fold_in(key, 1)",
         COMPARED),
        ("_compared", "(alpha / 2, 1 - alpha / 2)", "(alpha, 1 - alpha)", SHARES),
        ("compare.resampled", "np.asarray(label)", "0 * np.asarray(label)", COMPARED),
        ("_share_alike", "(names[0] == names[1])[both]", "names[0] == names[1]", SHARES),
        ("_Side.stable", "np.where(self.best >= 0, self.winners == self.best, np.nan)",
         "1.0 * (self.winners == self.best)", SHARES),
    ),
    *of(
        "auditing/verdicts.py",
        ("judge", "x.q_value > alpha", "x.q_value >= alpha", JUDGED),
        ("judge", "x.q_value > alpha", "x.q_value > alpha and x.proved[0] != 1", JUDGED),
        ("judge", "x.proved[0] == 1", "x.proved[0] == 1 and x.label_judged", JUDGED),
        ("judge",
         'if not x.label_judged: return Judgement(Verdict.UNDECIDED, f"too little evidence '
         'on the label itself ({x.positives})")',
         "if not x.label_judged and x.answers[0] <= 1: return Judgement(Verdict.UNDECIDED, "
         'f"too little evidence on the label itself ({x.positives})")',
         JUDGED),
        ("judge", "x.answers[0] > 1", "x.answers[0] > 1 and x.probability < 0.95", JUDGED),
        ("judge", "not x.probability >= 1 - alpha", "x.probability < 1 - alpha", JUDGED),
        ("judge", "x.probability >= 1 - alpha", "x.probability > 1 - alpha", JUDGED),
    ),
    *of(
        "auditing/hierarchy.py",
        ("merge_answers", "path[0]", "path[-1]", MERGED),
        ("_shared", "takewhile(lambda step: len(set(step)) == 1, zip(*paths, strict=False))",
         "filter(lambda step: len(set(step)) >= 1, zip(*paths, strict=False))", MERGED),
        ("_shared", '[""] + [step[0] for step in same]', '([""] + [step[0] for step in same])[:2]',
         MERGED),
    ),
    *of(
        "auditing/judging.py",
        ("judge_layer", "np.where(certified, proved, headline)", "headline", SETTLED),
        ("judge_layer", 'np.where(certified, proved, record["calibrated_set"])',
         'record["calibrated_set"]', SETTLED),
        ("judge_layer", 'record["untested"] & ~certified', 'record["untested"]', SETTLED),
        ("judge_layer", "merge_answers(concept_set, names, concepts.hierarchy)",
         "merge_answers(headline, names, concepts.hierarchy)", SETTLED),
        ("_judgements", 'int(proved.size[u]) * record["finite_sample"]', "int(proved.size[u])",
         SETTLED),
        ("_judgements", 'not record["untested"][u, label]', "True", SETTLED),
    ),
]  # fmt: skip
