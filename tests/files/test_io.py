"""Files of other programs come in as they are; what is not what it says is refused in one line."""

import io
import json
import zipfile

import numpy as np
import pytest
from scipy import sparse

from neurotrust_jax import files
from neurotrust_jax.files import (
    FileError,
    read_array,
    read_arrays,
    read_examples,
    read_hierarchy,
    read_names,
)
from neurotrust_jax.files.arrays import read_named
from neurotrust_jax.runs import Files, Options, load_layers

RNG = np.random.default_rng(0)
MATRIX = RNG.normal(size=(12, 5)).astype(np.float32)


def test_numpy_files(tmp_path):
    np.save(tmp_path / "a.npy", MATRIX)
    found = read_array(tmp_path / "a.npy")
    assert isinstance(found, np.memmap)  # read when it is needed
    np.testing.assert_array_equal(found, MATRIX)
    np.savez(tmp_path / "b.npz", one=MATRIX, two=MATRIX[:, :2])
    both = read_arrays(tmp_path / "b.npz")
    assert {k: v.shape for k, v in both.items()} == {"one": (12, 5), "two": (12, 2)}
    np.testing.assert_array_equal(read_array(tmp_path / "b.npz", "two"), MATRIX[:, :2])
    with pytest.raises(FileError, match="holds 'one', 'two'; give one of its names"):
        read_array(tmp_path / "b.npz")
    with pytest.raises(FileError, match="there is no 'three'"):
        read_array(tmp_path / "b.npz", "three")


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<i8", "<f2"])
@pytest.mark.parametrize("kind", [
    sparse.csr_array, sparse.csc_array, sparse.csr_matrix, sparse.coo_array, sparse.dia_array,
    sparse.bsr_array,
])  # fmt: skip
def test_scipy_files_stay_sparse(tmp_path, kind, dtype):
    dense = np.where(MATRIX > 0.5, np.round(MATRIX * 8), 0).astype(np.float32)
    matrix = kind(dense)
    matrix.data = matrix.data.astype(dtype)
    sparse.save_npz(tmp_path / "a.npz", matrix)
    found = read_array(tmp_path / "a.npz")
    assert sparse.issparse(found)
    np.testing.assert_array_equal(found.toarray(), dense)


@pytest.mark.parametrize(("kind", "field", "value"), [
    ("coo", "row", [0, 1, 2, 4]), ("coo", "col", [0, 1, -2, 3]), ("coo", "row", [0, 1, 2]),
    ("bsr", "shape", [3, 4]), ("bsr", "indices", [0, 5]), ("bsr", "indptr", [0, 3, 2]),
    ("dia", "offsets", [0, 1]), ("dia", "data", [1.0, 2]), ("lil", "rows", [0]),
])  # fmt: skip
def test_sparse_indices_of_every_format_are_checked(tmp_path, kind, field, value):
    parts = {
        "coo": {"data": np.ones(4), "row": np.arange(4), "col": np.arange(4)},
        "bsr": {"data": np.ones((2, 2, 2)), "indices": [0, 1], "indptr": [0, 1, 2]},
        "dia": {"data": np.ones((1, 4)), "offsets": [0]},
        "lil": {"data": np.ones(4)},
    }[kind]
    np.savez(tmp_path / "a.npz", format=kind, **{"shape": [4, 4]} | parts | {field: value})
    with pytest.raises(FileError, match=r"its indices do not fit|format 'lil'; save it as CSR"):
        read_array(tmp_path / "a.npz")


def test_an_array_of_one_sparse_file(tmp_path):
    dense = np.where(MATRIX > 0.5, MATRIX, 0)
    kind = sparse.csr_array
    sparse.save_npz(tmp_path / "a.npz", kind(dense))
    found = read_array(tmp_path / "a.npz")
    assert sparse.issparse(found)
    np.testing.assert_array_equal(found.toarray(), dense)


def test_tensors_of_safetensors(tmp_path):
    library = pytest.importorskip("safetensors.numpy")
    library.save_file(
        {"block.1": MATRIX, "block.2": MATRIX[:, :3].copy()}, tmp_path / "a.safetensors"
    )
    found = read_arrays(tmp_path / "a.safetensors")
    np.testing.assert_array_equal(found["block.1"], MATRIX)
    assert found["block.2"].shape == (12, 3)


def test_tensors_of_torch(tmp_path):
    torch = pytest.importorskip("torch", exc_type=ImportError)
    torch.save(torch.tensor(MATRIX), tmp_path / "a.pt")
    np.testing.assert_array_equal(read_array(tmp_path / "a.pt"), MATRIX)
    both = {"x": torch.tensor(MATRIX).bfloat16(), "y": torch.tensor(MATRIX).to_sparse_coo()}
    torch.save(both, tmp_path / "b.pt")
    found = read_arrays(tmp_path / "b.pt")
    np.testing.assert_allclose(found["x"], MATRIX, rtol=1e-2)
    np.testing.assert_array_equal(found["y"].toarray(), MATRIX)
    torch.save({"x": torch.nn.Linear(2, 2)}, tmp_path / "c.pt")
    with pytest.raises(FileError, match="pickled objects, which could run code"):
        read_arrays(tmp_path / "c.pt")
    torch.save([1, 2], tmp_path / "d.pt")
    with pytest.raises(FileError, match="a tensor or a dict of tensors"):
        read_arrays(tmp_path / "d.pt")


