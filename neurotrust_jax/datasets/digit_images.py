"""The handwritten digits of scikit-learn, with concepts."""

import numpy as np

from .images import LabelledImages

_NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def digits() -> LabelledImages:
    """Load 1,797 handwritten digits of 8 x 8 pixels.

    Concepts of the digit follow from its target. Concepts of the ink follow from the pixels: "heavy
    ink" is a total above the median of the dataset, "ink mostly above" is more ink in the upper
    four rows than in the lower four, and so on. Every image is a group of one, because the writers
    are not recorded.

    Returns
    -------
    LabelledImages
        Images [1797, 8, 8, 1]. The target is the digit.

    Raises
    ------
    ImportError
        If scikit-learn is not installed.

    Examples
    --------
    >>> from neurotrust_jax import datasets
    >>> data = datasets.digits()
    >>> data.images.shape, data.concepts.shape
    ((1797, 8, 8, 1), (1797, 25))
    >>> data.concept_names[0]
    'even digit'
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError(
            'digits() needs scikit-learn: pip install "neurotrust-jax[digits]"'
        ) from error
    bunch = load_digits()
    digit = bunch.target
    image = (bunch.images / 16).astype(np.float32)

    # Multiples of 1/16 have exact sums in float32, so the comparisons below are exact.
    ink = image.sum(axis=(1, 2))
    above, left = image[:, :4].sum(axis=(1, 2)), image[:, :, :4].sum(axis=(1, 2))
    middle = image[:, 2:6, 2:6].sum(axis=(1, 2))
    rows: list[tuple[str, str | None, np.ndarray]] = [
        ("even digit", None, digit % 2 == 0),
        ("odd digit", None, digit % 2 == 1),
        ("prime digit", None, np.isin(digit, (2, 3, 5, 7))),
        ("square digit", None, np.isin(digit, (0, 1, 4, 9))),
        ("multiple of three", None, digit % 3 == 0),
        ("digit above four", None, digit > 4),
        ("digit with a closed loop (0, 6, 8, 9)", None, np.isin(digit, (0, 6, 8, 9))),
        *(
            (f"digit {name}", ("even digit", "odd digit")[value % 2], digit == value)
            for value, name in enumerate(_NAMES)
        ),
        ("heavy ink", None, ink > np.median(ink)),
        ("very heavy ink", "heavy ink", ink > np.quantile(ink, 0.9)),
        ("ink mostly above", None, above > ink - above),
        ("ink mostly below", None, above < ink - above),
        ("ink mostly left", None, left > ink - left),
        ("ink mostly right", None, left < ink - left),
        ("ink mostly in the middle", None, middle > ink - middle),
        ("ink in the outermost columns", None, (image[:, :, [0, 7]] > 0).any(axis=(1, 2))),
    ]
    names = tuple(name for name, _, _ in rows)
    return LabelledImages(
        images=image[..., None],
        concepts=np.stack([holds for _, _, holds in rows], axis=1),
        concept_names=names,
        concept_parent=np.array(
            [-1 if parent is None else names.index(parent) for _, parent, _ in rows], np.int32
        ),
        targets=digit.astype(np.int32),
        target_names=_NAMES,
        groups=np.arange(len(digit), dtype=np.int32),
        example_names=tuple(f"{_NAMES[value]} · no. {i}" for i, value in enumerate(digit)),
    )
