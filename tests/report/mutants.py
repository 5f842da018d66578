"""Mutants of the files and the page of an audit, each with the tests that must see it."""

from mutation import of

MUTANTS = [
    *of(
        "report/saved_audit.py",
        ("_read_arrays", "file_hash(beside) != expected_hash", "not expected_hash",
         "test_saved_audit.py -k missing"),
        ("_fields", "code[text]", "0", "test_audit.py::test_files_read_back"),
        ("_array", "high >= below", "high > below", "test_hostile.py -k that_are_none"),
    ),
    *of(
        "report/columns.py",
        ("audit_columns", "label >= 0", "label >= -1", "test_shown.py -k hold_the_audit"),
        ("_names", "c >= 0", "True", "test_shown.py -k hold_the_audit"),
    ),
    *of(
        "report/descriptions.py",
        ("_number", "x == int(x)", "True", "test_shown.py -k those_of_the_file"),
    ),
    *of(
        "report/notebook.py",
        ("changes_html", "np.flatnonzero(changes.changed)", "np.flatnonzero(~changes.changed)",
         "test_changes.py -k notebook"),
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
