"""Files with several arrays, arrays in several files, and tables."""

import json

import numpy as np
import pytest
from scipy import sparse

from neurotrust_jax.files import FileError, read_array, read_arrays, read_names
from neurotrust_jax.files.arrays import files_behind, read_column_names
from neurotrust_jax.files.entries import same_input, split_entry
from neurotrust_jax.files.names import read_texts
from neurotrust_jax.files.shards import RowShards, stem
from neurotrust_jax.files.torch_files import nested_tensors

RNG = np.random.default_rng(0)
MATRIX = RNG.normal(size=(12, 5)).astype(np.float32)
NAMES = ["edge", "dog, big", "groß"]


class Tensor:
    """Stands for a tensor of PyTorch where it is not installed."""

    def __init__(self, *shape):
        self.ndim = len(shape)


def test_a_file_and_its_entry(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, **{"layers/3/mlp": MATRIX, "layers/4/mlp": MATRIX[:, :2], "layers": MATRIX[:1]})
    assert split_entry(f"{path}:layers/3") == (path, "layers/3")
    assert split_entry(path) == (path, "")
    np.testing.assert_array_equal(read_array(f"{path}:layers/3/mlp"), MATRIX)
    assert set(read_arrays(f"{path}:layers")) == {"layers"}  # exactly this one comes first
    np.savez(path, **{"layers/3/mlp": MATRIX, "layers/4/mlp": MATRIX[:, :2], "layersx": MATRIX})
    assert set(read_arrays(f"{path}:layers")) == {"layers/3/mlp", "layers/4/mlp"}
    with pytest.raises(FileError, match=r"a.npz: has no entry 'layer'; there are: 'layers/3/mlp'"):
        read_arrays(f"{path}:layer")
    with pytest.raises(FileError, match="there is no such file"):
        read_arrays(tmp_path / "b.npz:layers")
    np.savez(tmp_path / "x:y.npz", z=MATRIX[:2])  # a colon in the name of a file
    assert read_array(tmp_path / "x:y.npz").shape == (2, 5)
    assert read_array(tmp_path / "x:y.npz:z").shape == (2, 5)
    assert same_input(tmp_path / "a.npz:x", tmp_path / "." / "a.npz:x")
    assert not same_input(tmp_path / "a.npz:x", tmp_path / "a.npz:y")


def test_nested_tensors_are_named_by_their_path(tmp_path):
    found = {
        "model": "gpt2", "step": 3, "loss": Tensor(), "tokens": ["a", "b"],
        "layers": {3: {"mlp": Tensor(2, 2)}, 4: [Tensor(1), Tensor(1)]},
    }  # fmt: skip
    found["itself"] = found
    assert list(nested_tensors(found, Tensor, tmp_path)) == [
        "layers/3/mlp", "layers/4/0", "layers/4/1"
    ]  # fmt: skip
    assert list(nested_tensors(Tensor(), Tensor, tmp_path)) == [""]
    with pytest.raises(FileError, match=r"holds two tensors '1'; rename one of its keys"):
        nested_tensors({1: Tensor(2), "1": Tensor(2)}, Tensor, tmp_path)
    with pytest.raises(FileError, match="must hold a tensor or a dict of tensors, which"):
        nested_tensors({"a": [1, "x"]}, Tensor, tmp_path)


def test_files_of_torch_may_be_nested(tmp_path):
    torch = pytest.importorskip("torch", exc_type=ImportError)
    path = tmp_path / "a.pt"
    torch.save({"layers": {3: torch.tensor(MATRIX)}, "config": {"name": "x", "d": 5}}, path)
    np.testing.assert_array_equal(read_array(f"{path}:layers/3"), MATRIX)


@pytest.mark.parametrize("start", [0, 1])
@pytest.mark.parametrize("kind", ["npy", "npz", "csr", "safetensors"])
def test_row_shards_are_one_array_in_order(tmp_path, start, kind):
    dense = np.where(np.abs(MATRIX) > 0.3, MATRIX, 0)
    suffix = "npz" if kind == "csr" else kind
    rows = np.split(dense, [2, 3, 9])
    for i in (2, 0, 3, 1):
        path = tmp_path / f"acts-{i + start:05d}-of-00004.{suffix}"
        if kind == "npy":
            np.save(path, rows[i])
        elif kind == "npz":
            np.savez(path, mlp=rows[i])
        elif kind == "csr":
            sparse.save_npz(path, sparse.csr_array(rows[i]))
        else:
            pytest.importorskip("safetensors.numpy").save_file({"mlp": rows[i]}, path)
    found = read_array(path)
    if kind == "csr":
        found = found.toarray()
    np.testing.assert_array_equal(np.asarray(found), dense)
    assert stem(path) == "acts"
    assert [x.name[5:10] for x in files_behind(path)] == [f"{i + start:05d}" for i in range(4)]
    (tmp_path / f"acts-{start + 2:05d}-of-00004.{suffix}").unlink()
    with pytest.raises(FileError, match=rf"of its 4 shards 1 missing .* acts-0000{start + 2}-of"):
        read_array(path)


