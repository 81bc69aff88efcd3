import keras
import numpy as np
import tensorflow as tf

from tfrec.tasks.sampling import draw_negatives, draw_places


class TestNegatives:
    def test_every_other_item_is_as_likely(self) -> None:
        # Five items, 2 to 6; each of the other four is drawn a quarter of 4,000 times, give or take 27.
        positives = tf.constant([[2, 4], [6, 5]])
        drawn = draw_negatives(positives, 5, 4000, keras.random.SeedGenerator(0)).numpy()
        assert (drawn.shape, drawn.dtype) == ((2, 2, 4000), np.int32)
        for row, place in np.ndindex(2, 2):
            counts = np.bincount(drawn[row, place], minlength=8)
            others = sorted({2, 3, 4, 5, 6} - {int(positives[row, place])})
            assert counts[others].sum() == 4000
            assert np.abs(counts[others] - 1000).max() < 150

    def test_beside_padding_it_draws_items_too(self) -> None:
        drawn = draw_negatives(tf.zeros([100], tf.int32), 3, 5, keras.random.SeedGenerator(0)).numpy()
        assert drawn.min() >= 2
        assert drawn.max() <= 4

    def test_two_items(self) -> None:
        drawn = draw_negatives(tf.constant([2, 3]), 2, 3, keras.random.SeedGenerator(0)).numpy()
        assert drawn.tolist() == [[3, 3, 3], [2, 2, 2]]

    def test_each_step_draws_anew_and_a_seed_repeats_it(self) -> None:
        positives = tf.fill([50], 2)
        seed, same = keras.random.SeedGenerator(1), keras.random.SeedGenerator(1)
        first, second = (draw_negatives(positives, 1000, 2, seed).numpy() for _ in range(2))
        assert (first != second).any()
        np.testing.assert_array_equal(draw_negatives(positives, 1000, 2, same), first)


class TestPlaces:
    asked = tf.constant(
        [[False, True, True, True, True, False], [False, False, True, False, False, False], [False] * 6]
    )

    def test_distinct_places_that_are_asked(self) -> None:
        places, weights = draw_places(self.asked, 3, keras.random.SeedGenerator(0))
        assert (places.shape, places.dtype, weights.shape, weights.dtype) == ((3, 3), tf.int32, (3, 3), tf.float32)
        assert len(set(places[0].numpy())) == 3
        assert set(places[0].numpy()) <= {1, 2, 3, 4}
        # 3 of 4 are drawn: each stands for 4/3. The second row has but one; the third has none.
        np.testing.assert_allclose(weights, [[4 / 3] * 3, [1, 0, 0], [0, 0, 0]], rtol=1e-6)
        assert places[1, 0] == 2

    def test_no_more_than_there_are(self) -> None:
        places, weights = draw_places(self.asked, 99, keras.random.SeedGenerator(0))
        assert places.shape == (3, 6)
        np.testing.assert_allclose(weights, [[1, 1, 1, 1, 0, 0], [1, 0, 0, 0, 0, 0], [0] * 6])
        assert set(places[0, :4].numpy()) == {1, 2, 3, 4}

    def test_the_weighted_sum_is_on_average_that_of_all_places(self) -> None:
        # The values 1, 2, 3, 4 of four places of which one is drawn: 10, give or take 4.5 over the root of the draws.
        asked = tf.ones([4000, 4], tf.bool)
        places, weights = draw_places(asked, 1, keras.random.SeedGenerator(0))
        sums = tf.reduce_sum(weights * tf.cast(places + 1, tf.float32), axis=1)
        np.testing.assert_allclose(tf.reduce_mean(sums), 10, atol=0.3)
