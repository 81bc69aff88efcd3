"""The machines that train one model together, as TF_CONFIG tells them."""

import json
import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tfrec.errors import InputError

EXAMPLE = '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}'


@dataclass(frozen=True)
class Cluster:
    """The workers, and which of them this process is.

    Attributes:
        addresses: Of all workers, `host:port`, the chief first.
        number: This process's place among them.
    """

    addresses: tuple[str, ...]
    number: int

    @property
    def is_chief(self) -> bool:
        """Whether this is the one that prepares, validates and saves."""
        return self.number == 0

    @property
    def name(self) -> str:
        """As people are told of it."""
        return f"worker {self.number + 1} of {len(self.addresses)}"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Cluster | None":
        """The cluster of TF_CONFIG; None if there is none, or of this process alone.

        TF_CONFIG is what TensorFlow reads itself: the addresses of the jobs `worker` and, if there is one, `chief`, and
        which task of which job this process is. Without a `chief`, the first worker is the chief.

        Raises:
            InputError: It is something else.
        """
        text = environment.get("TF_CONFIG", "").strip()
        if not text:
            return None
        try:
            told = json.loads(text)
        except json.JSONDecodeError as error:
            raise _unusable(f"no JSON ({error})") from error
        told = _require_object("TF_CONFIG", told)
        if not told.get("cluster"):
            return None
        jobs = _require_object("its cluster", told["cluster"])
        if unknown := sorted(jobs.keys() - {"chief", "worker", "evaluator"}):
            raise _unusable(f"the jobs {unknown} in its cluster; workers keep all weights themselves, and validate")
        task = _require_object("its task", told.get("task", {}))
        addresses = {job: _require_addresses(job, jobs.get(job, [])) for job in ("chief", "worker")}
        if len(addresses["chief"]) > 1:
            raise _unusable(f"{len(addresses['chief'])} chiefs")
        everyone = [*addresses["chief"], *addresses["worker"]]
        if len(set(everyone)) < len(everyone):
            raise _unusable(f"an address twice, in {everyone}")
        job, index = task.get("type"), task.get("index")
        if job not in addresses:
            raise _unusable(f"the task type {job!r}; here chief and worker have something to do")
        if isinstance(index, str) and index.isdecimal():
            index = int(index)
        if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < len(addresses[job]):
            raise _unusable(f"the task index {index!r} among {len(addresses[job])} of the job {job!r}")
        number = index + (len(addresses["chief"]) if job == "worker" else 0)
        return cls(tuple(everyone), number) if len(everyone) > 1 else None

    def require_free_port(self) -> None:
        """Raises an InputError if something else listens where the others will look for this worker."""
        address = self.addresses[self.number]
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("", int(address.rpartition(":")[2])))
            except OSError as error:
                raise InputError(
                    f"Expected a free port for this worker, at {address} by TF_CONFIG. Received: {error}. End what "
                    "listens there, or choose another port, in the TF_CONFIG of all workers."
                ) from error


def _require_object(what: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _unusable(f"{what} is {value!r}")
    return value


def _require_addresses(job: str, value: Any) -> list[str]:
    if not isinstance(value, list):
        raise _unusable(f"{value!r} as the addresses of the job {job!r}")
    for address in value:
        found = re.fullmatch(r"\S+:(\d{1,5})", address) if isinstance(address, str) else None
        if found is None or not 0 < int(found[1]) < 2**16:
            raise _unusable(f"{address!r} as an address of the job {job!r}")
    return value


def _unusable(received: str) -> InputError:
    return InputError(
        f"Expected the workers in the environment variable TF_CONFIG, as in {EXAMPLE}. Received: {received}. Mend it "
        "on each machine, or unset it to train on this one alone."
    )
