"""The datasets: exact labels, legible pictures, and a planted law that the samples obey.

Statistical tests are two-sided normal or binomial; `Z` is chosen so that a whole test, with all
its comparisons, raises a false alarm with probability below 1e-4.
"""

import sys
import unicodedata
from pathlib import Path
from types import SimpleNamespace

import jax
import matplotlib
import numpy as np
import pytest
from matplotlib.ft2font import FT2Font, LoadFlags
from scipy import sparse
from scipy.stats import norm
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    f1_score,
    jaccard_score,
    precision_score,
    recall_score,
    roc_auc_score,
)
from typer.testing import CliRunner

from neurotrust_jax import tasks
from neurotrust_jax.cli import app
from neurotrust_jax.datasets import digits, glyphs, planted, planted_similarity, split_groups

FALSE_ALARM = 1e-4


def z_for(comparisons):
    return norm.isf(FALSE_ALARM / (2 * comparisons))


# ---------------------------------------------------------------- glyphs


@pytest.fixture(scope="module")
def signs():
    return glyphs()


@pytest.fixture(scope="module", params=["glyphs", "digits"])
def images(request):
    return digits() if request.param == "digits" else request.getfixturevalue("signs")


def concepts_of(data, example):
    row = data.concepts[data.example_names.index(example)]
    return {name for name, holds in zip(data.concept_names, row, strict=True) if holds}


def test_every_field_has_its_shape_and_range(images):
    n, c = images.concepts.shape
    assert images.images.shape == (n, *images.images.shape[1:3], 1)
    assert images.images.dtype == np.float32
    assert images.images.min() == 0
    assert images.images.max() == 1
    assert images.images.any(axis=(1, 2, 3)).all()
    assert images.concepts.dtype == bool
    assert len(set(images.concept_names)) == c == len(images.concept_parent)
    assert len(set(images.example_names)) == n == len(images.targets) == len(images.groups)
    for labels in (images.targets, images.groups):
        assert labels.dtype == np.int32
        np.testing.assert_array_equal(np.unique(labels), np.arange(labels.max() + 1))
    assert images.targets.max() + 1 == len(set(images.target_names)) == len(images.target_names)


def test_a_child_implies_its_parent_and_is_rarer(images):
    parent = images.concept_parent
    assert parent.min() == -1
    for child in np.flatnonzero(parent >= 0):
        below, above = images.concepts[:, child], images.concepts[:, parent[child]]
        assert not np.any(below & ~above), images.concept_names[child]
        assert below.sum() < above.sum(), images.concept_names[child]


def test_no_two_concepts_are_the_same(images):
    assert len(np.unique(images.concepts, axis=1).T) == len(images.concept_names)


def test_glyphs_are_twelve_different_faces_of_each_sign(signs):
    sizes = np.bincount(signs.groups)
    assert len(sizes) == 2363
    np.testing.assert_array_equal(sizes, 12)
    faces = [name.split(" · ")[1] for name in signs.example_names[:12]]
    assert len(set(faces)) == 12
    assert "DejaVu Sans" in faces
    assert "DejaVu Sans Mono Bold Oblique" in faces
    picture = signs.images.reshape(2363, 12, -1)
    for one in range(12):
        for other in range(one):
            # Marks and blocks hardly vary, letters do: most signs must differ between two faces.
            differ = np.any(picture[:, one] != picture[:, other], axis=1)
            assert differ.mean() > 0.6, (faces[one], faces[other])


def test_every_concept_and_class_of_glyphs_has_enough_signs(signs):
    face = [name.endswith(" face") for name in signs.concept_names]
    assert sum(face) == 5
    count = signs.concepts[::12, ~np.array(face)].sum(axis=0)
    assert count.min() >= 6
    assert count.max() <= 2363 - 6
    # One target a sign, never one that depends on the face.
    targets = signs.targets.reshape(-1, 12)
    np.testing.assert_array_equal(targets, np.repeat(targets[:, :1], 12, axis=1))
    size = np.bincount(targets[:, 0])
    assert size.min() >= 7
    assert size.max() / size.sum() < 0.15