def packed(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)


def header(shape, dtype="<f4"):
    """The header of an array, without the array."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        file, {"descr": dtype, "fortran_order": False, "shape": shape}
    )
    return file.getvalue()


def test_what_lies_or_runs_code_is_refused(tmp_path):
    np.save(tmp_path / "objects.npy", np.array([{}], object), allow_pickle=True)
    np.savez(tmp_path / "objects.npz", a=np.array([{}], object))
    for name in ("objects.npy", "objects.npz"):
        with pytest.raises(FileError, match="pickled objects, which could run code"):
            read_arrays(tmp_path / name)
    (tmp_path / "lies.npy").write_bytes(header((10**9, 10**6)) + b"1234")
    packed(tmp_path / "lies.npz", a=header((10**9, 10**6)) + b"1234")
    for name in ("lies.npy", "lies.npz"):
        with pytest.raises(FileError, match=r"its header says float32 .*, but 4 follow"):
            read_arrays(tmp_path / name)
    (tmp_path / "negative.npy").write_bytes(header((-1, 4)) + b"1234")
    with pytest.raises(FileError, match=r"can not be read|header says"):
        read_arrays(tmp_path / "negative.npy")


def test_a_zip_bomb_is_refused_before_it_unpacks(tmp_path, monkeypatch):
    monkeypatch.setattr("neurotrust_jax.files.archives.free_memory", lambda: 2.0**20)
    np.savez_compressed(tmp_path / "bomb.npz", a=np.zeros((2**20, 1), np.float32))
    assert (tmp_path / "bomb.npz").stat().st_size < 10_000
    with pytest.raises(FileError, match=r"unpacks to 0\.0 GiB, more than there is memory"):
        read_arrays(tmp_path / "bomb.npz")


def test_sparse_indices_outside_are_refused(tmp_path):
    sound = sparse.csr_array(np.eye(4, dtype=np.float32))
    for field, value in (("indices", [0, 1, 2, 9]), ("indptr", [0, 1, 2, 3, 7]), ("shape", [4, 2])):
        parts = {
            "format": np.array(b"csr"), "shape": np.array(sound.shape), "data": sound.data,
            "indices": sound.indices, "indptr": sound.indptr,
        }  # fmt: skip
        np.savez(tmp_path / "a.npz", **parts | {field: np.array(value)})
        with pytest.raises(FileError, match="its indices do not fit a CSR matrix"):
            read_arrays(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.npy", b"", "can not be read"),
        ("a.npy", b"\x93NUMPY\x01\x00", "can not be read"),
        ("a.npz", b"PK\x03\x04", "can not be read"),
        ("a.npz", b"not a zip", "can not be read"),
        ("a.csv", b"1,2", "unknown kind of file; known: .npy, .npz, .pt"),
    ],
)
def test_damaged_files_end_in_one_line(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FileError, match=message) as error:
        read_arrays(tmp_path / name)
    assert "\n" not in str(error.value)
    assert name in str(error.value)
    with pytest.raises(FileError, match="there is no such file"):
        read_arrays(tmp_path / "missing.npy")


def test_names_and_hierarchies(tmp_path):
    (tmp_path / "names.txt").write_text("a dog\n\ncat\n\n", encoding="utf-8-sig")
    assert read_names(tmp_path / "names.txt") == ["a dog", "", "cat"]
    (tmp_path / "names.json").write_text('["x", "y"]')
    assert read_names(tmp_path / "names.json") == ["x", "y"]
    (tmp_path / "wrong.json").write_text('{"x": 1}')
    with pytest.raises(FileError, match="must be a list of strings"):
        read_names(tmp_path / "wrong.json")
    (tmp_path / "wrong.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FileError, match="can not be read"):
        read_names(tmp_path / "wrong.txt")
    (tmp_path / "tree.csv").write_text("dog,animal\ncat,animal\n")
    assert read_hierarchy(tmp_path / "tree.csv") == {"dog": "animal", "cat": "animal"}
    (tmp_path / "tree.json").write_text('{"dog": "animal"}')
    assert read_hierarchy(tmp_path / "tree.json") == {"dog": "animal"}
    with pytest.raises(FileError, match="must state the parent"):
        read_hierarchy(tmp_path / "wrong.json")
    (tmp_path / "tree.csv").write_text('"dog, big",animal\n\ncat,animal,thing\n')
    with pytest.raises(FileError, match="line 3 has 3 columns; give two, a child and its parent"):
        read_hierarchy(tmp_path / "tree.csv")
    (tmp_path / "tree.csv").write_text("dogs, cats\tanimal\n")
    assert read_hierarchy(tmp_path / "tree.csv") == {"dogs, cats": "animal"}


def test_names_in_arrays(tmp_path):
    names = np.array(["dog", "café", ""])
    np.save(tmp_path / "a.npy", np.char.encode(names, "utf-8"))
    assert read_names(tmp_path / "a.npy") == ["dog", "café", ""]
    np.savez(tmp_path / "a.npz", names=names, concepts=MATRIX)
    assert read_names(tmp_path / "a.npz") == ["dog", "café", ""]
    np.save(tmp_path / "b.npy", MATRIX)
    with pytest.raises(FileError, match=r"names must be strings of shape \[C\], got float32"):
        read_names(tmp_path / "b.npy")
    np.savez(tmp_path / "b.npz", x=names, y=names)
    with pytest.raises(
        FileError, match=r"holds 'x' \[3\], 'y' \[3\]; call the one to read 'names'"
    ):
        read_names(tmp_path / "b.npz")


def test_the_wanted_array_beside_others(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, concepts=MATRIX, names=np.array(["a", "b"]), other=MATRIX)
    np.testing.assert_array_equal(read_named(path, "concepts"), MATRIX)
    with pytest.raises(FileError, match="'names' is of <U1; save real numbers"):
        read_named(path, "names")
    with pytest.raises(FileError, match=r"'other' \[12, 5\]; call the one to read 'groups', or"):
        read_named(path, "groups")


def test_examples(tmp_path):
    np.save(tmp_path / "images.npy", np.zeros((3, 8, 8, 3), np.uint8))
    show, groups = read_examples(tmp_path / "images.npy", 3)
    assert show(2).shape == (8, 8, 3)
    assert groups is None
    with pytest.raises(FileError, match="holds 3 images for 4 samples"):
        read_examples(tmp_path / "images.npy", 4)
    lines = [json.dumps(x) for x in ("one", {"text": "two"})]
    (tmp_path / "texts.jsonl").write_text("\n".join(lines), encoding="utf-8-sig")
    show, groups = read_examples(tmp_path / "texts.jsonl", 2)
    assert show(1) == ("", "two", "")
    lines = [json.dumps(x) for x in (["a ", "b "], {"tokens": ["c", " d\n", "\x07e"]})]
    (tmp_path / "tokens.jsonl").write_text("\n".join(lines))
    show, groups = read_examples(tmp_path / "tokens.jsonl", 5)
    np.testing.assert_array_equal(groups, [0, 0, 1, 1, 1])
    assert show(3) == ("c", "d⏎", "e")  # of its own text, and no control characters
    assert show(1) == ("a ", "b", "")
    with pytest.raises(FileError, match="holds 5 tokens for 6 samples"):
        read_examples(tmp_path / "tokens.jsonl", 6)
    (tmp_path / "tokens.jsonl").write_text('["a"]\n\n["b\n')
    with pytest.raises(FileError, match="line 3 is no JSON: Unterminated string"):
        read_examples(tmp_path / "tokens.jsonl", 2)
    (tmp_path / "tokens.jsonl").write_text("3\n")
    with pytest.raises(FileError, match="must be a text, or a list of tokens"):
        read_examples(tmp_path / "tokens.jsonl", 1)


def test_a_format_from_outside_the_package(tmp_path, monkeypatch):
    """One object makes it known to every reader of arrays, and to audits of files."""
    monkeypatch.setattr(files.arrays, "FORMATS", list(files.FORMATS))

    def read_table(path):
        return {"table": np.loadtxt(path, delimiter=",", ndmin=2)}

    files.register_format(files.FileFormat((".numbers",), read_table))
    np.savetxt(tmp_path / "a.numbers", MATRIX, delimiter=",")
    np.testing.assert_allclose(read_array(tmp_path / "a.numbers"), MATRIX, rtol=1e-6)
    chosen = Files((tmp_path / "a.numbers",), tmp_path / "concepts.npy")
    np.save(tmp_path / "concepts.npy", MATRIX > 0)
    (layer,) = load_layers(chosen, Options(split=0)).values()
    assert layer.probe().num_neurons == 5
    (tmp_path / "a.numbers").write_text("1,x")
    with pytest.raises(FileError, match=r"a.numbers: can not be read: could not convert"):
        read_array(tmp_path / "a.numbers")
    with pytest.raises(ValueError, match=r"suffix '\.numbers' belongs to another format"):
        files.register_format(files.FileFormat((".numbers",), read_table))
    with pytest.raises(ValueError, match="suffix 'TXT' must begin with a dot and be in lower case"):
        files.register_format(files.FileFormat(("TXT",), read_table))
    missing = files.FileFormat((".x",), read_table, package="no_such_package")
    with pytest.raises(ImportError, match=r"needs the package no_such_package: pip install no_su"):
        missing.read(tmp_path / "a.x")
