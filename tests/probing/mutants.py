"""Mutants of probes, each with the tests that must see it."""

from mutation import of

SCALED = "test_inputs.py -k 'own_scale or single_precision'"
NAIVE = "test_ranges.py::test_ranges_are_those_of_a_naive_loop"

MUTANTS = [
    *of(
        "probing/active_rows.py",
        ("ActiveRows.in_groups", "code[1:] != code[:-1]", "code[1:] == code[1:]",
         "test_unit_sums.py::test_sums_are_those_of_the_matrices"),
        ("ActiveRows.in_groups", "code[1:] != code[:-1]", "code[1:] > code[:-1] + 1",
         "test_unit_lists.py"),
    ),
    *of(
        "probing/sample_weights.py",
        ("canonical_weights", "(share > 0).sum()", "len(share)", SCALED),
        ("_multiples", "scale *= near.denominator", "scale *= 2 * near.denominator", SCALED),
        ("_multiples", "4 * eps * scaled", "4 * eps", SCALED),
        ("_multiples", "scaled - np.rint(scaled)", "scaled - np.rint(share)", SCALED),
        ("canonical_weights", "weights.max()", "1.0", SCALED),
        ("effective_size", "w.sum() ** 2", "len(w) * w.sum()",
         "test_reweighting.py -k 'folds or few_effective'"),
    ),
    *of(
        "probing/groups.py",
        ("_by_hash", "place[index]", "index", "test_inputs.py::test_groups_are_whatever_is_equal"),
        ("_by_hash", "seen.setdefault(label, len(seen))", "seen.setdefault(str(label), len(seen))",
         "test_inputs.py::test_groups_are_whatever_is_equal"),
    ),
    *of(
        "probing/inputs.py",
        ("as_concepts", "_require(c, _zero_or_one, name, what, remedy)",
         "_require(jnp.asarray(c), _zero_or_one, name, what, remedy)",
         "test_inputs.py::test_labels_of_64_bits_are_checked_before_they_are_converted"),
        ("_check_stored", "(column, row)", "(row, column)",
         "test_sparse.py::test_bad_sparse_input_is_named"),
    ),
    *of(
        "probing/active_rows.py",
        ("_of_stored", "mask[rows[~on]] = False", "mask[rows[on]] = False",
         "test_unit_sums.py::test_sums_are_those_of_the_matrices"),
        ("_of_stored", "thresholds <= 0", "thresholds < 0",
         "test_unit_sums.py::test_sums_are_those_of_the_matrices"),
    ),
    *of(
        "probing/thresholds.py",
        ("_top_thresholds", "order[::-1]", "+order",
         "test_probe.py::test_top_fraction_without_ties_takes_exactly_that_many"),
        ("last_kept", "reached[-1]", "len(weights)", "test_fit.py -k leave"),
        ("threshold_at", "values[last + 1]", "values[last]", "test_fit.py -k leave"),
    ),
    *of(
        "probing/construction.py",
        ("split_thresholds", "replace(part, thresholds=found.thresholds)", "part",
         "test_ranges.py::test_a_split_takes_thresholds_and_cuts_from_the_same_part"),
    ),
    *of(
        "probing/ranges.py",
        ("range_edges", "np.clip(edges, -largest, largest)", "edges",
         "test_ranges.py::test_awkward_neurons_get_empty_ranges_and_finite_edges"),
        ("activation_ranges", "np.maximum(cuts, thresholds)", "cuts",
         "test_ranges.py::test_edges_of_other_samples_cut_these"),
        ("activation_ranges", "probe.thresholds_fixed and edges is not None",
         "edges is not None", "test_ranges.py::test_what_a_cut_probe_says_of_itself"),
        ("activation_ranges", "probe.thresholds_fixed and edges is not None",
         "probe.thresholds_fixed", "test_ranges.py::test_what_a_cut_probe_says_of_itself"),
        ("_cuts", "reached - weight / 2", "reached", NAIVE),
        ("_cuts", "reached - weight / 2", "reached - weight", NAIVE),
        ("_cuts", "np.add.reduceat(weights, first)", "np.add.reduceat(weights * 0 + 1, first)",
         NAIVE),
        ("_cuts", "np.append(first, len(values))[above] - 1", "above - 1", NAIVE),
        ("_cuts", "inclusive and place < 0", "False", NAIVE),
        ("_in_ranges", "above & ~higher", "above", NAIVE),
        ("_in_ranges_of_stored", "of_zero < count", "of_zero < 0",
         "test_ranges.py::test_sparse_ranges_are_the_dense_ones_and_stay_sparse"),
        ("_in_ranges_of_stored", "own[active]", "count - 1 - own[active]",
         "test_ranges.py::test_sparse_ranges_are_the_dense_ones_and_stay_sparse"),
    ),
    *of(
        "probing/pooling.py",
        ("_positions_as_samples", "np.repeat(np.arange(x.shape[0]), positions)",
         "np.tile(np.arange(x.shape[0]), positions)",
         "test_pooling.py::test_positions_are_samples_of_the_group_of_their_image"),
        ("_positions_as_samples", "(jnp if isinstance(x, Array) else np).moveaxis(x, axis, -1)",
         "np.swapaxes(x, axis, -1)",
         "test_pooling.py::test_positions_are_samples_of_the_group_of_their_image"),
        ("_pool_block", "block.mean(axis=axes, dtype=np.float64)", "block.mean(axis=axes)",
         "test_pooling.py::test_types_that_a_mean_would_lose"),
    ),
    *of(
        "probing/construction.py",
        ("enough_units", "units >= min_positives", "units > min_positives",
         "test_vocabulary.py::test_at_the_bound_a_concept_is_judged"),
        ("split_thresholds", "probe.top_fraction or DEFAULT_TOP_FRACTION", "DEFAULT_TOP_FRACTION",
         "test_probe.py::test_a_split_takes_the_share_that_the_probe_was_made_with"),
    ),
]  # fmt: skip
