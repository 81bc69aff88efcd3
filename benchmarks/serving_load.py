"""How many recommendations a second the embedded server gives, how late, and what it does when more are asked for.

    python benchmarks/serving_load.py --model_base_path saved_models/films [--seconds 10] [--timeout 2]
        [--batching_parameters_file FILE] [--grpc_max_threads 64]

Open loop: requests are sent at the times of a Poisson process, whatever the answers do, and each latency is counted
from the planned time, so that a server that falls behind cannot slow down who measures it. The server is a process of
its own, once without and once with batching. Rates rise by half until less than nine tenths are answered; then twice
what was answered is asked for, and at once half of it: the server must have recovered. Latencies are of what was
answered in time; `lag` is the 99th percentile of how late this process itself sent. What is refused is not asked again,
as tfrec's clients would.
"""

import argparse
import asyncio
import itertools
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from recorded_runs import markdown_row
from served import PREDICT, Served, percentiles, random_requests

# Each allowed size costs at most twice the rows that it was asked for. serving/batching.config runs 2 rows as 8.
BATCHING = """
max_batch_size { value: 32 }
allowed_batch_sizes: [1, 2, 4, 8, 16, 32]
batch_timeout_micros { value: 2000 }
num_batch_threads { value: 2 }
max_enqueued_batches { value: 100 }
"""


@dataclass
class Outcome:
    """What became of the requests of one rate; times in milliseconds."""

    planned_seconds: float
    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    lags: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)

    @property
    def answered(self) -> float:
        """Requests answered a second."""
        return len(self.latencies) / self.seconds

    def is_saturated(self) -> bool:
        sent = len(self.latencies) + self.errors.total()
        return self.answered < 0.9 * sent / self.planned_seconds


async def ask(target: str, requests: Sequence[bytes], rate: float, seconds: float, timeout: float) -> Outcome:
    """Sends at a rate for some seconds and waits for every answer."""
    import grpc
    import grpc.aio

    generator = np.random.default_rng(int(rate * 1000))
    planned = np.cumsum(generator.exponential(1 / rate, int(rate * seconds))).tolist()
    outcome = Outcome(planned[-1])
    async with grpc.aio.insecure_channel(target, options=[("grpc.enable_retries", 0)]) as channel:
        await channel.channel_ready()
        predict = channel.unary_unary(PREDICT)
        started = time.perf_counter()

        async def send(request: bytes, when: float) -> None:
            outcome.lags.append(1000 * (time.perf_counter() - started - when))
            try:
                await predict(request, timeout=timeout)
            except grpc.aio.AioRpcError as error:
                outcome.errors[error.code().name] += 1
            else:
                outcome.latencies.append(1000 * (time.perf_counter() - started - when))

        async with asyncio.TaskGroup() as sent:
            for request, when in zip(itertools.cycle(requests), planned, strict=False):
                await asyncio.sleep(max(0.0, when - (time.perf_counter() - started)))
                sent.create_task(send(request, when))
        outcome.seconds = time.perf_counter() - started
    return outcome


def measure(arguments: argparse.Namespace, flags: list[str], log: Path) -> None:
    """One server, from the first rate to the recovery."""
    versions = [each for each in arguments.model_base_path.iterdir() if each.name.isdecimal()]
    print(markdown_row("", "offered / s", "answered / s", "p50 ms", "p95 ms", "p99 ms", "errors", "lag ms"))
    print(markdown_row("---", *["--:"] * 5, "---", "--:"))
    with Served(arguments.model_base_path, log, flags) as server:
        server.wait_until_available()
        newest = max(versions, key=lambda each: int(each.name))
        requests = [each.SerializeToString() for each in random_requests(server.target, newest, 500)]

        def run(what: str, rate: float, seconds: float) -> Outcome:
            outcome = asyncio.run(ask(server.target, requests, rate, seconds, arguments.timeout))
            errors = ", ".join(f"{code} {count}" for code, count in sorted(outcome.errors.items()))
            row = f"{rate:.0f}", f"{outcome.answered:.0f}", *percentiles(outcome.latencies), errors
            print(markdown_row(what, *row, percentiles(outcome.lags)[-1]), flush=True)
            return outcome

        run("warming up", arguments.first_rate, 3.0)
        rate = arguments.first_rate
        best = 0.0
        while True:
            outcome = run("", rate, arguments.seconds)
            best = max(best, outcome.answered)
            if outcome.is_saturated():
                break
            rate *= 1.5
        run("twice as many", 2 * best, 2 * arguments.seconds)
        run("afterwards, half", best / 2, arguments.seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model_base_path", type=Path, required=True)
    parser.add_argument("--batching_parameters_file", type=Path, help="unless given, sizes of powers of two up to 32")
    parser.add_argument("--grpc_max_threads", type=int, default=64, help="of the server that batches")
    parser.add_argument("--first_rate", type=float, default=20.0)
    parser.add_argument("--seconds", type=float, default=10.0, help="at each rate")
    parser.add_argument("--timeout", type=float, default=2.0, help="of each request, in seconds")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        parameters = arguments.batching_parameters_file
        if parameters is None:
            parameters = Path(folder) / "batching.config"
            parameters.write_text(BATCHING)
        batching = ["--enable_batching", "--batching_parameters_file", str(parameters)]
        batching += ["--grpc_max_threads", str(arguments.grpc_max_threads)]
        for what, flags in (("each request by itself", []), ("batched", batching)):
            print(f"\n{what}\n")
            measure(arguments, flags, Path(folder) / "server.log")


if __name__ == "__main__":
    main()
