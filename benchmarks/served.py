"""`python -m tfrec.serve` as a process of its own, and requests for it, as the benchmarks of serving use them."""

import csv
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

import numpy as np

PREDICT = "/tensorflow.serving.PredictionService/Predict"
MODEL_NAME = "model"


class Served:
    """The server's process.

    Args:
        base_path: Holds the version folders.
        log: Where its standard error goes.
        flags: Further flags of `tfrec.serve`.
    """

    def __init__(self, base_path: Path, log: Path, flags: list[str]) -> None:
        self.base_path = base_path
        self.log = log
        self.flags = flags
        self.port, self.rest_port = _free_port(), _free_port()
        self.target = f"127.0.0.1:{self.port}"
        self.process = self._start()

    def _start(self) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "tfrec.serve", "--model_name", MODEL_NAME]
        command += ["--model_base_path", str(self.base_path), "--port", str(self.port)]
        command += ["--rest_api_port", str(self.rest_port), *self.flags]
        with self.log.open("ab") as log:
            return subprocess.Popen(command, stderr=log)

    def wait_until_available(self, timeout: float = 180.0) -> None:
        from tfrec.serving.client import Client

        with Client(self.target, MODEL_NAME) as client:
            client.wait_until_available(timeout)

    def version(self) -> int:
        """The highest that serves."""
        from tfrec.serving.client import Client

        with Client(self.target, MODEL_NAME) as client:
            return client.wait_until_available(60)

    def kill_and_restart(self) -> None:
        """kill -9, and the same again on the same ports."""
        self.process.kill()
        self.process.wait()
        self.process = self._start()

    def megabytes(self) -> float:
        """Resident memory, as Linux tells it."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        raise RuntimeError(f"Expected the server to run. Received: its end. Read {self.log}.")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def random_requests(target: str, version: Path, count: int, seed: int = 0) -> list[Any]:
    """`PredictRequest`s to recommend for one user each, as `Client` sends them: histories of 1 to 50 random items.

    Args:
        target: Where the model is served.
        version: The folder of the version that is served.
        count: How many.
        seed: Of the histories.
    """
    from tensorflow_serving.apis.predict_pb2 import PredictRequest

    from tfrec.serving.client import Client
    from tfrec.serving.rows import pad, unknown
    from tfrec.serving.tensors import encode

    with (version / "assets.extra" / "titles.tsv").open(encoding="utf-8", newline="") as file:
        ids = [row[0] for row in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)][1:]
    with Client(target, MODEL_NAME) as client:
        signature = client.metadata()["serving_default"]
    generator = np.random.default_rng(seed)
    requests = []
    for _ in range(count):
        history = generator.choice(ids, generator.integers(1, 51), replace=False).tolist()
        inputs: dict[str, Any] = {
            "history_item_ids": pad("histories", [history], signature.inputs["history_item_ids"], may_cut=True),
            "exclude_item_ids": pad("exclude", [[]], signature.inputs["exclude_item_ids"], may_cut=True),
        }
        others = {name: unknown(name, spec, 1) for name, spec in signature.inputs.items() if name not in inputs}
        request = PredictRequest()
        request.model_spec.name = MODEL_NAME
        for name, array in signature.check(inputs | others).items():
            request.inputs[name].CopyFrom(encode(array))
        requests.append(request)
    return requests


def percentiles(values: list[float]) -> list[str]:
    """The 50th, 95th and 99th."""
    if not values:
        return ["", "", ""]
    return [f"{value:.0f}" for value in np.percentile(values, [50, 95, 99])]


def _free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])
