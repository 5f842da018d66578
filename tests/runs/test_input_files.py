"""Which layers, neurons, names and groups the files of an audit give."""

import numpy as np
import pytest
from scipy import sparse

from neurotrust_jax import runs
from neurotrust_jax.files import FileError
from neurotrust_jax.runs.manifest import make_manifest

RNG = np.random.default_rng(0)
N = 40
F = RNG.normal(size=(N, 6)).astype(np.float32)
C = RNG.random((N, 3)) < 0.4
OPTIONS = runs.Options(split=0)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("f.npy", F)
    np.save("c.npy", C)
    (tmp_path / "ids.txt").write_text("5\n0\n3\n")
    (tmp_path / "names.txt").write_text("\n".join(f"feature {i}" for i in range(6)))
    return tmp_path


def load(here, activations="f.npy", concepts="c.npy", layer=None, **others):
    files = runs.Files(
        (here / activations,), here / concepts, **{k: here / x for k, x in others.items()}
    )
    return runs.load_layer(files, OPTIONS, layer)


def test_some_neurons_keep_their_numbers_or_names(here):
    sparse.save_npz("s.npz", sparse.csr_array(np.where(F > 0, F, 0)))
    thresholds = np.arange(6.0)
    np.save("t.npy", thresholds)
    for activations, dense in (("f.npy", F), ("s.npz", np.where(F > 0, F, 0))):
        probe = load(here, activations, neurons="ids.txt", thresholds="t.npy").probe()
        assert probe.neuron_names == ("5", "0", "3")
        assert np.asarray(probe.thresholds).tolist() == [5, 0, 3]
        found = probe.activations
        found = found.dense(0, 3) if hasattr(found, "dense") else found
        np.testing.assert_array_equal(found, dense[:, [5, 0, 3]])
    probe = load(here, neuron_names="names.txt").probe()
    assert probe.neuron_names == tuple(f"feature {i}" for i in range(6))
    (here / "some.txt").write_text("feature 4\nfeature 1\n")
    probe = load(here, neuron_names="names.txt", neurons="some.txt").probe()
    assert probe.neuron_names == ("feature 4", "feature 1")
    np.testing.assert_array_equal(probe.activations, F[:, [4, 1]])


@pytest.mark.parametrize(("text", "options", "message"), [
    ("6\n0\n", {}, "1 of its 2 neurons are not in the layer, such as '6'; .* from 0 to 5"),
    ("5\n", {"neuron_names": "names.txt"}, "such as '5'; .* named 'feature 0', .* and so on"),
    ("1\n1\n", {}, "names the neuron '1' twice"),
    ("\n", {}, "names no neurons"),
])  # fmt: skip
def test_neurons_that_are_not_there(here, text, options, message):
    (here / "x.txt").write_text(text)
    with pytest.raises(FileError, match=message):
        load(here, neurons="x.txt", **options)
    with pytest.raises(FileError, match=r"holds 3 names for the 6 neurons of .*f.npy; give one"):
        load(here, neuron_names="ids.txt")


def test_shards_are_one_layer_and_each_counts_in_the_manifest(here):
    for i, part in enumerate(np.split(F, [7, 20])):
        np.save(f"acts-{i:05d}-of-00003.npy", part)
    shards = tuple(here / f"acts-{i:05d}-of-00003.npy" for i in range(3))
    for given in (shards[:1], shards[2:], shards):
        files = runs.Files(given, here / "c.npy")
        ((name, layer),) = runs.load_layers(files, OPTIONS).items()
        assert name == "acts"
        np.testing.assert_array_equal(layer.probe().activations, F)
    made = make_manifest(files, OPTIONS, [], lambda *x: None)["inputs"]
    np.save(shards[1], np.zeros((13, 6), np.float32))
    again = make_manifest(files, OPTIONS, [], lambda *x: None)["inputs"]
    assert made["activations 0"]["sha256"] != again["activations 0"]["sha256"]
    assert made["concepts"] == again["concepts"]


def test_entries_of_one_file(here):
    np.savez("all.npz", **{"a/mlp": F, "b/mlp": F[:, :2], "labels/objects": C, "who": np.arange(N)})
    probe = load(
        here, "all.npz:a", "all.npz:labels/objects", groups="all.npz:who", layer="a/mlp"
    ).probe()
    assert (probe.num_neurons, probe.num_groups) == (6, N)
    files = runs.Files((here / "all.npz:a/mlp",), here / "all.npz:labels/objects")
    assert list(runs.load_layers(files, OPTIONS)) == ["a/mlp"]
    made = make_manifest(files, OPTIONS, [], lambda *x: None)["inputs"]
    assert made["concepts"]["entry"] == "labels/objects"
    assert set(files.all().values()) == {here / "all.npz"}


def test_a_table_names_its_neurons_and_concepts(here):
    pd = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame(F, columns=[f"n{i}" for i in range(6)])
    frame.assign(document=[f"d{i // 4}" for i in range(N)], row=range(N)).to_parquet("f.parquet")
    pd.DataFrame(C, columns=["dog", "cat", "car"]).to_parquet("c.parquet")
    probe = load(here, "f.parquet", "c.parquet", groups="f.parquet:document").probe()
    assert probe.concept_names == ("dog", "cat", "car")
    assert probe.neuron_names == (*frame.columns, "row")
    assert probe.num_groups == N // 4
    probe = load(here, "f.parquet", groups="f.parquet:row").probe()
    assert probe.neuron_names == tuple(frame.columns)  # groups are no neuron
    np.testing.assert_array_equal(probe.activations, F)
    (here / "x.txt").write_text("n4\n")
    assert load(here, "f.parquet", neurons="x.txt").probe().neuron_names == ("n4",)


def test_datasets_of_hdf5_are_layers(here):
    h5py = pytest.importorskip("h5py")
    with h5py.File("all.h5", "w") as file:
        file["layers/3"], file["layers/4"], file["c"] = F, F[:, :2], C
        file["documents"] = [f"d{i // 4}" for i in range(N)]
        file.attrs["model"] = "x"
    files = runs.Files(
        (here / "all.h5:layers",), here / "all.h5:c", groups=here / "all.h5:documents"
    )
    layers = runs.load_layers(files, OPTIONS)
    assert list(layers) == ["layers/3", "layers/4"]
    np.testing.assert_array_equal(layers["layers/3"].probe().activations, F)
    assert layers["layers/4"].probe().num_groups == N // 4


def test_documents_by_their_names(here):
    names = [f"essay, {i // 5}" for i in range(N)]
    (here / "documents.txt").write_text("\n".join(names))
    (here / "rows.csv").write_text(
        "\n".join(["id,title", *(f'{i},"{x}"' for i, x in enumerate(names))])
    )
    for groups in ("documents.txt", "rows.csv:title"):
        assert load(here, groups=groups).probe().num_groups == N // 5
    (here / "documents.txt").write_text("a\nb")
    with pytest.raises(FileError, match=r"groups must have shape \[40\], got \[2\]"):
        load(here, groups="documents.txt")


def test_sparse_concepts(here):
    sparse.save_npz("sparse.npz", sparse.csc_array(C.astype(np.uint8)))
    np.testing.assert_array_equal(load(here, concepts="sparse.npz").probe().concepts, C)
