"""JD-Tower: GPT reads the user, BERT reads the item."""

from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf

from tfrec.backbones.gpt import load_gpt
from tfrec.backbones.text_encoder import TextEncoder
from tfrec.baselines.similar_items import similar_items
from tfrec.config import Config, FeaturesConfig, JDTowerConfig
from tfrec.errors import InputError
from tfrec.features.epochs import EpochBatches
from tfrec.features.prepared import Prepared
from tfrec.features.sequence_augmentation import SequenceAugmentation
from tfrec.features.sequence_shards import sequence_windows
from tfrec.features.vocabulary import NUM_SPECIAL, PADDING
from tfrec.features.windows import SequenceWindows
from tfrec.heads import LinearHead, MLPHead, RankingHead, TransformerHead
from tfrec.layers.gpt_blocks import new_gpt
from tfrec.models.retrieval_model import RetrievalModel, build_item_tower, sampling_probabilities
from tfrec.tasks.devices import num_devices
from tfrec.tasks.next_item import full_softmax, generalised_bce, sampled_softmax
from tfrec.tasks.ranking import RankingTask
from tfrec.tasks.retrieval import RetrievalTask
from tfrec.tasks.sampling import draw_negatives, draw_places
from tfrec.towers.gpt_text_user_tower import GPTTextUserTower
from tfrec.towers.gpt_user_tower import GPTUserTower
from tfrec.towers.mean_user_tower import MeanUserTower


