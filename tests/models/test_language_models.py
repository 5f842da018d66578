"""Transformer, autoencoder, n-grams and checkpoints: against naive loops and planted truth."""

import collections
import logging
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from neurotrust_jax.models import (
    MLP,
    SparseAutoencoder,
    Transformer,
    cached_model,
    capture,
    evaluate,
    fingerprint,
    layer_paths,
    ngram_bits,
    sparse_features,
    token_activations,
    train_autoencoder,
    train_language_model,
    windows,
)
from neurotrust_jax.models.steps import minibatches

# Precision matters nowhere here: the parameters are float32 in either session.


def small(vocab_size=11, context=8, num_layers=2, seed=0):
    """A transformer whose blocks do something: untrained ones begin as the identity."""
    model = Transformer(
        vocab_size, width=16, num_layers=num_layers, num_heads=2, context=context,
        rngs=nnx.Rngs(seed),
    )  # fmt: skip
    rng = np.random.default_rng(seed)
    for block in model.blocks:
        for out in (block.attention.out, block.mlp.out):
            shape = out.kernel.shape
            out.kernel[...] = jnp.asarray(rng.normal(size=shape) / math.sqrt(shape[0]), jnp.float32)
    return model


def test_blocks_begin_as_the_identity():
    model = Transformer(11, width=16, num_layers=2, num_heads=2, context=8, rngs=nnx.Rngs(0))
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 8, 16)), jnp.float32)
    np.testing.assert_array_equal(model.blocks[1](x), x)


def texts(lengths, vocab_size=11, seed=0):
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(len(lengths)), lengths).astype(np.int32)
    return rng.integers(0, vocab_size, len(groups)).astype(np.int32), groups


def values(model):
    return [np.asarray(x) for x in jax.tree.leaves(nnx.state(model))]


def assert_same(got, expected):
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_array_equal(a, b)


# --- the transformer --------------------------------------------------------------------------


def test_a_later_token_changes_no_earlier_logit():
    model, tokens = nnx.jit(small()), texts([8])[0][None]
    before = np.asarray(model(jnp.asarray(tokens)))
    for place in range(8):
        changed = tokens.copy()
        changed[0, place] = (changed[0, place] + 1) % 11
        after = np.asarray(model(jnp.asarray(changed)))
        np.testing.assert_allclose(after[:, :place], before[:, :place], atol=1e-6)
        assert np.abs(after[:, place:] - before[:, place:]).max(axis=-1).min() > 1e-7


def one_head(attention, x, h):
    """The output of one head of width 8, with complex numbers for the rotation."""
    length = x.shape[1]
    kernel = attention.query_key_value.kernel[...].reshape(16, 3, 2, 8)[:, :, h]
    query, key, value = (x @ kernel[:, i] for i in range(3))
    turn = np.exp(1j * np.arange(length)[:, None] * 10_000.0 ** (-np.arange(4) / 4))
    turn = jnp.asarray(turn, jnp.complex64)[None]
    query, key = (jax.lax.complex(a[..., :4], a[..., 4:]) * turn for a in (query, key))
    score = jnp.einsum("nti,nsi->nts", query, key.conj()).real / math.sqrt(8)
    weight = jnp.where(jnp.tri(length, dtype=bool)[None], jnp.exp(score), 0)
    return weight / weight.sum(axis=-1, keepdims=True) @ value


def test_attention_equals_its_formula():
    attention = small().blocks[1].attention
    x = jnp.asarray(np.random.default_rng(0).normal(size=(3, 8, 16)), jnp.float32)
    read = jnp.concatenate([one_head(attention, x, h) for h in range(2)], axis=-1)
    expected = read @ attention.out.kernel[...]
    np.testing.assert_allclose(nnx.jit(attention)(x), expected, rtol=1e-4, atol=1e-5)


def test_layers_that_one_would_label_have_paths():
    paths = layer_paths(small(), texts([24])[0].reshape(3, 8))
    assert paths["blocks.1.mlp.hidden"] == (3, 8, 64)
    assert paths["blocks.1.attention.heads"] == (3, 8, 16)
    assert paths["blocks.0"] == paths["embed"] == (3, 8, 16)
    assert paths[""] == (3, 8, 11)
    hidden = capture(small(), texts([24])[0].reshape(3, 8), "blocks.1.mlp.hidden", pool="max")
    assert hidden.shape == (3, 64)
    assert hidden.min() >= 0


