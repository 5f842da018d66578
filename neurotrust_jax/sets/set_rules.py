"""The rules of concept sets by name, and the function that applies one."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from .._runtime.validation import check_share
from ..metrics.metric import Metric
from ..probing.probe import Probe
from ..resampling.bootstrapping import Bootstrap
from .calibrated import CALIBRATED
from .certified import CERTIFIED
from .rule import TARGETS, BoundOptions, ConceptSets, SetInputs, SetRule
from .vote import VOTE

__all__ = ["SET_RULES", "concept_sets", "sets_by"]

SET_RULES: Mapping[str, SetRule] = MappingProxyType(
    {rule.name: rule for rule in (CALIBRATED, CERTIFIED, VOTE)}
)
"""Rules of concept sets by name; the first that has a target is the one to use for it."""


def concept_sets(
    boot: Bootstrap,
    *,
    alpha: float = 0.1,
    method: str | SetRule = "calibrated",
    target: str = "best",
    interval_method: str = "auto",
    activation_range: tuple[Any, Any] | None = None,
    largest_unit: float | None = None,
) -> ConceptSets:
    """Concept sets from a bootstrap.

    ``"calibrated"`` tests each concept against all its rivals at once: it stays unless some rival
    leads by more than the largest deviation that replicates show. Similarities are put on a scale
    of steady spread (arcsine, logit or Fisher's z, by the metric). With T_c the largest
    ``(s_c' - s_c) / sigma_cc'``, the critical value q_c is the 1 - alpha quantile over replicates
    of the largest deviation from these measured values. Rivals that are surely worse than c are
    moved back by as much as a first step at level alpha / 10 allows (Romano, Shaikh & Wolf, 2014).
    The critical value is widened for spreads estimated from few sampling units as Student's t is
    (Fisher's expansion, with the effective units of each pair). Rivals are the concepts on at least
    twenty effective units if the most similar concept is one of these, else all concepts.

    Concepts on too little evidence for replicates stay unless their upper bound for every sample
    size (at three quarters of alpha) is below the largest of simultaneous lower bounds of the
    others (at a quarter); see ``untested``. These lower bounds come from the bootstrap, so this
    exclusion, and with it all coverage, holds in the limit of many sampling units. Where the label
    itself is on too little evidence (or at the top of the range, as an AUROC of 0.99999 is),
    replicates can not compare the others with it, and the set is that of the certificate.

    With ``target="replication"`` the critical value is sqrt(2) times the quantile of the maximum
    over all pairs, since the fresh probing set adds a deviation of the same law. All untested
    concepts then stay. Replicates use the thresholds of the data, even where these are a quantile
    of the data.

    ``"certified"`` is the certificate of :func:`certify` at level alpha. It is wide, and involves
    no approximation where its intervals hold for every sample size.

    ``"vote"`` is our reconstruction of the bootstrap ensemble's set: the fewest concepts whose
    joint share of bootstrap wins reaches 1 - alpha. It has no guarantee and covers too seldom when
    several concepts nearly tie, hence the warning. A neuron whose replicates were undefined more
    often than alpha gets every concept, since the remaining votes can not reach 1 - alpha.

    A neuron without a label gets every concept.

    Parameters
    ----------
    boot : Bootstrap
    alpha : float in (0, 1)
    method : {"calibrated", "certified", "vote"} or SetRule
        A key of :data:`SET_RULES`, or your rule.
    target : {"best", "replication"}
        What the set should hold. A certificate bounds true similarities, so it has the first only;
        the vote rule gives the same sets for both.
    interval_method, activation_range, largest_unit
        As ``method``, ``activation_range`` and ``largest_unit`` in :func:`intervals`. They apply to
        the bounds that a certified set consists of, and that rule out untested concepts.

    Returns
    -------
    ConceptSets

    Raises
    ------
    ValueError
        If an option is unknown, the rule lacks the target or something that it needs, or the bounds
        do not fit.

    Warns
    -----
    CoverageWarning
        With ``method="vote"``; or with too few replicates for alpha, when every set is full.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> concepts = rng.random((500, 4)) < 0.3
    >>> activations = rng.normal(size=(500, 4)) + 4 * concepts
    >>> probe = nt.make_probe(activations, concepts, thresholds=2.0)
    >>> boot = nt.bootstrap(jax.random.key(0), probe, "iou", num_replicates=200)
    >>> nt.concept_sets(boot, alpha=0.1).size.tolist()
    [1, 1, 1, 1]
    """
    check_share(alpha, "alpha")
    rule = SET_RULES.get(method) if isinstance(method, str) else method
    if rule is None:
        raise ValueError(f"unknown method {method!r}; known: {', '.join(SET_RULES)}")
    if target not in TARGETS:
        raise ValueError(f"unknown target {target!r}; known: {', '.join(TARGETS)}")
    options = BoundOptions(interval_method, activation_range, largest_unit)
    return sets_by(rule, SetInputs(boot, alpha, target, options))


def sets_by(rule: SetRule, inputs: SetInputs) -> ConceptSets:
    """The sets of a rule, after checking that the rule has the target and what it needs."""
    boot, target = inputs.boot, inputs.target
    others = [x.name for x in SET_RULES.values() if target in x.targets and not x.needs]
    use = f'use method="{others[0]}" with target="{target}"'
    if target not in rule.targets:
        raise ValueError(
            f"method {rule.name!r} makes sets with target {' or '.join(map(repr, rule.targets))}, "
            f"got {target!r}; {use}"
        )
    if "metric" in rule.needs and not isinstance(boot.definition, Metric):
        raise ValueError(
            f"method {rule.name!r} needs a metric, and there are no intervals for the scores of "
            f"{boot.metric}, which is no metric; {use}"
        )
    if "probe" in rule.needs and not isinstance(boot.probe, Probe):
        raise ValueError(
            f"method {rule.name!r} reads the data, which a bootstrap in passes does not keep; "
            f"{use}, or certify() on a probe"
        )
    return rule.make(inputs)
