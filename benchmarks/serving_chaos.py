"""What the embedded server loses while versions come and go, fail and are broken, and what abuse does to it.

    python benchmarks/serving_chaos.py --model_base_path saved_models/films [--fuzz 200] [--minutes 2] [--reloads 10]
        [--small_disk FOLDER]

A real model's newest version is put into a folder of its own again and again, so that every answer of every version is
known: it must name the items that the first one named. Some 50 requests a second are asked throughout, at the times of
a Poisson process, by `AsyncClient` as a user has it: a request is lost if the client raises, and is not asked again.

--small_disk is a folder on a file system that is smaller than the model (`mount -t tmpfs -o size=4m tmpfs FOLDER`), on
which a version is written until it is full; without it a version is cut off as it would be there. --minutes 60
--reloads 50 is the long look at the memory. Give the whole a limit (`ulimit -v`) on a machine that others use.
"""

import argparse
import asyncio
import http.client
import itertools
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from recorded_runs import markdown_row
from served import MODEL_NAME, PREDICT, Served, percentiles, random_requests

TIMEOUT = 60.0
"""Of a request: longer than a start."""
FLAGS = ["--file_system_poll_wait_seconds", "0.5", "--max_num_load_retries", "1"]
FLAGS += ["--load_retry_interval_micros", "500000"]


class Load(threading.Thread):
    """Asks at a rate until `end` is called. What is counted belongs to the phase in which it was sent."""

    def __init__(
        self, target: str, requests: Sequence[dict[str, np.ndarray]], answers: Sequence[Any], rate: float
    ) -> None:
        super().__init__(daemon=True)
        self._target, self._rate = target, rate
        self._asked = list(zip(requests, answers, strict=True))
        self._is_over = threading.Event()
        self.begin_phase()

    def begin_phase(self) -> None:
        self.latencies: list[float] = []
        self.counts: Counter[str] = Counter()

    def row(self, phase: str) -> str:
        """Of the phase that ends; begins another one once every answer is there."""
        latencies, counts = self.latencies, self.counts
        self.begin_phase()
        deadline = time.monotonic() + 2 * TIMEOUT
        while True:  # Each that was sent becomes a latency or a loss.
            lost = {code: count for code, count in counts.items() if code != "sent"}
            if len(latencies) + sum(lost.values()) >= counts["sent"] or time.monotonic() > deadline:
                break
            time.sleep(0.05)
        told = ", ".join(f"{code} {count}" for code, count in sorted(lost.items())) or "none"
        longest = f"{max(latencies, default=0.0):.0f}"
        cells = counts["sent"], told, *percentiles(latencies), longest
        return markdown_row(phase, *map(str, cells))

    def end(self) -> None:
        self._is_over.set()
        self.join()

    def run(self) -> None:
        asyncio.run(self._ask_all())

    async def _ask_all(self) -> None:
        from tfrec.serving.async_client import AsyncClient

        generator = np.random.default_rng(0)
        async with AsyncClient(self._target, MODEL_NAME, TIMEOUT) as client, asyncio.TaskGroup() as group:
            planned = time.perf_counter()
            for inputs, answer in itertools.cycle(self._asked):
                planned += generator.exponential(1 / self._rate)
                await asyncio.sleep(max(0.0, planned - time.perf_counter()))
                if self._is_over.is_set():
                    return
                self.counts["sent"] += 1
                group.create_task(self._ask(client, inputs, answer, planned, self.latencies, self.counts))

    async def _ask(
        self, client: Any, inputs: Any, answer: Any, planned: float, latencies: list[float], counts: Counter[str]
    ) -> None:
        from tfrec.serving.client import ServingError

        try:
            outputs = await client.predict("serving_default", inputs)
        except ServingError as error:
            counts[error.code.name] += 1
            print(f"lost: {error}", file=sys.stderr, flush=True)
            return
        if outputs["item_ids"].ravel().tolist() != answer:
            counts["WRONG ANSWER"] += 1
            return
        latencies.append(1000 * (time.perf_counter() - planned))


