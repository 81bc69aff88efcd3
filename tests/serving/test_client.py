"""The client: what it sends, what it refuses to send, and how it tells errors."""

import socket
import time
from collections.abc import Iterator

import grpc
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from tensorflow_serving.apis.model_pb2 import ModelSpec
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

from tfrec.serving.client import Client, ServingError
from tfrec.serving.rows import pad, ranking, unknown
from tfrec.serving.signatures import TensorSpec
from tfrec.serving.tensors import encode

from .models import HISTORY_LENGTH

FREE_WIDTH = TensorSpec(tf.string, (None, None))


def test_metadata_states_names_dtypes_and_shapes(movies: Client) -> None:
    signatures = movies.metadata()
    assert list(signatures) == ["embed_item", "search", "serving_default", "similar_items"]
    assert signatures["serving_default"].inputs == {
        "age": TensorSpec(tf.float32, (None,)),
        "country": TensorSpec(tf.string, (None,)),
        "exclude_item_ids": TensorSpec(tf.string, (None, None)),
        "history_item_ids": TensorSpec(tf.string, (None, HISTORY_LENGTH)),
    }
    assert signatures["serving_default"].outputs["scores"] == TensorSpec(tf.float32, (None, HISTORY_LENGTH))
    assert movies.metadata() is signatures


def test_recommend_keeps_the_last_ids_and_drops_the_padding(movies: Client) -> None:
    assert movies.recommend([["a", "b"], [], ["a", "b", "c", "d", "e"]]) == [
        [("a", 4.0), ("b", 3.0)],
        [],
        [("b", 4.0), ("c", 3.0), ("d", 2.0), ("e", 1.0)],
    ]


def test_recommend_excludes_and_counts(movies: Client) -> None:
    histories = [["a", "b", "c"], ["a", "b", "c"]]
    assert movies.recommend(histories, [["a", "x", "y"], []], count=2) == [
        [("b", 3.0), ("c", 2.0)],
        [("a", 4.0), ("b", 3.0)],
    ]


def items(client: Client, *arguments: object) -> list[str]:
    return ["".join(id for id, _ in row) for row in client.recommend(*arguments)]


def test_what_a_history_is_too_long_for_does_not_come_back(movies: Client) -> None:
    with Client(movies.target, "shop") as shop:  # sees 2 ids of a history
        assert items(shop, [["a", "b"], ["d", "c", "b", "a"], ["f"] * 9 + ["e", "d", "c"], []]) == [
            "cdef",
            "ef",
            "ab",
            "abcdef",
        ]
        assert items(shop, [["a", "b", "c"], ["d"]], [["e"], ["a", "b"]]) == ["df", "cef"]
    with Client(movies.target, "narrow-shop") as shop:  # and excludes at most 3: those asked for, then the newest
        assert items(shop, [["a", "b", "c", "d"]], [["f"]]) == ["e"]
        assert items(shop, [["a", "b", "c", "d", "e"]], [["f"]]) == ["a"]
        assert items(shop, [["a", "b", "c", "d", "e"]], [["f", "f", "f"]]) == ["abc"]
        with pytest.raises(ValueError, match=r"at most 3 ids a row in exclude, all that the model takes\. Received: 4"):
            shop.recommend([["a", "b", "c"]], [["f", "f", "f", "f"]])


def test_what_recommend_is_not_told_is_unknown(movies: Client) -> None:
    known = movies.predict(
        "serving_default",
        {
            "history_item_ids": [["a", "", "", ""]],
            "exclude_item_ids": [[""]],
            "age": [30],
            "country": ["nl"],
        },
    )
    assert known["scores"][0, 0] == 114.0
    assert movies.recommend([["a"]]) == [[("a", 4.0)]]


