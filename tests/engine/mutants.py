"""Mutants of how replicates are computed, each with the tests that must see it."""

from mutation import of


def rows(metric: str) -> str:
    """Replicates by rows against the dense product, for one metric."""
    return f"test_resampling.py::test_rows_give_the_replicates_of_the_dense_product -k [{metric}-"


PARTS = "test_compilation.py::test_parts_of_a_call_share_a_program"
ACCELERATOR = "test_accelerator.py -k 'replicates or lists'"
MADE_UP = "test_resampling.py -k made_up_for"
STEPS = "test_resampling.py::test_steps_hold_the_places_of_a_blocks_concepts"
RANGE = "test_resampling.py::test_replicates_stay_within_their_range"
ERRORS = "test_resampling.py -k errors_of_auroc"
COUNTED = "test_resampling.py::test_the_range_counts_replicates_and_the_chance_to_miss_a_concept"
PRODUCT = "test_null.py::test_counts_are_the_product"
HALVES = "test_selection.py::test_equals_a_loop_over_replicates_and_halves"
STREAMED = "test_streaming.py::test_effective_units_of_rows_in_blocks"
PASSES = "test_streaming.py::test_passes_give_the_bootstrap_of_all_rows"
CUT = "test_streaming.py::test_neither_chunks_nor_memory_nor_files_change_the_result"
ENDS = "test_sets.py::test_similarities_at_the_ends_of_the_range_tell_nothing"
SCALE = "test_sets.py::test_scales_keep_the_order -k x64"
FOLLOWED = "test_sets.py::test_what_trails_by_less_than_six_errors_is_followed"

UNITS = "test_unit_lists.py"
PARTS_OF_LISTS = "test_unit_lists.py::test_parts_from_lists_of_several_lengths_equal_a_loop"
PART_LOOP = "test_part_scores.py -k 'equals_a_loop and iou'"

