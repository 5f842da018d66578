"""Mutants of distribution shift, each with the tests that must see it."""

from mutation import of

LINEAR = "test_shift.py::test_sharp_bounds_are_those_of_a_linear_program"
MEET = "test_shift.py::test_two_disjoint_events_meet_at_the_radius"
ODDS = "test_shift.py -k odds_of_an_auroc"

MUTANTS = [
    *of(
        "shift/probabilities.py",
        ("at_most", "1 - (1 - p) / gamma", "1", f"{LINEAR} -k accuracy"),
        ("at_least", "jnp.maximum(p / gamma, 1 - gamma * (1 - p))", "p / gamma",
         f"{LINEAR} -k accuracy"),
        ("most_conditional", "at_least(miss, gamma)", "miss", f"{LINEAR} -k iou"),
        ("event_radius", "1 / jnp.where(1 - p + q > 0, 1 - p + q, 1)", "1 + 0 * p", MEET),
        ("event_radius", "jnp.sqrt((1 - q) / jnp.where(p < 1, 1 - p, 1))", "1 + 0 * p", MEET),
        # 1 + p - q, another of the roots, is never the largest: without it the radius is the same
    ),
    *of(
        "shift/unknown_shift.py",
        ("_marginal_radii", "0.5 / shift.odds_power", "1 / shift.odds_power",
         "test_shift.py::test_a_radius_from_bounds_is_one_at_which_they_part"),
        ("_moved", "odds_times(lower, gamma**-power), odds_times(upper, gamma**power)",
         "odds_times(lower, 1 / gamma), odds_times(upper, gamma)", ODDS),
    ),
    *of(
        "shift/reweighting.py",
        ("importance_weights",
         "score[held] -= math.log((is_target & ~held).sum() / (~is_target & ~held).sum())",
         "score[held] += math.log((is_target & ~held).sum() / (~is_target & ~held).sum())",
         "test_reweighting.py::test_weights_are_cut_on_the_scale_of_the_density_ratio"),
        ("logistic_regression", "jnp.ones(x.shape[1], x.dtype).at[-1].set(0)",
         "jnp.ones(x.shape[1], x.dtype).at[-1].set(1)",
         "test_reweighting.py::test_logistic_regression_is_that_of_scikit_learn"),
        ("_auroc", "k + 1", "k", "test_reweighting.py::test_auroc_of_a_score_equals_sklearn"),
        ("_auroc", "np.cumsum(count) - (count - 1) / 2", "np.cumsum(count)",
         "test_reweighting.py::test_auroc_of_a_score_equals_sklearn"),
    ),
]  # fmt: skip
