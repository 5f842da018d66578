"""Networks, training and capture: against hand-made values and NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx
from sklearn.datasets import load_digits

from neurotrust_jax.models import CNN, MLP, accuracy, capture, layer_paths, predict, train

# Precision matters nowhere here: the parameters are float32 in either session.


@pytest.fixture(scope="module")
def digits():
    data = load_digits()
    return (data.images / 16).astype(np.float32)[..., None], data.target


def images(n, shape=(8, 8, 1)):
    return np.random.default_rng(0).random((n, *shape)).astype(np.float32)


def relu(x):
    return np.maximum(x, 0)


def linear(layer, x):
    return x @ np.asarray(layer.kernel[...]) + np.asarray(layer.bias[...])


def convolve(layer, x):
    """A 3 x 3 convolution that keeps the size, written as nine matrix products."""
    kernel, (height, width) = np.asarray(layer.kernel[...]), x.shape[1:3]
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return np.asarray(layer.bias[...]) + sum(
        padded[:, i : i + height, j : j + width] @ kernel[i, j] for i in range(3) for j in range(3)
    )


def max_pool(x):
    return np.max([x[:, i::2, j::2] for i in range(2) for j in range(2)], axis=0)


def snapshot(model):
    graph, state = nnx.split(model)
    return graph, [
        np.asarray(jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x)
        for x in jax.tree.leaves(state)
    ]


def assert_unchanged(model, before, keys):
    graph, state = snapshot(model)
    assert graph == before[0]
    for now, then in zip(state, before[1], strict=True):
        np.testing.assert_array_equal(now, then)
    assert vars(model).keys() == keys


# --- the networks -----------------------------------------------------------------------------


def test_mlp_layers_equal_their_formula():
    model, x = MLP(64, (7, 5), num_classes=3, rngs=nnx.Rngs(0)), images(11)
    first = relu(linear(model.blocks[0].linear, x.reshape(11, -1)))
    second = relu(linear(model.blocks[1].linear, first))
    for path, expected in {
        "blocks.0": first,
        "blocks.1.linear": linear(model.blocks[1].linear, first),
        "blocks.1": second,
        "head": linear(model.head, second),
        "": linear(model.head, second),
    }.items():
        np.testing.assert_allclose(capture(model, x, path), expected, rtol=1e-5, atol=1e-6)


def test_cnn_layers_equal_their_formula():
    shape = (12, 8, 2)
    model = CNN(shape, (4, 3), 5, num_classes=3, rngs=nnx.Rngs(1))
    x = images(6, shape)
    first = max_pool(relu(convolve(model.blocks[0].conv, x)))
    second = relu(convolve(model.blocks[1].conv, first))  # 6 x 4 pixels: not halved again
    hidden = relu(linear(model.hidden.linear, second.reshape(6, -1)))
    for path, expected in {
        "blocks.0": first.mean((1, 2)),
        "blocks.1.conv": convolve(model.blocks[1].conv, first).mean((1, 2)),
        "blocks.1": second.mean((1, 2)),
        "hidden": hidden,
        "head": linear(model.head, hidden),
    }.items():
        got = capture(model, x, path, pool="mean")
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        capture(model, x, "blocks.0", pool="max"), first.max((1, 2)), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("shape", [(8, 8, 1), (9, 15, 3), (28, 28, 1), (32, 32, 3)])
def test_cnn_takes_images_of_many_sizes(shape):
    model = CNN(shape, (2, 3, 4), 5, num_classes=4, rngs=nnx.Rngs(0))
    assert predict(model, images(3, shape)).shape == (3, 4)


def test_networks_refuse_sizes_and_shapes_that_can_not_be():
    with pytest.raises(ValueError, match=r"hidden must be positive, got \(4, 0\)"):
        MLP(3, (4, 0), num_classes=2, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"height, width, channels\), got \(8, 8\)"):
        CNN((8, 8), num_classes=2, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"got \(2, 9, 9, 1\)"):
        CNN((8, 8, 1), num_classes=2, rngs=nnx.Rngs(0))(images(2, (9, 9, 1)))


# --- capture: NNX -----------------------------------------------------------------------------


class Doubled(nnx.Linear):
    """Inherits its call, which a patch of the class's own methods would miss."""


class Zoo(nnx.Module):
    """Lists, dicts, sequences, rematerialised, shared, uncalled and tuple-valued layers."""

    def __init__(self, rngs):
        self.items = nnx.Dict(a=Doubled(4, 4, rngs=rngs))
        self.chain = nnx.Sequential(
            nnx.Linear(4, 4, rngs=rngs), nnx.relu, nnx.Dropout(0.5, rngs=rngs)
        )
        self.norm = nnx.BatchNorm(4, rngs=rngs)
        self.rematerialised = nnx.Linear(4, 4, rngs=rngs)
        self.shared = nnx.Linear(4, 4, rngs=rngs)
        self.also = self.shared
        self.idle = nnx.Linear(4, 4, rngs=rngs)
        self.pair = Pair()

    def __call__(self, x, *, offset=0.0):
        x = self.norm(self.chain(self.items["a"](x)))
        x = nnx.remat(lambda module, x: module(x))(self.rematerialised, x)
        return self.pair(self.also(self.shared(x)))[0] + offset


