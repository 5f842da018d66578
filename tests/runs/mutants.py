"""Mutants of audits of files, each with the tests that must see it."""

from mutation import of

MUTANTS = [
    *of(
        "runs/options.py",
        ("Options._reads_thresholds", 'get_metric(self.metric).neuron_view == "binary"', "True",
         "test_runs.py::test_a_fifth_is_set_aside_where_thresholds_are_read_and_come_from_the"
         "_data"),
    ),
    *of(
        "runs/inputs.py",
        ("LayerData.probe", "number * top_fraction < least",
         "number * top_fraction < 0",
         "test_runs.py::test_options_have_an_effect_or_are_refused_before_any_work"),
        ("LayerData.probe", "options.ranges or 1", "1",
         "test_ranges_option.py::test_ranges_that_do_not_fit_are_refused"),
        ("LayerData.probe", "activation_ranges(probe, options.ranges)", "probe",
         "test_ranges_option.py::test_without_samples_set_aside_cuts_are_of_the_same_ones"),
    ),
    *of(
        "runs/examples.py",
        ("_spread", "np.linspace(0, len(rows) - 1, SHOWN)", "np.linspace(0, SHOWN - 1, SHOWN)",
         "test_ranges_option.py::test_examples_of_a_range_are_spread_over_its_samples"),
        ("load_examples.examples", "probe.num_ranges > 1", "False",
         "test_ranges_option.py::test_examples_of_a_range_are_spread_over_its_samples"),
    ),
    *of(
        "runs/positions.py",
        ("spread", "np.repeat(np.asarray(values), positions.num_positions, axis=0)",
         "np.concatenate([np.asarray(values)] * positions.num_positions)",
         "test_positions.py::test_concepts_of_images_and_of_positions"),
    ),
    *of(
        "runs/activations.py",
        ("choose_neurons", "[place[name] for name in wanted]", "sorted(place[x] for x in wanted)",
         "test_input_files.py::test_some_neurons_keep_their_numbers_or_names"),
        ("_without_groups", "name != entry", "name == name",
         "test_input_files.py::test_a_table_names_its_neurons_and_concepts"),
    ),
    *of(
        "files/shards.py",
        ("row_shards", "0 if 0 in shards else 1", "0",
         "test_entries.py::test_row_shards_are_one_array_in_order"),
        ("row_shards", "sorted(shards)", "shards",
         "test_entries.py::test_row_shards_are_one_array_in_order"),
        ("RowShards.__getitem__", "max(start - first, 0)", "max(start, 0)",
         "test_entries.py::test_rows_of_shards_are_read_by_slices"),
    ),
    *of(
        "files/names.py",
        ("_by_number", "[numbered[i] for i in range(len(found))]", "list(found.values())",
         "test_entries.py::test_names_by_their_number"),
    ),
    *of(
        "cli/output.py",
        ("log_line", "seconds * (total - done) / (done - first)",
         "seconds * (total - done) / done", "test_command.py::test_a_line_of_the_log"),
        ("log_line", "seconds * (total - done) / (done - first)",
         "seconds * total / (done - first)", "test_command.py::test_a_line_of_the_log"),
    ),
    *of(
        "cli/compilation.py",
        ("remove_oldest", "max(found.st_atime, found.st_mtime)", "found.st_mtime",
         "test_command.py::test_what_was_not_used_for_longest_is_removed_first"),
    ),
]  # fmt: skip
