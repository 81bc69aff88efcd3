"""The REST API over a real port: rows, columns, base64, every error, and bodies that are no JSON at all."""

import base64
import http.client
import json
import socket
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tfrec.serving.server import Server

ADDER = "/v1/models/adder"
PREDICT = f"{ADDER}:predict"


def ask(server: Server, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """Status and JSON of an answer; a body that is not bytes is sent as JSON."""
    connection = http.client.HTTPConnection("127.0.0.1", server.rest_api_port or 0, timeout=10)
    content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    connection.request(method, path, content)
    response = connection.getresponse()
    answer = json.loads(response.read())
    connection.close()
    return response.status, answer


def test_rows(server: Server) -> None:
    answer = ask(server, "POST", PREDICT, {"instances": [[1, 0.2, 3], [0, 0, 1e3]]})
    assert answer == (
        200,
        {"predictions": [{"s": 4.2, "y": [3.0, 2.2, 5.0]}, {"s": 1000.0, "y": [2.0, 2.0, 1002.0]}]},
    )


def test_rows_with_named_inputs(server: Server) -> None:
    body = {"instances": [{"x": [1, 2, 3]}]}
    assert ask(server, "POST", PREDICT, body) == (200, {"predictions": [{"s": 6.0, "y": [3.0, 4.0, 5.0]}]})


def test_columns(server: Server) -> None:
    expected = (200, {"outputs": {"s": [6.0], "y": [[3.0, 4.0, 5.0]]}})
    assert ask(server, "POST", PREDICT, {"inputs": [[1, 2, 3]]}) == expected
    assert ask(server, "POST", PREDICT, {"inputs": {"x": [[1, 2, 3]]}}) == expected


def test_a_single_output_stands_alone(server: Server) -> None:
    body: dict[str, Any] = {"signature_name": "slow"}
    assert ask(server, "POST", PREDICT, body | {"instances": [3]}) == (200, {"predictions": [3]})
    assert ask(server, "POST", PREDICT, body | {"inputs": [3]}) == (200, {"outputs": [3]})


def test_a_scalar_string(server: Server) -> None:
    answer = ask(server, "POST", PREDICT, {"signature_name": "echo", "inputs": "é"})
    assert answer == (200, {"outputs": {"text": "é", "text_bytes": {"b64": base64.b64encode("é".encode()).decode()}}})


def test_a_version_by_number(server: Server) -> None:
    status, answer = ask(server, "POST", f"{ADDER}/versions/1:predict", {"inputs": [[0, 0, 0]]})
    assert (status, answer["outputs"]["y"]) == (200, [[1.0, 1.0, 1.0]])


def test_base64_is_bytes_and_outputs_named_bytes_are_base64(server: Server) -> None:
    raw = bytes(range(256))
    encoded = {"b64": base64.b64encode(raw).decode()}
    status, answer = ask(server, "POST", PREDICT, {"signature_name": "echo", "instances": ["é", encoded]})
    assert status == 200
    assert answer["predictions"][0] == {"text": "é", "text_bytes": {"b64": base64.b64encode("é".encode()).decode()}}
    assert answer["predictions"][1]["text_bytes"] == encoded


def test_numbers_that_json_lacks_and_kinds_of_tensors(server: Server) -> None:
    status, answer = ask(server, "POST", PREDICT, b'{"inputs": [[NaN, Infinity, 0.1]]}')
    assert status == 200
    assert answer["outputs"]["y"][0][1:] == [float("inf"), 2.1]
    assert answer["outputs"]["y"][0][0] != answer["outputs"]["y"][0][0]
    body = {"signature_name": "kinds", "instances": [{"long": 2**40, "flag": True, "half": 1.5}]}
    message = "Conversion of JSON Value: 1.5 to type: half"
    status, answer = ask(server, "POST", PREDICT, body)
    assert (status, message in answer["error"]) == (400, True)


def test_status(server: Server) -> None:
    status, answer = ask(server, "GET", ADDER)
    assert status == 200
    healthy = {"error_code": "OK", "error_message": ""}
    assert answer["model_version_status"] == [
        {"version": "2", "state": "AVAILABLE", "status": healthy},
        {"version": "1", "state": "AVAILABLE", "status": healthy},
    ]
    assert [each["version"] for each in ask(server, "GET", f"{ADDER}/versions/1")[1]["model_version_status"]] == ["1"]


def test_metadata(server: Server) -> None:
    status, answer = ask(server, "GET", f"{ADDER}/metadata")
    assert status == 200
    assert answer["model_spec"] == {"name": "adder", "signature_name": "", "version": "2"}
    x = answer["metadata"]["signature_def"]["signature_def"]["serving_default"]["inputs"]["x"]
    assert x["dtype"] == "DT_FLOAT"
    assert [dimension["size"] for dimension in x["tensor_shape"]["dim"]] == ["-1", "3"]


FLOAT = "is not of expected type: float"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "message"),
    [
        ("POST", "/v1/models/zzz:predict", {"inputs": [1]}, 404, "Servable not found for request: Latest(zzz)"),
        (
            "POST",
            f"{ADDER}/versions/9:predict",
            {"inputs": [1]},
            404,
            "Servable not found for request: Specific(adder, 9)",
        ),
        (
            "POST",
            f"{ADDER}/labels/nope:predict",
            {"inputs": [1]},
            400,
            "Unrecognized servable version label: nope",
        ),
        (
            "POST",
            PREDICT,
            {"signature_name": "nosig", "inputs": [1]},
            400,
            'Serving signature name: "nosig" not found in signature def',
        ),
        ("POST", PREDICT, {"signature_name": 1, "inputs": [1]}, 400, "'signature_name' key must be a string value."),
        ("POST", PREDICT, {"instances": [1], "inputs": [1]}, 400, "expecting only one of 'inputs' or 'instances'"),
        ("POST", PREDICT, {}, 400, "Missing 'inputs' or 'instances' key"),
        ("POST", PREDICT, {"instances": []}, 400, "No values in 'instances' array"),
        ("POST", PREDICT, {"instances": 1}, 400, "Excepting 'instances' to be an list/array"),
        ("POST", PREDICT, {"instances": [{"z": [1, 2, 3]}]}, 400, "does not have named input: z"),
        ("POST", PREDICT, {"instances": [{}]}, 400, "keys must be equal to: x"),
        ("POST", PREDICT, {"instances": [{"x": [1, 2, 3]}, [1, 2, 3]]}, 400, "Expecting object but got list at item 1"),
        ("POST", PREDICT, {"instances": [[1, 2, 3], {"x": [1]}]}, 400, "Expecting value/list but got object at item 1"),
        ("POST", PREDICT, {"instances": [[1, 2, 3], [1]]}, 400, "Expecting tensor size: 3 but got: 1"),
        ("POST", PREDICT, {"instances": [[1], [[1]]]}, 400, "Expecting shape [1] but got: [1, 1]"),
        ("POST", PREDICT, {"inputs": {"z": [[1]]}}, 400, "Missing named input: x in 'inputs' object."),
        ("POST", PREDICT, {"inputs": [["a", "b", "c"]]}, 400, FLOAT),
        ("POST", PREDICT, {"inputs": [[None, True, {}]]}, 400, FLOAT),
        ("POST", PREDICT, {"inputs": [[True, 1, 1]]}, 400, f"Type: True {FLOAT}"),
        ("POST", PREDICT, {"inputs": [[2**24, 1, 1]]}, 400, "16777216 to float without loss of precision."),
        ("POST", PREDICT, {"inputs": [[1e39, 1, 1]]}, 400, "1e+39 to float without loss of precision."),
        ("POST", PREDICT, {"inputs": [[1, 2], 3]}, 400, "found at incorrect level: 2 in the JSON DOM"),
        ("POST", PREDICT, {"inputs": [1, [2]]}, 400, "Encountered list at unexpected level: 1 expected < 1"),
        ("POST", PREDICT, {"inputs": [[1, 2], [3]]}, 400, "Encountered list at unexpected size: 1 at level: 1"),
        ("POST", PREDICT, {"signature_name": "echo", "inputs": [{"b64": "*"}]}, 400, "Unable to base64 decode"),
        (
            "POST",
            PREDICT,
            {"signature_name": "echo", "inputs": [{"b65": "eA=="}]},
            400,
            "not formatted correctly for base64 data",
        ),
        ("POST", PREDICT, {"signature_name": "kinds", "inputs": [1]}, 400, "inputs is a plain value/list"),
        ("POST", PREDICT, {"signature_name": "kinds", "instances": [1]}, 400, "instances is a plain list"),
        ("POST", PREDICT, {"signature_name": "slow", "inputs": [2**31]}, 400, "is not of expected type: int32"),
        ("POST", PREDICT, {"signature_name": "slow", "inputs": [1.5]}, 400, "is not of expected type: int32"),
        ("POST", PREDICT, {"signature_name": "echo", "inputs": ["\ud800"]}, 400, "surrogate pair"),
        ("POST", PREDICT, b"", 400, "JSON Parse error: The document is empty"),
        ("POST", PREDICT, b"{", 400, "JSON Parse error"),
        ("POST", PREDICT, b"\xff\xfe{}", 400, "JSON Parse error"),
        ("POST", PREDICT, b"[]", 400, "Is not object"),
        ("POST", PREDICT, b'{"inputs": ' + b"[" * 100_000, 400, "JSON Parse error"),
        ("POST", PREDICT, b'{"inputs": ' + b"[" * 60 + b"]" * 60 + b"}", 400, "Encountered list at unexpected level"),
        ("POST", PREDICT, b'{"inputs": [' + b"9" * 5000 + b"]}", 400, "JSON Parse error"),
        ("POST", f"{ADDER}:fly", {}, 400, "Malformed request: POST /v1/models/adder:fly"),
        ("POST", f"{ADDER}/versions/{2**64}:predict", {}, 400, "Failed to convert version"),
        ("GET", PREDICT, None, 400, "Malformed request: GET /v1/models/adder:predict"),
        ("GET", "/", None, 400, "Malformed request: GET /"),
        ("GET", "/v1/models", None, 400, "Missing model name in request."),
        ("GET", "/v1/models/zz", None, 404, "Could not find any versions of model zz"),
        ("GET", f"{ADDER}/versions/7", None, 404, "Could not find version 7 of model adder"),
        ("GET", "/v1/models/zz/metadata", None, 404, "Servable not found for request: Latest(zz)"),
    ],
)
def test_errors(server: Server, method: str, path: str, body: Any, status: int, message: str) -> None:
    answer = ask(server, method, path, body)
    assert answer[0] == status
    assert set(answer[1]) == {"error"}
    assert message in answer[1]["error"]


