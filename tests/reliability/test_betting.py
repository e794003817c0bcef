"""E-values of signs and of means, against integrals and fair games, and the intervals against their coverage."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from captum_gag.reliability.betting import BETS, MeanBets, SignBets, log_better

ALL = np.array([0])


def e_values(bets, *differences):
    """Return the e-values of one pair after all of some differences: first not better, first not worse."""
    return np.exp(bets.update(np.array(differences, dtype=float)[:, None])[-1, :, 0])


@pytest.mark.parametrize(
    ("wins", "losses", "alike"),
    # 2^n B(wins + 1/2, losses + 1/2) / pi: of a prior of mean E[p^wins (1 - p)^losses] = 1/2, 3/8, 1/8, 5/16, ...
    [
        (1, 0, 2 * 1 / 2),
        (2, 0, 4 * 3 / 8),
        (1, 1, 4 * 1 / 8),
        (3, 0, 8 * 5 / 16),
        (2, 1, 8 * 1 / 16),
        (4, 0, 16 * 35 / 128),
        (2, 2, 16 * 3 / 128),
        (5, 0, 32 * 63 / 256),
        (3, 2, 32 * 3 / 256),
    ],
)
def test_the_mean_of_both_directions_is_jeffreys_mixture_by_hand(wins, losses, alike):
    both = e_values(SignBets([1]), *[1] * wins, *[-1] * losses)
    assert both.mean() == pytest.approx(alike)
    assert np.exp(log_better(losses, wins)) == pytest.approx(both[1])


@pytest.mark.parametrize(("wins", "losses"), [(0, 0), (1, 0), (0, 1), (3, 2), (11, 0), (2, 30), (60, 41)])
def test_one_direction_is_the_integral_over_its_half(wins, losses):
    def game(p):
        return (2 * p) ** wins * (2 - 2 * p) ** losses * 2 / np.pi / np.sqrt(p * (1 - p))

    assert np.exp(log_better(wins, losses)) == pytest.approx(quad(game, 0.5, 1)[0], rel=1e-6)


@settings(deadline=None)
@given(st.lists(st.sampled_from([-1.0, 0.0, 1.0]), max_size=30))
def test_at_one_half_the_next_sign_is_a_fair_bet(signs):
    now = e_values(SignBets([1]), 0, *signs)
    up, down = (e_values(SignBets([1]), 0, *signs, each) for each in (1, -1))
    np.testing.assert_allclose((up + down) / 2, now, rtol=1e-9)
    # Where the first is worse, the bet on its being better loses on average.
    assert 0.4 * up[0] + 0.6 * down[0] <= now[0] * (1 + 1e-9)
    np.testing.assert_array_equal(e_values(SignBets([1]), 0, *signs, 0), now)


@settings(deadline=None)
@given(st.lists(st.floats(-1, 1), max_size=20), st.floats(-1, 1), st.floats(0, 1))
def test_at_mean_0_the_next_difference_is_a_fair_bet(differences, one, other):
    """Of two outcomes with mean 0, or one below."""
    other = -np.sign(one) * other
    probability = 0.5 if one == other else other / (other - one)
    now = e_values(MeanBets([1]), 0, *differences)
    of_one, of_other = (e_values(MeanBets([1]), 0, *differences, each) for each in (one, other))
    np.testing.assert_allclose(probability * of_one + (1 - probability) * of_other, now, rtol=1e-9)


def test_capital_bet_on_the_mean_by_hand():
    found = e_values(MeanBets([2]), 1, -0.5)
    factors = 1 + np.outer([0.5, -0.25], BETS)
    assert found == pytest.approx([factors.prod(axis=0).mean(), (2 - factors).prod(axis=0).mean()])


@pytest.mark.parametrize("kind", [SignBets, MeanBets])
def test_in_blocks_or_one_by_one_is_the_same(kind):
    differences = np.random.default_rng(0).uniform(-1, 1, (40, 3))
    differences[3, 1], differences[5, 2] = np.nan, 0
    whole, parts = kind([1, 1, 1]), kind([1, 1, 1])
    found = whole.update(differences)
    np.testing.assert_allclose(np.concatenate([parts.update(each[None]) for each in differences]), found)
    np.testing.assert_array_equal(found[3, :, 1], found[2, :, 1])
    assert (whole.wins + whole.losses + whole.ties).tolist() == [40, 39, 40]
    assert whole.ties.tolist() == [0, 0, 1]
    pairs = np.arange(3)
    np.testing.assert_allclose(parts.interval(pairs, 0.1), whole.interval(pairs, 0.1))


@settings(deadline=None)
@given(st.integers(0, 40), st.integers(0, 40))
def test_the_interval_of_signs_holds_just_what_is_not_rejected(wins, losses):
    bets = SignBets([1])
    bets.update(np.array([1.0] * wins + [-1.0] * losses)[:, None])
    [low], [high] = bets.interval(ALL, 0.1)

    def mixture(p):
        likelihood = quad(lambda q: q**wins * (1 - q) ** losses / np.pi / np.sqrt(q * (1 - q)), 0, 1, epsabs=0)[0]
        return likelihood / (p**wins * (1 - p) ** losses)

    for end, step in ((low, 1e-6), (high, -1e-6)):
        if 0 < end < 1:
            assert mixture(end - step) > 10 * (1 - 1e-3)
            assert mixture(end + step) < 10 * (1 + 1e-3)
    assert low <= wins / max(1, wins + losses) <= high
    assert (low == 0) == (wins == 0)
    assert (high == 1) == (losses == 0)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(-1, 1), min_size=1, max_size=40))
# Seldom drawn: all of one sign.
@example([0.5, 0.9] * 15)
@example([-0.2] * 40)
@example([0.3] * 3)
def test_the_interval_of_the_mean_leaves_0_out_just_when_it_is_rejected(differences):
    bets = MeanBets([1])
    both = e_values(bets, *differences)
    [low], [high] = bets.interval(ALL, 0.05)
    assert low - 1e-8 <= np.mean(differences) <= high + 1e-8
    if not 19.9 < both.mean() < 20.1:
        assert (low <= 0 <= high) == (both.mean() < 20)
    [turned_low], [turned_high] = turned_bets(differences).interval(ALL, 0.05)
    assert bets.turned(low, high) == pytest.approx((turned_low, turned_high), abs=1e-7)


def turned_bets(differences):
    bets = MeanBets([1])
    bets.update(-np.array(differences)[:, None])
    return bets
