"""Scorers of the tiny network, and examples for them."""

from tiny import net

from captum_gag.data import dataset
from captum_gag.models.loading import Classifier
from captum_gag.runs.scorer import Item, Scorer
from captum_gag.runs.spec import make_suite


def scorer_of(suite, model=None, **options):
    network = net() if model is None else model
    classifier = Classifier("tiny", network.eval(), (0.5,) * 3, (0.5,) * 3, resize=12, crop=12)
    return Scorer(classifier, make_suite(suite, classifier.normalization), **options)


def items(count=3):
    data = dataset("tiny:photos")
    return [Item(data.names[each], lambda each=each: data[each]) for each in range(count)]
