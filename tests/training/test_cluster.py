import json
import socket

import pytest

from tfrec.errors import InputError
from tfrec.training.cluster import Cluster


def told(cluster: object = None, task: object = None) -> dict[str, str]:
    workers = {"worker": ["a:1", "b:2"]}
    return {"TF_CONFIG": json.dumps({"cluster": cluster or workers, "task": task or {"type": "worker", "index": 1}})}


def test_the_first_worker_is_the_chief() -> None:
    second = Cluster.from_environment(told())
    assert second == Cluster(("a:1", "b:2"), 1)
    assert not second.is_chief
    assert Cluster.from_environment(told(task={"type": "worker", "index": 0})).is_chief


def test_kubeflow_tells_of_a_chief_beside_the_workers() -> None:
    # As its training operator writes it, the environment and all; an evaluator is told of, too.
    jobs = {"chief": ["c.svc:2222"], "worker": ["w-0.svc:2222", "w-1.svc:2222"], "evaluator": ["e.svc:2222"]}
    found = [
        Cluster.from_environment(
            {"TF_CONFIG": json.dumps({"cluster": jobs, "task": {"type": job, "index": index}, "environment": "cloud"})}
        )
        for job, index in (("chief", 0), ("worker", 0), ("worker", "1"))
    ]
    assert [each.number for each in found] == [0, 1, 2]
    assert [each.is_chief for each in found] == [True, False, False]
    assert found[0].addresses == ("c.svc:2222", "w-0.svc:2222", "w-1.svc:2222")


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"TF_CONFIG": ""},
        {"TF_CONFIG": "{}"},
        told({"worker": ["a:1"]}, {"type": "worker", "index": 0}),
        told({"chief": ["a:1"]}, {"type": "chief", "index": 0}),
    ],
)
def test_one_machine_is_no_cluster(environment: dict[str, str]) -> None:
    assert Cluster.from_environment(environment) is None


@pytest.mark.parametrize(
    ("environment", "received"),
    [
        ({"TF_CONFIG": "{'cluster'"}, "no JSON"),
        ({"TF_CONFIG": "[1]"}, r"TF_CONFIG is \[1\]"),
        (told(["a:1", "b:2"]), "its cluster is"),
        (told(task=["worker", 1]), "its task is"),
        (told({"worker": "a:1"}), "'a:1' as the addresses"),
        (told({"worker": ["a:1", "b"]}), "'b' as an address"),
        (told({"worker": ["a:1", "b:65536"]}), "'b:65536'"),
        (told({"worker": ["a:1", 2]}), "2 as an address"),
        (told({"worker": ["a:1", "a:1"]}), "an address twice"),
        (told({"chief": ["a:1", "b:2"], "worker": ["c:3", "d:4"]}), "2 chiefs"),
        (told({"worker": ["a:1", "b:2"], "ps": ["c:3"]}), r"the jobs \['ps'\]"),
        (told(task={"type": "worker", "index": 2}), "the task index 2 among 2"),
        (told(task={"type": "worker", "index": -1}), "the task index -1"),
        (told(task={"type": "worker", "index": True}), "the task index True"),
        (told(task={"type": "worker"}), "the task index None"),
        (told(task={"type": "evaluator", "index": 0}), "the task type 'evaluator'"),
        (told(task={"index": 0}), "the task type None"),
        (told(task={"type": "chief", "index": 0}), "the task index 0 among 0 of the job 'chief'"),
    ],
)
def test_what_is_no_cluster_is_told(environment: dict[str, str], received: str) -> None:
    with pytest.raises(InputError, match=rf"TF_CONFIG, as in .*Received: {received}.*unset it"):
        Cluster.from_environment(environment)


def test_a_port_that_is_taken() -> None:
    with socket.socket() as other:
        other.bind(("", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(InputError, match=f"free port for this worker, at b:{port} by TF_CONFIG"):
            Cluster(("a:1", f"b:{port}"), 1).require_free_port()
    Cluster(("a:1", f"b:{port}"), 1).require_free_port()