def test_transformer_refuses_sizes_and_tokens_that_can_not_be():
    with pytest.raises(ValueError, match=r"num_layers must be positive, got \(0,\)"):
        Transformer(5, num_layers=0, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"a multiple of 2 \* num_heads = 6, got 16"):
        Transformer(5, width=16, num_heads=3, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"T at most 8, .* got shape \(1, 9\): cut them"):
        small()(jnp.zeros((1, 9), jnp.int32))


# --- windows ----------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [1, 3, 4, 7, 100])
def test_windows_hold_each_token_once_and_cross_no_text(length):
    groups = np.repeat([5, 2, 5, 9], [4, 1, 9, 3])  # 5 twice: two texts
    index, mask = windows(groups, length)
    assert index.shape == mask.shape
    assert index.shape[1] == length
    assert index.dtype == np.int32
    np.testing.assert_array_equal(index[mask], np.arange(17))
    expected = [
        range(start, min(start + length, stop))
        for first, stop in ((0, 4), (4, 5), (5, 14), (14, 17))
        for start in range(first, stop, length)
    ]
    assert [list(row[keep]) for row, keep in zip(index, mask, strict=True)] == [
        *map(list, expected)
    ]
    assert all(len(set(groups[row])) == 1 for row in index)


def test_windows_refuse_what_they_can_not_cut():
    with pytest.raises(ValueError, match="length must be at least 1, got 0"):
        windows(np.zeros(3, int), 0)
    for groups in (np.zeros(0, int), np.zeros((2, 2), int), np.zeros(3)):
        with pytest.raises(ValueError, match="groups must be integers of shape"):
            windows(groups, 4)


def test_minibatches_are_passes_over_all_rows():
    key = jax.random.key(0)
    steps = list(minibatches(key, 10, 3, 7))
    assert [len(rows) for rows in steps] == [3] * 7
    first, second = np.concatenate(steps[:3]), np.concatenate(steps[3:6])
    assert len(set(first)) == len(set(second)) == 9
    assert list(first) != list(second)
    assert [sorted(rows) for rows in minibatches(key, 4, 9, 2)] == [[0, 1, 2, 3]] * 2


# --- token by token ---------------------------------------------------------------------------


@nnx.jit
def layers_by_hand(model, window):
    """What two blocks do to one window [1, T], step by step."""
    first = model.blocks[0](model.embed(window))
    block = model.blocks[1]
    read = block.attention_norm(first)
    read = jnp.concatenate([one_head(block.attention, read, h) for h in range(2)], axis=-1)
    middle = first + block.attention.out(read)
    return {
        "blocks.0": first[0],
        "blocks.1.attention.heads": read[0],
        "blocks.1.mlp.hidden": block.mlp.hidden(block.mlp_norm(middle))[0],
        "": model(window)[0],
    }


def test_token_activations_equal_a_call_for_each_window():
    model, (tokens, groups) = small(), texts([8, 3, 20, 1, 9])
    parts = []
    for text in range(5):
        own = tokens[groups == text]
        for start in range(0, len(own), 8):
            window = own[start : start + 8]
            layers = layers_by_hand(model, jnp.asarray(np.pad(window, (0, 8 - len(window))))[None])
            parts.append({path: x[: len(window)] for path, x in layers.items()})
    for path in parts[0]:
        got = token_activations(model, tokens, groups, path, batch_size=3)
        assert got.dtype == np.float32
        expected = np.concatenate([part[path] for part in parts])
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
    half = token_activations(model, tokens, groups, path, dtype=np.float16)
    assert half.dtype == np.float16
    np.testing.assert_allclose(half, got, rtol=1e-3, atol=1e-4)


def test_token_activations_refuse_what_they_can_not_align():
    model, data = small(), texts([9])
    with pytest.raises(ValueError, match=r"no layer at path 'blocks.2' .* 'blocks.1'"):
        token_activations(model, *data, "blocks.2")
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        token_activations(model, *data, "blocks.0", batch_size=0)
    model.norm = Mean()
    with pytest.raises(ValueError, match=r"must return \[n, T, U\] .* got shape \(2, 1, 16\)"):
        token_activations(model, *data, "norm")


