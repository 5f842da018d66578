"""Mutants of formulas of concepts, each with the tests that must see it."""

from mutation import of

MEANING = "test_formulas.py::test_a_canonical_form_is_a_meaning"
NODES = "test_search.py::test_bounds_of_nodes_hold_and_a_search_from_nothing_is_exhaustive"
BEST = "test_search.py::test_both_searches_find_the_best_of_all_formulas"
SOFT = "test_search.py::test_soft_concepts_are_joined_by_their_values"
KINDS = "test_search.py -k 'kinds_are or lies_in_its_range'"
JUDGED = "test_judgement.py -k 'p_values or error_of_a_lead'"
SINGLE = "test_judgement.py::test_a_single_concept_is_not_better_than_itself"
HALVES = "test_compose.py::test_numbers_are_those_of_the_halves"

MUTANTS = [
    *of(
        "composition/formulas.py",
        ("canonical", "run * 2 + negated", "run * 2", MEANING),
        ("canonical", "is_or[..., 1:2]", "is_or[..., 0:1]", MEANING),
        ("evaluate", "value + other - both", "value + other", SOFT),
        ("count_formulas", "math.comb(left, size) * signs**size", "math.comb(left, size)", MEANING),
        ("written", "(last == OR) != (join == OR)", "last != join",
         "test_formulas.py::test_a_formula_is_written_with_the_brackets_it_needs"),
    ),
    *of(
        "composition/sums.py",
        ("_all_rows", "(weights[:, None] * f).T", "f.T", f"{BEST} -k 'auroc and True'"),
        ("score", "columns.least <= C", "columns.least > -1",
         "test_search.py::test_a_formula_holds_on_enough_samples"),
        ("_overlaps", "columns.weights[:, None] * truth**a", "truth**a", f"{BEST} -k True"),
    ),
    *of(
        "composition/beam.py",
        ("_joined_sums", "own + other - both", "own + other", BEST),
        ("_joined_squares", "2 * (ab - a2b - ab2)", "2 * (ab - a2b)", SOFT),
        ("beam_search", "beam.score > -np.inf", "beam.score > -np.inf * 0", BEST),
        ("_best", "drop |= _repeats(_truth(found.formulas, packed))", "drop |= False",
         "test_search.py::test_a_beam_drops_what_holds_on_the_same_samples"),
        ("_adds", "fresh[:, None] & ~own", "fresh[:, None]", SOFT),
    ),
    *of(
        "composition/bounds.py",
        ("triple_range", "jnp.minimum(jnp.minimum(ab, ac), bc)", "jnp.minimum(ab, ac) / 2", KINDS),
        ("triple_range", "ac + bc - c", "ac + bc", KINDS),
        ("_join", "sign * i", "i", KINDS),
        ("upper_bound", "jnp.maximum(P + jnp.maximum(known.Q, 0), columns.least)",
         "jnp.maximum(P + 2 * known.Q, columns.least)", "test_search.py -k 'grows_with_hits'"),
    ),
    *of(
        "composition/triples.py",
        ("best_pair", "np.divmod(place, len(operators))", "np.divmod(place, 9)", BEST),
        ("triple_scores", "Q[4] <= Q[3]", "Q[4] < 0", NODES),
        ("node_bounds", "P + jnp.minimum(P, others)", "P", NODES),
        ("_with_one_more", "hit + p[c]", "hit", NODES),
    ),
    *of(
        "composition/optimal.py",
        ("_Search.run", "np.maximum.at(bound, nodes.neuron, nodes.bound)", "None",
         "test_search.py::test_a_search_that_stops_says_how_much_better_a_formula_can_be"),
        ("_Search._take_over", "value[first] > self.value[neuron]", "value[first] < -1", BEST),
    ),
    *of(
        "composition/search.py",
        ("search", "np.argsort(np.concatenate(members))", "np.concatenate(members)",
         "test_search.py::test_blocks_sparsity_and_unused_samples_change_nothing"),
    ),
    *of(
        "composition/conditional.py",
        ("by_counts", "stratum & x", "x & True", JUDGED),
        ("_tail", "law[seen:].sum()", "law[seen + 1:].sum()", JUDGED),
        ("by_units", "(product**4).sum(axis=0)", "(product**2).sum(axis=0)", JUDGED),
        ("_residual", "slope * moved", "0 * moved", JUDGED),
    ),
    *of(
        "composition/judgement.py",
        ("_compare_block", "np.maximum(of_lead, _conditional(probe, metric, last, first))",
         "of_lead",
         "test_judgement.py::test_the_p_value_is_the_larger_of_two"),
        ("_compare_block", "np.where(column[0] < 0, np.nan, p_value)", "p_value", SINGLE),
        ("certified_lower", "alpha / num_formulas", "alpha",
         "test_judgement.py::test_the_certificate_holds_for_all_formulas_at_once"),
        ("overlap", "np.maximum", "np.minimum",
         "test_judgement.py::test_overlap_is_the_jaccard_index_of_what_two_formulas_select"),
    ),
    *of(
        "composition/layer_formulas.py",
        ("search_halves", "top_thresholds(first, probe.top_fraction)",
         "top_thresholds(probe, probe.top_fraction)", HALVES),
        ("_of_columns", "judged[np.maximum(concept, 0)]", "concept",
         "test_compose.py::test_rare_concepts_are_left_out_and_columns_are_those_given"),
        ("compose", "max(1, -(-min_positives // 2))", "min_positives * 100",
         "test_compose.py::test_planted_formulas_are_found_and_called_better"),
    ),
    *of(
        "faithfulness/jackknife.py",
        ("_leads", "first - second", "first + second", JUDGED),
    ),
]  # fmt: skip
