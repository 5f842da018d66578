"""Mutants of the files and the page of an audit, each with the tests that must see it."""

from mutation import of

MUTANTS = [
    *of(
        "report/saved_audit.py",
        ("_read_arrays", "file_hash(beside) != expected_hash", "not expected_hash",
         "test_saved_audit.py -k missing"),
        ("_fields", "code[text]", "0", "test_audit.py::test_files_read_back"),
        ("_array", "high >= below", "high > below", "test_hostile.py -k that_are_none"),
        ("_formulas", "(NONE, sizes.concepts)", "(NONE, None)", "test_hostile.py -k that_are_none"),
        ("_built", 'content["max_length"]', "sizes.concepts",
         "test_saved_audit.py -k everything_reads_back"),
    ),
    *of(
        "report/columns.py",
        ("audit_columns", "label >= 0", "label >= -1", "test_shown.py -k hold_the_audit"),
        ("_names", "c >= 0", "True", "test_shown.py -k hold_the_audit"),
        ("_formulas", "found.similarity[-1, block]", "found.similarity[0, block]",
         "test_formulas_shown.py -k columns_hold"),
        ("_formulas", "found.description(u) if x else None", "found.description(u)",
         "test_formulas_shown.py -k columns_hold"),
    ),
    *of(
        "report/descriptions.py",
        ("_number", "x == int(x)", "True", "test_shown.py -k those_of_the_file"),
    ),
    *of(
        "report/notebook.py",
        ("changes_html", "np.flatnonzero(changes.changed)", "np.flatnonzero(~changes.changed)",
         "test_changes.py -k notebook"),
        ("compositions_html", "-found.gain[better]", "found.gain[better]",
         "test_formulas_shown.py -k gain_most"),
        ("_text", "escape(cut(text, longest))", "cut(text, longest)",
         "test_hostile.py -k a_notebook_shows"),
    ),
    *of(
        "report/one_neuron.py",
        ("cut", "visible(text[:longest + 1])", "text[:longest + 1]",
         "test_hostile.py -k a_notebook_shows"),
        ("_place", "0 <= neuron < total", "neuron < total", "test_shown.py -k unknown"),
    ),
    *of(
        "report/neuron_formula.py",
        ("neuron_formula", "found.similarity[-1, neuron]", "found.search_similarity[-1, neuron]",
         "test_formulas_shown.py -k one_neuron_says"),
        ("neuron_formula", "found.search_gain[neuron]", "found.gain[neuron]",
         "test_formulas_shown.py -k one_neuron_says"),
        ("NeuronFormula._not_better", "self.formula == self.single", "False",
         "test_formulas_shown.py -k of_one_concept"),
    ),
    *of(
        "report/page_data.py",
        ("_formulas", "visible(found.description(u)) if x else ''", "visible(found.description(u))",
         "test_formulas_shown.py -k the_page"),
    ),
    *of(
        "report/page.py",
        ("_packed", "np.cumsum([1, *map(len, blocks)])", "np.cumsum([1, *map(len, blocks[::-1])])",
         "test_page.py -k every_block"),
    ),
    *of(
        "report/page_images.py",
        ("_chosen", "np.cumsum(there) <= most", "np.cumsum(there) < most",
         "test_page.py -k each_neuron_has_fewer"),
        ("_chosen", "x * kept.sum()", "2 * x * kept.sum()",
         "test_page.py -k each_neuron_has_fewer"),
        ("_text", "2 * context", "context", "test_page.py -k without_context"),
    ),
]  # fmt: skip