TABLE = [
    (
        "LATIN SMALL LETTER A WITH ACUTE",
        "letter A",
        "letter, lowercase letter, Latin letter, letter A, diacritic, diacritic above, "
        "acute accent",
    ),
    (
        "GREEK CAPITAL LETTER OMEGA WITH DASIA AND OXIA",
        "Greek letter",
        "letter, uppercase letter, Greek letter, diacritic, two or more diacritics, "
        "diacritic above, rough breathing (dasia), acute accent, oxia",
    ),
    (
        "LATIN CAPITAL LETTER O WITH OGONEK AND MACRON",
        "letter O",
        "letter, uppercase letter, Latin letter, letter O, diacritic, two or more diacritics, "
        "diacritic above, macron, diacritic below, ogonek",
    ),
    (
        "LATIN SMALL LETTER O WITH STROKE",
        "letter O",
        "letter, lowercase letter, Latin letter, letter O, attached stroke or hook, "
        "stroke on a letter",
    ),
    ("CYRILLIC CAPITAL LETTER A", "Cyrillic letter", "letter, uppercase letter, Cyrillic letter"),
    (
        "LATIN SMALL LIGATURE FI",
        "other Latin letter",
        "letter, lowercase letter, Latin letter, ligature or digraph",
    ),
    (
        "MODIFIER LETTER SMALL H",
        "letter H",
        "letter, modifier letter, Latin letter, letter H, superscript",
    ),
    (
        "COMBINING GRAVE ACCENT",
        "combining mark",
        "diacritic, combining mark, diacritic above, grave accent",
    ),
    (
        "GRAVE ACCENT",
        "modifier symbol",
        "modifier symbol, diacritic, diacritic above, grave accent",
    ),
    ("DIGIT SEVEN", "decimal digit", "number, decimal digit"),
    ("VULGAR FRACTION ONE HALF", "fraction", "number, fraction"),
    (
        "SUBSCRIPT TWO",
        "raised or lowered digit",
        "number, raised or lowered digit, subscript",
    ),
    ("LEFT SQUARE BRACKET", "bracket", "punctuation, bracket, opening bracket"),
    ("LEFT DOUBLE QUOTATION MARK", "quotation mark", "punctuation, quotation mark"),
    ("COMMA", "other punctuation", "punctuation"),
    ("EURO SIGN", "currency sign", "currency sign"),
    ("NOT EQUAL TO", "other math symbol", "math symbol, slash of negation"),
    ("UPWARDS ARROW WITH TIP LEFTWARDS", "arrow", "arrow, leftwards arrow"),
    (
        "LEFT RIGHT DOUBLE ARROW",
        "arrow",
        "math symbol, arrow, leftwards arrow, rightwards arrow, arrow in two directions, "
        "double arrow",
    ),
    ("LEFTWARDS HARPOON WITH BARB UPWARDS", "arrow", "arrow, leftwards arrow, harpoon"),
    (
        "BOX DRAWINGS VERTICAL LIGHT AND RIGHT HEAVY",
        "box drawing",
        "box drawing, light box drawing, heavy box drawing, vertical box line, box tee",
    ),
    (
        "BOX DRAWINGS DOUBLE DOWN AND RIGHT",
        "box drawing",
        "box drawing, double box drawing, box corner",
    ),
    ("LOWER HALF BLOCK", "block element", "block element, lower block"),
    ("BLACK CIRCLE", "geometric shape", "geometric shape, black shape, circle"),
    ("BLACK SPADE SUIT", "other symbol", "card suit"),
]


@pytest.mark.parametrize(("name", "target", "concepts"), TABLE, ids=[row[0] for row in TABLE])
def test_known_signs_carry_exactly_their_concepts(signs, name, target, concepts):
    wanted = set(concepts.split(", "))
    assert concepts_of(signs, f"{name} · DejaVu Serif") == wanted | {"serif face"}
    assert concepts_of(signs, f"{name} · DejaVu Sans Mono Bold Oblique") == wanted | {
        "bold face",
        "oblique face",
        "sans-serif face",
        "monospaced face",
    }
    example = signs.example_names.index(f"{name} · DejaVu Sans")
    assert signs.target_names[signs.targets[example]] == target


