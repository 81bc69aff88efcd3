"""Attributes: what is learned of them, and their encoding."""

import json

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from tfrec.features.columns import Column, cross

NAN = np.nan


def encode(column: Column, values: object) -> np.ndarray:
    return column.encoder()(tf.constant(values)).numpy()


class TestCategorical:
    column = Column.fit("genre", "categorical", pd.Series(["war", None, "art", "", "spy", "war", "art", "sea"]))

    def test_terms_are_ordered_by_count_then_by_name(self) -> None:
        # art and war occur twice, sea and spy once; the missing and the empty are no terms.
        assert self.column.vocabulary == ("art", "war", "sea", "spy")

    def test_encoding(self) -> None:
        encoded = encode(self.column, ["war", "jazz", "", "art"])
        assert encoded.dtype == np.int32
        assert encoded.tolist() == [3, 1, 0, 2]

    def test_raw_values_of_missing_cells_are_empty_strings(self) -> None:
        for series in (pd.Series(["b", None], dtype="str"), pd.Series(["b", None], dtype="category")):
            assert self.column.values(series).tolist() == ["b", ""]

    def test_numbers_as_categories_are_read_as_text(self) -> None:
        column = Column.fit("size", "categorical", pd.Series([42, 42, 7]))
        assert column.vocabulary == ("42", "7")
        assert encode(column, column.values(pd.Series([7, 42]))).tolist() == [3, 2]


class TestNumeric:
    # 1, 3, 5, 7 have the mean 4 and the variance (9 + 1 + 1 + 9) / 4 = 5.
    column = Column.fit("price", "numeric", pd.Series([1, NAN, 3, 5, np.inf, 7], dtype="float32"))

    def test_mean_and_scale_of_the_finite_values(self) -> None:
        assert self.column.mean == 4
        assert self.column.scale == pytest.approx(5**0.5)

    def test_encoding(self) -> None:
        # (9 - 4) / sqrt(5) = sqrt(5). What is no finite number is missing: 0, beside it 1.
        encoded = encode(self.column, np.array([9, NAN, 4, -np.inf], np.float32))
        assert encoded.dtype == np.float32
        np.testing.assert_allclose(encoded, [[5**0.5, 0], [0, 1], [0, 0], [0, 1]], rtol=1e-6)

    @pytest.mark.parametrize("value", [0.1, 19.99, 1e9])
    def test_a_constant_is_only_centred(self, value: float) -> None:
        column = Column.fit("price", "numeric", pd.Series([value] * 7, dtype="float32"))
        assert column.scale == 1
        assert encode(column, np.array([value, value + 1], np.float32))[0].tolist() == [0, 0]

    def test_a_column_without_numbers_is_missing_everywhere(self) -> None:
        column = Column.fit("price", "numeric", pd.Series([NAN, NAN], dtype="float32"))
        assert encode(column, np.array([NAN, 3], np.float32)).tolist() == [[0, 1], [3, 0]]


class TestBinned:
    def test_quantiles_of_the_finite_values(self) -> None:
        # Of 1 to 64 each of 32 bins has two, and the first boundary is 3.
        column = Column.fit("price", "binned", pd.Series([NAN, *range(1, 65), np.inf], dtype="float32"))
        assert column.boundaries[:2] == (3, 5)
        assert column.num_categories == 33  # missing, and 32 bins
        encoded = encode(column, np.array([NAN, -5, 1, 2, 3, 63, 64, 1e9, np.inf], np.float32))
        assert encoded.dtype == np.int32
        assert encoded.tolist() == [0, 1, 1, 1, 2, 32, 32, 32, 0]

    def test_a_frequent_number_has_one_bin_of_its_own(self) -> None:
        column = Column.fit("clicks", "binned", pd.Series([0] * 90 + [1] * 5 + [7] * 5, dtype="float32"))
        zero, one, seven = encode(column, np.array([0, 1, 7], np.float32))
        assert zero < one < seven

    def test_a_column_without_numbers_has_one_bin(self) -> None:
        column = Column.fit("price", "binned", pd.Series([NAN, NAN], dtype="float32"))
        assert encode(column, np.array([NAN, 3], np.float32)).tolist() == [0, 1]
        assert column.num_categories == 2

    def test_it_is_read_back_as_it_was_written(self) -> None:
        column = Column.fit("price", "binned", pd.Series(np.arange(9, dtype=np.float32)))
        assert Column.from_dict(json.loads(json.dumps(column.to_dict()))) == column