class Mean(nnx.Module):
    def __call__(self, x):
        return x.mean(axis=1, keepdims=True)


def test_evaluate_scores_every_token_but_the_first_of_a_text():
    model, (tokens, groups) = small(), texts([8, 3, 20, 1, 9])
    bits, call = [], nnx.jit(model)
    for text in range(5):
        own = tokens[groups == text]
        for place in range(1, len(own)):
            start = (place - 1) // 8 * 8
            seen = np.pad(own[start:place], (0, 8 - place + start))[None]  # 0 for what follows
            logits = np.asarray(call(jnp.asarray(seen)), np.float64)[0, place - start - 1]
            bits.append(np.log2(np.exp(logits).sum()) - logits[own[place]] / np.log(2))
    assert len(bits) == len(tokens) - 5
    for batch_size in (4, 64):
        got = evaluate(model, tokens, groups, batch_size=batch_size)
        assert got == pytest.approx(np.mean(bits), rel=1e-5)


# --- training ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_training_learns_what_repeats_and_no_more():
    """A cycle of seven tokens costs nothing once begun; uniform noise its entropy."""
    cycle, groups = np.arange(420) % 7, np.zeros(420, int)
    model, calls = small(7, num_layers=1), []
    history = train_language_model(
        jax.random.key(0), model, cycle, groups, num_steps=150, learning_rate=1e-2,
        progress=lambda *call: calls.append(call),
    )  # fmt: skip
    assert history.loss.shape == (150,)
    assert history.loss[0] > 1
    assert history.loss[-1] < 0.05
    assert evaluate(model, cycle[3:50], groups[3:50]) < 0.05
    assert calls == [(done, 150) for done in range(1, 151)]
    model = small(7, num_layers=1)
    train_language_model(
        jax.random.key(0), model, *texts([2_000], 7), num_steps=150, learning_rate=3e-3
    )
    assert evaluate(model, *texts([2_000], 7, seed=1)) == pytest.approx(np.log2(7), abs=0.1)


def test_training_is_a_function_of_its_keys_and_interrupted_changes_nothing():
    data = texts([50, 30])

    def trained(order):
        model = small(num_layers=1)
        train_language_model(jax.random.key(order), model, *data, num_steps=4, batch_size=2)
        return values(model)

    first = trained(0)
    assert_same(trained(0), first)
    assert np.abs(trained(1)[0] - first[0]).max() > 1e-4

    def stop(done, total):
        raise KeyboardInterrupt

    model = small(num_layers=1)
    before = values(model)
    with pytest.raises(KeyboardInterrupt):
        train_language_model(jax.random.key(0), model, *data, num_steps=4, progress=stop)
    assert_same(values(model), before)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tokens": np.zeros(6)}, r"tokens must be integers .* got float64 \(6,\)"),
        ({"tokens": np.arange(6) * 3}, r"tokens must lie in \[0, 10\], .* got 0 to 15"),
        ({"groups": np.zeros(5, int)}, r"groups must hold .* 6 tokens, got shape \(5,\)"),
        ({"groups": np.arange(6)}, "a text of at least two tokens, got none"),
        ({"num_steps": 0}, "at least 1, got 0 and 16"),
        ({"batch_size": 0}, "at least 1, got 1 and 0"),
        ({"learning_rate": float("nan")}, "learning_rate must be positive, got nan"),
        ({"weight_decay": -1.0}, "weight_decay must not be negative, got -1.0"),
    ],
)
def test_training_refuses_what_it_can_not_use(arguments, message):
    good = {"tokens": np.arange(6), "groups": np.zeros(6, int), "num_steps": 1}
    with pytest.raises(ValueError, match=message):
        train_language_model(jax.random.key(0), small(), **(good | arguments))


# --- n-grams ----------------------------------------------------------------------------------