def test_diacritics_agree_with_canonical_decomposition(signs):
    """An oracle of its own: letters that decompose into U+0301 are those with an acute accent."""
    column = signs.concept_names.index("acute accent")
    letter = signs.concept_names.index("letter")
    for row in range(0, len(signs.images), 12):
        char = unicodedata.lookup(signs.example_names[row].split(" · ")[0])
        if signs.concepts[row, letter] and not char.isspace() and ord(char) < 0x2000:
            acute = "\u0301" in unicodedata.normalize("NFD", char)
            standalone = unicodedata.category(char) == "Lm"
            assert standalone or signs.concepts[row, column] == acute, char


def test_position_is_kept_and_bold_is_heavier(signs):
    def centre(name):
        ink = signs.images[signs.example_names.index(f"{name} · DejaVu Sans"), ..., 0]
        return [ink.sum(axis=axis) @ np.arange(28) / ink.sum() for axis in (1, 0)]

    assert centre("COMMA")[0] > centre("LATIN SMALL LETTER X")[0] > centre("APOSTROPHE")[0]
    assert centre("COMBINING DOT BELOW")[0] > centre("COMBINING DOT ABOVE")[0] + 10
    assert centre("BOX DRAWINGS LIGHT RIGHT")[1] > centre("BOX DRAWINGS LIGHT LEFT")[1] + 5
    assert centre("COMBINING DOT ABOVE")[1] == pytest.approx(13.5, abs=0.6)
    bold = signs.concepts[:, signs.concept_names.index("bold face")]
    assert signs.images[bold].mean() > 1.1 * signs.images[~bold].mean()


def test_nothing_is_cut_off(signs):
    """The outline's width and height, as FreeType gives them to matplotlib, are both kept."""
    path = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans-BoldOblique.ttf")
    font = FT2Font(str(path))
    font.set_size(1000, 72)
    shrunk = 0
    for row in range(1, len(signs.images), 12):
        name, face = signs.example_names[row].split(" · ")
        assert face == "DejaVu Sans Bold Oblique"
        glyph = font.load_char(ord(unicodedata.lookup(name)), flags=LoadFlags.NO_HINTING)
        outline = np.array([glyph.height, glyph.width]) / 64 / 1000
        ink = signs.images[row, ..., 0]
        extent = np.array([np.ptp(pixels) + 1 for pixels in np.nonzero(ink)])
        on_border = max(ink[[0, -1]].max(), ink[:, [0, -1]].max()) > 0
        if on_border and np.any(extent < outline * 28 * 0.855 - 0.5):
            # Smaller than at full size: cut, unless both extents shrank alike. Three pixels are
            # left for the partly inked ones at the ends (two) and for hinting (one).
            assert np.ptp(extent / outline) < 3 / outline.min(), name
            shrunk += 1
    assert shrunk > 20


def test_glyphs_refuses_a_size_that_shows_nothing():
    with pytest.raises(ValueError, match="at least 8 pixels, got 4"):
        glyphs(size=4)


# ---------------------------------------------------------------- digits


def test_digits_carry_their_concepts():
    data = digits()
    assert data.images.shape == (1797, 8, 8, 1)
    np.testing.assert_array_equal(data.groups, np.arange(1797))
    identity = {
        6: {"even digit", "multiple of three", "digit above four", "digit six"}
        | {"digit with a closed loop (0, 6, 8, 9)"},
        2: {"even digit", "prime digit", "digit two"},
        9: {"odd digit", "square digit", "multiple of three", "digit above four", "digit nine"}
        | {"digit with a closed loop (0, 6, 8, 9)"},
    }
    for digit, wanted in identity.items():
        for row in np.flatnonzero(data.targets == digit):
            held = concepts_of(data, data.example_names[row])
            assert {name for name in held if "ink" not in name} == wanted
    for name, half in (("above", np.s_[:, :4]), ("left", np.s_[:, :, :4])):
        ink, all_ink = data.images[half].sum(axis=(1, 2, 3)), data.images.sum(axis=(1, 2, 3))
        column = data.concepts[:, data.concept_names.index(f"ink mostly {name}")]
        np.testing.assert_array_equal(column, 2 * ink > all_ink)


def test_digits_names_the_extra_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match=r'pip install "neurotrust-jax\[digits\]"'):
        digits()


# ---------------------------------------------------------------- split_groups


