"""Mutants of host arrays, each with the tests that must see it."""

from mutation import of

MUTANTS = [
    *of(
        "_runtime/host_arrays.py",
        ("to_device", "jax.device_put(x.astype(dtype))", "jnp.asarray(x).astype(dtype)",
         "test_inputs.py::test_integers_of_64_bits_are_rounded_and_never_cut"),
        ("to_device", "jax.device_put(x.astype(dtype))",
         "jax.device_put(x.astype(dtype, copy=False))",
         "test_inputs.py::test_later_changes_of_an_array_are_not_seen"),
        ("_host", '("resolve_conj", "resolve_neg")', '("resolve_conj",)',
         "test_inputs.py::test_a_sign_kept_as_a_flag_is_resolved"),
    ),
]  # fmt: skip
