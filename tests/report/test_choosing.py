"""Of many images those are shown that are worth seeing, and some that are as they come."""

from hypothesis import given
from hypothesis import strategies as st

from captum_gag.report.choosing import AT_RANDOM, choose

NAMES = [f"{number:03d}" for number in range(60)]


def test_the_first_of_each_ranking_in_turn_and_a_quarter_at_random():
    worst, best = ["007", "005", "003", "001"], ["009", "007", "008"]
    found = choose(NAMES, {"worst": worst, "best": best}, 8, 0)
    reasons = {image: reason for image, reason in found.reasons.items() if reason != AT_RANDOM}
    # 007 is worst before it is best, and two of eight are left to chance.
    assert reasons == {"007": "worst", "009": "best", "005": "worst", "003": "worst", "008": "best", "001": "worst"}
    assert len(found.images) == 8
    assert found.images == sorted(found.images)
    assert "8 of 60 images are shown: 6 because" in found.words
    assert "2 drawn at random (seed 0)" in found.words


def test_the_seed_fixes_what_is_random():
    drawn = {seed: choose(NAMES, {}, 10, seed) for seed in (0, 1)}
    assert drawn[0] == choose(NAMES, {}, 10, 0)
    assert drawn[0].images != drawn[1].images


@given(most=st.none() | st.integers(1, 70), ranked=st.lists(st.lists(st.sampled_from(NAMES), unique=True), max_size=4))
def test_as_many_as_asked_for_or_all_in_their_order(most, ranked):
    found = choose(NAMES, {str(place): images for place, images in enumerate(ranked)}, most, 0)
    assert len(found.images) == min(most or 60, 60)
    assert found.images == sorted(set(found.images))
    everything = len(found.images) == 60
    assert (found.reasons, found.words) == ({}, "") if everything else set(found.reasons) == set(found.images)
