"""Labels of source tokens, on a small package that is written here."""

import sys
import textwrap
from string import ascii_letters

import numpy as np
import pytest

from neurotrust_jax.datasets import python_source
from neurotrust_jax.datasets.python_concepts import CONCEPTS, CONTINUES
from neurotrust_jax.datasets.python_tokens import PIECES

SOURCE = '''
"""Über das Modul."""
import os.path as p  # a comment

LIMIT = 0x1F + 2.5

@cache
class Tree(Base):
    def __init__(self, leaves: int = 0):
        """Make one."""
        self._leaves = [max(x, LIMIT, key=abs) for x in leaves[1:]]
        if not self._leaves:
            raise ValueError(f"none of {leaves}")

    def grow(self):
        for leaf in self._leaves:
            try:
                yield lambda z: (z, ("ä", z.size))
            except KeyError:
                return None
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory, request):
    """Packages to import, and a cache that later runs find again."""
    root = tmp_path_factory.mktemp("packages")
    for name, files in {
        "planted_package": {"__init__.py": SOURCE, "b/more.py": "x = 1\n", "b/bad.py": "x = (\n"},
        "empty_package": {"data.txt": "none"},
    }.items():
        for path, text in files.items():
            (root / name / path).parent.mkdir(parents=True, exist_ok=True)
            (root / name / path).write_text(textwrap.dedent(text), encoding="utf-8")
    (root / "single_module.py").write_text("def f():\n    raise SystemExit\n")
    (root / "planted_package" / "tests").mkdir()
    (root / "planted_package" / "tests" / "test_it.py").write_text("y = 2\n")
    patch = pytest.MonkeyPatch()
    patch.syspath_prepend(str(root))
    patch.setenv("NEUROTRUST_CACHE", str(request.config.cache.mkdir("source")))
    yield root
    patch.undo()


@pytest.fixture(scope="module")
def planted(folder):
    return python_source("planted_package", cache=True)


def holding(data, concept):
    """The text of the tokens on which a concept holds, pieces joined, in the first file."""
    words = []
    for i in np.flatnonzero(data.groups == 0):
        if data.starts[i]:
            words.append(["", False])
        words[-1][0] += data.vocabulary[data.tokens[i]]
        words[-1][1] |= bool(data.concepts[i, data.concept_names.index(concept)])
    return [text for text, holds in words if holds]


@pytest.mark.parametrize(
    ("concept", "expected"),
    [
        ("a keyword", "import as class def for in if not raise def for in try yield lambda except "
         "return None"),
        ("for, while, break or continue", "for for"),
        ("True, False or None", "None"),
        ("a builtin function", "max abs"),
        ("a builtin type", "int"),
        ("a builtin exception", "ValueError KeyError"),
        ("self or cls", "self self self self self"),
        ("a name with double underscores", "__init__"),
        ("a name with a leading underscore", "_leaves _leaves _leaves"),
        ("a name in capitals", "LIMIT LIMIT"),
        ("a name in CamelCase", "Tree Base ValueError KeyError"),
        ("a function's name where it is defined", "__init__ grow"),
        ("a class's name where it is defined", "Tree"),
        ("a parameter of a function", "self leaves self z"),
        ("a variable that is assigned", "LIMIT x leaf"),
        ("an attribute", "_leaves _leaves _leaves size"),
        ("a name that is called", "max ValueError"),
        ("the name of a keyword argument", "key"),
        ("a number", "0x1F 2.5 0 1"),
        ("a floating-point number", "2.5"),
        ("a hexadecimal number", "0x1F"),
        ("zero or one", "0 1"),
        ("in a docstring", '"""\ufffdber das Modul.""" """Make one."""'),
        ("in a comment", "# a comment"),
        ("an arithmetic operator", "+"),
        ("an equals sign that assigns", "= = = ="),
        ("in a decorator", "cache"),
        ("in a type annotation", "int"),
        ("in an index", "1 :"),
        ("in an import", "import os . path as p"),
        ("in a lambda", 'lambda z : ( z , ( "\ufffd" , z . size ) )'),
        ("in a comprehension", "[ max ( x , LIMIT , key = abs ) for x in leaves [ 1 : ] ]"),
        ("in the arguments of a call", None),
        ("within two pairs of brackets", None),
        ("in a return statement", "return None"),
        ("in the condition of an if", "not self . _leaves"),
        ("in an except block", "return None"),
        ("in a try block", 'yield lambda z : ( z , ( "\ufffd" , z . size ) )'),
    ],
)  # fmt: skip
def test_labels_of_a_small_module(planted, concept, expected):
    found = holding(planted, concept)
    if expected is not None:
        assert " ".join(found) == expected
    else:
        assert "LIMIT" in found or "size" in found
        assert "class" not in found


def test_blocks_and_lines(planted):
    assert len(holding(planted, "indented three times")) > 20
    assert holding(planted, "in the body of a method") == holding(
        planted, "in the body of a function"
    )
    assert holding(planted, "the first token of a line")[:5] == [
        '"""\ufffdber das Modul."""', "import", "LIMIT", "@", "class",
    ]  # fmt: skip
    in_strings = " ".join(holding(planted, "in a string"))
    for text in ("none of", "Make one.", '"\ufffd"'):
        assert text in in_strings
    in_f = " ".join(holding(planted, "in an f-string"))
    assert "none of" in in_f
    assert "Make" not in in_f
    # the file as it was read, but for spaces
    found = "".join("".join(planted.pieces(np.arange(60))).split())
    assert "importos.pathasp#acomment" in found


def test_files_are_groups_and_tests_are_left_out(planted):
    assert planted.group_names == ("__init__.py", "b/more.py")
    assert set(planted.groups.tolist()) == {0, 1}
    assert (np.diff(planted.groups) >= 0).all()
    assert planted.lines[planted.groups == 1].tolist() == [1, 1, 1, 1]


def test_children_hold_only_where_parents_do(planted):
    names = planted.concept_names
    assert len(names) == len(set(names)) == len(CONCEPTS) == planted.concepts.shape[1]
    for child, parent in enumerate(planted.concept_parent):
        if parent >= 0:
            assert not (planted.concepts[:, child] & ~planted.concepts[:, parent]).any()


@pytest.mark.slow
def test_the_standard_library_has_all_concepts(folder):
    data = python_source(max_tokens=60_000)
    assert len(data.tokens) == len(data.groups) == len(data.concepts) >= 60_000
    assert data.tokens.min() >= 0
    assert data.tokens.max() < len(data.vocabulary) == 4096
    rate = data.concepts.mean(axis=0)
    missing = [n for n, r in zip(data.concept_names, rate, strict=True) if r == 0]
    assert set(missing) <= {"in a lambda", "in a type annotation", "in a decorator"}
    assert (rate < 0.9).all()
    again = python_source(max_tokens=60_000, cache=False)
    for kept, fresh in zip(data, again, strict=True):
        np.testing.assert_array_equal(kept, fresh)


def test_no_package_is_imported_and_files_may_be_single(folder):
    data = python_source("single_module")
    assert "single_module" not in sys.modules
    assert "planted_package" not in sys.modules
    assert data.group_names == ("single_module.py",)
    assert [data.vocabulary[t] for t in data.tokens][:5] == ["def", "f", "(", ")", ":"]


def test_a_damaged_or_forbidden_cache_is_no_error(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("NEUROTRUST_CACHE", str(tmp_path / "kept"))
    monkeypatch.setattr(
        sys.modules[python_source.__module__],
        "_vocabulary",
        lambda *_: list(ascii_letters + "_():⏎⇥⇤"),
    )
    first = python_source("single_module")
    kept = sorted((tmp_path / "kept").iterdir())
    assert len(kept) == 2
    for path in kept:
        path.write_bytes(path.read_bytes()[:40])
    second = python_source("single_module")
    np.testing.assert_array_equal(first.tokens, second.tokens)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NEUROTRUST_CACHE", str(tmp_path / "file"))
    third = python_source("single_module")
    np.testing.assert_array_equal(first.concepts, third.concepts)


def test_pieces_of_one_word_go_on(planted):
    column = planted.concepts[:, planted.concept_names.index(CONTINUES)]
    pieces = [planted.vocabulary[t] for t in planted.tokens]
    for i in np.flatnonzero(column):
        assert not planted.starts[i]
        assert (pieces[i - 1] + pieces[i]).replace("_", "").strip().isalnum()
    assert not column[planted.starts].any()


def test_pieces_join_to_the_text():
    for text in ("getHTTPResponse2", "  two  spaces", "a_b\tc\n", "Ünï"):
        assert "".join(PIECES.findall(text)) == text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"package": "no_such_package"}, "there is no package 'no_such_package'; install it"),
        ({"package": "sys"}, "'sys' has no Python source"),
        ({"package": "empty_package"}, "no Python source in 'empty_package'"),
        ({"package": "../etc"}, "must be the import name"),
        ({"max_tokens": 0}, "max_tokens must be at least 1, got 0"),
        ({"vocab_size": 10}, "vocab_size must be at least 256, got 10"),
    ],
)
def test_bad_options(folder, options, message):
    with pytest.raises(ValueError, match=message):
        python_source(**options)
