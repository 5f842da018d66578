"""Mutants of what is read from files, each with the tests that must see it."""

from mutation import of

DELPHI = "test_labels.py::test_folders_of_delphi"
TABLES = "test_labels.py::test_tables"
SEPARATORS = "test_labels.py::test_separators_and_encodings"

MUTANTS = [
    *of(
        "files/label_records.py",
        ("_balanced_accuracy", "answer >= 0.5", "answer > 1", DELPHI),
        ("_balanced_accuracy", "sum(sum(x) / len(x) for x in right.values()) / 2",
         "sum(map(sum, right.values())) / sum(map(len, right.values()))", DELPHI),
        ("_balanced_accuracy", "not right[True] or not right[False]", "not right[True]", DELPHI),
        ("_balanced_accuracy", "isinstance(answer, bool | int | float)", "True", DELPHI),
    ),
    *of(
        "files/label_formats.py",
        ("_falcon", "-x[1]", "x[1]", TABLES),
        ("_linear", "weights[0][1] > 0", "True", TABLES),
        ("_linear", "'-' if weight < 0 else '+'", "'+'", TABLES),
        ("number", 'text.replace(",", ".")', 'text.replace(",", "")',
         "test_labels.py::test_numbers"),
    ),
    *of(
        "files/tables.py",
        ("read_rows", "skipped + rows.line_num + 1", "rows.line_num + 1", SEPARATORS),
        ("_separator", r"""re.sub(r'"[^"]*"', "", first)""", "first",
         "test_labels.py::test_a_quoted_header_does_not_decide_what_separates"),
    ),
    *of(
        "files/labels.py",
        ("_count_from_zero", "number - first_neuron", "number",
         "test_labels.py::test_features_of_a_group_count_from_one_too"),
    ),
]  # fmt: skip