def test_split_groups_keeps_groups_whole_and_disjoint():
    groups = np.repeat(np.arange(50), np.arange(50) % 4 + 1)[::-1]
    parts = split_groups(jax.random.key(0), groups, (0.6, 0.2, 0.2))
    assert [len(np.unique(groups[part])) for part in parts] == [30, 10, 10]
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(len(groups)))
    assert sum(len(set(groups[part])) for part in parts) == 50
    for again, part in zip(
        split_groups(jax.random.key(0), groups, (0.6, 0.2, 0.2)), parts, strict=True
    ):
        np.testing.assert_array_equal(again, part)
    other = split_groups(jax.random.key(1), groups, (0.6, 0.2, 0.2))
    assert not np.array_equal(other[0], parts[0])
    (half,) = split_groups(jax.random.key(0), groups, (0.5,))
    assert len(np.unique(groups[half])) == 25


@pytest.mark.parametrize("fractions", [(0.8, 0.3), (-0.1, 0.5), (float("nan"),)])
def test_split_groups_refuses_impossible_fractions(fractions):
    with pytest.raises(ValueError, match="sum to at most 1"):
        split_groups(jax.random.key(0), np.arange(10), fractions)


# ---------------------------------------------------------------- planted

EFFECT = np.array(
    [
        [0.5, 0.0, 0.0, 0.0, 0.0, 0.0],
        [0.2, 0.3, 0.0, -0.1, 0.1, 0.0],
        [0.0, 0.2, 0.25, 0.0, 0.0, 0.3],
    ]
)
LAWS = {
    "default": {"num_neurons": 3, "num_concepts": 6},
    "tree": {
        "num_neurons": 3,
        "num_concepts": 6,
        "frequency": (0.4, 0.2, 0.1, 0.3, 0.3, 0.15),
        "parents": (-1, 0, 0, -1, 3, -1),
        "base_rate": (0.05, 0.1, 0.02),
        "effect": EFFECT,
    },
}


@pytest.mark.both_precisions
@pytest.mark.parametrize("law", LAWS)
def test_planted_samples_obey_their_closed_form(law, precision):
    n = 100_000
    data = jax.jit(lambda key: planted(key, n, **LAWS[law]))(jax.random.key(1))
    expected = np.float32 if precision == "x32" else np.float64
    assert all(field.dtype == expected for field in data)
    active = np.asarray(data.activations) > 0
    concept = np.asarray(data.concepts) == 1
    assert np.all(np.asarray(data.activations) != 0)
    assert np.abs(data.activations).max() <= 1
    assert set(np.unique(data.concepts)) == {0, 1}
    pairs = [
        (active.mean(axis=0), data.active_probability),
        (concept.mean(axis=0), data.concept_probability),
        (active.T.astype(float) @ concept / n, data.joint_probability),
    ]
    z = z_for(sum(measured.size for measured, _ in pairs))
    for measured, truth in pairs:
        truth = np.asarray(truth, np.float64)
        error = np.sqrt(truth * (1 - truth) / n)
        assert np.max(np.abs(measured - truth) / error) < z
    for child, parent in enumerate(LAWS[law].get("parents", ())):
        assert parent < 0 or not np.any(concept[:, child] & ~concept[:, parent])


@pytest.mark.both_precisions
def test_planted_joint_law_by_enumeration():
    """Sum over every configuration of the coins: exact, and blind to how `planted` derives it."""
    law = LAWS["tree"]
    data = jax.jit(lambda key: planted(key, 1, **law))(jax.random.key(0))
    f, parents = np.array(law["frequency"]), np.array(law["parents"])
    coin = np.where(parents < 0, f, f / f[parents])
    joint = np.zeros((3, 6))
    for code in range(2**6):
        heads = (code >> np.arange(6)) & 1
        c = heads * np.where(parents < 0, 1, heads[parents])
        probability = np.prod(np.where(heads == 1, coin, 1 - coin))
        joint += probability * np.outer(np.array(law["base_rate"]) + EFFECT @ c, c)
    np.testing.assert_allclose(data.joint_probability, joint, rtol=1e-6)


