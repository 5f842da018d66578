"""An audit as one page for a browser: all neurons in a table, and all about each one."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from ..auditing.result import Audit
from ..auditing.verdicts import Verdict
from ..io import visible
from ..metrics.scores import Reason
from .plots import VERDICTS
from .table import summary

__all__ = ["Examples", "write_page"]

DIGITS = 4  # significant ones of every number
LEAST_SHARE, MOST_VOTES = 0.005, 12  # vote shares of a neuron that are told
MOST_IN_SET = 60  # concepts of a set that are named, of the tested and of the others
MOST_EXAMPLES = 12  # of a neuron
CONTEXT, TOKEN = 160, 80  # characters of a text
ACROSS = 16  # tiles in a row of a sheet, and rows in a sheet
BUDGET = 6_000_000  # characters of all sheets
# how tiles are made, until all sheets are within the budget: largest side, and JPEG's quality
TILES = ((64, None), (64, 75), (48, 65), (32, 65), (24, 60), (16, 60))


class Examples(NamedTuple):
    """What activates the neurons of a layer most.

    Attributes
    ----------
    top : array [U, k] of int
        Samples of each neuron, the most active first; -1 fills up. At most 12 are shown.
    show : callable
        Gives a sample by its number. An image: [H, W] or [H, W, 1 or 3], uint8 as it is, or floats
        in [0, 1], of which those of one channel are ink (1 is black). Or a text: what comes before
        the token, the token, and what follows.
    """

    top: np.ndarray
    show: Callable[[int], np.ndarray | tuple[str, str, str]]


def write_page(
    audits: Audit | Sequence[Audit],
    path: str | Path,
    *,
    examples: Examples | Sequence[Examples | None] | None = None,
    title: str = "How far can the labels of these neurons be trusted?",
    manifest: Mapping[str, Any] | None = None,
) -> Path:
    """Write one HTML file that needs no network and no other file.

    Numbers are rounded to four significant digits, of vote shares at most twelve above 0.005 are
    kept, and long sets are cut, with their size told: the page is for people, and
    :func:`write_audit` keeps everything. Images are shrunk until all of them take six megabytes.

    Parameters
    ----------
    audits : Audit or sequence of Audit
        One for each layer.
    path : str or Path
    examples : Examples or sequence of Examples or None, optional
        What activates the neurons most, one for each layer.
    title : str
    manifest : mapping, optional
        How the audit was made, for the record; values that are mappings are taken apart.

    Returns
    -------
    Path

    Raises
    ------
    ValueError
        If there is no audit, or the examples do not fit the audits.
    """
    layers = [audits] if isinstance(audits, Audit) else list(audits)
    if not layers:
        raise ValueError("audits must hold at least one audit, got none")
    given = [examples] if examples is None or isinstance(examples, Examples) else list(examples)
    if examples is None:
        given = [None] * len(layers)
    if len(given) != len(layers):
        raise ValueError(f"examples are given for {len(given)} layers, audits for {len(layers)}")
    pool = _Pool()
    shown = [_examples(x, audit, pool) for x, audit in zip(given, layers, strict=True)]
    data = {
        "verdicts": [_verdict(v) for v in Verdict],
        "undefined": [r.text for r in Reason],
        "layers": [_layer(audit, top) for audit, top in zip(layers, shown, strict=True)],
        "texts": pool.texts,
        "images": _sheets(pool.images),
    }
    scripts = [_vendored("chart.umd.min.js"), _vendored("tabulator.min.js"), _own("page.js")]
    hashes = (hashlib.sha256(x.encode()).digest() for x in scripts)
    sources = " ".join(f"'sha256-{base64.b64encode(x).decode()}'" for x in hashes)
    page = _environment().get_template("page.html").render(
        title=visible(title),
        policy=f"default-src 'none'; script-src {sources}; style-src 'unsafe-inline'; "
        "img-src data:; base-uri 'none'; form-action 'none'",
        styles=[Markup(_vendored("tabulator.min.css")), Markup(_own("page.css"))],
        scripts=[Markup(x) for x in scripts],
        data=_inert(data),
        layers=[_head(audit) for audit in layers],
        verdicts=[_verdict(v) for v in Verdict],
        manifest=list(_lines(manifest or {})),
        version=_version(),
    )  # fmt: skip
    path = Path(path)
    path.write_text(page, encoding="utf-8")
    return path


def _inert(data: Any) -> Markup:
    """JSON that no HTML parser takes for markup."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Markup(re.sub("[<>&]", lambda x: f"\\u{ord(x[0]):04x}", text))


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("neurotrust_jax.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _own(name: str) -> str:
    return _embeddable(files("neurotrust_jax.report") / "templates" / name)


def _vendored(name: str) -> str:
    text = _embeddable(files("neurotrust_jax.report") / "vendor" / name)
    return re.sub(r"\s*(//|/\*)# sourceMappingURL=\S+( ?\*/)?\s*$", "\n", text)


def _embeddable(path: Any) -> str:
    text = path.read_text(encoding="utf-8").replace("\r\n", "\n")
    if re.search("</(script|style)|<!--", text, re.IGNORECASE):
        raise ValueError(f"{path.name} can not be put into a page")
    return text


def _version() -> str:
    try:
        return version("neurotrust-jax")
    except PackageNotFoundError:  # run from a checkout
        return ""


def _verdict(verdict: Verdict) -> dict[str, str]:
    return {"name": verdict.text, "colour": VERDICTS[verdict], "rule": verdict.rule}


def _head(audit: Audit) -> dict[str, Any]:
    """What is told of a layer without a script."""
    total = len(audit.label)
    return {
        "name": visible(audit.layer) or "layer",
        "metric": visible(audit.metric),
        "scheme": visible(audit.scheme),
        "thresholds": visible(audit.thresholds),
        "level": f"{1 - audit.alpha:.0%}",
        "alpha": f"{audit.alpha:g}",
        "replicates": f"{audit.num_replicates:,}",
        "guarantee": visible(audit.guarantee),
        "replication_guarantee": visible(audit.replication_guarantee),
        "pair_guarantee": visible(audit.pair_guarantee),
        "asymptotic_guarantee": visible(audit.asymptotic_guarantee),
        "set_guarantee": visible(audit.set_guarantee),
        "calibrated_guarantee": visible(audit.calibrated_guarantee),
        "permutations": f"{audit.null.num_permutations:,}" if audit.null else "",
        "unit": audit.unit_name,
        "units": f"{audit.num_units:,}",
        "samples": f"{audit.num_samples:,}",
        "concepts": f"{len(audit.concept_names):,}",
        "total": total,
        "counts": [
            {**_verdict(v), "count": n, "share": 100 * n / max(total, 1)}
            for v, n in audit.verdict_counts.items()
        ],
        "sentences": list(_sentences(audit)),
    }


def _sentences(audit: Audit) -> Iterator[tuple[str, str]]:
    """Each sentence of the summary, its first word apart where that is its subject."""
    for line in clean_lines(summary(audit)):
        line = re.sub(r"\bnan\b", "– (not defined)", line)
        line = re.sub(r"-?\binf\b", "– (no finite limit)", line)
        subject = re.match(r"(\w+): ", line)
        rest = line[subject.end() :] if subject else line
        yield subject[1] if subject else "", rest[:1].upper() + rest[1:]


def clean_lines(text: str) -> list[str]:
    """The lines of a text, each made visible."""
    return [visible(line) for line in text.split("\n")]


def _layer(audit: Audit, top: Any) -> dict[str, Any]:
    """A layer's numbers by column, one entry a neuron."""
    reasons = {reason: i for i, reason in enumerate(dict.fromkeys(audit.verdict_reason))}
    curse, null, stability = audit.winners_curse, audit.null, audit.stability
    lead = audit.leading
    order = np.argsort(-audit.vote_share, axis=1, kind="stable")
    place = np.empty(len(audit.label), int)
    place[audit.ranked] = np.arange(len(place))
    notes = _notes(audit)
    texts = {text: i for i, text in enumerate(dict.fromkeys(x for pair in notes for x in pair))}
    votes = [[int(c) for c in row[:MOST_VOTES]] for row in order]
    votes = [
        [c for c in row if share[c] > LEAST_SHARE]
        for row, share in zip(votes, audit.vote_share, strict=True)
    ]
    return {
        "name": visible(audit.layer) or "layer",
        "metric": visible(audit.metric),
        "level": f"{1 - audit.alpha:.0%}",
        "alpha": audit.alpha,
        "replicates": audit.num_replicates,
        "unit": audit.unit_name,
        "guarantee": visible(audit.guarantee),
        "concepts": [visible(x) for x in audit.concept_names],
        "positives": _numbers(audit.positives),
        "units": [visible(x) for x in audit.neuron_names],
        "reasons": [visible(x) for x in reasons],
        "label": _numbers(audit.label),
        "missing": _numbers(audit.reason),
        "verdict": _numbers(audit.verdict),
        "reason": [reasons[x] for x in audit.verdict_reason],
        "tied": _numbers(audit.tied),
        "similarity": _numbers(audit.similarity),
        "probability": _numbers(audit.replication_probability),
        "answered": _numbers(audit.answer_probability),
        "place": _numbers(place),
        "lower": _numbers(audit.asymptotic_lower),
        "upper": _numbers(audit.asymptotic_upper),
        "sureLower": _numbers(audit.lower),
        "sureUpper": _numbers(audit.upper),
        "pairLower": _numbers(audit.pair_lower),
        "pairUpper": _numbers(audit.pair_upper),
        "texts": [visible(x) for x in texts],
        "notes": [[texts[x] for x in pair] for pair in notes],
        "corrected": _numbers(curse.corrected),
        "split": _numbers(curse.split),
        "agreement": _numbers(audit.agreement),
        "agreementLower": _numbers(stability.top1_lower),
        "agreementUpper": _numbers(stability.top1_upper),
        "regret": _numbers(audit.regret),
        "certified": _numbers(audit.certified_set.sum(axis=1)),
        "answers": _numbers(audit.answers),
        "active": _numbers(audit.active_rate),
        "p": _numbers(null.p_value) if null else None,
        "q": _numbers(null.q_value) if null else None,
        "chance": _numbers(null.null_quantile) if null else None,
        "width": lead.concept.shape[1],
        "leading": {
            "concept": _numbers(lead.concept),
            "similarity": _numbers(lead.similarity),
            "lower": _numbers(lead.asymptotic_lower),
            "upper": _numbers(lead.asymptotic_upper),
        },
        "set": [[int(c) for c in audit.set_members(u)[:MOST_IN_SET]] for u in range(len(place))],
        "setSize": _numbers(audit.set_size),
        "calibratedSize": _numbers(audit.calibrated_set.sum(axis=1)),
        "numUntested": _numbers(audit.untested.sum(axis=1)),
        "shares": list(audit.fit.shares),
        "above": [_numbers(row) for row in audit.fit.label_above],
        "voted": votes,
        "votes": [
            _numbers(share[row])
            for row, share in zip(votes, audit.vote_share, strict=True)
        ],
        "examples": top,
    }  # fmt: skip


def _notes(audit: Audit) -> list[tuple[str, str]]:
    """Of each neuron how its label fits, and why its guaranteed interval is wide; or nothing."""
    return [(audit.fit_text(u), audit.why_wide[u]) for u in range(len(audit.label))]


def _numbers(values: Any) -> list[float | int | str | None]:
    """Rounded; None for NaN, and a string for infinity."""
    return [_number(x) for x in np.asarray(values).ravel().tolist()]


def _number(x: Any) -> float | int | str | None:
    if isinstance(x, int):
        return int(x)
    if not math.isfinite(x):
        return None if math.isnan(x) else str(x)
    rounded = float(f"{x:.{DIGITS}g}")
    return int(rounded) if rounded.is_integer() else rounded


def _lines(manifest: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Name and value of everything in a manifest."""
    for name, value in manifest.items():
        if isinstance(value, Mapping):
            yield from _lines(value, f"{prefix}{name}.")
            continue
        if isinstance(value, float) and not math.isfinite(value):
            value = "– (not finite)"
        elif isinstance(value, list | tuple):
            value = ", ".join(map(str, value))
        yield visible(f"{prefix}{name}"), visible(value)


class _Pool:
    """Distinct images and texts, and where each sample of each source is."""

    def __init__(self) -> None:
        self.images: list[np.ndarray] = []
        self.texts: list[list[str]] = []
        self._places: dict[Any, int] = {}

    def place(self, sample: np.ndarray | tuple[str, str, str]) -> int:
        """Number of an image, or -1, -2, ... for a text."""
        if isinstance(sample, tuple):
            before, token, after = map(visible, sample)
            text = [before[-CONTEXT:], token[:TOKEN], after[:CONTEXT]]
            if tuple(text) not in self._places:
                self.texts.append(text)
                self._places[tuple(text)] = -len(self.texts)
            return self._places[tuple(text)]
        image = _image(sample)
        key = image.shape, image.tobytes()
        if key not in self._places:
            self.images.append(image)
            self._places[key] = len(self.images) - 1
        return self._places[key]


def _examples(examples: Examples | None, audit: Audit, pool: _Pool) -> dict[str, Any] | None:
    if examples is None:
        return None
    top = np.asarray(examples.top)
    if top.ndim != 2 or len(top) != len(audit.label):
        raise ValueError(
            f"examples.top must have one row for each of {len(audit.label)} neurons, got shape "
            f"{top.shape}"
        )
    rows = [[int(i) for i in row if i >= 0][:MOST_EXAMPLES] for row in top]
    # in the order of the neurons, so that the images of one are on one sheet
    samples = dict.fromkeys(i for row in rows for i in row)
    return {
        "top": rows,
        "samples": list(samples),
        "places": [pool.place(examples.show(i)) for i in samples],
    }


def _image(values: np.ndarray) -> np.ndarray:
    """As uint8 [H, W], white on which there is no ink, or [H, W, 3]."""
    image = np.asarray(values)
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3) or not image.size:
        raise ValueError(
            f"an image must have shape [H, W], [H, W, 1] or [H, W, 3], got {np.shape(values)}"
        )
    if image.dtype == np.uint8:
        return image
    share = np.clip(np.nan_to_num(image.astype(np.float32)), 0, 1)
    return np.round(255 * (share if image.ndim == 3 else 1 - share)).astype(np.uint8)


def _sheets(images: list[np.ndarray]) -> dict[str, Any] | None:
    """The images as tiles of a few sheets, small enough for all of them to fit."""
    if not images:
        return None
    native = max(max(image.shape[:2]) for image in images)
    content: dict[str, Any] = {}
    for largest, quality in TILES:
        size = min(largest, native)
        step = size if quality is None else -(-size // 8) * 8  # whole blocks of JPEG
        content = {"size": size, "step": step, "native": native, "across": ACROSS, "sheets": []}
        for start in range(0, len(images), ACROSS * ACROSS):
            content["sheets"].append(
                _sheet(images[start : start + ACROSS * ACROSS], size, step, quality)
            )
            if sum(map(len, content["sheets"])) > BUDGET:
                break
        else:
            return content
    raise ValueError(f"{len(images):,} images are too many for a page; show fewer examples")


def _sheet(images: list[np.ndarray], size: int, step: int, quality: int | None) -> str:
    """Tiles side by side, as a data URI."""
    mode = "L" if all(image.ndim == 2 for image in images) else "RGB"
    across = min(ACROSS, len(images))
    sheet = Image.new(mode, (across * step, -(-len(images) // ACROSS) * step), "white")
    for i, image in enumerate(images):
        tile = Image.fromarray(image)
        if max(tile.size) > size:
            scale = size / max(tile.size)
            shape = max(round(tile.width * scale), 1), max(round(tile.height * scale), 1)
            tile = tile.resize(shape, Image.Resampling.LANCZOS)
        left, top = (size - tile.width) // 2, (size - tile.height) // 2
        sheet.paste(tile, (i % ACROSS * step + left, i // ACROSS * step + top))
    file = io.BytesIO()
    if quality is None:
        sheet.save(file, "PNG", compress_level=9)
    else:
        sheet.save(file, "JPEG", quality=quality, subsampling=0, optimize=True)
    kind = "png" if quality is None else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"