def test_a_connection_is_kept_for_several_requests(server: Server) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.rest_api_port or 0, timeout=10)
    sockets = set()
    for body in (b'{"inputs": [[1, 2, 3]]}', b"no json", b'{"inputs": [[1, 2, 3]]}'):
        connection.request("POST", PREDICT, body)
        response = connection.getresponse()
        response.read()
        sockets.add(connection.sock)
    assert response.status == 200
    assert len(sockets) == 1
    connection.close()


@pytest.mark.parametrize(
    ("headers", "status"),
    [("", b"411"), ("Content-Length: -1\r\n", b"400"), ("Content-Length: 99999999999\r\n", b"400")],
)
def test_a_body_of_unknown_length_is_refused(server: Server, headers: str, status: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.rest_api_port or 0), timeout=10) as connection:
        connection.sendall(f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\n{headers}\r\n".encode())
        assert connection.recv(1000).split()[1] == status


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["x", "b64", "text"]), inner),
    max_leaves=8,
)
BODIES = st.binary(max_size=60) | st.fixed_dictionaries(
    {},
    optional={
        "instances": JSON,
        "inputs": JSON,
        "signature_name": st.sampled_from(["echo", "kinds", "serving_default"]) | JSON,
    },
).map(lambda body: json.dumps(body).encode())


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=BODIES)
def test_no_body_is_the_servers_own_error(server: Server, body: bytes) -> None:
    status, answer = ask(server, "POST", PREDICT, body)
    assert status == 200 or (status in (400, 501) and set(answer) == {"error"})