def naive_kneser_ney(train, vocab_size, order):
    """P(token | context) by recursion over counts in dictionaries; texts are lists."""
    start = (vocab_size,) * (order - 1)
    counts = collections.Counter()
    for text in train:
        row = start + tuple(text)
        counts.update(row[i - order + 1 : i + 1] for i in range(order - 1, len(row)))
    levels = [counts]
    for _ in range(order - 1):
        levels.append(collections.Counter(gram[1:] for gram in levels[-1]))
    levels.reverse()

    def probability(token, context):
        if context is None:
            return 1 / vocab_size
        lower = probability(token, context[1:] if context else None)
        counts = levels[len(context)]
        follows = {gram[-1]: c for gram, c in counts.items() if gram[:-1] == context}
        if not follows:
            return lower
        kinds = collections.Counter(counts.values())
        discount = (kinds[1] + 1) / (kinds[1] + 2 * kinds[2] + 2)
        kept = max(follows.get(token, 0) - discount, 0)
        return (kept + discount * len(follows) * lower) / sum(follows.values())

    return probability


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_ngram_bits_equal_a_naive_loop_over_probabilities_that_sum_to_one(order):
    rng = np.random.default_rng(0)
    train = [rng.choice(5, size, p=[0.5, 0.3, 0.1, 0.1, 0]).tolist() for size in (30, 1, 12, 25)]
    test = [rng.integers(0, 6, size).tolist() for size in (10, 1, 2, 15)]
    probability = naive_kneser_ney(train, 6, order)
    contexts = [(6, 6, 6), (6, 6, 0), (0, 1, 0), (5, 5, 5), (0, 5, 1), (3, 3, 2)]
    for context in contexts:
        known = context[len(context) - order + 1 :]
        assert sum(probability(w, known) for w in range(6)) == pytest.approx(1)
    bits = []
    for text in test:
        row = (6,) * (order - 1) + tuple(text)
        for i in range(order, len(row)):
            bits.append(-np.log2(probability(row[i], row[i - order + 1 : i])))
    got = ngram_bits(*flat(train), *flat(test), 6, order)
    assert got == pytest.approx(np.mean(bits))


def flat(texts):
    return np.concatenate(texts), np.repeat(np.arange(len(texts)), [len(text) for text in texts])


def test_ngram_bits_of_what_repeats_and_of_noise():
    cycle, groups = np.arange(4_000) % 7, np.zeros(4_000, int)
    assert ngram_bits(cycle, groups, cycle[:99], groups[:99], 7) < 0.05
    noise = texts([20_000], 4)
    assert ngram_bits(*noise, *texts([20_000], 4, seed=1), 4) == pytest.approx(2, abs=0.01)


def test_ngram_bits_refuse_what_they_can_not_count():
    data = texts([9])
    with pytest.raises(ValueError, match="order must be at least 1, got 0"):
        ngram_bits(*data, *data, 11, order=0)
    with pytest.raises(ValueError, match=r"tokens must lie in \[0, 4\]"):
        ngram_bits(*data, *data, 5)
    with pytest.raises(ValueError, match="a text of at least two tokens, got none"):
        ngram_bits(*data, *texts([1, 1]), 11)


# --- the autoencoder --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def planted():
    """Inputs [4000, 16] made of 1 to 3 of 24 directions, a mean and a scale; the directions."""
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(24, 16))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    codes = np.zeros((4_000, 24))
    for row in codes:
        row[rng.choice(24, rng.integers(1, 4), replace=False)] = 1
    codes *= rng.uniform(0.5, 1.5, codes.shape)
    return (5 * (codes @ directions) + rng.normal(size=16)).astype(np.float32), directions


@pytest.fixture(scope="module")
def autoencoder(planted):
    model = SparseAutoencoder(16, 32, 3, rngs=nnx.Rngs(0))
    history = train_autoencoder(
        jax.random.key(0), model, planted[0], num_steps=1_500, batch_size=256, learning_rate=5e-3
    )
    return model, history


def test_autoencoder_finds_the_planted_directions(planted, autoencoder):
    x, directions = planted
    model, history = autoencoder
    decoder = np.asarray(model.decoder[...])
    np.testing.assert_allclose(np.linalg.norm(decoder, axis=1), 1, atol=1e-5)
    assert (directions @ decoder.T).max(axis=1).mean() > 0.9
    error = np.square(x - np.asarray(model(jnp.asarray(x)))).sum()
    unexplained = error / np.square(x - x.mean(axis=0)).sum()
    assert unexplained < 0.1
    assert history.unexplained.shape == history.dead.shape == (1_500,)
    assert np.mean(history.unexplained[-50:]) == pytest.approx(unexplained, rel=0.1)
    assert history.unexplained[0] > 0.5
    assert np.all((history.dead >= 0) & (history.dead <= 1))


