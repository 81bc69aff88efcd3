"""The client for asyncio gives what the client gives; both ask again only where that is safe."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
import pytest

from tfrec.serving.async_client import AsyncClient
from tfrec.serving.client import Client, ServingError
from tfrec.serving.server import Server


def run(target: str, model: str, ask: Callable[[AsyncClient], Awaitable[Any]], timeout: float = 10) -> Any:
    """What a coroutine of a client of its own returns."""

    async def main() -> Any:
        async with AsyncClient(target, model, timeout) as client:
            return await ask(client)

    return asyncio.run(main())


def test_both_clients_have_the_same_methods_and_arguments() -> None:
    def methods(kind: type) -> dict[str, list[inspect.Parameter]]:
        return {
            name: list(inspect.signature(method).parameters.values())
            for name, method in inspect.getmembers(kind, inspect.isfunction)
            if not name.startswith("_") or name == "__init__"
        }

    assert methods(AsyncClient) == methods(Client)


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("recommend", ([["a", "b"], ["a", "b", "c", "d", "e"]], [["a"], []], 2)),
        ("similar_items", (["a"],)),
        ("search", (["A"],)),
        ("metadata", ()),
        ("wait_until_available", ()),
    ],
)
def test_an_answer_is_the_same(movies: Client, method: str, arguments: tuple) -> None:
    expected = getattr(movies, method)(*arguments)
    assert run(movies.target, "movies", lambda client: getattr(client, method)(*arguments)) == expected


def test_arrays_are_the_same(movies: Client, adder: Client) -> None:
    embedding = run(movies.target, "movies", lambda client: client.embed_item(["ab"]))
    assert np.array_equal(embedding, [[2.0, -2.0]])
    x = [[1.0, 2.0, 3.0]]
    outputs = run(adder.target, "adder", lambda client: client.predict("serving_default", {"x": x}, version=1))
    assert outputs["y"].tolist() == [[2.0, 3.0, 4.0]]


def test_many_requests_at_a_time(adder: Client) -> None:
    async def ask(client: AsyncClient) -> list[float]:
        asked = [client.predict("serving_default", {"x": [[n, n, n]]}) for n in range(50)]
        return [answer["s"][0] for answer in await asyncio.gather(*asked)]

    assert run(adder.target, "adder", ask) == [3.0 * n for n in range(50)]


def test_errors_are_the_same(server: Server, movies: Client) -> None:
    with pytest.raises(ValueError, match="Expected inputs"):
        run(movies.target, "movies", lambda client: client.predict("search", {"texts": ["a"]}))
    with pytest.raises(ServingError, match=r"Latest\(zzz\)\. Check the model's name") as caught:
        run(movies.target, "zzz", lambda client: client.search(["a"]))
    assert caught.value.code is grpc.StatusCode.NOT_FOUND


class Moody(grpc.GenericRpcHandler):
    """A server that fails with these codes, one after the other, and then answers with an empty message."""

    def __init__(self) -> None:
        self.codes: list[grpc.StatusCode] = []
        self.asked = 0

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        def answer(_: bytes, context: grpc.ServicerContext) -> bytes:
            self.asked += 1
            if self.codes:
                context.abort(self.codes.pop(0), "moody")
            return b""

        return grpc.unary_unary_rpc_method_handler(answer)


@pytest.fixture
def moody() -> Iterator[tuple[Moody, str]]:
    handler = Moody()
    server = grpc.server(ThreadPoolExecutor(2), [handler])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield handler, f"127.0.0.1:{port}"
    server.stop(None)


def metadata(target: str, is_async: bool, timeout: float = 10) -> dict:
    if is_async:
        return run(target, "any", lambda client: client.metadata(), timeout)
    with Client(target, "any", timeout) as client:
        return client.metadata()


@pytest.mark.parametrize("is_async", [False, True])
def test_unavailable_is_asked_again(moody: tuple[Moody, str], is_async: bool) -> None:
    handler, target = moody
    handler.codes = [grpc.StatusCode.UNAVAILABLE] * 2
    assert metadata(target, is_async) == {}
    assert handler.asked == 3


@pytest.mark.parametrize("is_async", [False, True])
def test_every_other_error_is_final(moody: tuple[Moody, str], is_async: bool) -> None:
    handler, target = moody
    handler.codes = [grpc.StatusCode.INTERNAL, grpc.StatusCode.RESOURCE_EXHAUSTED]
    for code in list(handler.codes):
        with pytest.raises(ServingError) as caught:
            metadata(target, is_async)
        assert caught.value.code is code
    assert handler.asked == 2


def test_asking_again_has_an_end(moody: tuple[Moody, str]) -> None:
    handler, target = moody
    handler.codes = [grpc.StatusCode.UNAVAILABLE] * 100
    with pytest.raises(ServingError, match="UNAVAILABLE") as caught:
        metadata(target, False)
    assert caught.value.message == f"{target}: moody"
    assert handler.asked == 4


def test_the_deadline_holds_for_all_tries_together(moody: tuple[Moody, str]) -> None:
    handler, target = moody
    handler.codes = [grpc.StatusCode.UNAVAILABLE] * 100
    with pytest.raises(ServingError):
        metadata(target, False, timeout=0.05)
    assert handler.asked <= 1  # The second try comes 0.08 seconds after the first at the earliest.
