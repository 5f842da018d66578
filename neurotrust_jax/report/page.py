"""An audit as one page for a browser: all neurons in a table, and all about each one.

Tabulator draws, sorts, filters and prints the table. The plot of a neuron's leading concepts is
plain markup that the style sheet places: it follows the colours, the width and the print, which a
chart on a canvas does not without being drawn again.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from .._runtime.text import visible
from ..auditing.result import Audit
from ..auditing.verdicts import Verdict
from ..metrics.scores import Reason
from .page_data import BLOCK, detail_blocks, layer_table
from .page_images import Examples, page_examples
from .table import summary

__all__ = ["write_page"]

# in the order in which they use each other
SCRIPTS = ("elements.js", "table.js", "plot.js", "neuron.js", "page.js")


def write_page(
    audits: Audit | Sequence[Audit],
    path: str | Path,
    *,
    examples: Examples | Sequence[Examples | None] | None = None,
    title: str = "How far can the labels of these neurons be trusted?",
    manifest: Mapping[str, Any] | None = None,
) -> Path:
    """Write one HTML file that needs no network and no other file.

    The page is for people: numbers are rounded to four significant digits, each neuron has at most
    twelve vote shares above 0.005, and long sets are cut with their size given. Everything is in
    the files of :func:`write_audit`.

    Images are shrunk until all of them take at most six megabytes. A page shows at most 65,536
    examples, or fewer images if even the smallest take more: the first of every neuron, then the
    second, and so on. A text has up to 2,000 characters before and after its token, or fewer where
    there are many, down to 80; the page shows the nearest 160, and the others when asked.

    The address ``page.html#layer/neuron`` opens a neuron by its name. The page follows the colour
    scheme of the system, and prints its table (the first 1,000 rows that the filters keep) and the
    opened neuron on white.

    Parameters
    ----------
    audits : Audit or sequence of Audit
        One for each layer.
    path : str or Path
    examples : Examples or sequence of Examples or None, optional
        What activates the neurons most, one for each layer.
    title : str
    manifest : mapping, optional
        How the audit was made; values that are mappings get one row for each entry.

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
    shown, images = page_examples(given, layers)
    packed = _packed(layers, shown, images)
    scripts = [_vendored("tabulator.min.js"), "".join(map(_template, SCRIPTS))]
    hashes = (hashlib.sha256(x.encode()).digest() for x in scripts)
    sources = " ".join(f"'sha256-{base64.b64encode(x).decode()}'" for x in hashes)
    page = _environment().get_template("page.html").render(
        title=visible(title),
        policy=f"default-src 'none'; script-src {sources}; style-src 'unsafe-inline'; "
        "img-src data:; base-uri 'none'; form-action 'none'",
        styles=[Markup(_vendored("tabulator.min.css")), Markup(_template("page.css"))],
        scripts=[Markup(x) for x in scripts],
        data=Markup(packed),  # letters, digits and + / = : ; , alone
        layers=[_head(audit) for audit in layers],
        verdicts=[_verdict(v) for v in Verdict],
        manifest=list(_lines(manifest or {})),
        version=_version(),
    )  # fmt: skip
    path = Path(path)
    path.write_text(page, encoding="utf-8")
    return path


def _packed(
    audits: list[Audit], examples: list[list[list[Any]] | None], images: dict[str, Any] | None
) -> str:
    """The data of the page in lines, which its script unpacks when it needs them.

    A page opened from a disk must not read another file, not even one beside it: browsers forbid
    it. So all data are in the page, but as text that costs the browser next to nothing until it is
    used: JSON, compressed and in base64. The first line is the table of all layers; one follows for
    each block of neurons, and one for each sheet of images, a data URI.
    """
    blocks = [list(detail_blocks(x, own)) for x, own in zip(audits, examples, strict=True)]
    first = np.cumsum([1, *map(len, blocks)]).tolist()
    sheets = images.pop("sheets") if images else []
    table = {
        "verdicts": [_verdict(v) for v in Verdict],
        "undefined": [r.text for r in Reason],
        "layers": [
            {**layer_table(audit), "firstLine": line}
            for audit, line in zip(audits, first, strict=False)
        ],
        "block": BLOCK,
        "images": {**images, "firstLine": first[-1]} if images else None,
    }
    return "\n".join([*map(_pack, (table, *chain(*blocks))), *sheets])