MUTANTS = [
    *of(
        "_engine/neuron_view.py",
        ("_doubled.doubled", "2 * up_to.astype(jnp.int32) - whole", "2 * up_to.astype(jnp.int32)",
         "test_byte_products.py -k plain_formula"),
        ("_doubled.doubled", "ordered.up_to.before.dtype",
         "ordered.up_to.within.dtype", "test_byte_products.py -k plain_formula"),
        ("_doubled.doubled", "(low + high).astype(jnp.int32)", "(2 * high).astype(jnp.int32)",
         "test_byte_products.py -k plain_formula"),
        ("_SortedWeights.around",
         "self.up_to.at(first, self.dtype) - self.at(self.weights, first)",
         "self.up_to.at(first, self.dtype)", rows("auroc")),
        ("_read_ranked", "column_total(weighted * rank) - total * offset**2",
         "column_total(weighted * rank)", rows("spearman")),
        ("_read_ranked", "total - drawn.cubes / total**2", "total",
         "test_resampling.py -k few_ties"),
        ("_tie_corrections", "true - false", "false - true", "test_resampling.py -k few_ties"),
        ("_tie_corrections", "true + false", "true - false", "test_resampling.py -k few_ties"),
        ("_SortedWeights.rank", "2 * self.base.weight", "self.base.weight", rows("auroc")),
        ("_terms.terms", "high - w", "high", "test_resampling.py -k few_ties"),
    ),
    *of(
        "_engine/rank_digits.py",
        ("pieces_of", "jnp.minimum(every, num_rows - 1)", "every // 2",
         "test_byte_products.py -k plain_formula"),
        ("pieces_of", "jnp.pad(drawn.weights, ((0, short), (0, 0)))",
         "jnp.pad(drawn.weights, ((short, 0), (0, 0)))", "test_byte_products.py -k plain_formula"),
        ("Pieces.product.step", "total + product_of_bytes(present, x)",
         "product_of_bytes(present, x)", "test_byte_products.py -k plain_formula"),
    ),
    *of(
        "_engine/rows.py",
        ("_by_blocks.step", "place < stop", "place < stop - 1", ACCELERATOR),
        ("_scale", "2 * jnp.sqrt(jnp.maximum(read.square / drawn.total, 0))[0]",
         "jnp.sqrt(jnp.maximum(read.square / drawn.total, 0))[0]",
         "test_resampling.py -k floor_of_spearman"),
        ("rows_replicates",
         "jnp.where(none, -jnp.inf, winning * scale).min(axis=1, keepdims=True)",
         "jnp.where(none, -jnp.inf, winning * scale).max(axis=1, keepdims=True)", MADE_UP),
        ("_two_ranks", "s.C * (1 - share) / 4", "s.C * (1 - share) / 2", rows("spearman")),
        ("_two_ranks", "s.FC - share * s.F", "s.FC", rows("simulation_auroc")),
        ("_higher", "lax.select(y > x, y, x)", "lax.select(y < x, y, x)", MADE_UP),
        ("rows_replicates", "column.min(axis=1)", "column.max(axis=1)",
         "test_resampling.py -k dense_product"),
        ("_value", "(concept >= 0)[:, None] & drawn.concept_varies[some]",
         "(concept >= 0)[:, None]", "test_resampling.py -k dense_product"),
    ),
    *of(
        "_engine/unit_lists.py",
        ("active_units", "sums_of_pairs(probe.present, probe.weights, rows, first)",
         "sums_of_pairs(probe.present, jnp.ones_like(probe.weights), rows, first)", UNITS),
    ),
    *of(
        "_engine/draws.py",
        ("drawn_of", "index.unit_weight - index.present", "index.unit_weight", UNITS),
    ),
    *of(
        "resampling/unit_parts.py",
        ("_of_lists", "jnp.arange(halves, dtype=jnp.int32) ^ 1",
         "jnp.arange(halves, dtype=jnp.int32)", PART_LOOP),
        ("_of_lists", "positives < size[:, None]", "positives <= size[:, None]", PARTS_OF_LISTS),
        ("score_unit_parts", "begin[kind] + place", "place", PARTS_OF_LISTS),
    ),
    *of(
        "_runtime/chunks.py",
        ("Scattered.fill", "whole[place]", "whole[: len(place)]", PARTS),
    ),
    *of(
        "_engine/run_rows.py",
        ("_better", "(b > a) | ((b == a) & (won_too >= 0) & (won_too < won))", "b >= a", MADE_UP),
        ("run_rows.run", "_some(plan.rest, reached)", "_some(plan.rest, ~reached)", MADE_UP),
    ),
    *of(
        "_engine/row_lists.py",
        ("_ranked_table.column", "place >= low", "place > low", ACCELERATOR),
        ("_ranked_ties.column", 'x.at[rows].get(mode="clip") - moved',
         'x.at[rows].get(mode="clip")', ACCELERATOR),
        ("_on_device", "tied - span", "tied", ACCELERATOR),
    ),
    *of(
        "_engine/row_index.py",
        ("_steps", "present[some].any(axis=0)", "present[some].all(axis=0)", STEPS),
        ("_steps", "taken, taken + len(table)", "taken + 1, taken + len(table)", STEPS),
        ("with_steps", "x + STEPS", "x", MADE_UP),
    ),
    *of(
        "_engine/screening.py",
        ("_log_error", "4 * len(_rule_of(metric).parts) + 2", "1e-30", RANGE),
        ("_bounds", "jnp.where((rarer >= log_error)[None, :], lower, -jnp.inf)", "lower", COUNTED),
        ("replicate_range", "log_error / taken", "log_error * taken",
         "test_resampling.py -k 'screen or range'"),
        ("_log_error", "events * observed.size * num_replicates", "events * observed.size",
         COUNTED),
        ("_log_error", "events * observed.size", "events", COUNTED),
        ("_errors_of_ranks", "part(square, number, absent) + part(rest, absent, number)",
         "part(square, number, absent)", ERRORS),
        ("_errors_of_ranks.part", "jnp.minimum(limit, most)", "most", ERRORS),
    ),
    *of(
        "_engine/counts.py",
        ("count_rows", "every[None, :] - found", "found", PRODUCT),
        ("shorter_lists", "on ^ others", "on", PRODUCT),
        ("", "range(BURST, 256, BURST)", "range(2 * 256, 3 * 256, BURST)", PRODUCT),
        ("list_rows", "np.where(others, len(table) - lists.lengths, lists.lengths)",
         "lists.lengths", PRODUCT),
        ("_joined", "pieces.max() > 1", "pieces.max() > 99", PRODUCT),
        ("similarity_of_counts", "(f > 0) & (f < size)", "(f >= 0) & (f <= size)", HALVES),
        ("count_rows", "listed.total if total is None else total", "listed.total",
         "test_null.py::test_counts_of_some_rows"),
    ),
    *of(
        "_engine/candidates.py",
        ("stable_scale", "_arcsine_of_root(inside)", "inside", SCALE),
        ("_arcsine_of_root", "share > 0.25", "share > 0.4",
         "test_sets.py::test_the_arcsine_of_a_root_is_exact_to_the_last_places"),
        ("choose", "FAR_BEHIND * (spread + spread[best])", "spread + spread[best]", FOLLOWED),
        ("_has_enough_evidence", "evidence >= least", "evidence >= 0 * least", ENDS),
        ("_rounding", "4 * float(jnp.finfo(similarity.dtype).eps)",
         "0 * float(jnp.finfo(similarity.dtype).eps)", ENDS),
        ("_has_enough_evidence", "(evidence >= least) & above & ~at_top(metric, similarity)",
         "(evidence >= least) & above", ENDS),
        ("_reaching",
         "upper >= jnp.where(has_evidence, lower, -jnp.inf).max(axis=1, keepdims=True)",
         "upper > jnp.where(has_evidence, lower, -jnp.inf).max(1, keepdims=True) + 0.02",
         "test_resampling.py::test_screening_leaves_out_none_that_wins"),
        ("_reaching", "jnp.where(has_evidence, lower, -jnp.inf)", "lower",
         "test_sets.py test_resampling.py -k 'evidence or screen'"),
    ),
    *of(
        "_engine/streamed_evidence.py",
        ("_Columns.of", "np.where(np.abs(c - whole) < ROUNDING, whole, c)", "c", STREAMED),
        ("_of_block.one", "summed(used * column, own)", "summed(used * column, 0 * own)",
         STREAMED),
        ("_of_block.summed", "jax.ops.segment_sum(x, unit, num_units).at[0].add(first)",
         "jax.ops.segment_sum(x, unit, num_units)", STREAMED),
    ),
    *of(
        "_engine/stream_reader.py",
        ("Reader.check_again", "self.num_read != num_rows", "self.num_read > num_rows",
         "test_streaming.py::test_bad_sources_are_named"),
        ("Reader.blocks", "np.pad(unit, (0, short), constant_values=-1)",
         "np.pad(unit, (0, short), constant_values=0)", f"{PASSES} -k iou-False"),
        ("Reader._with_units", "np.r_[labels[index[0]] != last, index[1:] != index[:-1]]",
         "np.r_[True, index[1:] != index[:-1]]", f"{PASSES} -k iou-True"),
        ("Reader._with_units", "unit += len(f)", "unit += len(f) - 1", f"{PASSES} -k iou-False"),
        ("Reader._viewed", "np.greater_equal if self.inclusive else np.greater", "np.greater",
         "test_streaming.py -k inclusive"),
        ("Reader._viewed", "(f - self.off[0][0]) / self.off[0][1]", "f - self.off[0][0]",
         "test_streaming.py -k squares"),
        ("Reader._share", "unit - first * UNITS_A_BLOCK", "unit", "test_streaming.py"),
        ("add_on_host", "x.astype(np.float64)", "np.array(x)",
         "test_streaming.py::test_counts_are_exact_beyond_single_precision"),
    ),
    *of(
        "_engine/streamed_replicates.py",
        ("_Passes.compute", "jnp.arange(start, start + self.size)", "jnp.arange(self.size)", CUT),
        ("_block_sums", "exact_product(concepts**2, w, dtype)", "c", f"{PASSES} -k correlation"),
        ("_block_sums.neuron", "(x * own[:, None]).sum(axis=0)", "f", f"{PASSES} -k correlation"),
        ("_value", "varies[0] & varies[1]", "varies[0] | varies[1]", PASSES),
        ("_spread", "jnp.nanstd(deviation, axis=1)", "0 * jnp.nanstd(deviation, axis=1)",
         "test_streaming.py"),
        ("_winners", "np.minimum.reduceat(column, begins, axis=0)",
         "np.maximum.reduceat(np.where(leads, concept[:, None], -1), begins, axis=0)",
         "test_streaming.py -k first_wins"),
    ),
]  # fmt: skip
