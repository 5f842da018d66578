"""Mutants of host arrays and their memory, each with the tests that must see it."""

from mutation import of

BUFFERS = "test_buffers.py"
KEPT = "test_kept.py"

MUTANTS = [
    *of(
        "_runtime/buffers.py",
        ("empty", "(ctypes.c_char * size).from_buffer(memory, -memory.ctypes.data % ALIGNED)",
         "(ctypes.c_char * size).from_buffer(memory, 1)",
         BUFFERS),
        ("_Spare.put", "self.users > 0", "False", BUFFERS),
        ("_Spare.take", "size <= len(x) <= 2 * size", "size <= len(x)", BUFFERS),
        ("memory_taken_over", "_SPARE.users == 0", "False", BUFFERS),
    ),
    *of(
        "_runtime/kept.py",
        ("_Kept.claim", "all(x in self.arrays for x in known)", "True", KEPT),
        ("_Kept.claim", "call, form, *known, *where", "call[:1], form, *known, *where", KEPT),
        ("_Kept.claim", "call, form, *known, *where", "call, form, *known", KEPT),
        ("_Kept.claim", "call, form, *known, *where", "call, *known, *where", KEPT),
        ("_Kept.drop", "gone.isdisjoint(x[0])", "True", KEPT),
        ("_Kept.drop", "{i for i, named in self.arrays.items() if not named}", "set(self.arrays)",
         KEPT),
    ),
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
