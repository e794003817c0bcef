from . import baselines as baselines
from . import reliability as reliability
from .attr import BlurIG as BlurIG
from .attr import GuidedAbsoluteGrad as GuidedAbsoluteGrad
from .attr import GuidedIG as GuidedIG
from .attr import LayerGuidedAbsoluteGrad as LayerGuidedAbsoluteGrad
from .attr import SampledGradients as SampledGradients
from .attr import method as method
from .attr import reverse_saliency as reverse_saliency
from .attr import saliency_map as saliency_map
from .metrics.explain_func import explain as explain
from .metrics.quantus import AOPC as AOPC
from .metrics.quantus import RCAP as RCAP
from .metrics.quantus import Deletion as Deletion
from .metrics.quantus import Faithfulness as Faithfulness
from .metrics.quantus import Insertion as Insertion
from .metrics.quantus import LogCoshDice as LogCoshDice
from .metrics.quantus import SegmentationMAE as SegmentationMAE
from .metrics.quantus import register_with_quantus as register_with_quantus
from .report.comparison import compare as compare

__version__: str
