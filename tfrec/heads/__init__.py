"""Ranking heads: a user and some candidates -> the logit that the user picks each. One interface, one head a file."""

from tfrec.heads.linear_head import LinearHead
from tfrec.heads.mlp_head import MLPHead
from tfrec.heads.ranking_head import RankingHead
from tfrec.heads.transformer_head import TransformerHead

__all__ = ["LinearHead", "MLPHead", "RankingHead", "TransformerHead"]
