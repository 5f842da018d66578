"""The parts of an audit, by the functions that an audit calls, for the whole layer at once."""

import jax
import jax.numpy as jnp
import numpy as np

import neurotrust_jax as nt
from neurotrust_jax._runtime.defaults import DEFAULT_MIN_POSITIVES
from neurotrust_jax.auditing.prepared import bound_block, judge_concepts, prepare
from neurotrust_jax.chance.null import plan_permutations
from neurotrust_jax.chance.permutations import draw_ranks, draw_units, rows_of
from neurotrust_jax.faithfulness.wide_intervals import label_intervals
from neurotrust_jax.metrics.table import get_metric
from neurotrust_jax.resampling.halves import draw_parts, read_parts
from neurotrust_jax.resampling.replication import (
    answer_numbers,
    deals_for,
    parts_reader,
    probability_of,
)
from neurotrust_jax.resampling.selection import split_reader
from neurotrust_jax.sets.conformal import conformal_of, scores_reader
from neurotrust_jax.sets.rule import BoundOptions, SetInputs
from neurotrust_jax.sets.set_rules import SET_RULES, sets_by

from .audit_loops import Draws
from .plan import ALPHA

SPLITS = 40  # the default of an audit
STEPS = (
    "similarity", "bounds", "permutations", "replicates", "halves", "calibrated_sets", "labels",
)  # fmt: skip


class AuditParts:
    """One method for each part, in the order of `STEPS`; a later one reads what an earlier left.

    ``AuditParts(key, ...)`` has the same draws as ``nt.audit(key, ...)``.
    """

    def __init__(self, key, probe, metric, num_replicates, num_permutations):
        self.metric = get_metric(metric)
        self.probe = judge_concepts(probe, self.metric, DEFAULT_MIN_POSITIVES, None).probe
        self.boot_key, self.null_key, self.split_key = jax.random.split(key, 3)
        self.num_replicates, self.num_permutations = num_replicates, num_permutations
        self.options = BoundOptions()
        self.drawn = self._draw_parts()

    def similarity(self):
        self.data = prepare(self.probe, self.metric, nt.similarity(self.probe, self.metric))
        return self.data.similarity

    def bounds(self):
        """Intervals and the certificate."""
        self.bounded = bound_block(self.data, ALPHA, self.options)
        return self.bounded.certificate.regret

    def permutations(self, number=None):
        return nt.permutation_test(
            self.null_key, self.probe, self.metric, alpha=ALPHA if number is None else 0.5,
            num_permutations=number or self.num_permutations, scores=self.data.similarity,
        )  # fmt: skip

    def replicates(self):
        self.boot = nt.bootstrap(
            self.boot_key, self.probe, self.metric, num_replicates=self.num_replicates,
            scores=self.data.similarity,
        )  # fmt: skip
        return self.boot.vote_share

    def _draw_parts(self):
        return draw_parts(self.split_key, self.probe, SPLITS, deals_for(SPLITS))

    def halves(self):
        """Conformal sets, probabilities of replication and the winner's curse."""
        metric, number = self.metric, answer_numbers(None, self.probe.num_concepts)
        readers = [split_reader(metric), scores_reader(metric), parts_reader(metric, number)]
        self.split, scores, observed = read_parts(
            self._draw_parts(), self.probe, metric, readers, scores=self.data.similarity
        )
        conformal_of(tuple(scores), self.probe, metric, ALPHA)
        return probability_of(observed, self.probe)[0]

    def calibrated_sets(self):
        bounds = self.bounded.one_sided
        inputs = SetInputs(self.boot, ALPHA, "best", self.options, bounds)
        return sets_by(SET_RULES["calibrated"], inputs).mask

    def labels(self):
        """Fit and intervals of the labels."""
        given, asymptotic = self.bounded.given, self.bounded.asymptotic
        intervals = label_intervals(
            self.probe, self.metric, given, in_the_limit=asymptotic,
            activation_range=None, largest_unit=None,
        )  # fmt: skip
        return nt.label_fit(self.probe, self.metric, label=self.data.label), intervals.lower

    def draws(self, at_most):
        """What loops need to come to the same results, of at most so many replicates."""
        weights = nt.resampling.bootstrap_weights(
            self.boot_key, self.probe, num_replicates=min(self.num_replicates, at_most)
        )
        plan = plan_permutations(self.probe, self.metric, self.num_permutations, None, 0.5)
        ids = np.arange(min(self.num_permutations, at_most))
        if plan.shared is None:
            begin = draw_units(
                self.null_key, jnp.asarray(ids), plan.layout, num_units=plan.num_units
            )
            rows = jax.vmap(lambda x: rows_of(x, plan.layout))(begin)
        else:
            # the sample of rank j, from the largest activation, meets the concepts drawn for it
            rows = np.argsort(draw_ranks(self.null_key, ids, self.probe.num_samples), axis=1)
        parts = np.asarray(self.drawn.rows)
        halves = parts[: 2 * SPLITS].reshape(SPLITS, 2, -1)
        quarters = parts[2 * SPLITS :].reshape(deals_for(SPLITS), 4, -1)
        return Draws(
            np.array(weights), np.asarray(rows), plan.shared is not None, [*halves, *quarters]
        )

    def labels_on_halves(self):
        """The labels of all halves, [2 SPLITS, U], for a check of the loops'."""
        (label,) = read_parts(
            self.drawn, self.probe, self.metric, [lambda x: x.label],
            scores=self.data.similarity,
        )  # fmt: skip
        return label.reshape(len(label), -1).T
