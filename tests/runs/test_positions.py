"""Files of feature maps and token vectors: pooled, or with one sample for each position."""

from collections import Counter

import numpy as np
import pytest

from neurotrust_jax import runs
from neurotrust_jax.cli import main
from neurotrust_jax.files import FileError
from neurotrust_jax.runs.examples import load_examples

RNG = np.random.default_rng(0)
N, H, W, U, C = 30, 2, 3, 4, 3
MAPS = RNG.normal(size=(N, U, H, W)).astype(np.float32)
OF_IMAGES = (RNG.random((N, C)) < 0.4).astype(np.uint8)
OF_POSITIONS = (RNG.random((N, H, W, C)) < 0.4).astype(np.uint8)


@pytest.fixture
def saved(tmp_path, monkeypatch):
    """Save arrays into the working folder; names with "_" stand for files of those names."""
    monkeypatch.chdir(tmp_path)

    def save(**arrays):
        for name, values in arrays.items():
            np.save(tmp_path / f"{name}.npy", values)
        return {name: tmp_path / f"{name}.npy" for name in arrays}

    return save


def load(paths, pool, **options):
    files = runs.Files((paths["maps"],), **{k: v for k, v in paths.items() if k != "maps"})
    (layer,) = runs.load_layers(files, runs.Options(split=0, pool=pool, **options)).values()
    return layer


def test_pooled_maps_are_one_sample_for_each_image(saved):
    paths = saved(maps=MAPS, concepts=OF_IMAGES)
    for how, plain in (("max", np.max), ("mean", np.mean)):
        layer = load(paths, how)
        np.testing.assert_allclose(layer.activations, plain(MAPS, axis=(2, 3)), rtol=1e-5)
        assert layer.groups is None
        assert layer.largest_unit is None
    saved(maps=np.moveaxis(MAPS, 1, -1))
    layer = load(paths, "max", channel_axis=-1)
    np.testing.assert_array_equal(layer.activations, MAPS.max(axis=(2, 3)))


def test_concepts_of_images_and_of_positions(saved):
    each = np.moveaxis(OF_POSITIONS, -1, 1)
    for concepts, expected in (
        (OF_IMAGES, lambda i, h, w: OF_IMAGES[i]),
        (OF_POSITIONS, lambda i, h, w: each[i, :, h, w]),
        (OF_POSITIONS.reshape(-1, C), lambda i, h, w: each[i, :, h, w]),
    ):
        layer = load(saved(maps=MAPS, concepts=concepts), "none")
        for row, place in enumerate(np.ndindex(N, H, W)):
            i, h, w = place
            np.testing.assert_array_equal(layer.activations[row], MAPS[i, :, h, w])
            np.testing.assert_array_equal(layer.concepts[row], expected(*place))
            assert layer.groups[row] == i
        # Every image has H * W positions, which is known beforehand.
        assert layer.largest_unit == H * W
        assert layer.probe().num_units == N


def test_groups_of_images_hold_their_positions(saved):
    packages = np.array([f"package {i // 5}" for i in range(N)])
    layer = load(saved(maps=MAPS, concepts=OF_IMAGES, groups=packages), "none")
    assert layer.largest_unit is None  # nobody knows how many images a package can have
    assert Counter(layer.groups.tolist()) == dict.fromkeys(packages.tolist(), 5 * H * W)
    assert load(
        saved(maps=MAPS, concepts=OF_IMAGES, groups=np.arange(N * H * W)), "none"
    ).probe().num_units == N * H * W  # fmt: skip


def test_the_image_of_a_position_is_shown(saved):
    images = RNG.random((N, 5, 5))
    paths = saved(maps=MAPS, concepts=OF_IMAGES, images=images)
    layer = load({k: v for k, v in paths.items() if k != "images"}, "none")
    examples = load_examples(paths["images"], layer)(layer.probe())
    for u in range(U):
        best = np.unravel_index(MAPS[:, u].argmax(), (N, H, W))[0]
        np.testing.assert_array_equal(examples.show(examples.top[u, 0]), images[best])
    np.save(paths["images"], images[1:])
    with pytest.raises(FileError, match=r"holds 29 images for 180 samples \(30 times 6\)"):
        load_examples(paths["images"], layer)