class Pair(nnx.Module):
    def __call__(self, x):
        return x, x


@pytest.fixture
def zoo():
    model = Zoo(nnx.Rngs(0))
    model.norm.mean[...] = jnp.arange(4.0)
    return model


def test_capture_reaches_every_kind_of_place_in_evaluation_mode(zoo):
    x = images(5, (4,))
    items = linear(zoo.items["a"], x)
    chain = relu(linear(zoo.chain.layers[0], items))
    norm = (chain - np.arange(4)) / np.sqrt(1 + zoo.norm.epsilon)
    rematerialised = linear(zoo.rematerialised, norm)
    calls = [linear(zoo.shared, rematerialised)]
    calls.append(linear(zoo.shared, calls[0]))
    before, keys = snapshot(zoo), vars(zoo).keys()
    for path, expected in {
        "items.a": items,
        "chain": chain,
        "chain.layers.2": chain,
        "norm": norm,
        "rematerialised": rematerialised,
    }.items():
        np.testing.assert_allclose(capture(zoo, x, path), expected, rtol=1e-5, atol=1e-6)
    paths = layer_paths(zoo, x)
    (shared,) = paths.keys() & {"shared", "also"}
    for call in range(2):
        got = capture(zoo, x, shared, call=call)
        np.testing.assert_allclose(got, calls[call], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(capture(zoo, x, "", offset=2.0), calls[1] + 2, rtol=1e-5, atol=1e-6)
    assert_unchanged(zoo, before, keys)
    assert type(zoo.items["a"]) is Doubled
    assert not zoo.chain.layers[2].deterministic

    with pytest.raises(ValueError, match="is called 2 times: say which"):
        capture(zoo, x, shared)
    with pytest.raises(ValueError, match=r"called 2 times, got call=2"):
        capture(zoo, x, shared, call=2)
    with pytest.raises(ValueError, match=r"must return one array, got .*tuple"):
        capture(zoo, x, "pair")
    with pytest.raises(ValueError, match="no layer at path 'idle' is called"):
        capture(zoo, x, "idle")
    assert "pair" not in paths
    assert_unchanged(zoo, before, keys)


def test_an_error_inside_the_model_leaves_no_trace(zoo):
    before, keys = snapshot(zoo), vars(zoo).keys()
    with pytest.raises(TypeError):
        capture(zoo, images(5, (3,)), "norm")
    assert_unchanged(zoo, before, keys)


def test_a_path_that_is_not_there_is_answered_with_those_that_are(zoo):
    model = CNN((8, 8, 1), (2, 2), 3, num_classes=2, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"'block.1' is called; the paths are 'blocks.1',.*'head'"):
        capture(model, images(2), "block.1")


def test_layer_paths_are_those_capture_takes():
    widths = (2,) * 11  # blocks.10 must not come before blocks.2
    model = CNN((8, 8, 1), widths, 3, num_classes=2, rngs=nnx.Rngs(0))
    paths = layer_paths(model, images(5))
    blocks = [path for path in paths if path.startswith("blocks") and "conv" not in path]
    assert blocks == [f"blocks.{i}" for i in range(11)]
    assert paths["blocks.0.conv"] == (5, 8, 8, 2)
    assert paths["blocks.0"] == (5, 4, 4, 2)
    assert paths["hidden"] == (5, 3)
    assert paths[""] == (5, 2)
    assert capture(model, images(5), "blocks.10", pool="max").shape == (5, 2)


@pytest.mark.parametrize("batch_size", [1, 4, 5, 9, 10, 64])
def test_batches_change_nothing_and_compile_once(batch_size):
    model, x = MLP(6, (5,), num_classes=2, rngs=nnx.Rngs(0)), images(10, (6,))
    traces = []

    class Counted(nnx.Module):
        def __init__(self):
            self.inner = model

        def __call__(self, x):
            traces.append(x.shape[0])
            return self.inner(x)

    got = capture(Counted(), x, "inner.blocks.0", batch_size=batch_size)
    expected = relu(linear(model.blocks[0].linear, x))
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        capture(Counted(), jnp.asarray(x), "inner.blocks.0", batch_size=batch_size), got
    )
    assert len(traces) == 2  # one a call of capture
    assert max(traces) <= batch_size


