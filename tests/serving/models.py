"""Tiny SavedModels whose answers are known by arithmetic."""

from pathlib import Path

import tensorflow as tf
import tensorflow_text

HISTORY_LENGTH = 4


class Arithmetic(tf.Module):
    """y = x + step, s = sum of x; texts and bytes come back; `slow` counts so far; `fold` has an op of TF Text."""

    def __init__(self, step: float) -> None:
        super().__init__()
        self.step = tf.Variable(step)

    @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32, name="x")])
    def add(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": x + self.step, "s": tf.reduce_sum(x, axis=1)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def echo(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"text": text, "text_bytes": text}

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.int64, name="long"),
            tf.TensorSpec([None], tf.bool, name="flag"),
            tf.TensorSpec([None], tf.float16, name="half"),
        ]
    )
    def kinds(self, long: tf.Tensor, flag: tf.Tensor, half: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"long": long + 1, "flag": tf.logical_not(flag), "half": half * 2}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32, name="count")])
    def slow(self, count: tf.Tensor) -> dict[str, tf.Tensor]:
        counted = tf.constant(0)
        while counted < count[0]:
            counted += 1
        return {"counted": tf.reshape(counted, [1])}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def fold(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"folded": tensorflow_text.case_fold_utf8(text)}

    def save(self, folder: Path) -> None:
        signatures = {
            "serving_default": self.add,
            "echo": self.echo,
            "kinds": self.kinds,
            "slow": self.slow,
            "fold": self.fold,
        }
        tf.saved_model.save(self, str(folder), signatures=signatures)


class Crowd(tf.Module):
    """Tells each row in how large a batch it ran: y = 2 x. `fixed` gives 3 rows whatever comes, and a scalar."""

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.float32, name="x")])
    def double(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        rows = tf.shape(x)[:1]
        return {"y": 2.0 * x, "batch_size": tf.fill(rows, rows[0])}

    @tf.function(
        input_signature=[tf.TensorSpec([None], tf.string, name="text"), tf.TensorSpec([None], tf.int32, name="count")]
    )
    def repeat(self, text: tf.Tensor, count: tf.Tensor) -> dict[str, tf.Tensor]:
        counts = tf.strings.as_string(count)
        return {"told": tf.strings.join([text, counts], "-")}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def fixed(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"same": x, "three": tf.zeros([3]), "scalar": tf.reduce_sum(x)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32, name="count")])
    def slow(self, count: tf.Tensor) -> dict[str, tf.Tensor]:
        counted = tf.constant(0)
        while counted < count[0]:
            counted += 1
        return {"counted": tf.fill(tf.shape(count), counted)}

    def save(self, folder: Path) -> None:
        signatures = {
            "serving_default": self.double,
            "repeat": self.repeat,
            "fixed": self.fixed,
            "slow": self.slow,
        }
        tf.saved_model.save(self, str(folder), signatures=signatures)


