"""A BERT of a few hundred weights, for tests: random, but the same every time."""

from pathlib import Path

import numpy as np

WORDS = (
    *("a", "the", "of", "in", "and", "about", "at", "on", "by", "story", "film"),
    *("war", "love", "crime", "ghost", "space", "sea", "school", "sports", "family", "spy"),
    *("clock", "letter", "garden", "train", "violin", "lantern", "bakery", "map", "painter"),
)
VOCABULARY = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS)
"""Any other word is [UNK]."""

HIDDEN_SIZE = 8
NUM_POSITIONS = 32


def make_tiny_backbone(folder: Path, dropout: float = 0.1) -> Path:
    """Writes a KerasHub preset that TextEncoder.from_preset and `backbone.name` take. Returns the folder."""
    # Here, and not above: tfrec must be imported before Keras, and importers of this module may not have done so yet.
    import keras
    import keras_hub

    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        backbone = keras_hub.models.BertBackbone(
            vocabulary_size=len(VOCABULARY),
            num_layers=2,
            num_heads=2,
            hidden_dim=HIDDEN_SIZE,
            intermediate_dim=16,
            max_sequence_length=NUM_POSITIONS,
            dropout=dropout,
        )
        # Large matrices: with BERT's own initial ones all texts would be much alike.
        generator = np.random.default_rng(0)
        for weight in backbone.weights:
            if weight.ndim > 1:
                weight.assign(generator.normal(scale=0.7, size=weight.shape))
        tokenizer = keras_hub.tokenizers.BertTokenizer(vocabulary=list(VOCABULARY), lowercase=True)
        backbone.save_to_preset(str(folder))
        tokenizer.save_to_preset(str(folder))
    finally:
        keras.config.set_dtype_policy(policy)
    return folder
