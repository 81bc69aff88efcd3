"""What the exported model answers: strings in, strings out, everything in the graph."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfrec.artifacts.item_filters import filters_and_caps
from tfrec.artifacts.selection import Cap, select
from tfrec.artifacts.served import example_histories, with_a_row_each
from tfrec.backbones.text_encoder import TextEncoder
from tfrec.config import DEFAULT_STAGES, ExportConfig
from tfrec.errors import InputError
from tfrec.features.context import HISTORY_EVENT, HISTORY_TIME
from tfrec.features.prepared import Prepared
from tfrec.features.sequences import compact_context, pad_context, pad_histories
from tfrec.features.vocabulary import NUM_SPECIAL, PADDING, UNKNOWN, Vocabulary
from tfrec.indices import build_index
from tfrec.indices.exact import best_allowed, top_items
from tfrec.models.retrieval_model import RetrievalModel, popularity_scores
from tfrec.training.catalogue import Catalogue

Inputs = Mapping[str, tf.TensorSpec]
HISTORY, EXCLUDED, CANDIDATES = "history_item_ids", "exclude_item_ids", "candidate_item_ids"
EVENTS, TIMES = "history_events", "history_timestamps"
NUM_QUERIES = 256
"""With which an approximate index is measured."""


class Signatures(tf.Module):
    """The signatures of a retrieval model, as functions of named tensors.

    Every input and output has the batch as its first dimension, as server-side batching demands.

    - `recommend` (and `serving_default`): `history_item_ids` string [batch, history_length], padded with "", oldest
      first; if the model reads them, `history_events` string and `history_timestamps` int64 (seconds) [batch,
      history_length], what was done with each of these items and when, "" and 0 where unknown; `exclude_item_ids`
      string [batch, any], padded with ""; and one input for each of the users' attributes, "" or NaN where
      unknown -> `item_ids` string [batch, top_k], `scores` float32 [batch, top_k]. Items of the
      history are not recommended again. A history without any known item gets the most popular items, with their
      share of the most popular one's interactions as scores. With `num_candidates` so many items are retrieved by the
      dot product, and ranked by the model's head; the scores are then its probabilities. With filters there are
      inputs for them, see CategoryFilter and RangeFilter: what they allow is looked for in the whole catalogue. With
      `diversity` or caps the answer is chosen from a pool by `select`, in its order.
    - `rank`, of a model with a head: as `recommend`, but instead of excluded ids `candidate_item_ids` string [batch,
      any], padded with "" -> `probabilities` float32 [batch, any]: the head's, of each candidate by itself. An unknown
      id is ranked as an item of which nothing is known; padding has 0. A history without any known item is no ground
      for a probability: each candidate gets the score that `recommend` gives it then.
    - `similar_items`: `item_ids` string [batch] -> `item_ids`, `scores` [batch, top_k]; nothing for an unknown id.
    - `embed_item`: `text` string [batch] -> `embedding` float32 [batch, embedding_size], as if of a new item.
    - `search`: `text` string [batch] -> `item_ids`, `scores` [batch, top_k], by the cosine of the text encoder's
      vectors of the query and of the items' texts: what the text means, whoever liked it. (An encoder that was trained
      has heard of who liked what.)

    Where fewer than top_k items are left, the id is "" and the score 0.

    Whatever `optional` names may be left out of a request, or have one row for the whole batch. (A server that batches
    takes only requests whose inputs all have the same rows: there a request of one row may leave them out.) Lists of
    any width may begin with "", and then may be filled up with it by `pad_variable_length_inputs`.

    Args:
        model: The trained model.
        prepared: The tables that it was trained on.
        text_encoder: For `embed_item` and `search`; None: they are left out.
        config: The stages and their limits, which are no more than the catalogue has.
        catalogue: What items are filtered and capped by; None, if there are neither filters nor caps.

    Attributes:
        facts: What is worth knowing about the indices, by the name of the vectors.
        optional: Input -> what says that nothing is known or asked, one row.
        may_widen: See `Served`.

    Raises:
        InputError: The model has no head, but is to rank, or would retrieve fewer candidates than it is to answer with,
            or a column does not fit a filter or cap; or a pool is asked for that nothing is chosen from.
    """

    may_widen = True

    def __init__(
        self,
        model: RetrievalModel,
        prepared: Prepared,
        text_encoder: TextEncoder | None = None,
        config: ExportConfig = DEFAULT_STAGES,
        catalogue: Catalogue | None = None,
    ) -> None:
        super().__init__(name="signatures")
        self.config = config
        self.ids = prepared.items.ids
        num_on_sale = prepared.num_on_sale or model.num_items
        self.top_k = min(config.top_k, num_on_sale)
        self.num_candidates = min(config.rank_candidates, num_on_sale)
        if config.rank_candidates and model.head is None:
            raise InputError(
                f"Expected a model with a head, to rank {config.rank_candidates} candidates with. Received: "
                f"{model.name} without. Pass --rank-candidates 0, or train a jd_tower with --set model.head=mlp."
            )
        if 0 < self.num_candidates < self.top_k:
            raise InputError(
                f"Expected at least as many candidates as an answer has items, {self.top_k}. "
                f"Received: {config.rank_candidates}. Raise --rank-candidates or lower --top-k."
            )
        if config.pool and (self.num_candidates or not config.chooses):
            raise InputError(
                "Expected --pool beside --diversity or --cap, and without --rank-candidates, which are the pool "
                f"themselves. Received: {config.pool}. Leave it out."
            )
        self.num_retrieved = self.num_candidates or min(config.num_pool, num_on_sale)
        self.head = model.head
        self.text_encoder = text_encoder
        self.item_tower = model.item_tower
        self.user_tower = model.user_tower
        self.interaction_context = model.interaction_context
        self.words = None if model.words is None else tf.Variable(model.words, trainable=False, name="words")
        self.event_encoder = None if prepared.event is None else prepared.event.encoder()
        self.reads_times = prepared.has_time_gaps
        self.item_encoders = [column.encoder() for column in prepared.items.columns]
        self.user_encoders = [column.encoder() for column in prepared.users.columns]
        id_embedding = model.item_tower.id_embedding
        self.unknown_id_vector = None if id_embedding is None else id_embedding(tf.constant([UNKNOWN])).numpy()
        self.vocabulary = Vocabulary(prepared.items.ids.tolist(), name="item_vocabulary")
        # Variables, not constants: a graph must stay below 2 GB. Gathered from by their value: see ExactIndex.
        self.item_ids = tf.Variable(["", "", *prepared.items.ids], trainable=False, name="item_ids")
        text_vectors = model.text_vectors()
        self.item_vectors = tf.Variable(model.item_vectors(text_vectors), trainable=False, name="item_vectors")
        # What is no longer on sale stands behind the rest: histories are read as before.
        on_sale = NUM_SPECIAL + num_on_sale
        found = (
            self.item_vectors
            if num_on_sale == model.num_items
            else tf.Variable(self.item_vectors[:on_sale], trainable=False)
        )
        queries, seen = self._typical_queries(model, prepared)
        built = build_index(found, queries, seen, self.num_retrieved, config.index, config.index_recall)
        self.index, self.facts = built.index, {"items": dict(built.facts)}
        if text_encoder is not None:
            # What is searched for is like what items say.
            sample = np.random.default_rng(0).permutation(text_vectors[NUM_SPECIAL:on_sale])[:NUM_QUERIES]
            vectors = tf.Variable(text_vectors[:on_sale], trainable=False, name="text_vectors")
            nothing = np.zeros([len(sample), 0], np.int32)
            built = build_index(vectors, sample, nothing, self.top_k, config.index, config.index_recall)
            self.text_index, self.facts["texts"] = built.index, dict(built.facts)
        popularity = np.concatenate([np.zeros(NUM_SPECIAL, np.float32), popularity_scores(model.counts)])
        self.popularity = tf.Variable(popularity, trainable=False, name="popularity")
        by_popularity = NUM_SPECIAL + np.argsort(-popularity[NUM_SPECIAL:on_sale], kind="stable")
        self.by_popularity = tf.Variable(by_popularity.astype(np.int32), trainable=False, name="by_popularity")
        self.filters, self.caps = filters_and_caps(catalogue, config, self.ids[:num_on_sale])
        self.optional = self._optional()

    def endpoints(self) -> dict[str, tuple[Callable[..., dict[str, tf.Tensor]], Inputs]]:
        """Name -> function of named tensors, and what they are."""
        user = {
            **self._history_inputs(),
            **{encoder.column.input_name: encoder.column.raw_spec() for encoder in self.user_encoders},
        }
        filters = {} if self.filters is None else self.filters.inputs
        history = {**user, EXCLUDED: tf.TensorSpec([None, None], tf.string), **filters}
        text = {"text": tf.TensorSpec([None], tf.string)}
        endpoints: dict[str, tuple[Callable[..., dict[str, tf.Tensor]], Inputs]] = {
            "serving_default": (self.recommend, history),
            "recommend": (self.recommend, history),
            "similar_items": (self.similar_items, {"item_ids": tf.TensorSpec([None], tf.string)}),
        }
        if self.head is not None:
            endpoints["rank"] = (self.rank, {**user, CANDIDATES: tf.TensorSpec([None, None], tf.string)})
        if self.text_encoder is not None:
            endpoints |= {"embed_item": (self.embed_item, text), "search": (self.search, text)}
        return endpoints

    @property
    def lookup_tables(self) -> Sequence[tf.Module]:
        """What an export must track beside the variables."""
        encoders = [*self.user_encoders, *self.item_encoders]
        encoders += [] if self.event_encoder is None else [self.event_encoder]
        vocabularies = [each.vocabulary for each in encoders if each.vocabulary is not None]
        return [self.vocabulary, *vocabularies, *(() if self.filters is None else self.filters.vocabularies)]

    def recommend(self, **inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        inputs = with_a_row_each(inputs, self.optional, HISTORY)
        user = self._user(inputs)
        excluded = self.vocabulary(tf.concat([inputs[HISTORY], inputs[EXCLUDED]], axis=1))
        scores, items = self._retrieve(user, excluded, inputs)
        if self.num_candidates:
            scores, items = self._ranked(user, scores, items)
        if self.config.chooses:
            vectors = tf.gather(self.item_vectors.value(), items)
            caps = [Cap(tf.gather(codes.value(), items), self.config.caps[name]) for name, codes in self.caps.items()]
            scores, items = select(scores, items, vectors, caps, self.config.diversity, self.top_k)
        return self._answer(scores, items)

    def _retrieve(
        self, user: "_User", excluded: tf.Tensor, inputs: Mapping[str, tf.Tensor]
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """By the dot product, or by popularity where nothing of a history is known; as of an index."""
        filters = self.filters
        if filters is None:
            return self._found(user, excluded)
        return tf.cond(
            filters.are_asked(inputs),
            lambda: self._found(user, excluded, filters.allowed(inputs)),
            lambda: self._found(user, excluded),
        )

    def _found(
        self, user: "_User", excluded: tf.Tensor, allowed: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        number = self.num_retrieved
        found = self.index(user.query, excluded, number, allowed)

        def with_popular() -> tuple[tf.Tensor, tf.Tensor]:
            num_rows = tf.shape(excluded)[0]
            if allowed is None:
                # The best that are not excluded are among so many of all.
                most = tf.tile(self.by_popularity[tf.newaxis, : number + tf.shape(excluded)[1]], [num_rows, 1])
                popular = best_allowed(tf.gather(self.popularity, most), most, excluded, number)
            else:
                popularity = self.popularity[tf.newaxis, : tf.shape(allowed)[1]]
                popular = top_items(tf.tile(popularity, [num_rows, 1]), excluded, number, allowed)
            scores, indices = (tf.where(user.is_known, *each) for each in zip(found, popular, strict=True))
            return scores, indices

        return tf.cond(tf.reduce_all(user.is_known), lambda: found, with_popular)

    def _ranked(self, user: "_User", retrieved: tf.Tensor, candidates: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The best by the head's probability; where the user is unknown, as they were retrieved."""
        # By logits: far from 0, probabilities are equal that are not.
        logits = tf.where(user.is_known, self._logits(user, candidates), retrieved)
        logits = tf.where(candidates >= NUM_SPECIAL, logits, logits.dtype.min)
        best, places = tf.math.top_k(logits, self.num_candidates if self.config.chooses else self.top_k)
        items = tf.gather(candidates, places, batch_dims=1)
        scores = tf.where(user.is_known, tf.sigmoid(best), best)
        return tf.where(items >= NUM_SPECIAL, scores, 0.0), items

    def rank(self, **inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        inputs = with_a_row_each(inputs, self.optional, HISTORY)
        user = self._user(inputs)
        candidates = self.vocabulary(inputs[CANDIDATES])
        probabilities = tf.sigmoid(self._logits(user, candidates))
        probabilities = tf.where(user.is_known, probabilities, tf.gather(self.popularity, candidates))
        return {"probabilities": tf.where(candidates == PADDING, 0.0, probabilities)}

    def _history_inputs(self) -> Inputs:
        """What a request tells of a history."""
        shape = [None, self.user_tower.history_length]
        events = {} if self.event_encoder is None else {EVENTS: tf.TensorSpec(shape, tf.string)}
        times = {TIMES: tf.TensorSpec(shape, tf.int64)} if self.reads_times else {}
        return {HISTORY: tf.TensorSpec(shape, tf.string), **events, **times}

    def _optional(self) -> dict[str, np.ndarray]:
        length = self.user_tower.history_length
        events = {} if self.event_encoder is None else {EVENTS: np.full([1, length], "", object)}
        times = {TIMES: np.zeros([1, length], np.int64)} if self.reads_times else {}
        columns = [encoder.column for encoder in self.user_encoders]
        return {
            EXCLUDED: np.array([[""]], object),
            **events,
            **times,
            **{column.input_name: np.array(column.missing(1)) for column in columns},
            **({} if self.filters is None else self.filters.missing()),
        }

    def similar_items(self, item_ids: tf.Tensor) -> dict[str, tf.Tensor]:
        indices = self.vocabulary(item_ids)[:, tf.newaxis]
        scores, similar = self.index(tf.gather(self.item_vectors.value(), indices[:, 0]), indices, self.top_k)
        is_known = indices >= NUM_SPECIAL
        return self._answer(tf.where(is_known, scores, 0.0), tf.where(is_known, similar, PADDING))

    def embed_item(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        features = {each.column.name: each(each.column.missing(tf.shape(text)[0])) for each in self.item_encoders}
        if self.unknown_id_vector is not None:
            features["id_vector"] = self.unknown_id_vector
        assert self.text_encoder is not None  # `endpoints` offers this signature only with an encoder.
        features["text"] = self.text_encoder(text)
        return {"embedding": self.item_tower(features, training=False)}

    def search(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        assert self.text_encoder is not None
        nothing = tf.zeros([tf.shape(text)[0], 0], tf.int32)
        return self._answer(*self.text_index(self.text_encoder(text), nothing, self.top_k))

    def _user(self, inputs: Mapping[str, tf.Tensor]) -> "_User":
        context = {}
        if self.event_encoder is not None:
            context[HISTORY_EVENT] = self.event_encoder(inputs[EVENTS])
        if self.reads_times:
            context[HISTORY_TIME] = inputs[TIMES]
        indices = self.vocabulary(inputs[HISTORY])
        history, context = compact_context(indices, context, self.user_tower.history_length)
        vectors, mask = tf.gather(self.item_vectors.value(), history), history >= NUM_SPECIAL
        read = vectors if self.words is None else tf.gather(self.words, history)
        if self.interaction_context is not None:
            read = self.interaction_context(vectors, mask, context, training=False)
        features = {each.column.name: each(inputs[each.column.input_name]) for each in self.user_encoders}
        query = self.user_tower(read, mask, features, training=False)
        return _User(query, vectors, mask, tf.reduce_any(mask, axis=1, keepdims=True))

    def _logits(self, user: "_User", candidates: tf.Tensor) -> tf.Tensor:
        assert self.head is not None
        vectors = tf.gather(self.item_vectors.value(), candidates)
        return self.head(user.query, user.history, user.mask, vectors, training=False)

    def _answer(self, scores: tf.Tensor, indices: tf.Tensor) -> dict[str, tf.Tensor]:
        scores, indices = (tf.ensure_shape(each, [None, self.top_k]) for each in (scores, indices))
        return {"item_ids": tf.gather(self.item_ids, indices), "scores": scores}

    def _typical_queries(self, model: RetrievalModel, prepared: Prepared) -> tuple[np.ndarray, np.ndarray]:
        """The vectors of some tested users, float32 [num_queries, embedding_size], and what they are not recommended,
        int32 [num_queries, history_length]."""
        test = prepared.split.test
        cases = np.random.default_rng(0).permutation(len(test))[:NUM_QUERIES]
        histories, length = test.histories.take(cases), self.user_tower.history_length
        read, context = pad_histories(histories, length), pad_context(histories, length)
        vectors = model.user_vectors(self.item_vectors.value(), read, test.users[cases] + NUM_SPECIAL, context)
        return np.asarray(vectors), read

    def examples(self, histories: Sequence[Sequence[str]]) -> dict[str, dict[str, np.ndarray]]:
        """Requests for every signature, to compare and to warm up with.

        Args:
            histories: Real histories, oldest first. An empty one and one of unknown ids are added.

        Returns:
            Signature -> inputs of len(histories) + 2 rows.
        """
        length = self.user_tower.history_length
        padded, ids = example_histories(histories, length)
        user = {HISTORY: padded}
        filled = user[HISTORY] != ""
        if self.event_encoder is not None:
            # One after the other, one that is unknown and none at all among them.
            events = np.array([*self.event_encoder.column.vocabulary, "no such event", ""], object)
            user[EVENTS] = np.where(filled, events[np.cumsum(filled).reshape(filled.shape) % len(events)], "")
        if self.reads_times:
            hours = np.cumsum(filled, axis=1) ** 2
            user[TIMES] = np.where(filled, 1_700_000_000 + 3600 * hours, 0).astype(np.int64)
        for encoder in self.user_encoders:
            user[encoder.column.input_name] = encoder.column.example(len(ids))
        recommend = {**user, EXCLUDED: np.array([[id] for id in ids], object)}
        asked, unasked = {}, {}
        if self.filters is not None:
            asked = self.filters.examples(len(ids))
            unasked = {name: np.repeat(row, len(ids), axis=0) for name, row in self.filters.missing().items()}
        # The catalogue's first and last item, one that is unknown, and padding.
        candidates = np.array([[self.ids[0], id, "no such item", self.ids[-1], ""] for id in ids], object)
        text = {"text": np.array([f"{id} and something new" for id in ids], object)}
        inputs = {
            # One function: what it does with filters and without is compared and warmed up.
            "serving_default": {**recommend, **asked},
            "recommend": {**recommend, **unasked},
            "rank": {**user, CANDIDATES: candidates},
            "similar_items": {"item_ids": np.array(ids, object)},
            "embed_item": text,
            "search": text,
        }
        return {name: inputs[name] for name in self.endpoints()}


class _User(NamedTuple):
    """What a request says of its users.

    Attributes:
        query: float32 [batch_size, embedding_size]
        history: float32 [batch_size, history_length, embedding_size] item vectors.
        mask: bool [batch_size, history_length]; True where an item is.
        is_known: bool [batch_size, 1]; True where any item is.
    """

    query: tf.Tensor
    history: tf.Tensor
    mask: tf.Tensor
    is_known: tf.Tensor
