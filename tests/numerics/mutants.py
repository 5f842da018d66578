"""Mutants of sums and ranks, each with the tests that must see it."""

from mutation import of


def loop(metric: str) -> str:
    """The naive loop over samples for one metric."""
    return f"test_metrics.py::test_equals_naive_loop_on_ties -k x64-{metric}-"


WEIGHTS = "test_metrics.py::test_integer_weights_equal_repeated_rows"
PARTS = "test_compilation.py::test_parts_of_a_call_share_a_program"
TWICE = "test_metrics.py::test_the_two_ways_to_rank_agree"
TILES = "test_resampling.py::test_running_total_is_a_cumulative_sum"
FOLDED = "test_comparison.py::test_cross_fitting_equals_a_loop_over_folds"

DIGITS = "test_byte_products.py"
MEMBERS = "test_ranks.py::test_ranks_among_members"

MUTANTS = [
    *of(
        "_numerics/byte_products.py",
        ("whole_product", "digits_of(values, digits_needed(largest))", "digits_of(values, 1)",
         f"{DIGITS}::test_products_of_whole_numbers"),
        ("by_bytes", "digits_needed(largest) < MOST_DIGITS", "digits_needed(largest) > 0",
         f"{DIGITS}::test_products_of_whole_numbers"),
        ("digits_needed", "127 * (256**number - 1) // 255", "128 * (256**number - 1) // 255",
         f"{DIGITS}::test_digits_hold_every_number_up_to_the_largest"),
        ("digits_of", "128 * (256**number - 1) // 255", "127 * (256**number - 1) // 255",
         f"{DIGITS}::test_digits_hold_every_number_up_to_the_largest"),
        ("number_from_digits", "highest + carry", "highest",
         f"{DIGITS}::test_a_product_of_digits_is_the_product_of_whole_numbers"),
        ("number_from_digits", "x + carry", "x",
         f"{DIGITS}::test_a_product_of_digits_is_the_product_of_whole_numbers"),
    ),
    *of(
        "_numerics/ranks.py",
        ("mid_ranks", "(low + high) / (2 * below[-1:])", "low / below[-1:]", loop("auroc")),
        ("_ranking_by_xla", "position + 1", "position", TWICE),
        ("_as_integers", "jnp.where(bits < 0, bits ^ jnp.iinfo(whole).max, bits)", "bits", TWICE),
        ("_ranking_by_numpy", "position + 1", "position", loop("auroc")),
        ("_in_columns", "np.abs(columns) < np.finfo(columns.dtype).tiny", "np.abs(columns) < 0",
         "test_extremes.py::test_denormals_are_zeros -k auroc"),
        ("rank_from_top", "above, at_or_above", "above, above", loop("wpmi_topk")),
        ("twice_below", "r.first > 0", "r.first >= 0", MEMBERS),
        ("twice_below", "storage.store(r.order, num_rows)", "r.order", MEMBERS),
        ("twice_below", "num_rows < 2**16", "num_rows > 0", MEMBERS),
    ),
    *of(
        "_numerics/sums.py",
        ("Tiling.stored", "place % self.tile * self.tiles + place // self.tile",
         "place // self.tile * self.tiles + place % self.tile", TILES),
        ("tiled_total", "within[-tiling.tiles :]", "within[: tiling.tiles]", TILES),
        ("weighted_sums", "weights[:, None] * f", "f", f"{WEIGHTS} -k [iou"),
        ("weighted_sums", "f * f", "f", loop("cosine")),
        ("weighted_sums", "weighted_total(c * c, weights)", "(c * c).sum(axis=0)",
         f"{WEIGHTS} -k [cosine"),
        ("tiled_total", "running_total(each) - each", "running_total(each)",
         "test_resampling.py::test_running_total_is_a_cumulative_sum"),
        ("tiled_total", "_whole_before(each.astype(jnp.int32))", "_whole_before(each)",
         "test_resampling.py::test_running_total_is_a_cumulative_sum"),
        ("_row_by_row.compensated", "row - excess", "row - 0 * excess",
         "test_resampling.py::test_running_total_keeps_its_digits"),
        ("about_own_means", "s.FC - s.F * s.C / size", "s.FC", FOLDED),
        ("about_own_means", "s.FF - s.F**2 / size if neurons else s.FF", "s.FF", FOLDED),
        ("power_sum", "jnp.matmul(weighted.T, c**b, precision=lax.Precision.HIGHEST)",
         "jnp.matmul(weighted.T, c, precision=lax.Precision.HIGHEST)",
         "test_influence.py::test_moments_equal_gradients -k [correlation"),
    ),
    *of(
        "_numerics/moments.py",
        ("standard_deviation", "square / some - (total / some) ** 2", "square / some",
         "test_resampling.py::test_spread_is_the_standard_deviation_of_what_is_defined"),
    ),
    *of(
        "_numerics/packing.py",
        ("pad_to_equal_length", "longest - len(x)", "round_up_shape(len(x)) - len(x)", PARTS),
    ),
]  # fmt: skip