def test_shards_that_do_not_fit(tmp_path):
    first, second = (tmp_path / f"acts-{i}-of-2.npz" for i in range(2))
    np.savez(first, a=MATRIX)
    np.savez(second, a=MATRIX[:, :3])
    with pytest.raises(FileError, match=r"acts-1-of-2.npz: a has the shape \[12, 3\].* \[12, 5\]"):
        read_arrays(first)
    np.savez(second, b=MATRIX)
    with pytest.raises(FileError, match=r"acts-1-of-2.npz: lacks 'a', which acts-0-of-2.npz holds"):
        read_arrays(first)
    np.savez(second, a=MATRIX, b=MATRIX)
    with pytest.raises(FileError, match=r"acts-0-of-2.npz: lacks 'b', which acts-1-of-2.npz holds"):
        read_arrays(first)
    first.unlink()
    with pytest.raises(FileError, match=r"2 shards 1 missing .*number 0 or acts-2-of-2.npz"):
        read_arrays(second)
    np.save(tmp_path / "words-0-of-2.npy", np.array(["a", "b"]))
    np.save(tmp_path / "words-1-of-2.npy", np.array(["longer"]))
    assert read_names(tmp_path / "words-1-of-2.npy") == ["a", "b", "longer"]


def test_rows_of_shards_are_read_by_slices():
    rows = RowShards([MATRIX[:4], MATRIX[4:5].astype(np.float64), MATRIX[5:]])
    assert (rows.shape, rows.dtype, len(rows)) == ((12, 5), np.float64, 12)
    for start in range(13):
        for stop in range(start, 13):
            np.testing.assert_array_equal(rows[start:stop], MATRIX[start:stop])
    assert np.asarray(rows, np.float32).dtype == np.float32