class JDTower(RetrievalModel):
    """A causal GPT over the item vectors of the history, BERT in the item tower, and their cosine.

    Every place of a history is asked for the next item: out of the whole catalogue, out of a sample of it, or out of
    the batch, as `settings.loss` says. With a head some places are also asked of the next item, and of some drawn at
    random, whether it is the next: two tasks, trained together.

    The catalogue is here what training has seen: an item without any interaction would never be right, and learn
    nothing but that.

    Args:
        settings: The architecture and its loss.
        features: The history's length.
        prepared: The data.
        text_encoder: For data with tokens of texts.

    Call arguments:
        inputs: `history` and `target` int32 [batch_size, longest], `user` int32 [batch_size], as SequenceWindows makes
            them.

    Returns:
        `query` float32 [num_targets, embedding_size], for the places that have a target, row by row. With the full
        softmax `items` float32 [NUM_SPECIAL + num_seen, embedding_size], of `seen`; else `positive` float32
        [num_targets, embedding_size], `negative` float32 [num_negatives, embedding_size] and `negative_ids` int32
        [num_negatives]. With a head `logits` float32 [batch_size, num_places, 1 + ranking_negatives], of the next item
        and others at places drawn at random, and `weights` float32 [batch_size, num_places] of these places.

    Raises:
        InputError: There is a head, and no second item to tell from the first.

    Attributes:
        seen: Indices of the special rows and of the items that have training interactions, int32
            [NUM_SPECIAL + num_seen].
    """

    def __init__(
        self,
        settings: JDTowerConfig,
        features: FeaturesConfig,
        prepared: Prepared,
        text_encoder: TextEncoder | None = None,
    ) -> None:
        user_tower = _build_user_tower(settings, features, prepared)
        head = build_head(settings)
        item_tower = build_item_tower(settings, prepared, text_encoder)
        super().__init__(item_tower, user_tower, prepared, text_encoder, "jd_tower", settings.attribute_dropout, head)
        seen = np.concatenate([np.arange(NUM_SPECIAL), NUM_SPECIAL + np.flatnonzero(prepared.counts)])
        places = np.zeros(NUM_SPECIAL + self.num_items, np.int32)
        places[seen] = np.arange(len(seen))
        self.seen = tf.constant(seen, tf.int32)
        self._place_in_seen = tf.constant(places)
        self.num_seen = len(seen) - NUM_SPECIAL
        if head is not None and self.num_seen < 2:
            raise InputError(
                "Expected at least two items with training interactions, for the head to tell apart. "
                f'Received: {self.num_seen}. Set model.head="none".'
            )
        self.settings = settings
        self.encodes_catalogue = settings.loss == "full_softmax"
        self.seed_generator = keras.random.SeedGenerator()
        # The sum over a batch is divided by the mean number of targets, and not by its own: batches are made of
        # histories of like length, and a target of a short history must not weigh more for it.
        self._targets_per_window = SequenceWindows.targets_per_window(
            prepared.split.train.lengths, features.history_length
        )
        self._in_batch = RetrievalTask(settings.temperature)
        self._ranking = RankingTask()
        self._sampling_probability = sampling_probabilities(prepared)

    def step_sizes(self, config: Config) -> list[tuple[keras.Variable, float]]:
        """The pretrained weights that are trained, and with which learning rate each."""
        step_sizes = super().step_sizes(config)
        if self.settings.gpt is not None:
            variables = self.user_tower.pretrained_variables
            step_sizes += [(variable, self.settings.gpt_learning_rate) for variable in variables]
        return step_sizes

    @staticmethod
    def examples(features: FeaturesConfig, prepared: Prepared) -> EpochBatches:
        """What it trains on."""
        return sequence_windows(prepared.split.train, features, _build_augmentation(features, prepared))

    def call(self, inputs: Mapping[str, tf.Tensor], training: bool = False) -> dict[str, tf.Tensor]:
        history, asked = inputs["history"], inputs["target"] >= NUM_SPECIAL
        targets = tf.boolean_mask(inputs["target"], asked)
        outputs = {}
        ranked = [] if self.head is None else self._draw_ranked(inputs["target"])
        if self.settings.loss == "full_softmax":
            # Every item is needed anyway; each is encoded once.
            outputs["items"] = self.encode_items(self.seen, training=training)
            vectors, *candidates = (
                tf.gather(outputs["items"], tf.gather(self._place_in_seen, each)) for each in (history, *ranked[:1])
            )
        else:
            count = 0 if self.settings.loss == "in_batch" else self.settings.num_negatives
            drawn = keras.random.randint([count], NUM_SPECIAL, self.num_seen + NUM_SPECIAL, seed=self.seed_generator)
            outputs["negative_ids"] = tf.gather(self.seen, drawn)
            vectors, outputs["positive"], outputs["negative"], *candidates = self.encode_distinct(
                history, targets, outputs["negative_ids"], *ranked[:1], training=training
            )
        read = self.readable(history, vectors)
        states = self.encode_users(
            read, history >= NUM_SPECIAL, inputs["user"], training=training, context=inputs, every_place=True
        )
        if self.head is not None:
            _, places, outputs["weights"] = ranked
            queries = tf.gather(states, places, batch_dims=1)
            outputs["logits"] = self.head(
                queries, vectors, history >= NUM_SPECIAL, candidates[0], training=training, places=places
            )
        return {"query": tf.boolean_mask(states, asked), **outputs}

    def _draw_ranked(self, targets: tf.Tensor) -> list[tf.Tensor]:
        """Items to rank, [batch_size, num_places, 1 + ranking_negatives], the next one first; places and weights."""
        places, weights = draw_places(targets >= NUM_SPECIAL, self.settings.ranking_places, self.seed_generator)
        positives = tf.gather(targets, places, batch_dims=1)  # [batch_size, num_places]
        negatives = draw_negatives(
            tf.gather(self._place_in_seen, positives),
            self.num_seen,
            self.settings.ranking_negatives,
            self.seed_generator,
        )
        negatives = tf.gather(self.seen, negatives)
        return [tf.concat([positives[..., tf.newaxis], negatives], axis=-1), places, weights]

    def batch_loss(self, batch: Mapping[str, tf.Tensor], outputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Both tasks' losses with their weights; under tf.distribute this device's share of it."""
        loss = self.retrieval_loss(batch, outputs)
        if self.head is None:
            return loss
        return self.settings.retrieval_weight * loss + self.settings.ranking_weight * self.ranking_loss(batch, outputs)

    def ranking_loss(self, x: Mapping[str, tf.Tensor], y_pred: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """The head's binary cross-entropy of each next item and its negatives.

        On average over the draws it is the mean over the targets of the global batch and what is drawn for them; under
        tf.distribute this device's share of it.
        """
        logits = y_pred["logits"]
        labels = tf.broadcast_to(tf.one_hot(0, 1 + self.settings.ranking_negatives), tf.shape(logits))
        weights = tf.broadcast_to(y_pred["weights"][..., tf.newaxis], tf.shape(logits))
        num_targets = self._targets_per_window * self._global_batch_size(x["target"])
        return self._ranking(labels, logits, weights, num_targets * (1 + self.settings.ranking_negatives))

    def retrieval_loss(self, x: Mapping[str, tf.Tensor], y_pred: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """The mean over the targets of the global batch; under tf.distribute this device's share of it."""
        targets = tf.boolean_mask(x["target"], x["target"] >= NUM_SPECIAL)
        queries, temperature = y_pred["query"], self.settings.temperature
        num_targets = self._targets_per_window * self._global_batch_size(x["target"])
        if self.settings.loss == "in_batch":
            # The task's mean is over as many drawn targets in each batch, whether it has few or many.
            share = tf.cast(tf.size(targets), tf.float32) * num_devices() / num_targets
            # As many from each device, so that they can be gathered, and on all together what one would draw; with
            # replacement.
            of_device = -(-(self.settings.num_negatives + 1) // int(num_devices()))
            drawn = keras.random.randint([of_device], 0, tf.size(targets), seed=self.seed_generator)
            targets = tf.gather(targets, drawn)
            return share * self._in_batch(
                tf.gather(queries, drawn),
                tf.gather(y_pred["positive"], drawn),
                targets,
                tf.gather(self._sampling_probability, targets),
            )
        if self.settings.loss == "full_softmax":
            loss = full_softmax(queries, y_pred["items"], tf.gather(self._place_in_seen, targets), temperature)
        else:
            hits = targets[:, tf.newaxis] == y_pred["negative_ids"]
            sample = (queries, y_pred["positive"], y_pred["negative"], hits, self.num_seen, temperature)
            if self.settings.loss == "sampled_softmax":
                loss = sampled_softmax(*sample)
            else:
                loss = generalised_bce(*sample, self.settings.calibration)
        return loss / num_targets

    def _global_batch_size(self, rows: tf.Tensor) -> tf.Tensor:
        return tf.cast(tf.shape(rows)[0], tf.float32) * num_devices()


def _build_augmentation(features: FeaturesConfig, prepared: Prepared) -> SequenceAugmentation | None:
    settings, similar = features.augmentation, None
    if not settings.sequences:
        return None
    if {"insert", "substitute"} & set(settings.sequences):
        vectors = prepared.items.arrays["text"][NUM_SPECIAL:] if settings.similarity == "text" else None
        items = similar_items(prepared.split.train, len(prepared.counts), settings.similar_items, vectors)
        similar = np.pad(items + NUM_SPECIAL, [(NUM_SPECIAL, 0), (0, 0)])
        similar[similar < NUM_SPECIAL] = PADDING
    return SequenceAugmentation(settings, features.history_length, similar)


def build_head(settings: JDTowerConfig) -> RankingHead | None:
    """The ranking head that the settings ask for."""
    size, temperature, dropout = settings.embedding_size, settings.temperature, settings.dropout
    match settings.head:
        case "linear":
            return LinearHead(size, temperature, name="linear")
        case "mlp":
            return MLPHead(size, temperature, settings.head_hidden_sizes, dropout, name="mlp")
        case "transformer":
            return TransformerHead(size, temperature, settings.num_heads, dropout, name="transformer")
    return None


def _build_user_tower(
    settings: JDTowerConfig, features: FeaturesConfig, prepared: Prepared
) -> GPTUserTower | GPTTextUserTower | MeanUserTower:
    columns, history_length, size = prepared.users.columns, features.history_length, settings.embedding_size
    if settings.user_tower == "mean":
        return MeanUserTower(columns, history_length, size, settings.attribute_dropout)
    reads_words = settings.user_tower == "gpt_text"
    num_places = history_length * (settings.item_tokens if reads_words else 1)
    if settings.gpt is not None:
        gpt = load_gpt(settings.gpt, num_places)
    else:
        num_tokens = int(prepared.items.arrays["words"].max()) + 1 if reads_words else 1
        gpt = new_gpt(settings.num_layers, settings.num_heads, size, num_places, num_tokens)
    dropouts = settings.dropout, settings.attribute_dropout
    if reads_words:
        return GPTTextUserTower(columns, history_length, size, gpt, *dropouts)
    return GPTUserTower(columns, history_length, size, gpt, *dropouts, settings.start_from_mean)
