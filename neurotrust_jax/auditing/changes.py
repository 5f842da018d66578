"""What changed between two audits: before and after training, or one layer and another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._runtime.short_repr import short_repr
from .._runtime.text import visible
from .result import Audit
from .verdicts import Verdict

__all__ = ["AuditChanges", "compare_audits"]

NAMED = 5  # missing names in a message, and changed neurons in the summary
NAME = 60  # characters of a layer's name in a sentence
FIRM = Verdict.CERTIFIED, Verdict.STABLE


@short_repr
@dataclass(frozen=True, eq=False)
class AuditChanges:
    """See :func:`compare_audits`. NumPy arrays in the order of the first audit.

    A notebook shows the neurons that changed; :meth:`to_pandas` and :meth:`columns` give a table of
    all, and :meth:`summary` a text.

    Attributes
    ----------
    layers : tuple of str
        Names of the two layers.
    neuron_names, concept_names : tuple of str
    label : [2, U] of int
        The label in each audit, a column of ``concept_names``, -1 where there is none.
    similarity : [2, U]
    verdict : [2, U] of int
    shared : [U] of int
        Number of concepts that are in both sets.
    changed : [U] of bool
        Whether the label changed by more than the noise of the probing sets explains.
    false_share : float
        At most this share of the layer's neurons should be called changed without being so.
    """

    layers: tuple[str, str]
    neuron_names: tuple[str, ...]
    concept_names: tuple[str, ...]
    label: np.ndarray
    similarity: np.ndarray
    verdict: np.ndarray
    shared: np.ndarray
    changed: np.ndarray
    false_share: float

    def _in_short(self) -> str:
        counts = ", ".join(f"{n:,} {text}" for text, n in self.counts.items() if n)
        return f"of {len(self.changed):,} neurons: {counts}; {self.changed.sum():,} beyond noise"

    @property
    def same_label(self) -> np.ndarray:
        """Whether both audits give the same label, [U] of bool."""
        return (self.label[0] == self.label[1]) & (self.label[0] >= 0)

    @property
    def counts(self) -> dict[str, int]:
        """How many neurons have the same label, another one, a new or a lost one, or none."""
        before, after = self.label >= 0
        return {
            "the same label": int(self.same_label.sum()),
            "another": int((before & after & ~self.same_label).sum()),
            "gained one": int((~before & after).sum()),
            "lost one": int((before & ~after).sum()),
            "none in both": int((~before & ~after).sum()),
        }

    @property
    def verdict_table(self) -> np.ndarray:
        """How many neurons have each verdict in the first (rows) and second audit, [5, 5]."""
        table = np.zeros((len(Verdict), len(Verdict)), int)
        np.add.at(table, tuple(self.verdict), 1)
        return table

    def columns(self) -> dict[str, Any]:
        """Return one entry for each neuron, by name of the column, as :meth:`Audit.columns`."""
        first, second = (
            [self.concept_names[c] if c >= 0 else None for c in row] for row in self.label.tolist()
        )
        verdicts = [[Verdict(v).text for v in row] for row in self.verdict.tolist()]
        return {
            "unit": list(self.neuron_names),
            "description": first,
            "new_description": second,
            "similarity": self.similarity[0],
            "new_similarity": self.similarity[1],
            "verdict": verdicts[0],
            "new_verdict": verdicts[1],
            "same_label": self.same_label,
            "shared": self.shared,
            "changed": self.changed,
        }

    def to_pandas(self) -> Any:
        """Return :meth:`columns` as a ``pandas.DataFrame``, which needs pandas to be installed.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        from ..report.columns import to_pandas

        return to_pandas(self)

    def _repr_html_(self) -> str:
        from ..report.notebook import changes_html

        return changes_html(self)

    def sentences(self) -> tuple[str, str]:
        """How many labels are the same, and how many changed by more than noise explains."""
        first, second = (
            visible(layer[:NAME]) or place
            for layer, place in zip(self.layers, ("first", "second"), strict=True)
        )
        same, another, gained, lost, none = self.counts.values()
        return (
            f"{same:,} of {len(self.changed):,} neurons have the same label in {first} and "
            f"{second}, {another:,} another, {gained:,} gained one, {lost:,} lost one, {none:,} "
            "have none in both.",
            "Labels that changed by more than the noise of the probing sets explains (firm in "
            f"both, and no concept in both sets): {self.changed.sum():,}.",
        )

    def summary(self) -> str:
        """Counts, the neurons that changed, and the verdicts of both audits as a table."""
        lines = list(self.sentences())
        names = [x if x is None else visible(x) for x in self.concept_names]
        for u in np.flatnonzero(self.changed)[:NAMED].tolist():
            before, after = self.label[:, u].tolist()
            lines.append(f"  {visible(self.neuron_names[u])}: {names[before]} -> {names[after]}")
        words = [v.text for v in Verdict]
        lines.append(f"{'Verdicts, rows first':<22}" + "".join(f"{x:>12}" for x in words))
        for word, row in zip(words, self.verdict_table.tolist(), strict=True):
            lines.append(f"  {word:<20}" + "".join(f"{n:>12,}" for n in row))
        return "\n".join(lines)


