"""Do the tests see what a hostile statistician would change? One wrong formula at a time.

``python tests/mutants.py [--only FILE] [--jobs N]`` copies package and tests into temporary
folders, puts one mutant at a time into the copy, and runs the tests that ought to fail. A mutant
whose tests pass has survived: then a test is missing, or the two formulas are the same. All tests
are first run on the package as it is, since a test that fails anyway kills nothing.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from queue import Queue
from typing import Annotated, NamedTuple

import pytest
import typer

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "neurotrust_jax"
PRELOADED = ["__main__", "jax", "scipy.stats", "scipy.sparse", "sklearn.metrics"]
LONGEST = 600  # seconds of a mutant's tests; one that makes a loop endless is killed too


class Mutant(NamedTuple):
    """A change that must not go unseen.

    Attributes
    ----------
    module : str
        File of the package.
    original, replacement : str
        What stands there, exactly once, and what takes its place.
    tests : str
        Arguments of pytest that select the tests which ought to fail; file names are in ``tests``.
    """

    module: str
    original: str
    replacement: str
    tests: str

    @property
    def name(self) -> str:
        """The change on one line."""
        old, new = (" ".join(x.split()) for x in (self.original, self.replacement))
        return f"{self.module}: {old} -> {new}"

    def applied(self, text: str) -> str:
        """The module's text with the change; raise if its place is not unique."""
        if text.count(self.original) != 1:
            raise ValueError(f"{self.name}: found {text.count(self.original)} times")
        return text.replace(self.original, self.replacement)


def of(module: str, *rows: tuple[str, str, str]) -> list[Mutant]:
    """The mutants of a module."""
    return [Mutant(module, *row) for row in rows]


def loop(metric: str) -> str:
    """The naive loop over samples for one metric."""
    return f"test_metrics.py::test_equals_naive_loop_on_ties -k x64-{metric}-"


def limits(method: str) -> str:
    """The naive loop over blocks for one kind of limits."""
    return f"test_bounds.py::test_limits_equal_the_naive_loop_over_blocks -k {method}"


def means(metric: str) -> str:
    """Limits of means, carried through the formula of one metric."""
    return f"test_bounds.py::test_means_carried_through_the_formula -k x64-{metric}"


def gap(metric: str) -> str:
    """The naive loop over designs for one metric."""
    return f"test_planning.py::test_gap_equals_the_naive_loop_and_broadcasts -k x32-{metric}"


def rows(metric: str) -> str:
    """Replicates by rows against the dense product, for one metric."""
    return (
        f"test_resampling.py::test_rows_give_the_replicates_of_the_dense_product -k x32-{metric}-"
    )


def measure(name: str) -> str:
    """Tests of one measure of agreement."""
    return f"test_stability.py -k 'x64 and {name}'"


WEIGHTS = "test_metrics.py::test_integer_weights_equal_repeated_rows"
EXACT = "test_bounds.py::test_exact_is_scipys_clopper_pearson -k x64"
GROUPED_PAIRS = "test_bounds.py::test_grouped_auroc_from_pairs_of_groups"
WHOLE_BOX = "test_bounds.py::test_limits_for_all_thresholds_hold_on_the_whole_box"
OUTWARDS = "test_bounds.py::test_ends_of_replicates_are_rounded_outwards_from_the_closed_form"
SPENT = "test_bounds.py -k 'no_more_than_their_error and x64-exact'"
DIVIDED = "test_bounds.py -k divides_its_error"
NAMED = "test_bounds.py -k that_the_rule_names"
TWO_POINTS = "test_betting.py::test_limits_from_moments_are_those_of_two_points"
LEADING_ONLY = "test_betting.py::test_leading_concepts_get_the_narrower_limits"
PER_PAIR = "test_betting.py::test_a_bound_for_each_pair_is_that_of_its_own_groups"
WIDE = "test_betting.py::test_a_wide_interval_says_why"
EACH_SIDE = "test_bounds.py::test_each_side_takes_the_hits_that_widen_it -k chernoff"
THREE_PARTS = "test_bounds.py::test_uniform_limits_are_made_of_three_parts_at_a_third_of_delta"
NOT_THERE = "test_bounds.py::test_rows_of_weight_zero_are_no_evidence -k recall"
EQUAL = "test_bounds.py::test_equal_and_undefined_limits_rule_nothing_out"
CERTIFICATE = "test_bounds.py::test_certificate_follows_from_the_intervals"
REQUIRED = "test_planning.py::test_required_samples_is_the_smallest_number"
DIFFERENCES = "test_influence.py::test_equals_finite_differences"
PARTS = "test_compilation.py::test_parts_of_a_call_share_a_program"
TWICE = "test_metrics.py::test_the_two_ways_to_rank_agree"
ACCELERATOR = "test_accelerator.py -k 'replicates or lists'"
TILES = "test_resampling.py::test_running_total_is_a_cumulative_sum"
MADE_UP = "test_resampling.py -k 'x32 and made_up_for'"
STEPS = "test_resampling.py::test_steps_hold_the_places_of_a_blocks_concepts"
RANGE = "test_resampling.py::test_replicates_stay_within_their_range"
ERRORS = "test_resampling.py -k errors_of_auroc"
COUNTED = "test_resampling.py::test_the_range_counts_replicates_and_the_chance_to_miss_a_concept"
ORDER = "test_resampling.py::test_what_orders_spearmans_correlation_spans_its_arguments"
MOMENTS = "test_resampling.py::test_weights_have_the_moments_of_their_scheme"
LEVELS = "test_sets.py::test_calibrated_sets_equal_a_loop_at_every_level -k best"
SETS = "test_sets.py::test_calibrated_sets_equal_a_loop -k x64-iou"
RANK = "test_sets.py::test_the_rank_counts_the_data_as_a_replicate"
AT_ONCE = "test_sets.py::test_lower_limits_hold_at_once"
MEASURES = "test_stability.py::test_measures_of_a_bootstrap_equal_a_loop -k x64"
PERMUTED = "test_null.py::test_equals_a_loop_over_the_same_permutations -k x64-iou"
SUMS_OF_RANKS = "test_null.py::test_a_product_gives_the_sums_of_ranks"
PRODUCT = "test_null.py::test_counts_are_the_product"
HALVES = "test_selection.py::test_equals_a_loop_over_replicates_and_halves"
LINEAR = "test_shift.py::test_sharp_bounds_are_those_of_a_linear_program"
RADIUS = "test_shift.py::test_radius_is_where_a_shift_overturns_the_label"
MEET = "test_shift.py::test_two_disjoint_events_meet_at_the_radius"
ODDS = "test_shift.py -k odds_of_an_auroc"
COMPARED = "test_comparison.py -k 'not cover'"
SCALED = "test_inputs.py -k 'own_scale or single_precision'"
FOLDED = "test_comparison.py::test_cross_fitting_equals_a_loop_over_folds"
JACKKNIFE = "test_comparison.py::test_errors_are_those_of_the_jackknife_over_folds"
ENDLESS = "test_comparison.py::test_limits_of_stability_tell_what_other_replicates_give"
SAME_LABELS = "test_comparison.py::test_labels_given_are_those_of_all_replicates"
JUDGED = "test_verdicts.py::test_the_first_rule_that_applies"
MERGED = "test_verdicts.py::test_sets_under_one_root_are_one_answer"
CONFORMAL = "test_conformal.py::test_equals_a_loop"
REPLICATED = "test_replication.py::test_equals_a_loop"
UNITS = "test_effective.py::test_equals_a_loop_over_units"
STREAMED = "test_streaming.py::test_effective_units_of_rows_in_blocks"
RIVALS = "test_sets.py::test_rivals_seen_a_few_times_rule_nothing_out"
AT_TOP = "test_sets.py::test_a_label_at_the_top_of_the_range_is_judged_by_bounds"
BEYOND = "test_sets.py::test_concepts_beyond_the_candidates_are_members_on_ample_evidence"
CENTRED = "test_influence.py::test_influences_that_do_not_add_up_to_nothing_are_centred"
QUARTERS = "test_sets.py::test_untested_concepts_meet_bounds_at_three_quarters_of_alpha"
ENDS = "test_sets.py::test_similarities_at_the_ends_of_the_range_tell_nothing"
SHARES = "test_comparison.py::test_shares_are_of_the_neurons_that_have_a_label"
SCALE = "test_sets.py::test_scales_keep_the_order -k x64"
LITTLE = "test_sets.py::test_too_little_evidence_is_said_and_stays_in_the_set"
FOLLOWED = "test_sets.py::test_what_trails_by_less_than_six_errors_is_followed"

