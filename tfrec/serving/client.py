"""The client: typed calls to a served recommender, over gRPC, of this server or of TensorFlow Serving."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Self

import grpc
import numpy as np

from tfrec.serving.calls import BaseClient, Result, ServingError, Steps, Version
from tfrec.serving.rows import Recommendations
from tfrec.serving.signatures import Signature, Values

__all__ = ["Client", "ServingError"]


class Client(BaseClient):
    """Asks a served model. Thread-safe; close it, or use it as a context manager.

    What it sends is checked against the model's metadata first, because TensorFlow Serving runs wrong shapes.

    Args:
        target: `host:port` of the gRPC port.
        model_name: The name under which the model is served.
        timeout: Seconds that a call may take.
        credentials: For an encrypted port: `grpc.ssl_channel_credentials(root_certificates=…)`.

    Example:
        >>> with Client("127.0.0.1:8500", "movies") as client:
        ...     client.recommend([["50", "181"], []], count=2)
        [[('172', 0.91), ('174', 0.88)], [('50', 0.52), ('258', 0.49)]]
    """

    transport = grpc

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection."""
        self._channel.close()

    def wait_until_available(self, timeout: float = 60.0) -> int:
        """Waits for a version that serves.

        Args:
            timeout: Seconds to wait.

        Returns:
            The highest version that serves.

        Raises:
            ServingError: None does in that time; the message says what was seen last.
        """
        return self._take(self._calls.wait_until_available(timeout))

    def metadata(self, version: Version = None) -> dict[str, Signature]:
        """The signatures by name; asked once, and again after the server has moved to another version.

        Args:
            version: A number or a label; None is the newest.

        Raises:
            ServingError: The server does not know the model or version, or does not answer.
        """
        return self._take(self._calls.metadata(version))

    def predict(self, signature: str, inputs: Mapping[str, Values], version: Version = None) -> dict[str, np.ndarray]:
        """Runs a signature.

        Args:
            signature: Its name.
            inputs: Name -> array or nested list, the batch first.
            version: A number or a label; None is the newest.

        Returns:
            Name -> array; strings are object arrays of `bytes`.

        Raises:
            ValueError: The inputs do not fit the signature; nothing was sent.
            ServingError: The server answered with an error, or not in time.
        """
        return self._take(self._calls.predict(signature, inputs, version))

    def recommend(
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
        """The items to show next: none of the history, none of what is excluded.

        Args:
            histories: For every user the item ids so far, oldest first; the last that the model takes in count. Those
                before them are excluded (where the model takes a fixed number of those, the most recent that fit).
            exclude: For every user the item ids not to recommend.
            count: At most so many items a user; None is all that the model gives.
            version: A number or a label; None is the newest.
            attributes: What is known of the users: input -> one value for each of them, None where it is unknown. What
                is not given is unknown.
            events: What was done with each item of the histories (view, purchase, …), None where it is unknown: as many
                as items. Of models that read it, and needed there unless no history has items.
            timestamps: When, in seconds since 1970; the same goes for these.
            filters: What the items must be, where the model was exported with filters. By a category's column: for
                every user a list of those that are welcome, all if it is empty. By a number's column with `_min` or
                `_max`: for every user the limit, None for none. `{"genre": [["war", "drama"]], "year_min": [1990]}`

        Raises:
            ValueError: No history, `exclude`, an attribute or a filter is not as long as `histories`, `events` or
                `timestamps` do not go with the histories, the model takes no such thing, or `count` is more than it
                gives.
            ServingError: The server answered with an error, or not in time.
        """
        return self._take(
            self._calls.recommend(histories, exclude, count, version, attributes, events, timestamps, filters)
        )

    def rank(
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
        """Candidates that come from elsewhere, best first, each with the probability that it is clicked, or is next;
        or, of a model that predicts it, with what showing it is worth.

        Args:
            histories: For every user the item ids so far, oldest first; the last that the model takes in count.
            candidates: For every user the item ids to rank; also those of the history, and unknown ones, are ranked.
            version: A number or a label; None is the newest.
            attributes, events, timestamps: As in `recommend`. Of a model that predicts the click, attributes are also
                `user_id` and the context of the request.
            labels: Whether each item of the histories was liked, 1 or 0; None is 0. Of models that read it, and needed
                there.
            outcome: Of a model with several tasks, what is to be probable instead: `bought`.

        Raises:
            ValueError: The model has no signature `rank`, or no such outcome; `candidates` or an attribute is not as
                long as `histories`, `events` or `timestamps` do not go with the histories, or the model takes no such
                thing.
            ServingError: The server answered with an error, or not in time.
        """
        return self._take(
            self._calls.rank(histories, candidates, version, attributes, events, timestamps, labels, outcome)
        )

    def similar_items(
        self, item_ids: Sequence[str], count: int | None = None, version: Version = None
    ) -> Recommendations:
        """For every item the items most like it. Raises as `recommend` does."""
        return self._take(self._calls.similar_items(item_ids, count, version))

    def search(self, texts: Sequence[str], count: int | None = None, version: Version = None) -> Recommendations:
        """For every text the items that fit it best. Raises as `recommend` does."""
        return self._take(self._calls.search(texts, count, version))

    def embed_item(self, texts: Sequence[str], version: Version = None) -> np.ndarray:
        """The item tower's vectors of texts, float32 `[len(texts), dimensions]`. Raises as `recommend` does."""
        return self._take(self._calls.embed_item(texts, version))

    def _take(self, steps: Steps[Result]) -> Result:
        """Takes the steps to their result, one call after the other."""
        try:
            step = next(steps)
            while True:
                if isinstance(step, float):
                    time.sleep(step)
                    step = steps.send(None)
                    continue
                try:
                    response = self._methods[step.method](
                        step.request, timeout=step.timeout, wait_for_ready=self._calls.has_answered
                    )
                except grpc.RpcError as error:
                    step = steps.throw(self._calls.error(error))
                else:
                    self._calls.has_answered = True
                    step = steps.send(response)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