def one_by_one(metric, activation, concept):
    """Return the metric of one neuron and one concept, from NumPy and scikit-learn alone."""
    active = activation > 0
    simple = {
        "accuracy": accuracy_score,
        "precision": precision_score,
        "recall": recall_score,
        "f1": f1_score,
        "iou": jaccard_score,
        "balanced_accuracy": balanced_accuracy_score,
    }
    if metric in simple:
        return simple[metric](concept, active)
    if metric == "simulation_balanced_accuracy":
        return balanced_accuracy_score(active, concept)
    if metric == "auroc":
        return roc_auc_score(concept, activation)
    if metric == "simulation_auroc":
        return roc_auc_score(active, concept.astype(float))
    if metric == "correlation":
        return np.corrcoef(activation, concept)[0, 1]
    if metric == "cosine":
        return activation @ concept / (np.linalg.norm(activation) * np.linalg.norm(concept))
    return activation[concept].mean() - activation[~concept].mean()


METRICS = (
    *("accuracy", "precision", "recall", "f1", "iou", "balanced_accuracy"),
    *("simulation_balanced_accuracy", "auroc", "simulation_auroc"),
    *("correlation", "cosine", "mad"),
)


@pytest.fixture(scope="module")
def blocks():
    """400,000 samples in 40 blocks, as float64: their spread gives the standard error."""
    data = jax.jit(lambda key: planted(key, 400_000, **LAWS["tree"]))(jax.random.key(2))
    activations = np.asarray(data.activations, np.float64).reshape(40, 10_000, 3)
    return data, activations, np.asarray(data.concepts).reshape(40, 10_000, 6) == 1


@pytest.mark.quick("iou", "auroc", "accuracy")
@pytest.mark.parametrize("metric", METRICS)
def test_planted_similarity_against_monte_carlo(metric, blocks):
    data, activations, concepts = blocks
    truth = np.asarray(planted_similarity(data, metric), np.float64)
    assert truth.shape == (3, 6)
    pairs = [(1, 3), (2, 4)]
    # A ratio is biased by O(1/block), far below the standard error of a block but not below that
    # of the mean of blocks: the estimate is that of all samples, only its error comes from blocks.
    for u, c in pairs:
        per_block = [
            one_by_one(metric, activations[b, :, u], concepts[b, :, c])
            for b in range(len(concepts))
        ]
        whole = one_by_one(metric, activations[..., u].ravel(), concepts[..., c].ravel())
        error = np.std(per_block, ddof=1) / np.sqrt(len(per_block))
        # 40 blocks estimate the error to 11%: a fifth more than the normal quantile covers that
        # at the stated rate to within a factor of two.
        assert abs(whole - truth[u, c]) < 1.2 * z_for(len(pairs)) * error, (metric, u, c)


def test_planted_similarity_tells_metrics_apart(blocks):
    """A negative control: taking one metric's oracle for another's must be seen."""
    data = blocks[0]
    values = {metric: np.asarray(planted_similarity(data, metric)) for metric in METRICS}
    # With binary views the AUROC is the balanced accuracy, by definition.
    same = {("auroc", "balanced_accuracy"), ("simulation_auroc", "simulation_balanced_accuracy")}
    for one in METRICS:
        for other in METRICS:
            if one < other:
                gap = np.max(np.abs(values[one] - values[other]))
                assert (
                    gap < 1e-6 if (one, other) in {tuple(sorted(s)) for s in same} else gap > 0.01
                )


def test_planted_is_pure_in_its_key():
    def draw(key):
        return planted(key, 50, num_neurons=2, num_concepts=3, frequency=0.3)

    keys = jax.random.split(jax.random.key(0), 5)
    many, single = jax.jit(jax.vmap(draw))(keys), jax.jit(draw)
    assert many.activations.shape == (5, 50, 2)
    for i in (0, 4):
        jax.tree.map(
            lambda a, b, i=i: np.testing.assert_array_equal(a[i], b), many, single(keys[i])
        )
    assert not np.array_equal(many.concepts[0], many.concepts[1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frequency": 0.0}, r"within \(0, 1\), got 0\.0"),
        ({"frequency": (0.1, 0.2, 1.5)}, r"within \(0, 1\)"),
        ({"frequency": (0.1, 0.2, 0.1), "parents": (-1, 0, -1)}, "concept 1 has 0.2"),
        ({"parents": (-1, 0, 1)}, "must be a root"),
        ({"parents": (0, -1, -1)}, "must be a root"),
        ({"parents": (-1, 3, -1)}, "3 indices of concepts"),
        ({"parents": (-1, 0)}, "3 indices of concepts"),
        ({"effect": 0.99}, "to 1.01; use smaller effects"),
        ({"effect": -0.1}, "from -0.08"),
        ({"base_rate": 1.2, "effect": 0.0}, "to 1.2"),
    ],
)
def test_planted_refuses_an_impossible_law(options, message):
    with pytest.raises(ValueError, match=message):
        planted(jax.random.key(0), 5, num_neurons=2, num_concepts=3, **options)


