"""An audit as one page for a browser: all neurons in a table, and all about each one."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from .._runtime.text import visible
from ..auditing.result import Audit
from ..auditing.verdicts import Verdict
from ..metrics.scores import Reason
from .page_data import layer_data
from .page_images import Examples, Pool, image_sheets, placed_examples
from .table import summary

__all__ = ["write_page"]


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
    the file of :func:`write_audit`. Images are shrunk until all of them take at most six megabytes.

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
    pool = Pool()
    shown = [placed_examples(x, audit, pool) for x, audit in zip(given, layers, strict=True)]
    data = {
        "verdicts": [_verdict(v) for v in Verdict],
        "undefined": [r.text for r in Reason],
        "layers": [layer_data(audit, top) for audit, top in zip(layers, shown, strict=True)],
        "texts": pool.texts,
        "images": image_sheets(pool.images),
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
        "guarantee": visible(audit.intervals.guarantee),
        "replication_guarantee": visible(audit.replication_guarantee),
        "pair_guarantee": visible(audit.intervals.pair_guarantee),
        "asymptotic_guarantee": visible(audit.intervals.asymptotic_guarantee),
        "set_guarantee": visible(audit.set_guarantee),
        "calibrated_guarantee": visible(audit.calibrated_guarantee),
        "permutations": f"{audit.null.num_permutations:,}" if audit.null else "",
        "unit_name": audit.unit_name,
        "num_units": f"{audit.num_units:,}",
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