class Chaos:
    """A server under load, and the folder that it watches."""

    def __init__(self, server: Served, source: Path, load: Load) -> None:
        self.server, self.source, self.load = server, source, load
        self.newest = 1

    def folder(self, number: int) -> Path:
        return self.server.base_path / str(number)

    def publish(self, spoil: Callable[[Path], None] | None = None) -> Path:
        """Puts the next version into place as an exporter does."""
        self.newest += 1
        unfinished = self.server.base_path / "writing"
        shutil.copytree(self.source, unfinished, copy_function=shutil.copy2 if spoil else os.link)
        if spoil:
            spoil(unfinished)
        return unfinished.rename(self.folder(self.newest))

    def swap(self) -> None:
        self.publish()
        self.wait_for_version(self.newest)
        shutil.rmtree(self.folder(self.newest - 2), ignore_errors=True)  # The one before stays, to go back to.

    def swaps(self, count: int) -> None:
        for _ in range(count):
            self.swap()

    def roll_back(self) -> None:
        away = self.server.base_path / "away"
        self.folder(self.newest).rename(away)
        self.wait_for_version(self.newest - 1)
        away.rename(self.folder(self.newest))
        self.wait_for_version(self.newest)

    def broken(self, spoil: Callable[[Path], None]) -> None:
        """A version that cannot serve: the one before must go on."""
        good = self.newest
        said = self.server.log.read_text().count("Given up after")
        self.publish(spoil)
        wait_until(lambda: self.server.log.read_text().count("Given up after") > said, "the version to be given up")
        time.sleep(1.0)
        shutil.rmtree(self.folder(self.newest).resolve(), ignore_errors=True)
        self.folder(self.newest).unlink(missing_ok=True)
        time.sleep(1.0)
        if (serving := self.server.version()) != good:
            raise RuntimeError(f"Expected version {good} to serve. Received: version {serving}.")
        self.newest = good

    def kill(self) -> None:
        self.server.kill_and_restart()
        self.server.wait_until_available()

    def wait_for_version(self, version: int) -> None:
        wait_until(lambda: self.server.version() == version, f"version {version}")


def wait_until(is_so: Callable[[], bool], what: str, timeout: float = 120.0) -> None:
    deadline = time.monotonic() + timeout
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError(f"Expected {what} within {timeout:g} s. Received: nothing.")
        time.sleep(0.05)


def write_nonsense(version: Path) -> None:
    (version / "saved_model.pb").write_bytes(np.random.default_rng(0).bytes(100_000))