MUTANTS = [
    *of(
        "metrics/table.py",
        ("(s.S - s.F - s.C + 2 * s.FC) / s.S", "(s.S - s.F - s.C + s.FC) / s.S", loop("accuracy")),
        (
            "_ratio(s.FC, s.C) + _ratio(s.S - s.F - s.C + s.FC, s.S - s.C)",
            "_ratio(s.FC, s.C) + _ratio(s.S - s.F - s.C + s.FC, s.S - s.F)",
            loop("balanced_accuracy"),
        ),
        (
            "_ratio(s.FC, s.F) + _ratio(s.S - s.F - s.C + s.FC, s.S - s.F)",
            "_ratio(s.FC, s.C) + _ratio(s.S - s.F - s.C + s.FC, s.S - s.F)",
            loop("simulation_balanced_accuracy"),
        ),
        (
            '"precision", "binary", "binary", lambda s: _ratio(s.FC, s.F)',
            '"precision", "binary", "binary", lambda s: _ratio(s.FC, s.C)',
            loop("precision"),
        ),
        (
            '"recall", "binary", "binary", lambda s: _ratio(s.FC, s.C)',
            '"recall", "binary", "binary", lambda s: _ratio(s.FC, s.F)',
            loop("recall"),
        ),
        ("_ratio(2 * s.FC, s.F + s.C)", "_ratio(s.FC, s.F + s.C)", loop("f1")),
        ("s.F + s.C - s.FC", "s.F + s.C", loop("iou")),
        (
            "_ratio(s.S * s.FC, s.C * (s.S - s.C))",
            "_ratio(s.S * s.FC, s.C * s.S)",
            loop("auroc"),
        ),
        (
            "_ratio(s.S * s.FC, s.F * (s.S - s.F))",
            "_ratio(s.FC, s.S - s.F)",
            loop("simulation_auroc"),
        ),
        ("jnp.where(s.FF > 0, s.FF, jnp.nan) * s.CC", "s.FF * s.FF", loop("correlation")),
        ("_ratio(s.F - s.FC, s.S - s.C)", "_ratio(s.F - s.FC, s.S)", loop("mad")),
        (
            "variance = s.FF / s.S - (s.F / s.S) ** 2",
            "variance = s.FF / (s.S - 1) - (s.F / s.S) ** 2",
            loop("standardised_mad"),
        ),
        ("jnp.clip(value, *range)", "value",
         "test_metrics.py::test_rounding_leads_out_of_no_range"),
        # "denominator + 0 * numerator" without its second term: a CPU divides rightly either way
    ),
    *of(
        "_numerics/ranks.py",
        ("(low + high) / (2 * below[-1:]) - 0.5", "low / below[-1:] - 0.5", loop("auroc")),
        ("jnp.where(end, position + 1, num", "jnp.where(end, position, num", TWICE),
        ("jnp.where(bits < 0, bits ^ jnp.iinfo(whole).max, bits)", "bits", TWICE),
        (
            " np.where(end, position + 1, num_samples)",
            " np.where(end, position, num_samples)",
            loop("auroc"),
        ),
        (
            "np.abs(columns) < np.finfo(columns.dtype).tiny",
            "np.abs(columns) < 0",
            "test_extremes.py::test_denormals_are_zeros -k auroc",
        ),
        (
            "return above, at_or_above",
            "return above, above",
            loop("wpmi_topk"),
        ),
    ),
    *of(
        "metrics/transforms.py",
        (
            "return values - weighted_total(values, weights)[None, :] / weights.sum()",
            "return values - values.mean(axis=0, keepdims=True)",
            f"{WEIGHTS} -k x64-correlation",
        ),
        (
            "jnp.log(jnp.maximum(values, LOG_FLOOR)) - jnp.log(jnp.where(mean > 0, mean, 1))",
            "jnp.log(jnp.maximum(values, LOG_FLOOR)) + jnp.log(jnp.where(mean > 0, mean, 1))",
            loop("wpmi"),
        ),
        (
            "(values != one[None, :]) & used[:, None]",
            "values != one[None, :]",
            "test_metrics.py::test_rows_of_weight_zero_are_not_there",
        ),
        (
            "varies(f, weights)[:, None] & varies(c, weights)[None, :]",
            "varies(f, weights)[:, None] | varies(c, weights)[None, :]",
            "test_metrics.py::test_degenerate_columns_are_undefined_with_a_reason_and_never_win "
            "-k x32-accuracy",
        ),
        (
            "lambda prepared: jnp.maximum(prepared, LOG_FLOOR)",
            "lambda prepared: prepared",
            "test_metrics.py::test_rows_are_distinct_where_their_views_are",
        ),
        (
            "lambda ranking: ranking.first",
            "lambda ranking: ranking.order",
            "test_metrics.py::test_rows_are_distinct_where_their_views_are",
        ),
        (
            "centred(prepared, weights) ** 3",
            "centred(prepared, weights)",
            loop("cos_similarity_cubed"),
        ),
    ),
    *of(
        "metrics/scores.py",
        ("jnp.concatenate(values, axis=1)", "jnp.concatenate(values[::-1], axis=1)",
         "test_metrics.py::test_concepts_come_some_at_a_time"),
    ),
    *of(
        "probing/sample_weights.py",
        ("share * ((share > 0).sum() / share.sum())", "share * (len(share) / share.sum())", SCALED),
        ("scale *= near.denominator", "scale *= 2 * near.denominator", SCALED),
        ("> 4 * eps * scaled", "> 4 * eps", SCALED),
        ("np.rint(scaled)) >", "np.rint(share)) >", SCALED),
        ("weights / weights.max()", "weights / 1.0", SCALED),
    ),
    *of(
        "probing/groups.py",
        ("return place[index], ordered", "return index, ordered",
         "test_inputs.py::test_groups_are_whatever_is_equal"),
        ("seen.setdefault(label, len(seen))", "seen.setdefault(str(label), len(seen))",
         "test_inputs.py::test_groups_are_whatever_is_equal"),
    ),
    *of(
        "probing/inputs.py",
        ("_require(c, _zero_or_one,", "_require(jnp.asarray(c), _zero_or_one,",
         "test_inputs.py::test_labels_of_64_bits_are_checked_before_they_are_converted"),
        ("np.lexsort((column, row))", "np.lexsort((row, column))",
         "test_sparse.py::test_bad_sparse_input_is_named"),
    ),
    *of(
        "_runtime/host_arrays.py",
        ("return jnp.asarray(x.astype(dtype))", "return jnp.asarray(x).astype(dtype)",
         "test_inputs.py::test_integers_of_64_bits_are_rounded_and_never_cut"),
        ('("resolve_conj", "resolve_neg")', '("resolve_conj",)',
         "test_inputs.py::test_a_sign_kept_as_a_flag_is_resolved"),
    ),
    *of(
        "runs.py",
        ('reads = get_metric(options.metric).neuron_view == "binary"', "reads = True",
         "test_runs.py::test_a_fifth_is_set_aside_where_thresholds_are_read_and_come_from_the_data"),
        ("number * probe.top_fraction < 1", "number * probe.top_fraction < 0",
         "test_runs.py::test_options_have_an_effect_or_are_refused_before_any_work"),
    ),
    *of(
        "auditing/vocabulary.py",
        ("needed / k", "k / needed",
         "test_vocabulary.py::test_the_text_says_how_much_larger_a_set_is_needed"),
        ('metric.concept_view == "binary" or probe', 'metric.concept_view == "rank" or probe',
         "test_vocabulary.py::test_probabilities_below_the_threshold_are_judged_by_metrics_that_read_them"),
    ),
    *of(
        "auditing/result.py",
        ("column[label], -1)", "label, -1)",
         "test_vocabulary.py::test_an_audit_is_that_of_the_judged_concepts_in_the_columns_given"),
        ("-np.nan_to_num(x, nan=-np.inf)", "np.nan_to_num(x, nan=-np.inf)",
         "test_audit.py::test_ranked_puts_the_surest_of_the_best_verdict_first"),
    ),
    *of(
        "probing/thresholds.py",
        ("order = order[::-1]", "order = +order",
         "test_probe.py::test_top_fraction_without_ties_takes_exactly_that_many"),
        ("* reached[-1]", "* len(weights)", "test_fit.py -k leave"),
        ("values[last + 1]", "values[last]", "test_fit.py -k leave"),
    ),
    *of(
        "auditing/fit.py",
        ("top_units[:, None] * np", "0 * np", "test_fit.py -k loop"),
        ("(first <= place)", "(first <= len(rows))", "test_fit.py -k loop"),
        ("np.sort(np.unique(", "(np.unique(", "test_fit.py -k loop"),
        ("2 * self.label_hits < self.top_units", "self.label_hits < self.top_units",
         "test_fit.py -k poor"),
    ),
    *of(
        "probing/construction.py",
        ("enough = units >= min_positives", "enough = units > min_positives",
         "test_vocabulary.py::test_at_the_bound_a_concept_is_judged"),
        ("probe.top_fraction or DEFAULT_TOP_FRACTION", "DEFAULT_TOP_FRACTION",
         "test_probe.py::test_a_split_takes_the_share_that_the_probe_was_made_with"),
    ),
    *of(
        "published.py",
        ("[exact[text]] if text in exact else loose", "[exact[text]] if None in exact else loose",
         "test_published.py::test_an_exact_name_comes_before_a_loose_one"),
    ),
    *of(
        "_numerics/sums.py",
        ("FF=s.FF - s.F**2 / size if neurons else s.FF", "FF=s.FF", FOLDED),
        ("FC=s.FC - s.F * s.C / size", "FC=s.FC", FOLDED),
        ("return place % self.tile * self.tiles + place // self.tile",
         "return place // self.tile * self.tiles + place % self.tile", TILES),
        ("each = within[-tiling.tiles :]", "each = within[: tiling.tiles]", TILES),
        (
            "FC=jnp.matmul((weights[:, None] * f).T, c,",
            "FC=jnp.matmul(f.T, c,",
            f"{WEIGHTS} -k x64-iou",
        ),
        ("weighted_total(f * f, weights)", "weighted_total(f, weights)", loop("cosine")),
        ("weighted_total(c * c, weights)", "(c * c).sum(axis=0)", f"{WEIGHTS} -k x64-cosine"),
        (
            "running_total(each) - each",
            "running_total(each)",
            "test_resampling.py::test_running_total_is_a_cumulative_sum",
        ),
        (
            "each = rows[-1].astype(dtype)",
            "each = rows[-1]",
            "test_resampling.py::test_running_total_is_a_cumulative_sum",
        ),
        (
            "row = row - excess",
            "row = row - 0 * excess",
            "test_resampling.py::test_running_total_keeps_its_digits",
        ),
        (
            "jnp.matmul(weighted.T, c**b,",
            "jnp.matmul(weighted.T, c,",
            "test_influence.py::test_moments_equal_gradients -k x32-correlation",
        ),
    ),
    *of(
        "faithfulness/concentration.py",
        (
            "_symmetric(evidence, jnp.sqrt(jnp.log(1 / tail) / 2))",
            "_symmetric(evidence, jnp.sqrt(jnp.log(1 / tail) / 3))",
            limits("hoeffding"),
        ),
        (
            "jnp.where(room > 0, evidence.bound * scale",
            "jnp.where(room > 0, scale",
            limits("hoeffding"),
        ),
        (
            "room = jnp.sqrt(evidence.blocks) * evidence.trials",
            "room = evidence.blocks * evidence.trials",
            limits("hoeffding"),
        ),
        ("threshold = jnp.log(1 / tail)", "threshold = jnp.log(0.5 / tail)", limits("chernoff")),
        (
            "mean = jnp.clip(r + (hits - r * evidence.trials) / evidence.bound, 0, 1)",
            "mean = jnp.clip(hits / evidence.trials, 0, 1)",
            limits("chernoff"),
        ),
        ("log = jnp.log(2 / tail)", "log = jnp.log(1 / tail)", limits("bernstein")),
        ("0) * n / fewer", "0)", limits("bernstein")),
        ("* log / (3 * fewer))", "* log / (3 * n))", limits("bernstein")),
        ("jnp.sqrt(2 * variance * log", "jnp.sqrt(variance * log", limits("bernstein")),
        (
            "xx - 2 * r * xy + r**2 * yy - mean**2",
            "xx - 2 * r * xy + r**2 * yy",
            limits("bernstein"),
        ),
        ("4 * jnp.sqrt(jnp.pi / 2) * y", "2 * jnp.sqrt(jnp.pi / 2) * y", limits("dkw")),
        ("jnp.exp(4 * y * (MASSART - y))", "jnp.exp(-4 * y**2)", limits("dkw")),
        ("jnp.minimum(tail, 0.5)", "tail", "test_bounds.py -k massart"),
        (
            "if not grouped:\n        return hoeffding",
            "if grouped or not grouped:\n        return hoeffding",
            limits("dkw"),
        ),
        ("-jnp.expm1(-entropy)", "2 * entropy", OUTWARDS),
        ("_relative_entropy(t, middle)", "4 * _relative_entropy(middle, t)", OUTWARDS),
        ("(inside, outside))[1]", "(inside, outside))[0]", OUTWARDS),
        (
            "(evidence.hits_low, low, jnp.zeros_like(low))",
            "(evidence.hits_high, high, jnp.zeros_like(low))",
            EACH_SIDE,
        ),
        ("(q <= 0) & (p > 0)", "(q < 0) & (p > 0)", OUTWARDS),
    ),
    *of("faithfulness/binomial.py",
        ("x, evidence.blocks, tail)", "x, evidence.blocks, 2 * tail)", EXACT),
        (
            "jax.nn.sigmoid(-other)",
            "jax.nn.sigmoid(other)",
            EXACT,
        ),
        (
            "tail), hits, misses)",
            "tail), hits, misses - 1)",
            EXACT,
        ),
        ("jnp.where(misses > 0, upper, 1)", "upper", EXACT),
        ("jnp.where(hits > 0, lower, 0)", "lower", EXACT),
        ("    b = n - x + 1\n", "    b = n - x\n", EXACT),
    ),
    *of(
        "faithfulness/betting.py",
        ("jnp.sqrt(-2 * jnp.log(tail) * r", "jnp.sqrt(-8 * jnp.log(tail) * r", limits("betting")),
        ("jnp.log(total / logs.shape[axis])", "jnp.log(total)", limits("betting")),
        ("z = jnp.minimum(hits / r[None, :] - y, LARGEST)",
         "z = jnp.minimum(hits / r[None, :] - hits, LARGEST)", limits("betting")),
        ("(y - x, 1 - ratio,", "(y - x, ratio,", limits("betting")),
        ("x, y = x / bound[None, :], y / bound[None, :]\n", "", limits("betting")),
        ("zz = (square / r - 2 * cross) / r", "zz = (square / r - cross) / r", TWO_POINTS),
        ("jnp.maximum(zz - z**2, 0) / ww", "jnp.maximum(zz, 0) / ww", TWO_POINTS),
        ("won = (z + zz) /", "won = zz /", TWO_POINTS),
        ("yy - 2 * xy + xx, yy - xy", "yy - 2 * xy + xx, xy", TWO_POINTS),
        (".prod(axis=0)).sum(axis=0)", ".max(axis=0)).sum(axis=0)", limits("betting")),
    ),
    *of("faithfulness/finite_sample.py",
        ("old.at[neuron, chosen].set(new)", "old.at[neuron, chosen[:, ::-1]].set(new)",
         limits("betting")),
        ("jnp.where(n <= MOST_BLOCKS, new, old)", "jnp.where(n < 0, new, old)", LEADING_ONLY),
        ("jnp.where(some, evidence.most_trials, evidence.bound)", "evidence.bound", PER_PAIR),
        ("jnp.cumsum(some, axis=0) - 1, length)", "jnp.cumsum(some, axis=0), length)",
         limits("betting")),
        ("x / rule.num_tails(side)", "2 * x / rule.num_tails(side)", SPENT),
        ("x / rule.num_tails(side)", "x / (2 * len(rule.parts))", SPENT),
        ('law = "betting" if grouped else "exact"', 'law = "hoeffding"', THREE_PARTS),
    ),
    *of("faithfulness/wide_intervals.py",
        ("pair_ends[1] - pair_ends[0] < 0.7 * width", "pair_ends[1] < 0", WIDE),
        ("used & present[:, label[u]]", "present[:, label[u]]", WIDE),
        ("rows = rows & active[:, u - some.start]", "rows = active[:, u - some.start]", WIDE),
        ("if largest < LARGE * weights.sum() / used:", "if largest < LARGE:", WIDE),
    ),
    *of("faithfulness/methods.py",
        ("elif largest and probe.groups is None:", "elif largest and probe.groups is not None:",
         "test_bounds.py -k 'what_is_assumed'"),
        (
            'metric.neuron_view == "binary" and not probe.thresholds_fixed',
            'metric.neuron_view != "binary" and not probe.thresholds_fixed',
            "test_bounds.py::test_auto_takes_what_is_valid",
        ),
    ),
    *of(
        "faithfulness/bounds.py",
        (
            "x.alpha / counts[x.simultaneous]",
            "x.alpha",
            "test_bounds.py::test_simultaneous_divides_delta -k iou",
        ),
        (
            '(share / 2 if side == "both" else share)',
            "share",
            "test_bounds.py::test_asymptotic_interval_is_value_and_standard_error",
        ),
        ('method, "" if known else largest, per_pair)', "method, largest, per_pair)",
         "test_bounds.py -k largest_group"),
        ("not self.asymptotic and not self.assumes", "not self.asymptotic",
         "test_bounds.py -k largest_group"),
    ),
    *of(
        "faithfulness/certificates.py",
        (
            "((1 - LOWER_SHARE) * alpha / neurons,",
            "((1 - LOWER_SHARE) * alpha,",
            CERTIFICATE,
        ),
        ('(LOWER_SHARE * alpha, simultaneous, "lower")', '(alpha, simultaneous, "lower")',
         CERTIFICATE),
        ('alpha, simultaneous, "lower")', 'alpha, simultaneous)', CERTIFICATE),
        ('/ neurons, "none", "upper")', '/ neurons, "none")', CERTIFICATE),
        (
            "jnp.maximum(rival_upper - label_lower, 0), mask",
            "rival_upper - label_lower, mask",
            CERTIFICATE,
        ),
        (
            "upper >= lower.max(axis=1, keepdims=True)",
            "upper > lower.max(axis=1, keepdims=True)",
            EQUAL,
        ),
        (
            "upper >= lower.max(axis=1, keepdims=True)",
            "upper >= label_lower[:, None]",
            "test_bounds.py::test_a_common_concept_may_rule_out_what_the_label_can_not",
        ),
        (
            "jnp.where(at_label, -jnp.inf, upper).max(axis=1)",
            "upper.max(axis=1)",
            CERTIFICATE,
        ),
        (
            "jnp.where(jnp.isnan(upper), jnp.inf, upper)",
            "jnp.where(jnp.isnan(upper), -jnp.inf, upper)",
            EQUAL,
        ),
    ),
    *of(
        "faithfulness/bounds.py",
        (
            "math.isfinite(largest_unit) and largest_unit >= bound * (1 - 1e-6)",
            "math.isfinite(largest_unit)",
            "test_bounds.py -k 'unit or refused'",
        ),
        (
            "return float(largest_unit) * heaviest",
            "return float(largest_unit)",
            "test_inputs.py::test_no_result_depends_on_the_unit_of_the_weights",
        ),
    ),
    *of(
        "faithfulness/interval_rules.py",
        (
            "2 * upper[0] / (1 + upper[0])",
            "upper[0]",
            "test_bounds.py::test_exact_is_scipys_clopper_pearson -k x64-f1",
        ),
        ("width * (lower[0] - upper[1])", "width * (lower[0] - lower[1])", means("mad")),
        ("value(lower[0], upper[1])", "value(lower[0], lower[1])", means("wpmi")),
        (
            "jnp.maximum(square[0] - mean[1] ** 2, 0)",
            "jnp.maximum(square[0] - mean[0] ** 2, 0)",
            "test_bounds.py::test_variance_from_mean_and_mean_square",
        ),
        (
            "over(top[0], top[0] < 0), over(top[1], top[1] > 0)",
            "over(top[0], top[0] > 0), over(top[1], top[1] < 0)",
            means("correlation"),
        ),
        (
            "covariance = fc[0] - f[1] * c[1], fc[1] - f[0] * c[0]",
            "covariance = fc[0] - f[0] * c[0], fc[1] - f[1] * c[1]",
            means("correlation"),
        ),
        ("+ jnp.minimum(*shift)", "+ jnp.maximum(*shift)", means("cosine")),
        (
            "difference = present[0] - absent[1], present[1] - absent[0]",
            "difference = present[0] - absent[0], present[1] - absent[1]",
            means("standardised_mad"),
        ),
        (
            "SPECIFICITY = _binary(NEITHER, ABSENT)",
            "SPECIFICITY = _binary(NEITHER, INACTIVE)",
            EXACT,
        ),
        ("_over(p * r, p + (1 - p) * q)", "_over(p * r, p + q)", f"{WHOLE_BOX} -k x64-iou"),
        (
            "jnp.stack([least(t, axis=0) for t in terms])",
            "jnp.stack([t[0] for t in terms])",
            f"{WHOLE_BOX} -k x64-accuracy",
        ),
        ("side != \"both\" and direction else 2", "side != \"both\" else 2", DIVIDED),
        ("(PRODUCT, MEAN, MEAN_SQUARE, SCORE, SCORE_SQUARE), (1, 0, 0, 0, 0)",
         "(PRODUCT, MEAN, MEAN_SQUARE, SCORE, SCORE_SQUARE), (1, -1, 0, 0, 0)", NAMED),
        ("(MEAN_IF_PRESENT, MEAN_IF_ABSENT), (1, -1)", "(MEAN_IF_PRESENT, MEAN_IF_ABSENT), (1, 1)",
         NAMED),
        ('"iou": _corners(lambda p, r, q: (_over(p * r, p + (1 - p) * q),), (1,',
         '"iou": _corners(lambda p, r, q: (_over(p * r, p + (1 - p) * q),), (-1,', NAMED),
    ),
    *of(
        "faithfulness/estimands.py",
        (
            "k = jnp.minimum(positive, negative)",
            "k = jnp.maximum(positive, negative)",
            "test_bounds.py::test_auroc_given_the_labels",
        ),
        (
            "k = positive * negative / d.weights.sum()",
            "k = 2 * positive * negative / d.weights.sum()",
            "test_bounds.py::test_auroc_given_the_labels",
        ),
        ("jnp.floor(number / 2)", "number", GROUPED_PAIRS),
        ("bound=d.bound**2 / 2", "bound=d.bound**2", GROUPED_PAIRS),
        ("jnp.maximum(value * pairs - inside, 0)", "value * pairs", GROUPED_PAIRS),
        (
            "jnp.minimum(value * pairs, between)",
            "value * pairs",
            "test_bounds.py::test_all_pairs_within_groups_leave_no_more_hits_than_trials",
        ),
        ("number * (number - 1)", "number * number", GROUPED_PAIRS),
        (
            "squares_of = partial(self._product_sum, f, c, d.weights**2)",
            "squares_of = partial(self._product_sum, f, c, d.weights)",
            limits("bernstein-weights"),
        ),
        (
            "counts = weighted_sums(f, c, (d.weights > 0).astype(f.dtype))",
            "counts = weighted_sums(f, c, jnp.ones_like(d.weights))",
            NOT_THERE,
        ),
        ("means = (x, y, x * x, x * y, y * y)", "means = (x, y, x, x * y, y)", limits("bernstein")),
    ),
    *of(
        "faithfulness/sample_size.py",
        (
            "math.log(self.sides * proportions * self.num_concepts / self.alpha)",
            "math.log(proportions * self.num_concepts / self.alpha)",
            gap("accuracy"),
        ),
        (
            "math.log(self.sides * proportions * self.num_concepts / self.alpha)",
            "math.log(self.sides * proportions / self.alpha)",
            gap("accuracy"),
        ),
        (
            "np.maximum(self.present, self.active)",
            "np.minimum(self.present, self.active)",
            gap("iou"),
        ),
        ("np.minimum(share, 1 - share)", "share", gap("auroc")),
        (
            "self.alpha / (self.sides * self.num_concepts)",
            "self.alpha / self.num_concepts",
            gap("correlation"),
        ),
        ("2 / (1 + 1 / d.union())", "d.union()", gap("f1")),
        ("self.rate(self.n * (1 - share), 2)) / 2", "self.rate(self.n * (1 - share), 2))",
         gap("balanced_accuracy")),
        ("(num_concepts, LOWER_SHARE * alpha)", "(num_concepts, alpha)", REQUIRED),
        ("name, sides, errors = \"margin\", 1, 2 * [", "name, sides, errors = \"margin\", 1, [",
         REQUIRED),
        ("name, sides, errors = \"margin\", 1,", "name, sides, errors = \"margin\", 2,", REQUIRED),
        ("(self.present * (1 - self.present)) - 5", "(self.present * (1 - self.present)) - 2",
         "test_planning.py -k heavy_tails_and_rare"),
        ("(27 * (k - 1) ** 2)", "(27 * k**2)", "test_planning.py -k heavy_tails_and_rare"),
        (".sum(axis=0) <= target", ".sum(axis=0) < target",
         "test_planning.py::test_required_samples_undoes_the_gap_exactly"),
        ("np.ceil(high * present * (1 - 4e-16))", "np.floor(high * present)",
         "test_planning.py::test_positives_are_the_share_of_the_samples"),
    ),
    *of(
        "faithfulness/jackknife.py",
        ("jnp.where(count > 1, count / (count - 1), jnp.nan)", "jnp.where(count > 1, 1, jnp.nan)",
         f"{DIFFERENCES} -k x64-iou"),
        ("(second - total**2 / count)", "second", CENTRED),
        ("influence - influence.sum(axis=0, keepdims=True) / count", "influence",
         CENTRED),
        ("power_sum(f, c, weights**2, *power)", "power_sum(f, c, weights, *power)",
         f"{DIFFERENCES} -k x64-iou"),
        ("F=-(2 * g.FF * s.F + g.FC * s.C) / s.S", "F=(2 * g.FF * s.F + g.FC * s.C) / s.S",
         "test_influence.py::test_moments_equal_gradients -k mad"),
        ("per_unit(weights * slope, groups", "per_unit(slope, groups",
         f"{DIFFERENCES} -k x64-auroc"),
        ("num_blocks=num), num - 1.0", "num_blocks=num), float(num)",
         "test_influence.py -k blocks"),
        ("positive = weights > 0\n", "positive = weights >= 0\n", f"{DIFFERENCES} -k x64-iou"),
    ),
    *of(
        "schemes.py",
        ("1 - short / n, dtype", "1.0, dtype", MOMENTS),
        ("MOST = 12", "MOST = 3", MOMENTS),
        ("draw * (n / draw.sum())", "draw", MOMENTS),
        ("[: n // 2]].set(2)", "[: n // 2]].set(1)", MOMENTS),
        ("wanted = jnp.arange(drawn.shape[0], dtype=jnp.int32) < missing",
         "wanted = jnp.arange(drawn.shape[0], dtype=jnp.int32) <= missing", MOMENTS),
        ("unit if groups is None else unit[groups]",
         "unit if groups is None else jnp.resize(unit, groups.shape)",
         "test_resampling.py::test_groups_are_drawn_whole"),
    ),
    *of(
        "_engine/rows.py",
        ("inside = place < stop", "inside = place < stop - 1", ACCELERATOR),
        ("return 2 * jnp.sqrt", "return jnp.sqrt",
         "test_resampling.py -k floor_of_spearman"),
        ("winning * scale).min(axis=1", "winning * scale).max(axis=1", MADE_UP),
        ("CC=s.C * (1 - share) / 4", "CC=s.C * (1 - share) / 2", rows("spearman")),
        ("FC=(s.FC - share * s.F) / 2", "FC=s.FC / 2", rows("simulation_auroc")),
        ("first = jnp.where(leads, column.min(axis=1), num_concepts)",
         "first = jnp.where(leads, column.max(axis=1), num_concepts)",
         "test_resampling.py -k 'x32 and dense_product'"),
        ("[:, None] & drawn.concept_varies[some]", "[:, None]",
         "test_resampling.py -k 'x32 and dense_product'"),
    ),
    *of(
        "_engine/neuron_view.py",
        ("self.up_to.at(first, self.dtype) - self.at(self.weights, first)",
         "self.up_to.at(first, self.dtype)", rows("auroc")),
        ("- total * offset**2", "", rows("spearman")),
        ("(total - drawn.cubes / total**2) / 12", "total / 12",
         "test_resampling.py -k 'x32 and few_ties'"),
        ("w * (true - false)", "w * (false - true)", "test_resampling.py -k 'x32 and few_ties'"),
        ("lacking * (true + false)", "lacking * (true - false)",
         "test_resampling.py -k 'x32 and few_ties'"),
        ("place >= self.base.below, 2 * self.base.weight, 0)",
         "place >= self.base.below, self.base.weight, 0)", rows("auroc")),
        ("low = high - w\n", "low = high\n", "test_resampling.py -k 'x32 and few_ties'"),
    ),
    *of(
        "_numerics/moments.py",
        ("square / some - (total / some) ** 2", "square / some",
         "test_resampling.py::test_spread_is_the_standard_deviation_of_what_is_defined"),
    ),
    *of(
        "metrics/ranked.py",
        ("end = order.shape[0] - 1 - first[down]", "end = jnp.arange(order.shape[0])",
         loop("auprc")),
        ("return jnp.clip((k - above) / jnp.where(tied > 0, tied, 1), 0, 1)",
         "return (above < k).astype(tied.dtype)", loop("wpmi_topk")),
        ("(above + jnp.minimum(at_or_above, k)) / 2 - 0.5",
         "(above + jnp.minimum(at_or_above, k)) / 2", loop("soft_wpmi")),
        ("log_likelihood - strength * prior", "log_likelihood - prior", loop("wpmi_topk")),
        ("top.position / top_k * (first - last)", "top.position / (top_k - 1) * (first - last)",
         loop("soft_wpmi")),
        ("(v[up] * pairs).sum() / size**2", "(v[up] * pairs).sum() / size", loop("rank_reorder")),
        ("jnp.abs(t[:, None] - reordered) ** 3", "jnp.abs(t[:, None] - reordered) ** 2",
         loop("rank_reorder")),
        ("jnp.sqrt(mean_score)", "mean_score", loop("rank_reorder")),
        ("mean(mix, c**2) - mean(mix, c) ** 2", "mean(mix, c**2)",
         loop("correlation_top_and_random")),
    ),
    *of(
        "_numerics/packing.py",
        ("(0, longest - len(x))", "(0, round_up_shape(len(x)) - len(x))", PARTS),
    ),
    *of(
        "_engine/run_rows.py",
        ("values[place] = x[", "values[: len(place)] = x[", PARTS),
        ("better = (b > a) | ((b == a) & (won_too >= 0) & (won_too < won))",
         "better = b >= a", MADE_UP),
        ("_some(plan.rest, reached)", "_some(plan.rest, ~reached)", MADE_UP),
    ),
    *of(
        "_engine/row_lists.py",
        ("place = place + jnp.where(place >= low, span, 0)",
         "place = place + jnp.where(place > low, span, 0)", ACCELERATOR),
        ("x.at[rows].get(mode=\"clip\") - moved", "x.at[rows].get(mode=\"clip\")", ACCELERATOR),
        ("tied - span, below", "tied, below", ACCELERATOR),
    ),
    *of(
        "_engine/row_index.py",
        ("present[some].any(axis=0)", "present[some].all(axis=0)", STEPS),
        ("start[block], stop[block] = taken,", "start[block], stop[block] = taken + 1,", STEPS),
        ("Steps(x, x + STEPS, like", "Steps(x, x, like", MADE_UP),
    ),
    *of(
        "_engine/screening.py",
        ("events = 4 * len(BOUNDED[metric.name].parts) + 2", "events = 1e-30", RANGE),
        ("lead[1] * jnp.where(lead[1] > 0, most, least)", "lead[1] * least", ORDER),
        ("lead[0] * jnp.where(lead[0] > 0, least, most)", "lead[0] * most", ORDER),
        ("(upper[1] >= 0.5), 0.5, most)", "(upper[1] >= 0.5), most, most)", ORDER),
        ("jnp.where((rarer >= log_error)[None, :], lower, -jnp.inf)", "lower", COUNTED),
        ("allowed = jnp.asarray(log_error / taken,", "allowed = jnp.asarray(log_error * taken,",
         "test_resampling.py -k 'x32 and (screen or range)'"),
        ("* observed.size * num_replicates / FAILURE", "* observed.size / FAILURE", COUNTED),
        ("* observed.size * num_replicates / FAILURE", "* num_replicates / FAILURE", COUNTED),
        ("part(square, number, absent) + part(rest, absent, number)",
         "part(square, number, absent)", ERRORS),
        ("jnp.minimum(limit, most) / own", "most / own", ERRORS),
    ),
    *of(
        "sets/calibrated.py",
        ("level * (num_replicates + 1)", "level * num_replicates", RANK),
        ("bar * math.sqrt(2)", "bar", SETS),
        ("present & ~(worst > bar)", "present & ~(worst >= bar)", "test_sets.py -k as_good"),
        (" * jnp.sqrt((freedom + 1) / freedom)", "", AT_ONCE),
        ("rank = replicate_rank(1 - alpha + beta, num_replicates)",
         "rank = replicate_rank(1 - alpha, num_replicates)", LEVELS),
        ("slack * _student(slack, evidence[c]), 0)", "slack * _student(slack, evidence[c]), 9)",
         LEVELS),
        ("both - 2 * covariance", "both", LEVELS),
        ("jnp.where(undefined[c], jnp.inf, highest)", "highest",
         "test_sets.py::test_undefined_replicates_rule_nothing_out"),
        ("num_replicates + 1 - first)", "num_replicates - first)", LEVELS),
        ("Level((1 - LOWER_SHARE) * alpha", "Level(alpha", QUARTERS),
        ("stable_scale(boot.definition, high.upper) >= floor[:, None]",
         "stable_scale(boot.definition, high.upper) >= -9", LITTLE),
        ("jnp.where(thin_label, certified, kept)", "kept", AT_TOP),
        ("rival = (present & _strong(evidence))", "rival = present", RIVALS),
        ("strong = present & _strong(evidence)", "strong = present", RIVALS),
        ("certified & several & scarce", "certified & several", AT_TOP),
        (" | beyond, thin", ", thin", BEYOND),
        ("similarity - quantile * _student(quantile, evidence) * spread",
         "similarity + quantile * _student(quantile, evidence) * spread", AT_ONCE),
        ("centred = known - known.mean(axis=1, keepdims=True)", "centred = known", LEVELS),
        ("lax.map(largest, every).max(axis=0)", "lax.map(largest, every)[0]", SETS),
    ),
    *of(
        "sets/set_rules.py",
        ("before < needed, rank", "before <= needed, rank",
         "test_resampling.py::test_vote_set_is_the_smallest_and_holds_the_label"),
        ("jnp.ceil((1 - alpha) * boot", "jnp.floor((1 - alpha) * boot",
         "test_resampling.py::test_vote_set_is_the_smallest_and_holds_the_label"),
    ),
    *of(
        "resampling/stability_measures.py",
        ("centre = share + z2 / (2 * n)", "centre = share", MEASURES),
        ("ndtri(jnp.asarray(alpha / 2, share.dtype)) ** 2",
         "ndtri(jnp.asarray(alpha, share.dtype)) ** 2", MEASURES),
        ("entropy / math.log(share.shape[1])", "entropy / math.log(share.shape[1] + 1)", MEASURES),
        ("w.shape[-1], epsilon / math.sqrt(2)", "w.shape[-1], epsilon", measure("inflated")),
        ("- (k + 1) * t**2 < epsilon**2", "- k * t**2 < epsilon**2", measure("inflated")),
        ("math.sqrt((1 - 1 / c) * moved / delta)", "math.sqrt(moved / delta) / 2",
         measure("bagging")),
        ("(p / (1 - p) + q / (1 - p) ** 2) / n", "(p + q / (1 - p) ** 2) / n",
         "test_stability.py -k bagging"),
        ("moved += 2 / num_replicates", "moved += 1 / num_replicates",
         "test_stability.py -k bagging"),
    ),
    *of(
        "resampling/agreement.py",
        ("(pairs / subjects - chance)", "(pairs / subjects)", measure("fleiss")),
        ("1 - n / (n - 1) * (frequency", "1 - (frequency", measure("nogueira")),
        ("(2 * a * b - a - b + 1)", "(2 * a * b - a + b + 1)", measure("nogueira")),
        ("half = -ndtri(jnp.asarray(alpha / 2,", "half = -ndtri(jnp.asarray(alpha,",
         measure("nogueira")),
        ("size[:, None] + size[None, :] - both", "size[:, None] + size[None, :]",
         measure("jaccard")),
        ("index).sum() / (n * (n - 1))", "index).sum() / (n * n)", measure("jaccard")),
        ("weight[-1] += p**k / k", "weight[-1] += 0", measure("rank_biased")),
        ("jnp.triu(match, 1)", "jnp.triu(match)", measure("rank_biased")),
        ("((tied**2 - 1).sum(axis=-1) / m).sum(axis=0)", "0", measure("kendall")),
        ("(total - (n + 1) / 2) ** 2", "(total - n / 2) ** 2", measure("kendall")),
        ("((votes - 1) / (num_raters - 1))", "(votes / num_raters)", MEASURES),
    ),
    *of(
        "chance/null.py",
        ("(1 + reached.sum(axis=0, dtype=jnp.int32))", "reached.sum(axis=0, dtype=jnp.int32)",
         PERMUTED),
        ("one_more = every.shape[0]", "one_more = null.shape[0]", PERMUTED),
        ("share(null >= (observed - slack)[None, :])", "share(null > (observed + slack)[None, :])",
         "test_null.py -k 'ties or constant'"),
        ("highest = z[1:].max(axis=1, keepdims=True)", "highest = z[1:]", PERMUTED),
        ("ordered[ordered.shape[0] - rank]", "ordered[ordered.shape[0] - rank + 1]", PERMUTED),
        ("math.floor(alpha * (num_permutations + 1)", "math.ceil(alpha * (num_permutations + 1)",
         PERMUTED),
        ("number / jnp.arange(1,", "1 / jnp.arange(1,", "test_null.py -k 'x64 and hochberg'"),
        ("number = (~jnp.isnan(p)).sum(dtype=jnp.int32)",
         "number = jnp.asarray(p.shape[0], jnp.int32)", "test_null.py -k 'x64 and hochberg'"),
        ("jnp.isnan(scaled), 1, scaled), reverse=True)", "jnp.isnan(scaled), 1, scaled))",
         "test_null.py -k 'x64 and hochberg'"),
        ("explained=q_value <= alpha * (1 + 8", "explained=q_value < alpha * (1 - 8",
         "test_null.py::test_a_q_value_of_alpha_itself_is_explained"),
    ),
    *of(
        "chance/permutations.py",
        ("by_kind = drawn[jnp.argsort(kind[drawn], stable=True)]", "by_kind = drawn",
         "test_null.py -k 'strata and x64'"),
        ("high << np.uint64(32) | low", "low",
         "test_null.py::test_every_order_of_units_is_as_likely"),
        ("rows[start[drawn[unit]] + position]", "rows[start[drawn[unit]]]",
         "test_null.py::test_every_order_of_units_is_as_likely"),
    ),
    *of(
        "chance/permuted_statistics.py",
        ("weights[:, None] * f, defined), c", "f, defined), c",
         "test_null.py::test_weights_stay_with_their_activations"),
        ("scale = scale / 2", "scale = scale / 1", SUMS_OF_RANKS),
        ("at[rows].set(jnp.arange(num", "at[:].set(rows + 0 * jnp.arange(num", SUMS_OF_RANKS),
        ("(2 * num_samples**2)", "(num_samples**2)", SUMS_OF_RANKS),
        ("jnp.fmax(self.common", "jnp.maximum(self.common", SUMS_OF_RANKS),
    ),
    *of(
        "_engine/counts.py",
        ("every[None, :] - found, found", "found, found", PRODUCT),
        ("(on ^ others).T", "on.T", PRODUCT),
        ("BURSTS = 31", "BURSTS = 33", PRODUCT),
        ("(f > 0) & (f < size)", "(f >= 0) & (f <= size)", HALVES),
        ("x.shape[2:])[listed.place]", "x.shape[2:])[: len(listed.place)]", PRODUCT),
    ),
    *of(
        "resampling/selection.py",
        ("naive - optimism", "naive + optimism", HALVES),
    ),
    *of(
        "resampling/crossfit.py",
        ("(every != pair[0]) & (every != pair[1])", "every != pair[0]", FOLDED),
        ("jnp.diagonal(chosen, axis1=0, axis2=1).T", "chosen[0]", FOLDED),
        ("measure(chosen[k], jnp.where(every == k, 0, size))", "measure(chosen[k], size)", FOLDED),
        ("small + (large - small) / share", "large + (large - small) / share", FOLDED),
        ("jnp.where(is_first, with_first[own], with_second[own])", "with_first[own]", FOLDED),
        ("(label[:, None] == label[None, :]) & used[None, :]", "used[:, None] & used[None, :]",
         f"{FOLDED} -k iou"),
        ("weight * (highest[None] - value)", "highest[None] - value", FOLDED),
        ("(num_folds - 2) / num_folds * fall", "0 * fall", FOLDED),
        ("(num_folds - 1) / num_folds * (deviation**2)", "(deviation**2)", JACKKNIFE),
        ("return folds if probe.groups is None else folds[:, probe.groups]", "return folds",
         FOLDED),
    ),
    *of(
        "shift/unknown_shift.py",
        ("jnp.minimum(gamma * p, 1 - (1 - p) / gamma)", "jnp.minimum(gamma * p, 1)",
         f"{LINEAR} -k accuracy"),
        ("jnp.maximum(p / gamma, 1 - gamma * (1 - p))", "p / gamma", f"{LINEAR} -k accuracy"),
        ("_at_most(hit, gamma), _at_least(miss, gamma)", "_at_most(hit, gamma), miss",
         f"{LINEAR} -k iou"),
        ("return 4 if metric.name in AUROCS else 2", "return 2", ODDS),
        # 1 + p - q, another of the roots, is never the largest: without it the radius is the same
        ("1 / jnp.where(1 - p + q > 0, 1 - p + q, 1)", "1 + 0 * p", MEET),
        ("jnp.sqrt((1 - q) / jnp.where(p < 1, 1 - p, 1))", "1 + 0 * p", MEET),
        ("(x - z) * others", "0 * others", f"{RADIUS} -k iou"),
        ("jnp.where(y > v, 1 / gamma, gamma)", "jnp.where(y < v, 1 / gamma, gamma)",
         f"{RADIUS} -k recall"),
        ("jnp.where(both > 0, 1 / gamma, gamma)", "jnp.where(both < 0, 1 / gamma, gamma)",
         f"{RADIUS} -k iou"),
        ("odds ** (0.5 / _power(metric))", "odds ** (1 / _power(metric))",
         "test_shift.py::test_a_radius_from_bounds_is_one_at_which_they_part"),
        ("return 2 * low / (1 + low), 2 * high / (1 + high)", "return low, high",
         "test_shift.py::test_bounds_of_f1_with_sampling_error_are_those_of_iou"),
        ("_odds_times(lower, gamma**-power), _odds_times(upper, gamma**power)",
         "_odds_times(lower, 1 / gamma), _odds_times(upper, gamma)", ODDS),
    ),
    *of(
        "probing/sample_weights.py",
        ("w.sum() ** 2 / (w**2).sum()", "len(w) * w.sum() / (w**2).sum()",
         "test_reweighting.py -k 'x32 and (folds or few_effective)'"),
    ),
    *of(
        "shift/reweighting.py",
        ("score[held] -= math.log(", "score[held] += math.log(",
         "test_reweighting.py::test_weights_are_cut_on_the_scale_of_the_density_ratio"),
        (".at[-1].set(0)", ".at[-1].set(1)",
         "test_reweighting.py::test_logistic_regression_is_that_of_scikit_learn"),
        ("- k * (k + 1) / 2) / (k", "- k * k / 2) / (k",
         "test_reweighting.py::test_auroc_of_a_score_equals_sklearn"),
        ("rank = (np.cumsum(count) - (count - 1) / 2)[place]", "rank = np.cumsum(count)[place]",
         "test_reweighting.py::test_auroc_of_a_score_equals_sklearn"),
    ),
    *of(
        "auditing/comparison.py",
        ("axis=0, ddof=1)", "axis=0, ddof=0)", COMPARED),
        ("[left[0] - left[1]] if shared else left", "left", JACKKNIFE),
        ("[left[0] - left[1]] if shared else left", "[left[0] - left[1]]", JACKKNIFE),
        (" / np.sqrt(num_replicates)", "", ENDLESS),
        ("if self.given else self.winners", "if False else self.winners", SAME_LABELS),
        ("NormalDist().inv_cdf(1 - alpha / 2)", "NormalDist().inv_cdf(1 - alpha)", COMPARED),
        ("[key, key if shared else jax.random.fold_in(key, 1)]",
         "[key, jax.random.fold_in(key, 1)]", COMPARED),
        ("np.quantile(alike, (alpha / 2, 1 - alpha / 2))",
         "np.quantile(alike, (alpha, 1 - alpha))", SHARES),
        ("self.best if labelling.label is None else", "self.best if True else", COMPARED),
        ("(names[0] == names[1])[both].mean()", "(names[0] == names[1]).mean()", SHARES),
        ("np.where(self.best >= 0, self.winners == self.best, np.nan)",
         "1.0 * (self.winners == self.best)", SHARES),
    ),
    *of(
        "auditing/verdicts.py",
        ("if x.q_value > alpha:", "if x.q_value >= alpha:", JUDGED),
        ("if x.q_value > alpha:", "if x.q_value > alpha and x.proved[0] != 1:", JUDGED),
        ("if x.proved[0] == 1:", "if x.proved[0] == 1 and x.label_judged:", JUDGED),
        ("if not x.label_judged:", "if not x.label_judged and x.answers[0] <= 1:", JUDGED),
        ("if x.answers[0] > 1:", "if x.answers[0] > 1 and x.probability < 0.95:", JUDGED),
        ("if not x.probability >= 1 - alpha:", "if x.probability < 1 - alpha:", JUDGED),
        ("if not x.probability >= 1 - alpha:", "if not x.probability > 1 - alpha:", JUDGED),
    ),
    *of(
        "auditing/hierarchy.py",
        ("len({path[0] for path in row})", "len({path[-1] for path in row})", MERGED),
        ("takewhile(lambda step: len(set(step)) == 1,", "filter(lambda step: len(set(step)) >= 1,",
         MERGED),
        ('([""] + [step[0] for step in same])[-1]', '([""] + [step[0] for step in same])[:2][-1]',
         MERGED),
    ),
    *of(
        "_engine/candidates.py",
        ("jnp.arcsin(jnp.sqrt(inside))", "inside", SCALE),
        ("lead <= FAR_BEHIND * (spread + spread[best])", "lead <= spread + spread[best]", FOLLOWED),
        ("(evidence >= least)", "(evidence >= 0 * least)", ENDS),
        ("return 4 * float", "return 0 * float", ENDS),
        (" & ~at_top(metric, similarity)", "", ENDS),
        ("return upper >= jnp.where(has_evidence, lower, -jnp.inf).max(axis=1, keepdims=True)",
         "return upper > jnp.where(has_evidence, lower, -jnp.inf).max(1, keepdims=True) + 0.02",
         "test_resampling.py::test_screening_leaves_out_none_that_wins"),
        ("jnp.where(has_evidence, lower, -jnp.inf).max(", "lower.max(",
         "test_sets.py test_resampling.py -k 'x32 and (evidence or screen)'"),
    ),
    *of(
        "resampling/halves.py",
        ("jnp.where(jnp.isnan(scaled), typical, scaled)", "jnp.nan_to_num(scaled)", CONFORMAL),
        ("stable_scale(metric, similarity)", "similarity", CONFORMAL),
        ("listed.total - positives", "listed.total", f"{CONFORMAL} -k iou"),
        ("together[neurons] - count", "together[neurons]", HALVES),
        ("listed.length - active", "active", HALVES),
        ("has[::-1], jnp", "has, jnp", HALVES),
        ("hits[::-1], at", "hits, at", HALVES),
        ("lambda x: x[::-1], found", "lambda x: x, found", HALVES),
        ("scheme=SUBSAMPLE", 'scheme=__import__("neurotrust_jax").schemes.MULTINOMIAL', HALVES),
        ("jax.random.permutation(k, part)", "part", "test_replication.py -k equal_parts"),
    ),
    *of(
        "resampling/replication.py",
        ("label.reshape(-1), 2, split)", "label.reshape(-1), 1, split)", f"{REPLICATED} -k iou"),
        ("dealt.reshape(-1), 4, None", "dealt.reshape(-1), 2, None", f"{REPLICATED} -k iou"),
        ("total = total - (mine", "total = total - 0 * (mine", f"{REPLICATED} -k iou"),
        ("number = number - used", "number = number - 0 * used", f"{REPLICATED} -k iou"),
        ("-(score**2) / 4", "-(score**2) / 2", f"{REPLICATED} -k iou"),
        ("(size > 0) | (lead > 0)", "lead > 0", f"{REPLICATED} -k iou"),
        (".sum(axis=2) - 1", ".sum(axis=2)", f"{REPLICATED} -k iou"),
        ("(dealt >= 0) & (others > 0)", "dealt >= 0", f"{REPLICATED} -k iou"),
        ("continued = found[0] + DAMPING", "continued = found[0] + 0 * DAMPING",
         f"{REPLICATED} -k iou"),
        ("-(size + 1) * rows", "-1 * rows", f"{REPLICATED} -k iou"),
        ("first + DAMPING * (first - second)", "first", f"{REPLICATED} -k iou"),
        ("count / max(len(rows), 1)", "1.0", f"{REPLICATED} -k iou"),
        ("- penalty * (found - typical)", "- penalty * found", f"{REPLICATED} -k iou"),
        ("1 - missing[label >= 0] ** 2", "1 - 0 * missing[label >= 0]", f"{REPLICATED} -k iou"),
    ),
    *of(
        "sets/conformal.py",
        ("2 * variance)", "variance)", CONFORMAL),
        ("jnp.where(others, square, 0)", "square", CONFORMAL),
        ("jnp.maximum(number - 1, 1)", "jnp.maximum(number, 1)", CONFORMAL),
        ("(1 - alpha) * (1 + 1 / num_neurons)", "(1 - alpha)", CONFORMAL),
        ("lead_over(at[:, ::-1])", "lead_over(at)", CONFORMAL),
        ("jnp.where(jnp.isnan(lead), jnp.inf, score)", "score", CONFORMAL),
        ("apart[:, best][:, None] - apart", "apart", CONFORMAL),
        ("inside = own == name", "inside = own == own", "test_conformal.py -k has_its_own"),
        ("known & (drawn == name)", "known", CONFORMAL),
        ("rank * number // np.maximum(count, 1)", "rank * number // len(lead)", CONFORMAL),
        ("rival & ", "", CONFORMAL),
        (" | full[:, None]", "", "test_conformal.py -k satisfies"),
    ),
    *of(
        "faithfulness/evidence.py",
        ("- 1 / jnp.maximum(count, 1)", "", f"{UNITS} -k 'auroc or iou'"),
        ("jnp.minimum(freedom, count - 1) + 1", "freedom + 1", f"{UNITS} -k 'auroc or iou'"),
        ("(1 - r) ** 3 + r**3", "(1 - r) ** 3", f"{UNITS} -k iou"),
        ("x / y**4 for x, y", "x / y**2 for x, y", f"{UNITS} -k balanced"),
        ("first = (z2 + 1) / 4", "first = 0 * z2", AT_ONCE),
        ("lost = ~(quartic > KEPT * size)", "lost = quartic != quartic",
         "test_effective.py -k 'x32 and narrow'"),
        ("rest = 1 - trials /", "rest = 1 - 0 * trials /", f"{UNITS} -k iou"),
        ("part.sign * change", "change", f"{UNITS} -k 'correlation or mad'"),
        ("jnp.minimum(size(present), size(~present))", "size(present)",
         "test_effective.py -k black_box"),
        ("len(parts) == 1 or in_all", "True or in_all", "test_effective.py -k own_parts"),
    ),
    *of(
        "_engine/streamed_evidence.py",
        ("np.where(np.abs(c - whole) < ROUNDING, whole, c)", "c", STREAMED),
        ("summed(used * column, own)", "summed(used * column, 0 * own)", STREAMED),
        (".at[0].add(first)", "", STREAMED),
    ),
]  # fmt: skip