@pytest.mark.parametrize(("arrays", "pool", "message"), [
    ({"concepts": OF_IMAGES}, None, r"got \(30, 4, 2, 3\); pool its positions: .* or --pool"),
    ({"concepts": OF_IMAGES[1:]}, "max", "with the n = 29 samples"),
    ({"concepts": OF_POSITIONS}, "max", r"must be \[n, C\], got .*of positions need --pool none"),
    ({"concepts": OF_IMAGES[1:]}, "none",
     r"concepts must be \[30, C\], .* \[180, C\] or \[30, 2, 3, C\], .*, got \[29, 3\]"),
    ({"concepts": np.swapaxes(OF_POSITIONS, 1, 2)}, "none", r"got \[30, 3, 2, 3\]"),
    ({"concepts": OF_IMAGES, "groups": np.arange(31)}, "none", r"groups must be \[30\], one row"),
    ({"concepts": OF_IMAGES, "maps": MAPS[:, 0, 0, 0]}, "max", r"must be \[n, U\]"),
    ({"concepts": OF_IMAGES, "maps": MAPS[:, 0, 0]}, "none", None),
])  # fmt: skip
def test_what_does_not_fit_is_refused_in_one_line(saved, arrays, pool, message):
    paths = saved(**{"maps": MAPS} | arrays)
    if message is None:  # a matrix has one position each
        assert load(paths, pool).groups.tolist() == list(range(N))
        return
    with pytest.raises(FileError, match=message) as error:
        load(paths, pool)
    assert "\n" not in str(error.value)


def test_layers_of_unequal_positions_are_audited_one_at_a_time(saved, tmp_path):
    np.savez(tmp_path / "two.npz", a=MAPS, b=MAPS[:, :, :1])
    files = runs.Files((tmp_path / "two.npz",), saved(concepts=OF_IMAGES)["concepts"])
    options = runs.Options(split=0, pool="none")
    with pytest.raises(FileError, match=r"'a' and 'b' have 30 x \[2, 3\] .*one at a time"):
        runs.load_layers(files, options)
    assert runs.load_layer(files, options, "b").probe().num_samples == N * W
    assert set(runs.load_layers(files, runs.Options(split=0, pool="max"))) == {"a", "b"}


def test_options_of_pooling_reach_the_audit(saved, monkeypatch):
    seen = {}

    def end(files, out, options, **rest):
        seen["options"] = options
        raise SystemExit

    monkeypatch.setattr("neurotrust_jax.runs.audit_files", end)
    saved(maps=MAPS, concepts=OF_IMAGES)
    arguments = "audit --activations maps.npy --concepts concepts.npy --out o --pool none"
    monkeypatch.setattr("sys.argv", ["neurotrust", *arguments.split(), "--channel-axis", "-1"])
    with pytest.raises(SystemExit):
        main()
    assert (seen["options"].pool, seen["options"].channel_axis) == ("none", -1)
    with pytest.raises(ValueError, match="channel_axis=2 has no effect without pool"):
        runs.Options(channel_axis=2)
    with pytest.raises(ValueError, match=r"pool must be .*, got 'sum'"):
        runs.Options(pool="sum")


def test_the_number_of_positions_is_the_largest_unit_of_the_audit(saved, tmp_path, monkeypatch):
    seen = []

    def end(key, probe, metric, *, largest_unit, **options):
        seen.append((largest_unit, probe.num_units))
        raise KeyboardInterrupt

    monkeypatch.setattr("neurotrust_jax.runs.audit_run.audit", end)
    paths = saved(maps=MAPS, concepts=OF_IMAGES)
    for i, given in enumerate((None, 50.0)):
        options = runs.Options(split=0, pool="none", min_positives=0, largest_unit=given)
        files = runs.Files((paths["maps"],), paths["concepts"])
        with pytest.raises(KeyboardInterrupt):
            runs.audit_files(files, tmp_path / str(i), options)
    assert seen == [(H * W, N), (50, N)]
