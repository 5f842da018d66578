"""Mutants of the command and of merged runs, each with the tests that must see it."""

from mutation import of

MUTANTS = [
    *of(
        "runs/merging.py",
        ("_check_same", "not name.startswith(own)", "True",
         "test_merging.py::test_merged_runs_are_the_run_of_all_layers"),
        ("_check_same", '(("inputs", OF_A_LAYER), ("options", ()))', '(("inputs", OF_A_LAYER),)',
         "test_merging.py::test_what_does_not_belong_together_is_refused_in_one_line"),
        ("_distinct", "audit.layer in home", "False",
         "test_merging.py::test_runs_with_names_stay_layers_of_their_own_and_the_page_says_so"),
        ("_merged_inputs", 'activations.setdefault(entry["sha256"], entry)',
         "activations.setdefault(len(activations), entry)",
         "test_merging.py::test_layers_of_one_file_are_merged_in_the_order_given"),
        ("_examples", 'file_hash(file) != entry["sha256"]', "False",
         "test_merging.py::test_what_does_not_belong_together_is_refused_in_one_line"),
    ),
    *of(
        "runs/examples.py",
        ("load_examples", "row[found]", "found",
         "test_runs.py::test_examples_of_a_split_are_those_of_its_own_rows"),
        ("read_saved_examples", "(top < num_samples).all()", "True",
         "test_merging.py::test_saved_rows_of_examples_must_fit"),
    ),
    *of(
        "runs/manifest.py",
        ("options_given", 'not metric.split_share("thresholds" in found)', "True",
         "test_config.py::test_what_was_taken_by_default_follows_from_the_other_options_again"),
        ("options_given", '{"split": DEFAULT_SPLIT, "top_fraction": DEFAULT_TOP_FRACTION}', "{}",
         "test_config.py::test_what_was_taken_by_default_follows_from_the_other_options_again"),
    ),
    *of(
        "cli/show.py",
        ("find_neurons", "number < len(audit.neuron_names)", "number <= len(audit.neuron_names)",
         "test_show.py::test_neurons_are_shown_by_name_or_number_in_every_layer_that_has_them "
         "test_show.py::test_a_name_goes_before_a_number"),
        ("find_neurons", "[audit for audit in audits if neuron in audit.neuron_names]", "[]",
         "test_show.py::test_a_name_goes_before_a_number"),
    ),
    *of(
        "cli/output.py",
        ("_plain", "isinstance(value, float) and not math.isfinite(value)", "False",
         "test_config.py::test_numbers_that_json_does_not_know_are_null"),
    ),
]  # fmt: skip
