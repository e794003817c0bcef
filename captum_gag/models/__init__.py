"""Networks, their preprocessing, and how they are loaded."""

from captum_gag.models.catalogue import load_classifier
from captum_gag.models.loading import Classifier
from captum_gag.models.preprocessing import Preprocessing

__all__ = ["Classifier", "Preprocessing", "load_classifier"]