def tested(folder: str, chosen: list[str], report: str) -> None:
    """Run tests on the package in a folder, in this process, and stop at the first failure."""
    with open(report, "wb") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    os.chdir(folder)
    os.environ["PYTHONPATH"] = folder
    sys.path.insert(0, folder)
    options = ["-x", "-q", "-n", "0", "-p", "no:cacheprovider", "--no-header", "--tb=no"]
    sys.exit(int(pytest.main([*options, *chosen])))


def outcome(folder: Path, tests: str) -> tuple[str, float, str]:
    """``"passed"`` or ``"failed"`` (or why neither), seconds, and what was printed."""
    chosen = [f"tests/{x}" if x.startswith("test_") else x for x in shlex.split(tests)]
    report = folder / "report.txt"
    # from a server that has imported what takes long, but nothing of the package
    process = get_context("forkserver").Process(target=tested, args=(str(folder), chosen, report))
    start = time.perf_counter()
    process.start()
    process.join(LONGEST)
    if process.is_alive():
        process.kill()
        process.join()
        return "failed", LONGEST, "it took too long"
    words = {0: "passed", 1: "failed", 5: "no tests"}
    word = words.get(process.exitcode or 0, f"exit status {process.exitcode}")
    return word, time.perf_counter() - start, report.read_text(errors="replace")[-2000:]


