"""Mutants of permutation tests, each with the tests that must see it."""

from mutation import of

PERMUTED = "test_null.py::test_equals_a_loop_over_the_same_permutations -k [iou"
SUMS_OF_RANKS = "test_null.py::test_a_product_gives_the_sums_of_ranks"

MUTANTS = [
    *of(
        "chance/p_values.py",
        ("compare.share", "1 + reached.sum(axis=0, dtype=jnp.int32)",
         "reached.sum(axis=0, dtype=jnp.int32)", PERMUTED),
        ("compare", "every.shape[0]", "null.shape[0]", PERMUTED),
        ("compare", "null >= (observed - slack)[None, :]", "null > (observed + slack)[None, :]",
         "test_null.py -k 'ties or constant'"),
        ("compare", "z[1:].max(axis=1, keepdims=True)", "z[1:]", PERMUTED),
        ("compare", "ordered.shape[0] - rank", "ordered.shape[0] - rank + 1", PERMUTED),
        ("adjusted", "number / jnp.arange(1, p.shape[0] + 1, dtype=p.dtype)",
         "1 / jnp.arange(1, p.shape[0] + 1, dtype=p.dtype)", "test_null.py -k 'x64 and hochberg'"),
        ("adjusted", "(~jnp.isnan(p)).sum(dtype=jnp.int32)", "jnp.asarray(p.shape[0], jnp.int32)",
         "test_null.py -k 'x64 and hochberg'"),
        ("adjusted", "lax.cummin(jnp.where(jnp.isnan(scaled), 1, scaled), reverse=True)",
         "lax.cummin(jnp.where(jnp.isnan(scaled), 1, scaled))",
         "test_null.py -k 'x64 and hochberg'"),
    ),
    *of(
        "chance/null.py",
        ("permutation_test", "math.floor(alpha * (num_permutations + 1) * (1 + 1e-9))",
         "math.ceil(alpha * (num_permutations + 1) * (1 + 1e-9))", PERMUTED),
        ("permutation_test", "q_value <= alpha * (1 + 8 * float(jnp.finfo(q_value.dtype).eps))",
         "q_value < alpha * (1 - 8 * float(jnp.finfo(q_value.dtype).eps))",
         "test_null.py::test_a_q_value_of_alpha_itself_is_explained"),
    ),
    *of(
        "chance/permuted_statistics.py",
        ("_six_sums", "weights[:, None] * f", "f",
         "test_null.py::test_weights_stay_with_their_activations"),
        ("ByRanks.best", "scale / 2", "scale / 1", SUMS_OF_RANKS),
        ("ByRanks.best",
         "jnp.zeros_like(rows).at[rows].set(jnp.arange(num_samples, dtype=rows.dtype))",
         "jnp.zeros_like(rows).at[:].set(rows + 0 * jnp.arange(num_samples, dtype=rows.dtype))",
         SUMS_OF_RANKS),
        ("ByRanks.best", "2 * num_samples**2", "num_samples**2", SUMS_OF_RANKS),
        ("ByRanksAndProduct.best", "jnp.fmax(self.common.best(rows, metric), of_rare)",
         "jnp.maximum(self.common.best(rows, metric), of_rare)", SUMS_OF_RANKS),
    ),
    *of(
        "chance/permutations.py",
        ("_rows.one", "drawn[jnp.argsort(kind[drawn], stable=True)]", "drawn",
         "test_null.py -k 'strata and (x64 or double)'"),
        ("draw_rows", "high << np.uint64(32) | low", "low",
         "test_null.py::test_every_order_of_units_is_as_likely"),
        ("_rows.one", "start[drawn[unit]] + position", "start[drawn[unit]]",
         "test_null.py::test_every_order_of_units_is_as_likely"),
    ),
]  # fmt: skip
