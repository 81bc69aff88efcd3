"""What every ranking head promises. A test class inherits it and says how to build one."""

from collections.abc import Iterator

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfrec.heads import RankingHead

SIZE, LENGTH, NUM_CANDIDATES = 8, 5, 3
TEMPERATURE = 0.25


def unit_vectors(*shape: int, seed: int) -> tf.Tensor:
    vectors = np.random.default_rng(seed).normal(size=(*shape, SIZE))
    return tf.constant(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True), tf.float32)


QUERY = unit_vectors(2, LENGTH, seed=0)
HISTORY = unit_vectors(2, LENGTH, seed=1)
CANDIDATES = unit_vectors(2, LENGTH, NUM_CANDIDATES, seed=2)
MASK = tf.constant([[True] * LENGTH, [True, True, False, False, False]])
LAST = (QUERY[:, -1], HISTORY, MASK, CANDIDATES[:, -1])
EVERY_PLACE = (QUERY, HISTORY, MASK, CANDIDATES)


def randomised(head: RankingHead) -> RankingHead:
    """Also what starts at zero or one is something else, as after training."""
    head.build()
    generator = np.random.default_rng(3)
    for weight in head.trainable_weights:
        weight.assign(generator.normal(size=weight.shape, scale=0.5))
    return head


class HeadContract:
    """Inherit and define `make`, which returns a new head for vectors of SIZE dimensions and TEMPERATURE.

    Attributes:
        looks_at_history: Whether it reads the history itself, and not only through the query.

    Example:
        >>> class TestLinearHead(HeadContract):
        ...     def make(self) -> LinearHead:
        ...         return LinearHead(SIZE, TEMPERATURE)
    """

    looks_at_history = False

    def make(self) -> RankingHead:
        raise NotImplementedError

    @pytest.fixture
    def head(self) -> RankingHead:
        return randomised(self.make())

    @pytest.fixture(params=["mixed_bfloat16", "mixed_float16"])
    def mixed_precision(self, request: pytest.FixtureRequest) -> Iterator[None]:
        keras.config.set_dtype_policy(request.param)
        yield
        keras.config.set_dtype_policy("float32")

    def test_a_logit_a_candidate(self, head: RankingHead) -> None:
        logits = head(*LAST)
        assert (logits.shape, logits.dtype) == ((2, NUM_CANDIDATES), tf.float32)
        assert len(np.unique(logits)) == 2 * NUM_CANDIDATES

    def test_it_starts_as_retrieval(self) -> None:
        head = self.make()
        expected = np.einsum("bd,bcd->bc", LAST[0], LAST[3]) / TEMPERATURE
        np.testing.assert_allclose(head(*LAST), expected, rtol=1e-4, atol=1e-5)

    def test_and_a_place(self, head: RankingHead) -> None:
        logits = head(*EVERY_PLACE)
        assert (logits.shape, logits.dtype) == ((2, LENGTH, NUM_CANDIDATES), tf.float32)

    def test_it_runs_in_a_graph_that_knows_no_sizes(self, head: RankingHead) -> None:
        def spec(*shape: int | None, dtype: tf.DType = tf.float32) -> tf.TensorSpec:
            return tf.TensorSpec(shape, dtype)

        history, mask = spec(None, LENGTH, SIZE), spec(None, LENGTH, dtype=tf.bool)
        for arguments, specs in (
            (LAST, [spec(None, SIZE), history, mask, spec(None, None, SIZE)]),
            (EVERY_PLACE, [spec(None, LENGTH, SIZE), history, mask, spec(None, LENGTH, None, SIZE)]),
        ):
            graph = tf.function(head, input_signature=specs, autograph=False)
            np.testing.assert_allclose(graph(*arguments), head(*arguments), rtol=1e-4, atol=1e-5)

    def test_the_last_place_of_all_is_the_one_at_the_end(self, head: RankingHead) -> None:
        np.testing.assert_allclose(head(*EVERY_PLACE)[:, -1], head(*LAST), rtol=1e-4, atol=1e-5)

    def test_some_places_are_the_same_places_of_all(self, head: RankingHead) -> None:
        places = tf.constant([[3, 0], [1, 1]])
        query, candidates = (tf.gather(values, places, batch_dims=1) for values in (QUERY, CANDIDATES))
        logits = head(query, HISTORY, MASK, candidates, places=places)
        expected = tf.gather(head(*EVERY_PLACE), places, batch_dims=1)
        np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)

    def test_no_place_sees_what_comes_after_it(self, head: RankingHead) -> None:
        later = tf.concat([HISTORY[:, :3], -HISTORY[:, 3:]], axis=1)
        before, after = (head(QUERY, history, MASK, CANDIDATES).numpy() for history in (HISTORY, later))
        np.testing.assert_allclose(after[:, :3], before[:, :3], rtol=1e-5, atol=1e-6)
        differ = np.abs(after[0, 3:] - before[0, 3:]) > 1e-4
        assert differ.all() == differ.any() == self.looks_at_history

    def test_padding_changes_nothing(self, head: RankingHead) -> None:
        noise = tf.where(MASK[..., tf.newaxis], HISTORY, 100.0)
        for query, _, mask, candidates in (LAST, EVERY_PLACE):
            np.testing.assert_array_equal(head(query, noise, mask, candidates), head(query, HISTORY, mask, candidates))

    def test_neither_does_it_where_there_is_no_history(self, head: RankingHead) -> None:
        nothing = tf.zeros_like(MASK)
        logits = [head(LAST[0], history, nothing, LAST[3]).numpy() for history in (HISTORY, HISTORY * 100)]
        np.testing.assert_array_equal(*logits)
        assert np.isfinite(logits[0]).all()

    def test_candidates_do_not_see_each_other(self, head: RankingHead) -> None:
        query, history, mask, candidates = LAST
        together = head(*LAST)
        for number in range(NUM_CANDIDATES):
            alone = head(query, history, mask, candidates[:, number : number + 1])
            np.testing.assert_allclose(alone[:, 0], together[:, number], rtol=1e-4, atol=1e-5)

    def test_rows_do_not_see_each_other(self, head: RankingHead) -> None:
        for arguments in (LAST, EVERY_PLACE):
            together = head(*arguments)
            for row in range(2):
                alone = head(*(values[row : row + 1] for values in arguments))
                np.testing.assert_allclose(alone[0], together[row], rtol=1e-4, atol=1e-5)

    def test_the_gradient_reaches_all_that_it_reads(self, head: RankingHead) -> None:
        query, history, mask, candidates = EVERY_PLACE
        with tf.GradientTape() as tape:
            tape.watch([query, history, candidates])
            loss = tf.reduce_sum(head(*EVERY_PLACE) ** 2)
        by_query, by_history, by_candidates, *by_weights = tape.gradient(
            loss, [query, history, candidates, *(weight.value for weight in head.trainable_weights)]
        )
        for gradient in (by_query, by_candidates):
            assert np.all(np.abs(gradient).max(axis=-1) > 0)
        if self.looks_at_history:
            np.testing.assert_array_equal(np.abs(by_history).max(axis=-1) > 0, mask)
        else:
            assert by_history is None
        assert all(np.isfinite(gradient).all() for gradient in by_weights)

    def test_logits_are_float32_in_mixed_precision(self, head: RankingHead, mixed_precision: None) -> None:
        mixed = randomised(self.make())
        logits = mixed(*EVERY_PLACE)
        assert logits.dtype == tf.float32
        np.testing.assert_allclose(logits, head(*EVERY_PLACE), rtol=0.1, atol=0.3)

    def test_survives_its_configuration(self, head: RankingHead) -> None:
        copy = randomised(type(head).from_config(head.get_config()))
        np.testing.assert_array_equal(copy(*LAST), head(*LAST))