def test_what_recommend_is_told_of_the_users_is_sent(movies: Client) -> None:
    """A known age adds 100, a known country 10."""
    histories = [["a"], ["b"], ["c"]]
    for attributes, scores in [
        ({"age": [30, None, 40.5]}, [104, 4, 104]),
        ({"age": np.array([30, np.nan, 1], np.float32)}, [104, 4, 104]),
        ({"country": ["nl", "", None], "age": [None, 7, None]}, [14, 104, 4]),
        ({}, [4, 4, 4]),
    ]:
        answers = movies.recommend(histories, attributes=attributes)
        assert [row[0][1] for row in answers] == scores


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"income": [1]}, r"Expected attributes among \['age', 'country'\], .* Received: \['income'\]"),
        ({"history_item_ids": [["a"]]}, r"Expected attributes among .* Received: \['history_item_ids'\]"),
        ({"age": [1, 2]}, "Expected 1 values as age, one a history. Received: 2"),
        ({"country": "nl"}, r"Received: 'nl'\. Write \['nl'\]"),
        ({"country": [7]}, "Expected strings as input 'country'. Received: 7"),
        ({"age": ["old"]}, "Expected float32 as input 'age'"),
    ],
)
def test_attributes_that_do_not_fit_are_refused(movies: Client, attributes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        movies.recommend([["a"]], attributes=attributes)


@pytest.fixture
def diary(movies: Client) -> Iterator[Client]:
    with Client(movies.target, "diary") as client:
        yield client


def test_what_was_done_and_when_goes_with_the_history(diary: Client) -> None:
    answers = diary.recommend(
        [["a", "b"], [], ["c", "d", "e", "f"]],
        events=[["view", None], [], ["buy", "view", "", "buy"]],
        timestamps=[[60, 70], [], [1, None, 2**40, 4]],
    )
    # The model sees 3 items: the last keep their own events and times, and "c" is excluded.
    assert [[id for id, _ in row] for row in answers] == [
        ["a|view|60", "b||70"],
        [],
        ["d|view|0c", f"e||{2**40}c", "f|buy|4c"],
    ]
    assert diary.recommend([[], []]) == [[], []]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "Expected events beside the histories, which this model reads. Received: none"),
        ({"events": [["view"], []]}, "Expected timestamps beside the histories"),
        ({"events": [["view"]], "timestamps": [[1], []]}, r"as many events as items .*: \[1, 0\]. Received: \[1\]"),
        ({"events": [["view"], []], "timestamps": [[1, 2], []]}, r"as many timestamps .* \[1, 0\]. Received: \[2, 0\]"),
        ({"events": ["view", ""], "timestamps": [[1], []]}, r"Received: \['view', ''\]"),
        ({"events": [[5], []], "timestamps": [[1], []]}, "Expected strings as input 'history_events'. Received: 5"),
    ],
)
def test_what_does_not_go_with_the_history_is_refused(diary: Client, arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        diary.recommend([["a"], []], **arguments)


def test_a_model_that_reads_no_events_says_so(movies: Client) -> None:
    with pytest.raises(ValueError, match="Expected no events: this model does not read history_events"):
        movies.recommend([["a"]], events=[["view"]])


def test_a_client_that_does_not_look_first_is_told_by_the_server(diary: Client) -> None:
    ids = np.array([[b"a", b"", b""]], object)
    request = PredictRequest(model_spec=ModelSpec(name="diary"))
    for name in ("history_item_ids", "exclude_item_ids"):
        request.inputs[name].CopyFrom(encode(ids))
    with grpc.insecure_channel(diary.target) as channel, pytest.raises(grpc.RpcError) as caught:
        PredictionServiceStub(channel).Predict(request, timeout=10)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "input size does not match signature" in caught.value.details()


def test_the_other_signatures(movies: Client) -> None:
    assert movies.similar_items(["é", "b"], count=1) == [[("é-near", 1.0)], [("b-near", 1.0)]]
    assert movies.search(["TOY Story"]) == [[("toy story", 9.0)]]
    np.testing.assert_array_equal(movies.embed_item(["abc", ""]), np.array([[3, -3], [0, 0]], np.float32))


def test_ops_of_tensorflow_text_are_there(adder: Client) -> None:
    assert adder.predict("fold", {"text": ["Straße"]})["folded"].tolist() == [b"strasse"]


def test_a_version_by_number(adder: Client) -> None:
    for version, answer in [(1, 1.0), (2, 2.0), (None, 2.0)]:
        assert adder.predict("serving_default", {"x": [[0, 0, 0]]}, version)["y"][0, 0] == answer


@pytest.mark.parametrize(
    ("signature", "inputs", "message"),
    [
        ("nosig", {}, r"Expected a signature among \['echo', .*\]\. Received: 'nosig'"),
        ("serving_default", {}, r"Expected inputs \['x'\]\. Received: \[\]"),
        ("serving_default", {"z": [[1.0, 2.0, 3.0]]}, r"Expected inputs \['x'\]\. Received: \['z'\]"),
        ("serving_default", {"x": [[1.0, 2.0]]}, r"Expected float32 \[\?, 3\] as input 'x'\. Received: shape \[1, 2\]"),
        ("serving_default", {"x": [1.0, 2.0, 3.0]}, r"Received: shape \[3\]"),
        ("serving_default", {"x": np.zeros((0, 3), np.float32)}, "Expected a batch of 1 or more rows"),
        ("serving_default", {"x": []}, "Expected a batch of 1 or more rows"),
        ("serving_default", {"x": np.zeros((1, 3))}, r"Received: float64\. Convert it with \.astype\('float32'\)"),
        ("serving_default", {"x": [["a", "b", "c"]]}, "Expected float32 as input 'x'. Received: values of dtype <U1"),
        ("serving_default", {"x": [[1.0], [2.0, 3.0]]}, "Expected rows of one length"),
        ("slow", {"count": [1.5]}, "Expected int32 as input 'count'. Received: values of dtype float64"),
        ("echo", {"text": [1]}, "Expected strings as input 'text'. Received: 1"),
        ("echo", {"text": [None]}, "Expected strings as input 'text'. Received: None"),
        ("echo", {"text": [["a"], ["b", "c"]]}, "Expected rows of one length"),
        ("echo", {"text": ["\ud800"]}, "no valid Unicode"),
        (
            "kinds",
            {"long": [1, 2], "flag": [True], "half": [1.0]},
            r"Expected as many rows in every input\. Received: \{'flag': 1, 'half': 1, 'long': 2\}",
        ),
    ],
)
def test_what_does_not_fit_the_signature_is_not_sent(adder: Client, signature: str, inputs: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        adder.predict(signature, inputs)


def test_every_kind_of_input_comes_back(adder: Client) -> None:
    inputs = {"long": [2**40, -1], "flag": [True, False], "half": [1.5, 2]}
    outputs = adder.predict("kinds", inputs)
    assert outputs["long"].tolist() == [2**40 + 1, 0]
    assert outputs["flag"].tolist() == [False, True]
    assert outputs["half"].tolist() == [3.0, 4.0]
    for text in (["é", b"\xff"], np.array(["é", "b"]), np.array(["é", "b"], dtype=object)):
        expected = [value.encode() if isinstance(value, str) else value for value in text]
        assert adder.predict("echo", {"text": text})["text"].tolist() == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([],), "Expected a batch of 1 or more rows"),
        (("abc",), "Expected a list of lists of ids as histories"),
        ((["abc"],), "Expected a list of lists of ids as histories"),
        (([["a"]], [[], []]), "Expected 1 lists in exclude, one a history. Received: 2"),
        (([["a", ""]],), "Received: '' in row 0, which is the padding"),
        (([["a"]], None, 5), "Expected a count of 0 to 4"),
        (([["a"]], None, -1), "Expected a count of 0 to 4"),
    ],
)
def test_recommend_refuses(movies: Client, arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        movies.recommend(*arguments)


def test_one_string_is_no_list_of_strings(movies: Client) -> None:
    with pytest.raises(ValueError, match="Expected a list of strings as texts"):
        movies.search("toy story")


def test_rank_refuses(movies: Client) -> None:
    with pytest.raises(ValueError, match=r"Expected 2 lists in candidates, one a history\. Received: 1"):
        movies.rank([["a"], ["b"]], [["c"]])
    with pytest.raises(ValueError, match="Received: 'rank'"):
        movies.rank([["a"]], [["c"]])


def test_a_model_that_is_no_recommender_is_named(adder: Client) -> None:
    with pytest.raises(ValueError, match="Expected a recommender"):
        adder.recommend([["a"]])


def test_server_errors_carry_code_message_and_advice(server: object, adder: Client, movies: Client) -> None:
    with Client(adder.target, "zzz") as stranger, pytest.raises(ServingError) as caught:
        stranger.metadata()
    assert caught.value.code is grpc.StatusCode.NOT_FOUND
    assert caught.value.message.endswith("Servable not found for request: Latest(zzz)")
    assert "Check the model's name and version. If it still loads, wait: " in str(caught.value)
    assert "wait_until_available(), or --wait 60 on the command line." in str(caught.value)


def test_nobody_listening_is_unavailable() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        target = f"127.0.0.1:{unused.getsockname()[1]}"
    with Client(target, "movies") as client, pytest.raises(ServingError, match=r"tfrec\.serve") as caught:
        client.recommend([["a"]])
    assert caught.value.code is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("is_set_later", [False, True])
def test_every_call_has_a_deadline(is_set_later: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        target = f"127.0.0.1:{silent.getsockname()[1]}"
        start = time.monotonic()
        with Client(target, "movies", timeout=60 if is_set_later else 0.3) as client:
            if is_set_later:
                client.timeout = 0.3
            with pytest.raises(ServingError) as caught:
                client.recommend([["a"]])
        assert caught.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
        assert time.monotonic() - start < 5


IDS = st.text(min_size=1, max_size=3)


@given(rows=st.lists(st.lists(IDS, max_size=9), min_size=1, max_size=4), width=st.none() | st.integers(1, 6))
def test_padded_rows_end_with_the_last_ids_then_blanks(rows: list[list[str]], width: int | None) -> None:
    padded = pad("histories", rows, TensorSpec(tf.string, (None, width)), may_cut=True)
    longest = max(map(len, rows))
    smallest_power = next(power for power in (1, 2, 4, 8, 16) if power >= longest)
    assert padded.shape == (len(rows), width or smallest_power)
    for row, ids in zip(padded.tolist(), rows, strict=True):
        kept = ids[-len(row) :]
        assert row == kept + [""] * (len(row) - len(kept))


def test_what_must_not_be_cut_is_refused() -> None:
    with pytest.raises(ValueError, match="Expected at most 2 ids a row in exclude"):
        pad("exclude", [["a", "b", "c"]], TensorSpec(tf.string, (None, 2)), may_cut=False)


def test_a_spec_without_rows_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Received: string any shape"):
        pad("histories", [["a"]], TensorSpec(tf.string, None), may_cut=True)


def test_unknown_values_have_the_inputs_shape() -> None:
    assert unknown("country", FREE_WIDTH, 2).tolist() == [[""], [""]]
    vector = unknown("vector", TensorSpec(tf.float32, (None, 3)), 2)
    assert (vector.shape, vector.dtype, np.isnan(vector).all()) == ((2, 3), np.float32, True)
    with pytest.raises(ValueError, match="Received: 'hour', int64"):
        unknown("hour", TensorSpec(tf.int64, (None,)), 2)


def test_no_more_items_is_dropped_before_counting() -> None:
    outputs = {
        "item_ids": np.array([[b"", b"a", b"b"]], dtype=object),
        "scores": np.array([[3, 2, 1]], np.float32),
    }
    assert ranking(outputs, None) == [[("a", 2.0), ("b", 1.0)]]
    assert ranking(outputs, 1) == [[("a", 2.0)]]
    assert ranking(outputs, 0) == [[]]
