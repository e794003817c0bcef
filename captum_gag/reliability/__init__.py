"""Judge the metrics: agreement over images, methods and metrics, from a table of scores and nothing else."""

from captum_gag.reliability.agreement import (
    consistency_matrix,
    implementation_sensitivity,
    inter_method,
    inter_rater,
    internal_consistency,
)
from captum_gag.reliability.arrays import from_arrays
from captum_gag.reliability.baselines import against_baselines, ordering_means
from captum_gag.reliability.checks import ReliabilityReport, report
from captum_gag.reliability.deciding import sequential
from captum_gag.reliability.displacement import displacement
from captum_gag.reliability.grouping import groups
from captum_gag.reliability.marks import RELIABLE_ALPHA
from captum_gag.reliability.pairwise import pairwise
from captum_gag.reliability.score_files import read_scores
from captum_gag.reliability.summaries import stability, summary, tricks
from captum_gag.reliability.truth import faults, validity
from captum_gag.reliability.verdict import consensus, verdict

__all__ = [
    "RELIABLE_ALPHA",
    "ReliabilityReport",
    "against_baselines",
    "consensus",
    "consistency_matrix",
    "displacement",
    "faults",
    "from_arrays",
    "groups",
    "implementation_sensitivity",
    "inter_method",
    "inter_rater",
    "internal_consistency",
    "ordering_means",
    "pairwise",
    "read_scores",
    "report",
    "sequential",
    "stability",
    "summary",
    "tricks",
    "validity",
    "verdict",
]