def test_planted_similarity_lists_the_metrics_it_knows(blocks):
    with pytest.raises(ValueError, match=r"unknown metric 'auprc'; known are accuracy, .*, mad"):
        planted_similarity(blocks[0], "auprc")


def test_excerpts_are_the_middle_of_each_group_that_is_long_enough():
    groups = np.repeat([0, 1, 2, 3], [10, 4, 3, 5])
    rows = tasks.excerpts(groups, 4)
    np.testing.assert_array_equal(rows, [3, 4, 5, 6, 10, 11, 12, 13, 17, 18, 19, 20])
    assert len(tasks.excerpts(groups, 11)) == 0


@pytest.mark.parametrize("task", ["python-transformer", "python-sae"])
def test_language_tasks_probe_as_much_of_each_file_held_out_as_they_say(task, monkeypatch):
    """Without the training: what is probed, and how large a group can be."""
    sizes = np.array([600, 512, 511, 900, 2000, 700, 513, 800])
    groups = np.repeat(np.arange(8), sizes)
    data = SimpleNamespace(
        tokens=np.arange(len(groups)), groups=groups, vocabulary=("a",), concept_names=("late",),
        concepts=groups[:, None] > 3,
    )  # fmt: skip
    read = []

    def activations(model, tokens, groups, path):
        read.append(groups)
        return np.stack([tokens % 7, tokens % 5], axis=1).astype(np.float32)

    class Model:
        k = 1

        def __init__(self, *sizes, **options):
            pass

        def __call__(self, stream):
            return stream

    monkeypatch.setattr(tasks.datasets, "python_source", lambda: data)
    monkeypatch.setattr(tasks, "_trained", lambda key, name, model, *rest: model)
    for name, stub in (
        ("Transformer", Model), ("SparseAutoencoder", Model), ("token_activations", activations),
        ("evaluate", lambda *x: 1.0), ("ngram_bits", lambda *x: 2.0),
        ("sparse_features", lambda model, stream: sparse.csr_array(stream)),
    ):  # fmt: skip
        monkeypatch.setattr(f"neurotrust_jax.models.{name}", stub)
    layer = tasks.train_layer(jax.random.key(0), task)
    probed, number = np.unique(layer.groups, return_counts=True)
    assert 0 < len(probed) < 7
    assert 2 not in probed  # too short
    assert (number == 512).all()
    assert layer.largest_unit == 512
    assert layer.probe().num_units == len(probed)
    # thresholds, or features, come from files that are not probed
    others = [some for some in read if not np.array_equal(some, layer.groups)]
    assert len(others) == 1
    assert not set(others[0]) & set(probed)


def test_tasks_are_known_by_name():
    with pytest.raises(ValueError, match="unknown task 'mnist'; known: digits-mlp, digits-cnn"):
        tasks.train_layer(jax.random.key(0), "mnist")


def test_a_task_from_outside_the_package(tmp_path, monkeypatch):
    """One object makes it known to train_layer and to the command."""
    monkeypatch.setattr(tasks, "TASKS", dict(tasks.TASKS))
    seen = []

    def train(key, name, report_progress):
        report_progress("training", 1, 1)
        seen.append(name)
        raise ValueError("this task can not be trained")

    added = tasks.register_task(tasks.Task("mine", train))
    assert tasks.get_task("mine") is added
    with pytest.raises(ValueError, match="can not be trained"):
        tasks.train_layer(jax.random.key(0), "mine")
    result = CliRunner().invoke(app, ["demo", "--task", "mine", "--out", str(tmp_path)])
    assert str(result.exception) == "this task can not be trained"
    assert seen == ["mine", "mine"]
    with pytest.raises(ValueError, match="there is already a task 'mine'; choose another name"):
        tasks.register_task(added)