def compare_audits(first: Audit, second: Audit) -> AuditChanges:
    """Compare the labels and verdicts of two audits, neuron by neuron and in sum.

    The audits may be of one layer before and after fine-tuning, of two checkpoints, or of two
    layers of the same width. Neurons and concepts are matched by their names.

    A label is said to have *changed* by more than noise explains if it is certified or stable in
    both audits, both vocabularies have both labels, and the two concept sets share no concept. If
    a neuron did not change, fresh labels of both audits have the same distribution, and each set
    holds such a label for a share 1 - alpha of the layer's neurons. The two sets of such a neuron
    are disjoint only if one of them misses it, so at most a share alpha of the first and alpha of
    the second of the layer's neurons are called changed without being so, whether the probing sets
    are the same or not. This leans on the guarantee of the sets, :attr:`Audit.set_guarantee`, and
    on probing sets of about the same size and origin.

    :func:`compare` compares similarities, with intervals, from the data.

    Parameters
    ----------
    first, second : Audit
        The columns of the second may be in another order.

    Returns
    -------
    AuditChanges

    Raises
    ------
    ValueError
        If a neuron or a concept is in one audit alone, or a name stands for several.

    Examples
    --------
    >>> import jax, numpy as np
    >>> import neurotrust_jax as nt
    >>> rng = np.random.default_rng(0)
    >>> concepts = rng.random((600, 8)) < 0.2
    >>> before = rng.normal(size=(600, 24)) + 4 * concepts[:, np.arange(24) % 8]
    >>> after = before.copy()
    >>> after[:, :4] = rng.normal(size=(600, 4)) + 4 * concepts[:, 4:]
    >>> audits = [
    ...     nt.audit(
    ...         jax.random.key(0),
    ...         nt.make_probe(x, concepts, thresholds=2.0),
    ...         num_replicates=50,
    ...         num_permutations=199,
    ...     )
    ...     for x in (before, after)
    ... ]
    >>> found = nt.compare_audits(*audits)
    >>> found.changed.nonzero()[0].tolist()
    [0, 1, 2, 3]
    """
    neurons = _places(first.neuron_names, second.neuron_names, "neuron", "neuron_names=")
    concepts = _places(first.concept_names, second.concept_names, "concept", "concept_names=")
    in_first = np.empty(len(concepts), int)  # columns of the second in the first
    in_first[concepts] = np.arange(len(concepts))
    theirs = second.label[neurons]
    label = np.stack([first.label, np.where(theirs >= 0, in_first[theirs], -1)])
    verdict = np.stack([first.verdict, second.verdict[neurons]])
    shared = (first.concept_set & second.concept_set[neurons][:, concepts]).sum(axis=1)
    judged = first.judged & second.judged[concepts]
    firm = np.isin(verdict, FIRM).all(axis=0) & judged[label].all(axis=0)
    return AuditChanges(
        layers=(first.layer, second.layer),
        neuron_names=first.neuron_names,
        concept_names=first.concept_names,
        label=label,
        similarity=np.stack([first.similarity, second.similarity[neurons]]),
        verdict=verdict,
        shared=shared,
        changed=firm & (shared == 0),
        false_share=first.alpha + second.alpha,
    )


def _places(first: Sequence[str], second: Sequence[str], what: str, option: str) -> np.ndarray:
    """Where each name of the first audit stands in the second."""
    for names in (first, second):
        if len(set(names)) < len(names):
            twice = next(x for x in names if names.count(x) > 1)
            raise ValueError(
                f"{names.count(twice)} {what}s of an audit are named {twice!r}; give each its own "
                f"name by {option} of make_probe"
            )
    for ours, theirs, other in ((first, second, "second"), (second, first, "first")):
        known = set(theirs)
        if missing := [x for x in ours if x not in known]:
            number = f"{len(missing):,} {what}s are" if missing[1:] else f"1 {what} is"
            some = ", ".join(map(repr, missing[:NAMED])) + (", ..." if missing[NAMED:] else "")
            raise ValueError(
                f"{number} missing in the {other} audit: {some}; audit the "
                f"same {what}s, by the same {option} of make_probe"
            )
    place = {name: i for i, name in enumerate(second)}
    return np.array([place[name] for name in first], int)