class Judge(tf.Module):
    """Of examples with the numbers `x`: classes "few" and "many" scored -sum, sum; the sum; what fits neither."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])
    def classify(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        total = self._total(inputs)
        classes = tf.tile([["few", "many"]], [tf.shape(inputs)[0], 1])
        return {"classes": classes, "scores": tf.stack([-total, total], axis=1)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])
    def scores(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"scores": self._total(inputs)[:, None]}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])
    def regress(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"outputs": self._total(inputs)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])
    def wide(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"outputs": tf.stack([self._total(inputs)] * 2, axis=1)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])
    def flat(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"scores": self._total(inputs)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])
    def whole(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"outputs": tf.cast(self._total(inputs), tf.int32)}

    @staticmethod
    def _total(inputs: tf.Tensor) -> tf.Tensor:
        parsed = tf.io.parse_example(inputs, {"x": tf.io.RaggedFeature(tf.float32)})
        return tf.reduce_sum(parsed["x"], axis=1)

    def save(self, folder: Path) -> None:
        names = ("classify", "scores", "regress", "wide", "flat", "whole")
        tf.saved_model.save(self, str(folder), signatures={name: getattr(self, name) for name in names})


class Shop(tf.Module):
    """Recommends what is neither in the history nor excluded, out of a to f, scored 6, 5, 4, 3, 2, 1."""

    def __init__(self, history_length: int = 2, exclude_length: int | None = None) -> None:
        super().__init__()
        self.history_length = history_length
        self.exclude_length = exclude_length

    def recommend(self, history_item_ids: tf.Tensor, exclude_item_ids: tf.Tensor) -> dict[str, tf.Tensor]:
        items = tf.constant(["a", "b", "c", "d", "e", "f"])
        out = tf.concat([history_item_ids, exclude_item_ids], axis=1)
        is_out = tf.reduce_any(items[None, :, None] == out[:, None, :], axis=2)
        scores = tf.repeat(tf.range(6, 0, -1, tf.float32)[None, :], tf.shape(out)[0], axis=0)
        return {"item_ids": tf.where(is_out, "", items[None, :]), "scores": scores}

    def save(self, folder: Path) -> None:
        recommend = tf.function(self.recommend).get_concrete_function(
            tf.TensorSpec([None, self.history_length], tf.string, name="history_item_ids"),
            tf.TensorSpec([None, self.exclude_length], tf.string, name="exclude_item_ids"),
        )
        tf.saved_model.save(self, str(folder), signatures={"serving_default": recommend})


class Diary(tf.Module):
    """Gives the history back, each item with what was done and when, as in a|view|60."""

    def recommend(
        self,
        history_item_ids: tf.Tensor,
        history_events: tf.Tensor,
        history_timestamps: tf.Tensor,
        exclude_item_ids: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        times = tf.strings.as_string(history_timestamps)
        entries = tf.strings.join([history_item_ids, history_events, times], "|")
        scores = tf.zeros_like(history_timestamps, tf.float32)
        excluded = tf.strings.reduce_join(exclude_item_ids, axis=1, keepdims=True)
        return {"item_ids": tf.where(history_item_ids == "", "", entries + excluded), "scores": scores}

    def save(self, folder: Path, signature: str = "serving_default") -> None:
        recommend = tf.function(self.recommend).get_concrete_function(
            tf.TensorSpec([None, 3], tf.string, name="history_item_ids"),
            tf.TensorSpec([None, 3], tf.string, name="history_events"),
            tf.TensorSpec([None, 3], tf.int64, name="history_timestamps"),
            tf.TensorSpec([None, None], tf.string, name="exclude_item_ids"),
        )
        tf.saved_model.save(self, str(folder), signatures={signature: recommend})


class Recommender(tf.Module):
    """Recommends the history itself, without what is excluded, scored 4, 3, 2, 1 by place (from its length down).

    `age` and `country` are inputs that a caller may leave out: a known age adds 100 to the scores, a known country
    10.
    """

    def __init__(self, history_length: int = HISTORY_LENGTH) -> None:
        super().__init__()
        self.history_length = history_length

    def recommend(
        self, history_item_ids: tf.Tensor, exclude_item_ids: tf.Tensor, age: tf.Tensor, country: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        is_excluded = tf.reduce_any(history_item_ids[:, :, None] == exclude_item_ids[:, None, :], axis=2)
        bonus = tf.where(tf.math.is_nan(age), 0.0, 100.0) + tf.where(country == "", 0.0, 10.0)
        scores = tf.range(self.history_length, 0, -1, tf.float32)[None, :] + bonus[:, None]
        return {"item_ids": tf.where(is_excluded, "", history_item_ids), "scores": scores}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="item_ids")])
    def similar_items(self, item_ids: tf.Tensor) -> dict[str, tf.Tensor]:
        return {
            "item_ids": tf.stack([item_ids + "-near", item_ids + "-far"], axis=1),
            "scores": tf.stack([tf.ones_like(item_ids, tf.float32), tf.zeros_like(item_ids, tf.float32)], axis=1),
        }

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def search(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        return {
            "item_ids": tf.strings.lower(text, encoding="utf-8")[:, None],
            "scores": tf.cast(tf.strings.length(text), tf.float32)[:, None],
        }

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def embed_item(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        size = tf.cast(tf.strings.length(text), tf.float32)
        return {"embedding": tf.stack([size, -size], axis=1)}

    def save(self, folder: Path) -> None:
        recommend = tf.function(self.recommend).get_concrete_function(
            tf.TensorSpec([None, self.history_length], tf.string, name="history_item_ids"),
            tf.TensorSpec([None, None], tf.string, name="exclude_item_ids"),
            tf.TensorSpec([None], tf.float32, name="age"),
            tf.TensorSpec([None], tf.string, name="country"),
        )
        signatures = {
            "serving_default": recommend,
            "similar_items": self.similar_items,
            "search": self.search,
            "embed_item": self.embed_item,
        }
        tf.saved_model.save(self, str(folder), signatures=signatures)
