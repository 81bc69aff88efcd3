import numpy as np
import tensorflow as tf

from tfrec.features.columns import Column
from tfrec.layers.factorization_machine import pairwise_interactions
from tfrec.layers.field_embeddings import Field, FieldEmbeddings
from tfrec.layers.target_attention import TargetAttention


class TestFieldEmbeddings:
    fields = (Field("id", 5), Field("text", size=3))

    def test_a_category_has_its_row_and_a_vector_its_projection(self) -> None:
        layer = FieldEmbeddings(self.fields, 2)
        layer.build()
        table, kernel = np.arange(10.0).reshape(5, 2), np.array([[1.0, 0], [0, 1], [1, 1]])
        layer.set_weights([table, kernel])
        features = {"id": tf.constant([4, 0]), "text": tf.constant([[1.0, 2, 3], [0, 0, 1]]), "label": tf.zeros(2)}
        # Row 4 is (8, 9); (1, 2, 3) becomes (1 + 3, 2 + 3).
        np.testing.assert_allclose(layer(features, num_rows=2), [[[8, 9], [4, 5]], [[0, 1], [1, 1]]])

    def test_without_fields_there_is_nothing(self) -> None:
        assert FieldEmbeddings((), 2)({}, num_rows=3).shape == (3, 0, 2)

    def test_columns_as_fields(self) -> None:
        assert Field.of(Column("brand", "categorical", vocabulary=("a", "b"))) == Field("brand", 4)
        assert Field.of(Column("price", "binned", boundaries=(1.0, 2.0))) == Field(
            "price", 4, num_special=1, is_ordered=True
        )
        assert Field.of(Column("image", "vector", size=7)) == Field("image", 0, 7)


class TestPairwiseInteractions:
    def test_by_hand(self) -> None:
        # (1, 2) and (3, 4) have the product 11, (1, 2) and (0, -1) -2, (3, 4) and (0, -1) -4.
        assert pairwise_interactions(tf.constant([[[1.0, 2], [3, 4], [0, -1]]])).numpy().tolist() == [5]

    def test_it_is_the_sum_over_pairs(self) -> None:
        vectors = np.random.default_rng(0).normal(size=(4, 6, 3))
        products = np.einsum("bid,bjd->bij", vectors, vectors)
        expected = [np.triu(product, 1).sum() for product in products]
        np.testing.assert_allclose(pairwise_interactions(tf.constant(vectors)), expected)


class TestTargetAttention:
    def layer(self) -> TargetAttention:
        tf.random.set_seed(0)
        layer = TargetAttention(embedding_size=3, history_length=4, hidden_sizes=(5,))
        layer.build()
        return layer

    def inputs(self) -> list[tf.Tensor]:
        generator = np.random.default_rng(0)
        candidate, history = generator.normal(size=(2, 3)), generator.normal(size=(2, 4, 3))
        labels, mask = [[1.0, 0, 1, 0], [1, 1, 0, 0]], [[True, True, True, False], [True, True, False, False]]
        return [tf.constant(each, tf.float32) for each in (candidate, history, labels)] + [tf.constant(mask)]

    def test_it_is_the_sum_that_the_equation_says(self) -> None:
        layer, (candidate, history, labels, mask) = self.layer(), self.inputs()
        expected = np.zeros((2, 3))
        for row, length in ((0, 3), (1, 2)):
            for place in range(length):
                e, v = history[row, place].numpy(), candidate[row].numpy()
                recency = layer.recency(tf.constant(length - 1 - place)).numpy()
                inputs = np.concatenate([e, v, e - v, e * v, [labels[row, place]], recency])
                hidden = np.maximum(inputs @ layer.hidden[0].kernel.numpy() + layer.hidden[0].bias.numpy(), 0)
                weight = hidden @ layer.weight.kernel.numpy() + layer.weight.bias.numpy()
                expected[row] += weight * e / length
        np.testing.assert_allclose(layer(candidate, history, labels, mask), expected, rtol=1e-4, atol=1e-6)

    def test_padding_changes_nothing(self) -> None:
        layer, (candidate, history, labels, mask) = self.layer(), self.inputs()
        noise = tf.where(mask[..., tf.newaxis], history, 99.0)
        np.testing.assert_allclose(
            layer(candidate, history, labels, mask), layer(candidate, noise, labels, mask), rtol=1e-6
        )

    def test_an_empty_history_is_zero(self) -> None:
        candidate, history, labels, mask = self.inputs()
        assert not self.layer()(candidate, history, labels, tf.zeros_like(mask)).numpy().any()