def test_dead_features_are_revived():
    """Most features never win at first; without help more of them die."""
    x = np.random.default_rng(0).normal(size=(2_000, 8)).astype(np.float32)

    def trained(dead_after):
        model = SparseAutoencoder(8, 64, 1, rngs=nnx.Rngs(0))
        model.encoder[...] = model.encoder[...].at[:, 8:].multiply(0.1)
        history = train_autoencoder(
            jax.random.key(0), model, x, num_steps=300, batch_size=200, learning_rate=1e-2,
            dead_after=dead_after,
        )  # fmt: skip
        return (sparse_features(model, x).sum(axis=0) > 0).sum(), history

    (helped, history), (left_alone, _) = trained(5), trained(1_000)
    assert helped > 1.5 * left_alone  # 31 and 14
    assert history.dead[4] == 0 < history.dead[5]


def test_features_are_the_k_largest(planted, autoencoder):
    x, model = planted[0][:50], autoencoder[0]
    mean, scale = np.asarray(model.mean[...]), float(model.scale[...])
    np.testing.assert_allclose(mean, planted[0].mean(axis=0), rtol=1e-4, atol=1e-5)
    assert scale == pytest.approx(np.sqrt(planted[0].var(axis=0).mean()), rel=1e-5)
    before = ((x - mean) / scale - np.asarray(model.bias[...])) @ np.asarray(model.encoder[...])
    third = np.sort(before, axis=1)[:, -3:-2]
    expected = np.where(before >= third, np.maximum(before, 0), 0)
    features = np.asarray(model.encode(jnp.asarray(x)))
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-5)
    back = features @ np.asarray(model.decoder[...]) + np.asarray(model.bias[...])
    np.testing.assert_allclose(model(jnp.asarray(x)), back * scale + mean, rtol=1e-4, atol=1e-4)


def test_equal_values_leave_at_most_k_active():
    model = SparseAutoencoder(2, 9, 4, rngs=nnx.Rngs(0))
    model.encoder[...] = jnp.ones((2, 9))
    features = np.asarray(model.encode(jnp.asarray([[1.0, 1.0], [-1.0, -1.0]])))
    assert np.count_nonzero(features, axis=1).tolist() == [4, 0]


@pytest.mark.parametrize("batch_size", [1, 7, 20, 64])
def test_sparse_features_equal_dense_ones(planted, autoencoder, batch_size):
    x, model = planted[0][:20], autoencoder[0]
    dense = np.asarray(model.encode(jnp.asarray(x)))
    sparse = sparse_features(model, x, batch_size)
    assert sparse.shape == (20, 32)
    assert sparse.dtype == np.float32
    assert sparse.nnz == np.count_nonzero(dense)
    assert sparse.has_canonical_format
    np.testing.assert_allclose(sparse.toarray(), dense, rtol=1e-5, atol=1e-6)


def test_training_an_autoencoder_is_a_function_of_its_keys_and_changes_the_model_at_the_end(
    planted,
):
    def trained(order):
        model = SparseAutoencoder(16, 20, 2, rngs=nnx.Rngs(0))
        train_autoencoder(jax.random.key(order), model, planted[0][:99], num_steps=3, batch_size=50)
        return values(model)

    assert_same(trained(0), trained(0))
    assert np.abs(trained(0)[0] - trained(1)[0]).max() > 0

    def stop(done, total):
        raise KeyboardInterrupt

    model = SparseAutoencoder(16, 20, 2, rngs=nnx.Rngs(0))
    before = values(model)
    with pytest.raises(KeyboardInterrupt):
        train_autoencoder(jax.random.key(0), model, planted[0], num_steps=2, progress=stop)
    assert_same(values(model), before)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": np.zeros((6, 5), np.float32)}, r"x must have shape \[n, 4\], .* got \(6, 5\)"),
        ({"x": np.zeros((6, 4), int)}, "x must be floating point, got int64"),
        ({"x": np.ones((6, 4), np.float32)}, "must be finite and vary, got .* 0.0"),
        ({"x": np.full((6, 4), np.nan)}, "must be finite and vary, got .* nan"),
        ({"num_steps": 0}, "at least 1, got 0 and 1024"),
        ({"dead_after": 0}, "dead_after must be at least 1, got 0"),
    ],
)
def test_autoencoders_refuse_what_they_can_not_use(arguments, message):
    model = SparseAutoencoder(4, 8, 2, rngs=nnx.Rngs(0))
    good = {"x": np.random.default_rng(0).normal(size=(6, 4)), "num_steps": 1}
    with pytest.raises(ValueError, match=message):
        train_autoencoder(jax.random.key(0), model, **(good | arguments))
    with pytest.raises(ValueError, match="k must be at most num_features = 3, got 4"):
        SparseAutoencoder(4, 3, 4, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"inputs must have shape \[n, 4\], got \(4,\)"):
        model(jnp.zeros(4))