def cut_off(version: Path) -> None:
    (data,) = (version / "variables").glob("variables.data-*")
    os.truncate(data, data.stat().st_size // 2)


def fail_warm_up(version: Path) -> None:
    import tensorflow as tf
    from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

    log = PredictionLog()
    log.predict_log.request.model_spec.name = MODEL_NAME
    log.predict_log.request.inputs["no_such_input"].CopyFrom(tf.make_tensor_proto(["1"]))
    with tf.io.TFRecordWriter(str(version / "assets.extra" / "tf_serving_warmup_requests")) as writer:
        writer.write(log.SerializeToString())


def fill(small_disk: Path, version: Path) -> None:
    """Moves a version to a disk on which it has no room; what fits stays."""
    try:
        shutil.copytree(version, small_disk / "version")
    except OSError as error:  # shutil.Error is one.
        if "No space left" not in str(error):
            raise
    else:
        raise RuntimeError(f"Expected {small_disk} to be smaller than the model. Received: room for it.")
    shutil.rmtree(version)
    version.symlink_to(small_disk / "version")


def abuses(valid: Sequence[Any], generator: np.random.Generator, count: int) -> Iterator[tuple[str, str, bytes]]:
    """What is wrong with it, "gRPC" or "REST", and what is sent."""
    from tensorflow.core.framework import types_pb2
    from tensorflow.core.framework.tensor_pb2 import TensorProto
    from tensorflow_serving.apis.predict_pb2 import PredictRequest

    for number in range(count):
        yield "random bytes", "gRPC", generator.bytes(int(generator.integers(1, 3000)))
        mutated = bytearray(valid[number % len(valid)].SerializeToString())
        for place in generator.integers(len(mutated), size=generator.integers(1, 9)):
            mutated[place] = generator.integers(256)
        yield "mutated requests", "gRPC", bytes(mutated)
        yield "random JSON", "REST", json.dumps(random_json(generator, 5)).encode()
        named = {"inputs": {name: random_json(generator, 4) for name in valid[0].inputs}}
        yield "random inputs", "REST", json.dumps(named).encode()
        yield "random bytes", "REST", generator.bytes(int(generator.integers(1, 3000)))

    def changed(**inputs: TensorProto) -> bytes:
        request = PredictRequest()
        request.CopyFrom(valid[0])
        for name, proto in inputs.items():
            request.inputs[name].CopyFrom(proto)
        return bytes(request.SerializeToString())

    def strings(values: list[bytes], shape: list[int]) -> TensorProto:
        proto = TensorProto(dtype=types_pb2.DT_STRING, string_val=values)
        for size in shape:
            proto.tensor_shape.dim.add(size=size)
        return proto

    width = valid[0].inputs["history_item_ids"].tensor_shape.dim[1].size
    shapes: Any = (
        [],
        [0],
        [0, width],
        [1],
        [1, 0],
        [1, 1],
        [1, width + 1],
        [1, 1, width],
        [3, width],
        [-1, 5],
        [1] * 300,
    )
    for shape in shapes:
        yield "wrong shapes", "gRPC", changed(history_item_ids=strings([b"1"], shape))
    for code in sorted(types_pb2.DataType.values()):
        yield "wrong dtypes", "gRPC", changed(history_item_ids=TensorProto(dtype=code, float_val=[1.0]))
    for size in (1_000, 10_000_000, 100_000_000):
        values = [b"x" * size] + [b""] * (width - 1)
        yield "giant strings", "gRPC", changed(history_item_ids=strings(values, [1, width]))
        yield "giant strings", "REST", json.dumps({"inputs": "x" * size}).encode()
    for size in (1_000, 10_000, 100_000):
        yield "long histories", "gRPC", changed(history_item_ids=strings([b"1"] * size, [1, size]))
        yield "long histories", "gRPC", changed(exclude_item_ids=strings([b"1"] * size, [1, size]))
    for size in (2**24, 2**31, 2**40, 2**62):
        yield "few values, huge shapes", "gRPC", changed(history_item_ids=strings([b"1"], [1, size]))
        proto = strings([], [size])
        proto.dtype = types_pb2.DT_FLOAT
        proto.float_val.append(1.0)
        yield "few values, huge shapes", "gRPC", changed(history_item_ids=proto)
    nested = b"\x0a\x00"
    for _ in range(1_000):  # TensorProto.variant_val.tensors is a TensorProto again.
        inner = b"\x1a" + _varint(len(nested)) + nested
        nested = b"\x7a" + _varint(len(inner)) + inner
    entry = b"\x0a\x01x\x12" + _varint(len(nested)) + nested
    yield "deep nesting", "gRPC", b"\x12" + _varint(len(entry)) + entry
    for depth in (30, 100, 10_000, 1_000_000):
        yield "deep nesting", "REST", b'{"inputs": ' + b"[" * depth + b"]" * depth + b"}"
        yield "deep nesting", "REST", b'{"inputs": ' + b'{"a": ' * depth + b"1" + b"}" * depth + b"}"


def random_json(generator: np.random.Generator, depth: int) -> Any:
    kind = generator.integers(4 if depth == 0 else 8)
    if kind == 0:
        return None if generator.random() < 0.5 else bool(generator.integers(2))
    if kind == 1:
        return float(generator.choice([0.0, -1.0, 1e308, float("inf"), float("nan"), generator.normal()]))
    if kind == 2:
        return int(generator.integers(-(2**62), 2**62)) ** int(generator.integers(1, 4))
    if kind == 3:
        return "".join(map(chr, generator.integers(0x10FFFF, size=generator.integers(9))))
    size = generator.integers(5)
    if kind < 6:
        return [random_json(generator, depth - 1) for _ in range(size)]
    keys = ["inputs", "instances", "signature_name", "b64", "history_item_ids", ""]
    return {str(generator.choice(keys)): random_json(generator, depth - 1) for _ in range(size)}


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    return bytes([*encoded, number])


def fuzz(server: Served, valid: Sequence[Any], count: int) -> None:
    """Sends every abuse, one after the other, and prints what came back."""
    import grpc

    answers: dict[str, Counter[str]] = {}
    slowest: Counter[str] = Counter()
    options = [("grpc.max_send_message_length", -1), ("grpc.enable_retries", 0)]
    with grpc.insecure_channel(server.target, options=options) as channel:
        predict = channel.unary_unary(PREDICT)
        for what, protocol, payload in abuses(valid, np.random.default_rng(0), count):
            started = time.perf_counter()
            if protocol == "gRPC":
                try:
                    predict(payload, timeout=30)
                    code = "OK"
                except grpc.RpcError as error:
                    code = error.code().name
            else:
                code = _post(server.rest_port, payload)
            key = f"{what}, {protocol}"
            answers.setdefault(key, Counter())[code] += 1
            slowest[key] = max(slowest[key], round(1000 * (time.perf_counter() - started)))
            if server.process.poll() is not None:
                raise RuntimeError(f"The server ended after {key}: {payload[:100]!r}. Read {server.log}.")
    print("\n" + markdown_row("what is sent", "how often", "answers", "slowest ms"))
    print(markdown_row("---", "--:", "---", "--:"))
    for key, codes in answers.items():
        told = ", ".join(f"{code} {number}" for code, number in sorted(codes.items()))
        print(markdown_row(key, str(codes.total()), told, str(slowest[key])))


def _post(port: int, payload: bytes) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("POST", f"/v1/models/{MODEL_NAME}:predict", payload)
        return str(connection.getresponse().status)
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__
    finally:
        connection.close()


def watch_memory(chaos: Chaos, minutes: float, reloads: int) -> None:
    """Resident memory under load alone, and then over reloads; slopes are of straight lines through the readings."""
    print(markdown_row("memory, under load", "MB") + "\n" + markdown_row("---", "--:"))
    started = time.monotonic()

    def read(when: str) -> float:
        megabytes = chaos.server.megabytes()
        print(markdown_row(when, f"{megabytes:.0f}"), flush=True)
        return megabytes

    times = np.linspace(0.0, minutes, 13)
    readings = []
    for minute in times:
        time.sleep(max(0.0, started + 60 * minute - time.monotonic()))
        readings.append(read(f"minute {minute:.1f}"))
    versions = []
    for number in range(1, reloads + 1):
        chaos.swap()
        time.sleep(1.0)  # The one before is unloaded.
        versions.append(read(f"reload {number}, version {chaos.newest}"))
    print(f"\nslopes: {np.polyfit(times, readings, 1)[0]:+.2f} MB a minute", end="")
    print(f", {np.polyfit(range(reloads), versions, 1)[0]:+.2f} MB a reload" if reloads > 1 else "", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model_base_path", type=Path, required=True)
    parser.add_argument("--rate", type=float, default=50.0)
    parser.add_argument("--fuzz", type=int, default=200, help="random messages of each kind")
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--reloads", type=int, default=10)
    parser.add_argument("--swaps", type=int, default=10)
    parser.add_argument("--pause", type=float, default=10.0, help="seconds in which nothing happens")
    parser.add_argument("--small_disk", type=Path, default=None)
    parser.add_argument("--log", type=Path, default=None, help="where the server's log goes; a temporary file")
    arguments = parser.parse_args()
    versions = [each for each in arguments.model_base_path.iterdir() if each.name.isdecimal()]
    newest = max(versions, key=lambda each: int(each.name))
    with tempfile.TemporaryDirectory() as folder:
        base_path = Path(folder) / "served"
        shutil.copytree(newest, Path(folder) / "source")
        shutil.copytree(Path(folder) / "source", base_path / "1", copy_function=os.link)
        log = arguments.log or Path(folder) / "server.log"
        with Served(base_path, log, FLAGS) as server:
            run(server, Path(folder) / "source", arguments)


def run(server: Served, source: Path, arguments: argparse.Namespace) -> None:
    import tensorflow as tf

    from tfrec.serving.client import Client

    server.wait_until_available()
    requests = random_requests(server.target, source, 200)
    inputs = [{name: tf.make_ndarray(proto) for name, proto in request.inputs.items()} for request in requests]
    with Client(server.target, MODEL_NAME, TIMEOUT) as client:
        answers = [client.predict("serving_default", each)["item_ids"].ravel().tolist() for each in inputs]
    load = Load(server.target, inputs, answers, arguments.rate)
    load.start()
    chaos = Chaos(server, source, load)
    print(markdown_row("", "asked", "lost", "p50 ms", "p95 ms", "p99 ms", "longest ms"))
    print(markdown_row("---", "--:", "---", *["--:"] * 4))
    disk = cut_off if arguments.small_disk is None else lambda version: fill(arguments.small_disk, version)
    phases: list[tuple[str, Callable[[], None]]] = [
        ("nothing happens", lambda: time.sleep(arguments.pause)),
        (f"{arguments.swaps} swaps of versions", lambda: chaos.swaps(arguments.swaps)),
        ("back to the version before, and forth", chaos.roll_back),
        ("a version that is no SavedModel", lambda: chaos.broken(write_nonsense)),
        ("a version that fails its warm-up", lambda: chaos.broken(fail_warm_up)),
        ("a version that a full disk cut off", lambda: chaos.broken(disk)),
        ("kill -9 and a new start", chaos.kill),
        ("nothing happens", lambda: time.sleep(arguments.pause)),
    ]
    for phase, happen in phases:
        happen()
        print(load.row(phase), flush=True)
    print()
    watch_memory(chaos, arguments.minutes, arguments.reloads)
    print("\nbeside it:\n" + load.row("load and reloads"), flush=True)
    fuzz(server, requests, arguments.fuzz)
    print("\nbeside it:\n" + load.row("abuse") + f"\n\nmemory after it: {server.megabytes():.0f} MB")
    load.end()


if __name__ == "__main__":
    main()