def together(selections: Iterable[str]) -> list[str]:
    """Selections that run at least the same tests, one for each set of tests."""
    found: dict[str, list[str]] = {}
    for chosen in map(shlex.split, selections):
        where, _, chosen_by = " ".join(chosen).partition(" -k ")
        found.setdefault(where, []).append(chosen_by)
    return [
        f"{where} -k {shlex.quote(' or '.join(f'({x})' for x in dict.fromkeys(by)))}"
        if all(by) else where
        for where, by in found.items()
    ]  # fmt: skip


def copied(folder: Path) -> Path:
    """The package and what its tests read, in a folder."""
    kept = shutil.ignore_patterns("__pycache__", ".*")
    for name in ("neurotrust_jax", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=kept)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def main(
    only: Annotated[
        list[str] | None, typer.Option(help="Mutants of this module alone; may be repeated.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Mutants at a time.")] = 1,
) -> None:
    """Apply every mutant in turn, and tell which are not seen by the tests meant for them."""
    chosen = [x for x in MUTANTS if not only or x.module in only]
    if not chosen:
        known = sorted({x.module for x in MUTANTS})
        raise typer.BadParameter(f"no mutants of {only!r}; there are of {', '.join(known)}")
    mutated = [x.applied((PACKAGE / x.module).read_text(encoding="utf-8")) for x in chosen]
    with tempfile.TemporaryDirectory() as temporary:
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", f"{temporary}/jax")
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
        get_context("forkserver").set_forkserver_preload(PRELOADED)
        folders: Queue[Path] = Queue()
        for i in range(jobs):
            folders.put(copied(Path(temporary) / str(i)))

        def sound(tests: str) -> tuple[str, str]:
            folder = folders.get()
            word, _, told = outcome(folder, tests)
            folders.put(folder)
            return word, told

        def tried(mutant: Mutant, text: str) -> str:
            folder = folders.get()
            path = folder / "neurotrust_jax" / mutant.module
            original = path.read_text(encoding="utf-8")
            path.write_text(text, encoding="utf-8")
            word, seconds, told = outcome(folder, mutant.tests)
            path.write_text(original, encoding="utf-8")
            folders.put(folder)
            found = {"failed": "killed", "passed": "SURVIVED"}.get(word, f"INVALID ({word})")
            print(f"{found:8s} {seconds:4.0f} s  {mutant.name}", flush=True)
            if found.startswith("INVALID"):
                print(told, flush=True)
            return found

        with ThreadPoolExecutor(jobs) as pool:
            selections = together(x.tests for x in chosen)
            for tests, (word, told) in zip(selections, pool.map(sound, selections), strict=True):
                if word != "passed":
                    print(f"UNSOUND ({word}) {tests}\n{told}", flush=True)
                    raise typer.Exit(1)
            results = list(pool.map(tried, chosen, mutated))
    killed = results.count("killed")
    print(f"{killed} of {len(chosen)} mutants killed, {results.count('SURVIVED')} survived.")
    if killed < len(chosen):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