class TestVector:
    series = pd.Series([np.array([1, 2, 3], np.float32), None, np.array([4, 5, 6], np.float32)])
    column = Column.fit("image", "vector", series)

    def test_size(self) -> None:
        assert self.column.size == 3

    def test_encoding(self) -> None:
        encoded = encode(self.column, np.array([[1, -2, 0.5], [NAN] * 3], np.float32))
        assert encoded.tolist() == [[1, -2, 0.5], [0, 0, 0]]

    def test_raw_values_of_missing_cells_are_not_a_number(self) -> None:
        values = self.column.values(self.series)
        assert values.dtype == np.float32
        np.testing.assert_array_equal(values, np.array([[1, 2, 3], [NAN] * 3, [4, 5, 6]], np.float32))


COLUMNS = [
    TestCategorical.column,
    Column("brand", "categorical"),
    TestNumeric.column,
    TestVector.column,
]


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.name)
def test_survives_json(column: Column) -> None:
    assert Column.from_dict(json.loads(json.dumps(column.to_dict()))) == column


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.name)
def test_what_is_missing_fits_the_request_and_is_encoded_as_missing(column: Column) -> None:
    missing = tf.function(column.missing)(tf.constant(3))
    assert column.raw_spec().is_compatible_with(missing)
    one_row = {"categorical": 0, "numeric": [0, 1], "vector": [0] * column.size}[column.kind]
    np.testing.assert_array_equal(column.encoder()(missing), [one_row] * 3)


@pytest.mark.parametrize("num_rows", [1, 4])
@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.name)
def test_examples_fit_the_request_and_end_with_a_missing_value(column: Column, num_rows: int) -> None:
    example = tf.constant(column.example(num_rows))
    assert column.raw_spec().is_compatible_with(example)
    assert example.shape[0] == num_rows
    last = column.encoder()(example)[-1].numpy()
    missing = {"categorical": 0, "numeric": [0, 1], "vector": [0] * column.size}[column.kind]
    np.testing.assert_array_equal(last, missing)


def test_categories_that_are_rare_share_buckets() -> None:
    column = Column.fit("ad", "categorical", pd.Series(["a"] * 5 + ["b"] * 2 + ["c"]), minimum_count=2, num_buckets=2)
    assert column.vocabulary == ("a", "b")
    assert column.num_categories == 6
    assert Column.from_dict(json.loads(json.dumps(column.to_dict()))) == column
    codes = column.encoder()(tf.constant(["a", "b", "", "c", "never seen"])).numpy()
    assert codes[:3].tolist() == [2, 3, 0]
    assert set(codes[3:].tolist()) <= {4, 5}


def test_crossed_categories_are_one() -> None:
    devices, slots = tf.constant(["phone", "phone", "", ""]), tf.constant(["1", "2", "2", ""])
    assert [each.decode() for each in cross([devices, slots]).numpy()] == ["phone\x1f1", "phone\x1f2", "", ""]


def test_several_categories_in_a_value() -> None:
    column = Column.fit("genres", "categorical", pd.Series(["war | art", "war", None, "art|war|jazz"]), separator="|")
    assert column.vocabulary == ("war", "art", "jazz")
    assert column.num_values == 3
    assert Column.from_dict(json.loads(json.dumps(column.to_dict()))) == column
    codes = column.encoder()(tf.constant(["art|war", "", "polka|jazz", "war|war|art|jazz"])).numpy()
    assert codes.tolist() == [[3, 2, 0], [0, 0, 0], [1, 4, 0], [2, 2, 3]]
