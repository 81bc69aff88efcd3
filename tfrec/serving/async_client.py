"""The client for asyncio: every method of `Client`, to be awaited."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Self

import grpc
import grpc.aio
import numpy as np

from tfrec.serving.calls import BaseClient, Result, Steps, Version
from tfrec.serving.rows import Recommendations
from tfrec.serving.signatures import Signature, Values


class AsyncClient(BaseClient):
    """Asks a served model from an event loop: `Client`'s methods and arguments, checks and errors.

    Make it where its loop runs. A call that is cancelled is cancelled at the server too.

    Args:
        target, model_name, timeout, credentials: As `Client` takes them.

    Example:
        >>> async with AsyncClient("127.0.0.1:8500", "movies") as client:
        ...     await asyncio.gather(*(client.recommend([history]) for history in (["50"], ["181"])))
    """

    transport = grpc.aio

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connection."""
        await self._channel.close()

    async def wait_until_available(self, timeout: float = 60.0) -> int:
        """As `Client.wait_until_available`."""
        return await self._take(self._calls.wait_until_available(timeout))

    async def metadata(self, version: Version = None) -> dict[str, Signature]:
        """As `Client.metadata`."""
        return await self._take(self._calls.metadata(version))

    async def predict(
        self, signature: str, inputs: Mapping[str, Values], version: Version = None
    ) -> dict[str, np.ndarray]:
        """As `Client.predict`."""
        return await self._take(self._calls.predict(signature, inputs, version))

    async def recommend(
        self,
        histories: Sequence[Sequence[str]],
        exclude: Sequence[Sequence[str]] | None = None,
        count: int | None = None,
        version: Version = None,
        attributes: Mapping[str, Sequence[Any]] | None = None,
        events: Sequence[Sequence[str | None]] | None = None,
        timestamps: Sequence[Sequence[int | None]] | None = None,
        filters: Mapping[str, Sequence[Any]] | None = None,
    ) -> Recommendations:
        """As `Client.recommend`."""
        return await self._take(
            self._calls.recommend(histories, exclude, count, version, attributes, events, timestamps, filters)
        )

    async def rank(
        self,
        histories: Sequence[Sequence[str]],
        candidates: Sequence[Sequence[str]],
        version: Version = None,
        attributes: Mapping[str, Sequence[Any]] | None = None,
        events: Sequence[Sequence[str | None]] | None = None,
        timestamps: Sequence[Sequence[int | None]] | None = None,
        labels: Sequence[Sequence[float]] | None = None,
        outcome: str | None = None,
    ) -> Recommendations:
        """As `Client.rank`."""
        return await self._take(
            self._calls.rank(histories, candidates, version, attributes, events, timestamps, labels, outcome)
        )

    async def similar_items(
        self, item_ids: Sequence[str], count: int | None = None, version: Version = None
    ) -> Recommendations:
        """As `Client.similar_items`."""
        return await self._take(self._calls.similar_items(item_ids, count, version))

    async def search(self, texts: Sequence[str], count: int | None = None, version: Version = None) -> Recommendations:
        """As `Client.search`."""
        return await self._take(self._calls.search(texts, count, version))

    async def embed_item(self, texts: Sequence[str], version: Version = None) -> np.ndarray:
        """As `Client.embed_item`."""
        return await self._take(self._calls.embed_item(texts, version))

    async def _take(self, steps: Steps[Result]) -> Result:
        """Takes the steps to their result, one call after the other."""
        try:
            step = next(steps)
            while True:
                if isinstance(step, float):
                    await asyncio.sleep(step)
                    step = steps.send(None)
                    continue
                try:
                    response = await self._methods[step.method](
                        step.request, timeout=step.timeout, wait_for_ready=self._calls.has_answered
                    )
                except grpc.RpcError as error:
                    step = steps.throw(self._calls.error(error))
                else:
                    self._calls.has_answered = True
                    step = steps.send(response)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