def _pack(content: Any) -> str:
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode(), 6, mtime=0)).decode()


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("neurotrust_jax.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _template(name: str) -> str:
    return _embeddable("templates", name)


def _vendored(name: str) -> str:
    """A file of Tabulator, without the reference to its source map."""
    text = _embeddable("vendor", name)
    return re.sub(r"\s*(//|/\*)# sourceMappingURL=\S+( ?\*/)?\s*$", "\n", text)


def _embeddable(folder: str, name: str) -> str:
    """A file of a folder here, which must hold nothing that would end its element early."""
    source = files("neurotrust_jax.report") / folder / name
    text = source.read_text(encoding="utf-8").replace("\r\n", "\n")
    if re.search("</(script|style)|<!--", text, re.IGNORECASE):
        raise ValueError(f"{name} can not be put into a page")
    return text


def _version() -> str:
    try:
        return version("neurotrust-jax")
    except PackageNotFoundError:  # run from a checkout
        return ""


def _verdict(verdict: Verdict) -> dict[str, str]:
    return {"name": verdict.text, "colour": verdict.style.colour, "rule": verdict.rule}


def _head(audit: Audit) -> dict[str, Any]:
    """What the page shows of a layer without its script."""
    total = len(audit.label)
    return {
        "name": visible(audit.layer) or "layer",
        "metric": visible(audit.metric),
        "scheme": visible(audit.scheme),
        "thresholds": visible(audit.thresholds),
        "level": f"{1 - audit.alpha:.0%}",
        "alpha": f"{audit.alpha:g}",
        "replicates": f"{audit.num_replicates:,}",
        "guarantee": "none" if audit.intervals.asymptotic else visible(audit.intervals.guarantee),
        "replication_guarantee": visible(audit.replication_guarantee),
        "pair_guarantee": visible(audit.intervals.pair_guarantee),
        "asymptotic_guarantee": visible(audit.intervals.asymptotic_guarantee),
        "set_guarantee": visible(audit.set_guarantee),
        "calibrated_guarantee": visible(audit.calibrated_guarantee),
        "permutations": f"{audit.null.num_permutations:,}" if audit.null else "",
        "formulas": _formulas(audit),
        "unit_name": audit.unit_name,
        "num_units": f"{audit.num_units:,}",
        "samples": f"{audit.num_samples:,}",
        "concepts": f"{len(audit.concept_names):,}",
        "total": total,
        "noun": audit.neuron_noun,
        "counts": [
            {**_verdict(v), "count": n, "share": 100 * n / max(total, 1)}
            for v, n in audit.verdict_counts.items()
        ],
        "sentences": list(_sentences(audit)),
    }


def _formulas(audit: Audit) -> str:
    """How formulas were found and judged; empty where none were asked for."""
    found = audit.compositions
    if found is None:
        return ""
    how = "by beam search"
    if found.search == "optimal":
        how = f"proved to be the best for {int(found.proved.sum()):,} {audit.neuron_noun}"
    return visible(
        f"the best of {found.num_formulas:,} formulas of at most {found.max_length} concepts on "
        f"one half of the {audit.unit_name} ({how}) is measured on the other half. It stands "
        "beside a label where it is more similar there than the best single concept, and the "
        f"neuron depends on it given that concept (false discovery rate {found.alpha:g}). Its "
        f"interval, for each neuron alone: {found.guarantee}"
    )


def _sentences(audit: Audit) -> Iterator[tuple[str, str]]:
    """Sentences of the summary, each with its subject where it begins with one, else empty."""
    for line in clean_lines(summary(audit)):
        line = re.sub(r"\bnan\b", "– (not defined)", line)
        line = re.sub(r"-?\binf\b", "– (no finite limit)", line)
        subject = re.match(r"(\w+): ", line)
        rest = line[subject.end() :] if subject else line
        yield subject[1] if subject else "", rest[:1].upper() + rest[1:]


def clean_lines(text: str) -> list[str]:
    """The lines of a text, each made visible."""
    return [visible(line) for line in text.split("\n")]


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
