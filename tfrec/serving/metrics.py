"""What the server counts and measures, under TensorFlow Serving's names, as a page for Prometheus."""

import bisect
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tfrec.serving.errors import as_request_error
from tfrec.serving.text_protos import read_text_proto

DEFAULT_PATH = "/monitoring/prometheus/metrics"


def read_monitoring_config_file(path: Path) -> str | None:
    """Where the page is, by a MonitoringConfig in text format; None, it is not to be served.

    Raises:
        StartError: The file cannot be read or parsed.
    """
    prometheus = read_text_proto(path, "MonitoringConfig").prometheus_config
    return (prometheus.path or DEFAULT_PATH) if prometheus.enable else None


class Counter:
    """A number that only grows, for each combination of labels. Thread-safe."""

    def __init__(self, name: str, labels: Sequence[str] = ()) -> None:
        self.name = name
        self._labels = labels
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, ...], int] = {}

    def add(self, *values: str) -> None:
        """Adds one, for these values of the labels."""
        with self._lock:
            self._counts[values] = self._counts.get(values, 0) + 1

    def lines(self) -> list[str]:
        """In Prometheus' text format."""
        with self._lock:
            counts = sorted(self._counts.items())
        return [
            f"# TYPE {self.name} counter",
            *(f"{self.name}{{{_labels(self._labels, values)}}} {count}" for values, count in counts),
        ]


class Histogram:
    """How many measurements are up to each limit, for each combination of labels. Thread-safe.

    Args:
        name: What is measured.
        labels: The names of the labels.
        scale: The lowest limit.
        growth: Each limit by the one before.
        count: How many limits; above the last there is infinity.
    """

    def __init__(self, name: str, labels: Sequence[str], scale: float, growth: float, count: int) -> None:
        self.name = name
        self._labels = labels
        self._limits = [scale * growth**power for power in range(count)]
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, ...], list[int]] = {}
        self._sums: dict[tuple[str, ...], float] = {}

    def add(self, measured: float, *values: str) -> None:
        """Adds a measurement, for these values of the labels."""
        with self._lock:
            counts = self._counts.setdefault(values, [0] * (len(self._limits) + 1))
            counts[bisect.bisect_left(self._limits, measured)] += 1
            self._sums[values] = self._sums.get(values, 0.0) + measured

    def lines(self) -> list[str]:
        """In Prometheus' text format."""
        lines = [f"# TYPE {self.name} histogram"]
        with self._lock:
            for values, counts in sorted(self._counts.items()):
                labels = _labels(self._labels, values)
                cumulative = 0
                for limit, count in zip([*(f"{limit:g}" for limit in self._limits), "+Inf"], counts, strict=True):
                    cumulative += count
                    separator = "," if labels else ""
                    lines.append(f'{self.name}_bucket{{{labels}{separator}le="{limit}"}} {cumulative}')
                lines.append(f"{self.name}_sum{{{labels}}} {self._sums[values]:.16g}")
                lines.append(f"{self.name}_count{{{labels}}} {cumulative}")
        return lines


class Metrics:
    """Everything that a server measures; times are in microseconds."""

    def __init__(self) -> None:
        prefix = ":tensorflow:serving:"
        batching = f"{prefix}batching_session:"
        self.request_count = Counter(f"{prefix}request_count", ["model_name", "status"])
        self.request_latency = Histogram(
            f"{prefix}request_latency", ["model_name", "API", "entrypoint"], scale=10, growth=1.8, count=33
        )
        self.runtime_latency = Histogram(
            f"{prefix}runtime_latency", ["model_name", "API", "runtime"], scale=10, growth=1.8, count=33
        )
        self.input_batch_size = Histogram(f"{batching}input_batch_size", [], scale=1, growth=2, count=14)
        self.processed_batch_size = Histogram(f"{batching}processed_batch_size", [], scale=1, growth=2, count=14)
        self.padding_size = Histogram(f"{batching}padding_size", ["execution_batch_size"], scale=1, growth=2, count=14)
        self.queuing_latency = Histogram(
            f"{batching}queuing_latency", ["thread_pool_name"], scale=100, growth=1.2, count=52
        )
        self.wrapped_run_count = Counter(f"{batching}wrapped_run_count")

    @contextmanager
    def request(self, model_name: str, api: str, entrypoint: str) -> Iterator[None]:
        """Counts a request by how it ends, and measures it if it ends well."""
        start = time.perf_counter()
        try:
            yield
        except Exception as error:
            self.request_count.add(model_name, as_request_error(error).code.name)
            raise
        self.request_latency.add((time.perf_counter() - start) * 1e6, model_name, api, entrypoint)
        self.request_count.add(model_name, "OK")

    def page(self) -> str:
        """Everything in Prometheus' text format."""
        measured = sorted(vars(self).values(), key=lambda each: each.name)
        return "\n".join(line for each in measured for line in each.lines()) + "\n"


def _labels(names: Sequence[str], values: Sequence[str]) -> str:
    return ",".join(f'{name}="{_escape(value)}"' for name, value in zip(names, values, strict=True))


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
