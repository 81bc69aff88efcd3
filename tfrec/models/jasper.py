"""Jasper: one pass for all stages of a purchase."""

from tfrec.models.shared_bottom import SharedBottom
from tfrec.models.staged_model import StagedModel


class Jasper(StagedModel, SharedBottom):
    r"""A deep network over behaviours and attributes, and a chain of probabilities: view, cart, purchase.

    The label and the outcomes are stages, in the order in which they are declared, each of which needs the one before.
    With the hidden layers $h$ that all share,

    $$ z_k = b_k + \mathrm{MLP}_k(h(v)), \qquad p_k = \prod_{j \le k} \sigma(z_j) $$

    The entire-space modelling of ESMM along a longer path, as in Wen et al. 2020, "Entire Space Multi-Task Modeling via
    Post-Click Behavior Decomposition for Conversion Rate Prediction", section 3.2.
    """

    @staticmethod
    def before(stage: int) -> int:
        return stage - 1