def test_capture_of_integer_tokens():
    class Tokens(nnx.Module):
        def __init__(self, rngs):
            self.embed = nnx.Embed(9, 4, rngs=rngs)

        def __call__(self, x):
            return self.embed(x).sum(axis=1)

    model, x = Tokens(nnx.Rngs(0)), np.random.default_rng(0).integers(0, 9, (5, 3))
    table = np.asarray(model.embed.embedding[...])
    got = capture(model, x, "embed", pool="max", batch_size=2)
    np.testing.assert_array_equal(got, table[x].max(axis=1))
    with pytest.raises(ValueError, match=r'shape \(5, 3, 4\) for 5 samples.*pool="mean"'):
        capture(model, x, "embed")


def test_capture_keeps_a_16_bit_dtype():
    model = nnx.Linear(3, 2, dtype=jnp.bfloat16, rngs=nnx.Rngs(0))
    assert capture(model, images(4, (3,)), "").dtype == jnp.bfloat16


def test_capture_refuses_what_it_can_not_use():
    model, x = MLP(6, (5,), num_classes=2, rngs=nnx.Rngs(0)), images(3, (6,))
    for arguments, message in (
        ({"pool": "median"}, "pool must be None or one of .* got 'median'"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"inputs": x[:0]}, r"at least one sample, got an array of shape \(0, 6\)"),
        ({"variables": {}}, "variables must be omitted for an NNX model"),
        ({"model": len}, "must be a Flax NNX or Linen module"),
        ({"model": lambda_module(), "path": ""}, r"must return \[n, ..., U\].*got shape \(3,\)"),
    ):
        with pytest.raises(ValueError, match=message):
            capture(**({"model": model, "inputs": x, "path": "head"} | arguments))


def lambda_module():
    class Total(nnx.Module):
        def __call__(self, x):
            return x.sum(axis=1)

    return Total()


# --- capture: Linen ---------------------------------------------------------------------------


class LinenBlock(linen.Module):
    width: int

    @linen.compact
    def __call__(self, x, train):
        x = linen.relu(linen.Dense(self.width)(x))
        self.sow("intermediates", "own", x)
        return linen.Dropout(0.5, deterministic=not train)(x)


class LinenNet(linen.Module):
    def setup(self):
        self.stem = linen.Conv(3, (3, 3))
        self.layers = [LinenBlock(5), LinenBlock(4)]

    def __call__(self, x, train=True):
        x = self.stem(x).reshape(x.shape[0], -1)
        for layer in self.layers:
            x = layer(x, train)
        return x


def test_linen_layers_equal_their_formula():
    model, x = LinenNet(), images(7)
    variables = model.init(jax.random.key(0), x, train=False)
    # What an earlier call left among the variables is not taken for a call of this one.
    variables |= model.apply(
        variables, x, train=False, capture_intermediates=True, mutable=["intermediates"]
    )[1]
    params = jax.tree.map(np.asarray, variables["params"])

    def dense(params, x):
        return relu(x @ params["Dense_0"]["kernel"] + params["Dense_0"]["bias"])

    stem = np.asarray(linen.Conv(3, (3, 3)).apply({"params": params["stem"]}, x))
    first = dense(params["layers_0"], stem.reshape(7, -1))
    second = dense(params["layers_1"], first)
    for path, expected in {
        "stem": stem.mean((1, 2)),
        "layers_0": first,
        "layers_1.Dropout_0": second,
        "": second,
    }.items():
        got = capture(model, x, path, variables=variables, pool="mean", batch_size=3, train=False)
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)

    paths = layer_paths(model, x, variables, train=False)
    assert paths["stem"] == (7, 8, 8, 3)
    assert paths["layers_1.Dense_0"] == (7, 4)
    assert not any("own" in path for path in paths)
    with pytest.raises(ValueError, match=r"path 'layer_0' is called; .* 'layers_0'"):
        capture(model, x, "layer_0", variables=variables, train=False)
    with pytest.raises(ValueError, match="needs its variables, got None"):
        capture(model, x, "stem")


# --- training ---------------------------------------------------------------------------------


@pytest.mark.quick("mlp")
@pytest.mark.parametrize("kind", ["mlp", "cnn"])
def test_training_learns_the_digits(digits, kind):
    x, y = digits
    rngs = nnx.Rngs(0)
    model = (
        MLP(64, num_classes=10, rngs=rngs)
        if kind == "mlp"
        else CNN((8, 8, 1), num_classes=10, rngs=rngs)
    )
    calls = []
    history = train(
        jax.random.key(0),
        model,
        x[:1200],
        y[:1200],
        num_epochs=10,
        progress=lambda done, total: calls.append((done, total)),
    )
    assert history.loss.shape == history.accuracy.shape == (10,)
    assert history.loss[-1] < 0.2 < 2 < history.loss[0]
    assert history.accuracy[-1] > 0.95
    # The last third was written by other people; logistic regression gets 0.92 of it, chance 0.1.
    # 597 images: 0.85 is six standard errors (0.0126 at 0.9) below what either network reaches.
    assert accuracy(model, x[1200:], y[1200:]) > 0.85
    assert calls == [(done, 90) for done in range(1, 91)]


