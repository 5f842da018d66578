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
        ("LayerData.probe", "number * probe.top_fraction < 1", "number * probe.top_fraction < 0",
         "test_runs.py::test_options_have_an_effect_or_are_refused_before_any_work"),
    ),
]  # fmt: skip