def test_hdf5(tmp_path):
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["layers/3/mlp"] = MATRIX
        file["concepts"] = MATRIX > 0
        file["names"] = NAMES
        file["step"] = 7
        file["meta"] = np.zeros(2, [("x", "i4")])
        file["huge"] = h5py.ExternalLink("/etc/passwd", "/")
    found = read_arrays(f"{path}:layers")
    assert not isinstance(found["layers/3/mlp"], np.ndarray)  # read when it is needed
    np.testing.assert_array_equal(found["layers/3/mlp"], MATRIX)
    np.testing.assert_array_equal(read_array(f"{path}:concepts"), MATRIX > 0)
    assert read_names(path) == NAMES
    assert set(read_arrays(path)) == {"layers/3/mlp", "concepts"}
    with pytest.raises(FileError, match="'names' is of <U8; save real numbers"):
        read_arrays(f"{path}:names")
    path = tmp_path / "b.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("a", (10**9, 10**6), "f4", chunks=(1, 10**4))
    with pytest.raises(FileError, match="says that /a holds 4,000,000,000,000,000 bytes"):
        read_arrays(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(FileError, match="can not be read"):
        read_arrays(path)
    with h5py.File(path, "w") as file:
        file["step"] = 7
    with pytest.raises(FileError, match="holds no arrays of numbers or strings"):
        read_arrays(path)


def test_parquet(tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pd = pytest.importorskip("pandas")
    path = tmp_path / "a.parquet"
    frame = pd.DataFrame(MATRIX, columns=list("vwxyz"), index=[f"row {i}" for i in range(12)])
    frame["document"], frame["groups"] = [f"d{i // 3}" for i in range(12)], np.arange(12) // 4
    frame["kind"] = frame["document"].astype("category")
    frame.to_parquet(path)
    found = read_arrays(f"{path}:v")
    np.testing.assert_array_equal(found["v"], MATRIX[:, 0])
    assert read_column_names(path) == tuple("vwxyz")
    assert read_array(f"{path}:groups").tolist() == (np.arange(12) // 4).tolist()
    for column in ("document", "kind"):
        assert read_names(f"{path}:{column}") == [f"d{i // 3}" for i in range(12)]
    table = pa.table({"acts": list(MATRIX), "row": range(12), "ragged": [[1]] + [[1, 2]] * 11})
    pq.write_table(table, path)
    assert read_column_names(path) == ()
    found = read_arrays(path)
    np.testing.assert_array_equal(found["acts"], MATRIX)
    assert set(found) == {"acts", "row"}
    pq.write_table(pa.table({"a": [[[1.0]]]}), path)
    with pytest.raises(FileError, match="has no columns of numbers, of lists of one length, or"):
        read_arrays(path)
    pq.write_table(pa.table({"a": ["x", None]}), path)
    with pytest.raises(FileError, match="column 'a' lacks 1 of its 2 values"):
        read_arrays(path)
    path.write_bytes(b"PAR1 no")
    with pytest.raises(FileError, match="can not be read"):
        read_arrays(path)


def test_shards_of_a_table_have_the_same_columns(tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    first, second = (tmp_path / f"c-{i}-of-2.parquet" for i in range(2))
    pq.write_table(pa.table({"a": [1.0, 2], "b": [3.0, 4]}), first)
    pq.write_table(pa.table({"a": [5.0], "b": [6.0]}), second)
    assert np.asarray(read_array(first)).tolist() == [[1, 3], [2, 4], [5, 6]]
    assert read_column_names(second) == ("a", "b")
    pq.write_table(pa.table({"b": [6.0], "a": [5.0]}), second)
    with pytest.raises(FileError, match=r"c-1-of-2.parquet: has other columns than c-0-of-2"):
        read_column_names(first)


def test_safetensors_of_an_index(tmp_path):
    library = pytest.importorskip("safetensors.numpy")
    index = tmp_path / "acts.safetensors.index.json"
    library.save_file({"a": MATRIX}, tmp_path / "acts-00001-of-00002.safetensors")
    library.save_file({"b": MATRIX[:, :2].copy()}, tmp_path / "acts-00002-of-00002.safetensors")
    place = {"a": "acts-00001-of-00002.safetensors", "b": "acts-00002-of-00002.safetensors"}
    index.write_text(json.dumps({"metadata": {}, "weight_map": place}))
    found = read_arrays(index)
    np.testing.assert_array_equal(found["a"], MATRIX)
    assert found["b"].shape == (12, 2)
    assert stem(index) == "acts"
    assert len(files_behind(index)) == 3
    with pytest.raises(FileError, match=r"shared out by their names need their \.safetensors"):
        read_arrays(tmp_path / place["a"])
    for content, message in (
        ([], "has no weight_map"), ({"weight_map": {}}, "has no weight_map"),
        ({"weight_map": {"a": "../a"}}, "names '../a', which is no file of its own folder"),
        ({"weight_map": {"a": "x.safetensors"}}, "x.safetensors is missing beside it"),
        ({"weight_map": {"a": place["b"]}}, "00002.safetensors lacks 'a', which the index places"),
    ):  # fmt: skip
        index.write_text(json.dumps(content))
        with pytest.raises(FileError, match=message):
            read_arrays(index)


def test_names_by_their_number(tmp_path):
    path = tmp_path / "names.json"
    path.write_text(json.dumps({"1": "dog", "10": "k", **{str(i): f"n{i}" for i in range(2, 10)},
                                "0": "cat"}))  # fmt: skip
    assert read_names(path) == ["cat", "dog", *(f"n{i}" for i in range(2, 10)), "k"]
    path.write_text('{"0": "cat", "2": "dog"}')
    with pytest.raises(FileError, match="must number its names from 0 without a gap; 1 is missing"):
        read_names(path)
    path.write_text('{"cat": 0}')
    with pytest.raises(FileError, match="or strings by their number, got the key 'cat'"):
        read_names(path)
    np.save(tmp_path / "ids.npy", [7, 12345])
    assert read_names(tmp_path / "ids.npy") == ["7", "12345"]


def test_texts_of_samples(tmp_path):
    (tmp_path / "a.txt").write_text("doc 1\ndoc 1\ndoc, 2\n", encoding="utf-8")
    assert read_texts(tmp_path / "a.txt") == ["doc 1", "doc 1", "doc, 2"]
    path = tmp_path / "a.csv"
    path.write_text('row,document\n1,"a, b"\n2,c\n')
    assert read_texts(f"{path}:document") == ["a, b", "c"]
    for column in ("", ":doc"):
        with pytest.raises(FileError, match=r"has the columns 'row', 'document'; choose one by "):
            read_texts(f"{path}{column}")
    path.write_text("document\na\nb\n")
    assert read_texts(path) == ["a", "b"]
    path.write_text("row,document\n1\n")
    with pytest.raises(FileError, match="line 2 has 1 cells for 2 columns"):
        read_texts(f"{path}:document")