def test_training_is_a_function_of_its_keys(digits):
    x, y = digits[0][:100], digits[1][:100]

    def parameters(init, order):
        model = MLP(64, (8,), num_classes=10, rngs=nnx.Rngs(init))
        train(jax.random.key(order), model, x, y, num_epochs=2, batch_size=32)
        return np.asarray(model.head.kernel[...])

    np.testing.assert_array_equal(parameters(0, 0), parameters(0, 0))
    assert np.abs(parameters(0, 0) - parameters(0, 1)).max() > 1e-4


def test_first_step_of_training_is_adamw():
    """One epoch of one full batch: each parameter moves by the rate in its gradient's sign."""
    x, y = images(12, (5,)), np.arange(12) % 3
    model = MLP(5, (4,), num_classes=3, rngs=nnx.Rngs(0))
    before = np.asarray(model.head.bias[...])
    logits = predict(model, x)
    gradient = np.mean(np.asarray(jax.nn.softmax(logits)) - np.eye(3)[y], axis=0)
    history = train(jax.random.key(0), model, x, y, num_epochs=1, batch_size=99, learning_rate=1e-3)
    expected = -np.mean(np.asarray(jax.nn.log_softmax(logits))[np.arange(12), y])
    np.testing.assert_allclose(history.loss, [expected], rtol=1e-5)
    np.testing.assert_allclose(
        np.asarray(model.head.bias[...]) - before, -1e-3 * np.sign(gradient), rtol=1e-3
    )


def test_training_carries_batch_statistics_and_randomness_along():
    class Noisy(nnx.Module):
        def __init__(self, rngs):
            self.norm = nnx.BatchNorm(5, rngs=rngs)
            self.dropout = nnx.Dropout(0.5, rngs=rngs)
            self.head = nnx.Linear(5, 3, rngs=rngs)

        def __call__(self, x):
            return self.head(self.dropout(self.norm(x)))

    model = Noisy(nnx.Rngs(0))
    train(jax.random.key(0), model, images(12, (5,)), np.arange(12) % 3, num_epochs=2)
    assert np.abs(np.asarray(model.norm.mean[...])).min() > 0
    assert int(model.dropout.rngs.count[...]) == 2


def test_training_that_is_interrupted_leaves_the_model_as_it_was(digits):
    model = MLP(64, (8,), num_classes=10, rngs=nnx.Rngs(0))
    before, keys = snapshot(model), vars(model).keys()

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(jax.random.key(0), model, *digits, num_epochs=1, progress=stop)
    assert_unchanged(model, before, keys)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"images": np.zeros((6, 5), np.uint8)}, r"floating point.*got uint8 \(6, 5\)"),
        ({"images": np.zeros((0, 5), np.float32)}, r"got float32 \(0, 5\)"),
        ({"targets": np.zeros(7, int)}, r"integers of shape \[6\], got int64 \(7,\)"),
        ({"targets": np.zeros(6)}, r"got float64 \(6,\)"),
        ({"targets": np.array([0, 1, 2, 3, 0, 1])}, r"lie in \[0, 2\].*got 0 to 3"),
        ({"targets": np.array([0, 1, 2, -1, 0, 1])}, "got -1 to 2"),
        ({"num_epochs": 0}, "got 0 and 128"),
        ({"batch_size": 0}, "got 1 and 0"),
        ({"learning_rate": float("nan")}, "got nan and"),
        (
            {
                "model": nnx.LayerNorm(5, rngs=nnx.Rngs(0)),
                "images": np.zeros((6, 2, 5), np.float32),
            },
            r"logits \[6, K\], got shape \(6, 2, 5\)",
        ),
    ],
)
def test_training_refuses_what_it_can_not_use(arguments, message):
    model = MLP(5, (4,), num_classes=3, rngs=nnx.Rngs(0))
    good = {"model": model, "images": images(6, (5,)), "targets": np.arange(6) % 3, "num_epochs": 1}
    with pytest.raises(ValueError, match=message):
        train(jax.random.key(0), **(good | arguments))


def test_predict_and_accuracy_agree_with_the_model():
    model, x = MLP(5, (4,), num_classes=3, rngs=nnx.Rngs(0)), images(10, (5,))
    logits = np.asarray(model(x))
    np.testing.assert_allclose(predict(model, x, batch_size=3), logits, rtol=1e-5, atol=1e-6)
    targets = logits.argmax(axis=1)
    targets[:3] = (targets[:3] + 1) % 3
    assert accuracy(model, x, targets) == pytest.approx(0.7)