# --- checkpoints ------------------------------------------------------------------------------


def fitted(folder, name="first", make=small, seed=1):
    """A model from the cache, and how often it had to be fitted."""
    calls = []

    def fit(model):
        calls.append(None)
        nnx.update(model, nnx.state(make(seed=7)))

    return cached_model(folder, make(seed=seed), fit, name), len(calls)


def test_a_second_run_loads_what_the_first_has_fitted(tmp_path):
    folder = tmp_path / "cache"
    assert fitted(folder)[1] == 1
    model, calls = fitted(folder)
    assert calls == 0
    assert_same(values(model), values(small(seed=7)))
    assert fitted(folder, "second")[1] == 1
    assert sorted(path.name for path in folder.iterdir()) == ["first", "second"]


def test_an_autoencoder_keeps_its_mean_and_scale(tmp_path, planted, autoencoder):
    def make():
        return SparseAutoencoder(16, 32, 3, rngs=nnx.Rngs(0))

    def never(model):
        raise AssertionError

    cached_model(tmp_path, make(), lambda model: nnx.update(model, nnx.state(autoencoder[0])), "a")
    model, x = cached_model(tmp_path, make(), never, "a"), jnp.asarray(planted[0][:9])
    np.testing.assert_array_equal(model(x), autoencoder[0](x))


@pytest.mark.parametrize("damage", ["cut", "changed", "missing", "emptied", "foreign"])
def test_a_checkpoint_that_can_not_be_used_is_made_again(tmp_path, caplog, damage):
    if damage == "foreign":
        cached_model(tmp_path, MLP(3, num_classes=2, rngs=nnx.Rngs(0)), lambda model: None, "first")
    else:
        fitted(tmp_path)
        files = [p for p in (tmp_path / "first" / "state").rglob("*") if p.is_file()]
        largest = max(files, key=lambda p: p.stat().st_size)
        data = largest.read_bytes()
        if damage == "cut":
            largest.write_bytes(data[:-10])
        elif damage == "changed":
            largest.write_bytes(data[:500] + bytes([data[500] ^ 1]) + data[501:])
        elif damage == "missing":
            largest.unlink()
        else:
            for path in files:
                path.write_bytes(b"")
    with caplog.at_level(logging.INFO, "neurotrust_jax"):
        model, calls = fitted(tmp_path)
        assert calls == 1
        assert_same(values(model), values(small(seed=7)))
        assert fitted(tmp_path)[1] == 0
    first, second = (record.getMessage() for record in caplog.records if "neuro" in record.name)
    assert "can not be used, training again" in first
    assert second.startswith("loaded checkpoint")


def test_a_fit_that_fails_leaves_no_checkpoint(tmp_path):
    with pytest.raises(ZeroDivisionError):
        cached_model(tmp_path, small(), lambda model: 1 / 0, "first")
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match=r"got '../first': make one with"):
        fitted(tmp_path, "../first")


def test_fingerprints_tell_settings_and_data_apart():
    x = np.arange(6, dtype=np.float32)
    parts = [
        (), (1,), ("1",), ({"a": 1, "b": None},), (x,), (x.reshape(2, 3),), (x.astype(np.int32),),
        (x, x), (x[::-1],), (x[:3], x[3:]),
    ]  # fmt: skip
    assert len({fingerprint(*p) for p in parts}) == len(parts)
    assert fingerprint({"a": 1, "b": 2}, x) == fingerprint({"b": 2, "a": 1}, jnp.asarray(x))
    with pytest.raises(TypeError):
        fingerprint(object())


# --- documentation ----------------------------------------------------------------------------
