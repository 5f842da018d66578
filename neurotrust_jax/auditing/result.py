"""The result of an audit."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from numpy.typing import ArrayLike

from .._runtime.short_repr import short_repr
from .._runtime.static import STATIC
from .._runtime.text import neuron_noun, visible
from ..chance.null import PermutationTest
from ..composition.result import Compositions
from ..faithfulness.wide_intervals import LabelIntervals
from ..metrics.scores import Reason
from ..probing.probe import LeftOut
from ..resampling.selection import WinnersCurse
from ..resampling.stability_measures import Stability
from ..resampling.trend import Trend
from .fit import LabelFit
from .forecast import Forecast, forecast
from .verdicts import Verdict
from .vocabulary import left_out_text

if TYPE_CHECKING:
    from ..report.one_neuron import NeuronAudit

__all__ = ["Audit", "Leading"]

LEADING = 8  # concepts of a neuron that an audit lists with their similarity


@short_repr
@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Leading:
    """The most similar concepts of each neuron, the label first.

    Attributes
    ----------
    concept : [U, K] of int
        Their columns, -1 where fewer similarities are defined; K is 8, or all concepts if fewer.
    similarity : [U, K]
        As measured.
    lower, upper : [U, K]
        Bounds of the true similarities, for all concepts of the neuron at once, as
        :attr:`LabelIntervals.guarantee` says.
    asymptotic_lower, asymptotic_upper : [U, K]
        The same in the limit of many sampling units.
    """

    concept: np.ndarray
    similarity: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    asymptotic_lower: np.ndarray
    asymptotic_upper: np.ndarray


@short_repr
@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Audit:
    """What is known about the labels of one layer, as NumPy arrays.

    A notebook shows its first neurons; :meth:`neuron` shows one of them, :meth:`summary` the layer
    in sentences, :meth:`plot` in figures, :meth:`to_pandas` and :meth:`columns` give a table.

    Attributes
    ----------
    layer, metric, scheme, thresholds : str
        Name of the layer, the similarity, the resampling scheme and the thresholds.
    alpha : float
        Nominal error of sets and intervals.
    num_replicates, num_splits, num_samples, num_units : int
        Bootstrap replicates, splits into halves, samples n, and sampling units (groups where
        given).
    concept_names, neuron_names : tuple of str
    label : [U] of int
        Column of the most similar concept, -1 where no similarity is defined.
    similarity : [U]
        Its similarity.
    tied : [U] of int
        Number of concepts sharing that similarity.
    reason : [U] of int
        :class:`Reason` code of a missing label, else 0.
    replication_probability : [U]
        Probability that a fresh probing set of the same size gives this label, see
        :func:`replication_probability`. NaN without a label.
    answer_probability : [U]
        Probability that it gives this label or another of the same tree of the hierarchy.
    replication_guarantee : str
        What these probabilities promise, or what is too small for a calibration.
    trend : Trend
        How the probability of the answer grows with the probing set, see :meth:`forecast`.
    intervals : LabelIntervals
        Intervals of the label's true similarity, of level 1 - alpha for all concepts of the neuron
        at once, which accounts for the choice of the label by its high similarity. There are three
        forms, each with its guarantee; the guarantee of the first also holds for the regret and the
        certified set. ``why_wide`` says why the first is wide.
    leading : Leading
        The most similar concepts with their intervals.
    regret : [U]
        No concept's true similarity exceeds the label's by more, see :func:`certify`.
    certified_set : [U, C] of bool
        Concepts that may truly be the most similar, see :func:`certify`.
    excludes_nothing : [U] of bool
        Whether that set rules out no concept.
    finite_sample : bool
        Whether interval, regret and that set hold for every sample size, with nothing assumed but
        independent units; only then a label can be certified.
    stability : Stability
        How much the labels of the replicates agree.
    concept_set : [U, C] of bool
        The set to read: it holds the label of a fresh probing set for a share 1 - alpha of the
        layer's neurons, see :func:`conformal_sets`. A layer of fewer than 20 neurons has the
        calibrated set here. A certified neuron has the certified set here, whose one answer is the
        one that the verdict is about.
    set_guarantee : str
        What these sets promise, see :attr:`ConceptSets.guarantee`.
    answers : [U] of int
        Number of answers in that set: concepts of one tree of the hierarchy are one.
    calibrated_set : [U, C] of bool
        A wider set that is valid for each neuron alone: it holds the population's most similar
        concept with probability 1 - alpha in the limit of many sampling units, see
        :func:`concept_sets`.
    calibrated_guarantee : str
        What that set promises.
    untested : [U, C] of bool
        Members of the calibrated set on which there is too little evidence to test them.
    vote_share : [U, C]
        Share of replicates each concept wins.
    winners_curse : WinnersCurse
        The label's similarity, corrected for its having been chosen.
    fit : LabelFit
        Whether the label is present on the samples that activate the neuron most.
    null : PermutationTest or None
        Whether the neuron depends on any concept at all; None where the test was left out.
    verdict : [U] of int
        :class:`Verdict` code.
    verdict_reason : tuple of str
        The reason for each verdict, in a clause.
    active_rate : [U]
        Share of samples on which the neuron is active.
    positives : [C] of int
        Number of sampling units (groups where given) on which the concept is present.
    judged : [C] of bool
        Whether the concept is present on enough of them to be judged. The others are in no set and
        are no label.
    min_positives : int
        The number of sampling units that is enough.
    left_out : tuple of LeftOut
        Names of the concepts that are not judged with their numbers of sampling units, the most
        common first. Concepts that :func:`make_probe` left out are among them; they have no column.
    num_ranges : int
        Into how many ranges of activation each neuron was cut, so that a neuron here is one of
        them, see :func:`neurotrust_jax.probing.activation_ranges`; 1 where neurons are whole.
    compositions : Compositions or None
        Formulas of concepts, found on one half of the probing set and judged on the other, see
        :func:`compose`; None unless asked for. One stands beside a label only where it is better
        than the best single concept beyond chance.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> concepts = rng.random((600, 8)) < 0.2
    >>> activations = rng.normal(size=(600, 24)) + 4 * concepts[:, np.arange(24) % 8]
    >>> probe = nt.make_probe(activations, concepts, thresholds=2.0)
    >>> audit = nt.audit(jax.random.key(0), probe, num_replicates=50, num_permutations=999)
    >>> audit
    Audit of 24 neurons x 8 concepts by iou: 24 certified
    >>> audit.neuron("9").label, audit.neuron(9).concept_set
    ('concept_1', ('concept_1',))
    >>> audit.columns()["description"][:3]
    ['concept_0', 'concept_1', 'concept_2']
    """

    layer: str = field(metadata=STATIC)
    metric: str = field(metadata=STATIC)
    scheme: str = field(metadata=STATIC)
    thresholds: str = field(metadata=STATIC)
    alpha: float = field(metadata=STATIC)
    num_replicates: int = field(metadata=STATIC)
    num_splits: int = field(metadata=STATIC)
    num_samples: int = field(metadata=STATIC)
    num_units: int = field(metadata=STATIC)
    concept_names: tuple[str, ...] = field(metadata=STATIC)
    neuron_names: tuple[str, ...] = field(metadata=STATIC)
    label: np.ndarray
    similarity: np.ndarray
    tied: np.ndarray
    reason: np.ndarray
    replication_probability: np.ndarray
    answer_probability: np.ndarray
    replication_guarantee: str = field(metadata=STATIC)
    trend: Trend
    intervals: LabelIntervals
    leading: Leading
    regret: np.ndarray
    certified_set: np.ndarray
    excludes_nothing: np.ndarray
    finite_sample: bool = field(metadata=STATIC)
    stability: Stability
    concept_set: np.ndarray
    set_guarantee: str = field(metadata=STATIC)
    answers: np.ndarray
    calibrated_set: np.ndarray
    calibrated_guarantee: str = field(metadata=STATIC)
    untested: np.ndarray
    vote_share: np.ndarray
    winners_curse: WinnersCurse
    fit: LabelFit
    null: PermutationTest | None
    verdict: np.ndarray
    verdict_reason: tuple[str, ...] = field(metadata=STATIC)
    active_rate: np.ndarray
    positives: np.ndarray
    judged: np.ndarray
    min_positives: int = field(metadata=STATIC)
    left_out: tuple[LeftOut, ...] = field(metadata=STATIC)
    num_ranges: int = field(metadata=STATIC)
    compositions: Compositions | None

    @property
    def lower(self) -> np.ndarray:
        """Lower bound of the label's true similarity, NaN without a label, [U]."""
        return self.intervals.lower

    @property
    def upper(self) -> np.ndarray:
        """Upper bound of the label's true similarity, NaN without a label, [U]."""
        return self.intervals.upper

    @property
    def agreement(self) -> np.ndarray:
        """Share of replicates that give the same label, [U]."""
        return np.asarray(self.stability.top1_agreement)

    @property
    def set_size(self) -> np.ndarray:
        """Number of concepts in each neuron's set, [U]."""
        return self.concept_set.sum(axis=1)

    @property
    def unit_name(self) -> str:
        """Name of the sampling units, in the plural."""
        return "samples" if self.num_units == self.num_samples else "groups"

    @property
    def neuron_noun(self) -> str:
        """What has a label, in the plural: neurons, or ranges of their activation."""
        return neuron_noun(self.num_ranges)

    @property
    def num_judged(self) -> int:
        """Number of concepts that were judged."""
        return int(self.judged.sum())

    @property
    def ranked(self) -> np.ndarray:
        """Neurons by verdict, the surest labels of each first, [U] of int."""
        keys = self.similarity, self.replication_probability
        return np.lexsort((*(-np.nan_to_num(x, nan=-np.inf) for x in keys), self.verdict))

    @property
    def verdict_counts(self) -> dict[Verdict, int]:
        """How many neurons got each verdict."""
        return {v: int((self.verdict == v).sum()) for v in Verdict}

    @property
    def title(self) -> str:
        """What was audited, in a line."""
        layer = f"layer {visible(self.layer[:60])}, " if self.layer else ""
        return (
            f"{layer}{len(self.label):,} {self.neuron_noun} x {len(self.concept_names):,} concepts "
            f"by {self.metric}"
        )

    def _in_short(self) -> str:
        verdicts = ", ".join(f"{n:,} {v.text}" for v, n in self.verdict_counts.items() if n)
        return f"of {self.title}: {verdicts}"

    def _repr_html_(self) -> str:
        from ..report.notebook import audit_html

        return audit_html(self)

    def summary(self) -> str:
        """A few sentences on the whole layer, the most important first, one on each line."""
        from ..report.table import summary

        return summary(self)

    def neuron(self, neuron: int | str) -> NeuronAudit:
        """Everything about one neuron, as a text or in a notebook as a small page.

        Parameters
        ----------
        neuron : int or str
            Its number from 0 to U - 1 in the order of the audit, or its name.

        Raises
        ------
        ValueError
            If no neuron, or more than one, has that name, or the number is out of range.
        TypeError
            If it is neither a number nor a text.
        """
        from ..report.one_neuron import one_neuron

        return one_neuron(self, neuron)

    def forecast(self, num_units: ArrayLike | None = None) -> Forecast:
        """How many labels larger probing sets would settle, see :class:`Forecast`.

        Parameters
        ----------
        num_units : int or array of int, optional
            Numbers of sampling units, from the present one to 8 times that. Default: the present
            one and 2, 4 and 8 times that.

        Raises
        ------
        ValueError
            If a number is out of range, or halves or quarters of the probing set give no labels.
        """
        return forecast(self, num_units)

    def columns(self) -> dict[str, Any]:
        """The table of descriptions.csv, one entry for each neuron, by name of the column.

        Numbers are NumPy arrays, NaN where undefined. Texts are lists of str, None where there is
        no label, and ``set`` is a list of lists of names. ``pandas.DataFrame``,
        ``polars.DataFrame`` and ``pyarrow.table`` take the dict as it is.
        """
        from ..report.columns import audit_columns

        return audit_columns(self)

    def to_pandas(self) -> Any:
        """Return :meth:`columns` as a ``pandas.DataFrame``, which needs pandas to be installed.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        from ..report.columns import to_pandas

        return to_pandas(self)

    def plot(self) -> dict[str, Any]:
        """Draw the layer as four figures in one, by ``matplotlib.pyplot``.

        Returns
        -------
        dict of str to matplotlib.axes.Axes
            ``verdicts``, ``intervals``, ``replication`` and ``set_sizes``.
        """
        from ..report.plots import plot_layer

        return plot_layer(self)

    def description(self, neuron: int) -> str:
        """The label in words, empty where there is none."""
        label = self.label[neuron]
        return self.concept_names[label] if label >= 0 else ""

    def formula(self, neuron: int) -> str:
        """The formula of concepts where it is better than one concept beyond chance, else empty."""
        found = self.compositions
        return found.description(neuron) if found is not None and found.better[neuron] else ""

    def set_members(self, neuron: int) -> np.ndarray:
        """Columns of a set's concepts, those that win most replicates first."""
        order = np.argsort(-self.vote_share[neuron], kind="stable")
        return order[self.concept_set[neuron, order]]

    def set_names(self, neuron: int) -> list[str]:
        """Names of a set's concepts, those that win most replicates first."""
        return [self.concept_names[c] for c in self.set_members(neuron)]

    def fit_text(self, neuron: int) -> str:
        """Why a label fits the most active samples poorly; empty where it fits."""
        fit, top = self.fit, self.fit.top_units[neuron]
        if not fit.poor[neuron]:
            return ""
        hits = fit.label_hits[neuron]
        text = (
            f"the label is on {f'only {hits}' if hits else 'none'} of the {top} {self.unit_name} "
            "that activate it most"
        )
        if 2 * fit.top_hits[neuron] < top:
            return f"{text} and no concept on half of them: the best of a poor lot"
        other = self.concept_names[fit.top_concept[neuron]]
        return f"{text}, {other} on {fit.top_hits[neuron]}"

    def left_out_text(self, *, limit: int = 10) -> str:
        """Which concepts are not judged, and what it would take; empty if all are.

        At most ``limit`` are named.
        """
        return left_out_text(
            self.left_out, self.concept_names, self.min_positives, unit=self.unit_name, limit=limit
        )

    def reason_text(self, neuron: int) -> str:
        """Why a neuron has no label, empty where it has one."""
        reason = Reason(int(self.reason[neuron]))
        return "" if reason is Reason.DEFINED else reason.text
