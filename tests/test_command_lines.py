"""The main job as a user does it: through the command line, the file system and the gRPC port."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.pages.html import Page
from tfrec.datasets.simulator import simulate
from tfrec.recommend import _seconds
from tfrec.training.run import Run

ROOT = Path(__file__).parent.parent


def start(folder: Path, module: str, *arguments: object, **options: object) -> subprocess.Popen:
    command = [sys.executable, "-m", f"tfrec.{module}", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    return subprocess.Popen(
        command, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options
    )


def run(folder: Path, module: str, *arguments: object) -> subprocess.CompletedProcess:
    process = start(folder, module, *arguments)
    output, errors = process.communicate(timeout=240)
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


def succeed(folder: Path, module: str, *arguments: object) -> subprocess.CompletedProcess:
    result = run(folder, module, *arguments)
    assert result.returncode == 0, result.stderr
    return result


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three files of a shop that never heard of tfrec: other column names, semicolons, Latin-1, dirty rows."""
    folder = tmp_path_factory.mktemp("shop")
    dataset = simulate(num_users=150, num_items=40, interactions_per_user=10, seed=3).dataset
    generator = np.random.default_rng(0)
    orders = [
        f"{user};{item};{int(when)}"
        for user, item, when in dataset.interactions[["user_id", "item_id", "timestamp"]].itertuples(index=False)
    ]
    for place in generator.choice(len(orders), len(orders) // 20, replace=False):
        user, item, when = orders[place].split(";")
        orders[place] = [f"{user};{item};yesterday", f";{item};{when}", f"{user};;{when}", f"{user};{item}"][place % 4]
    products = [
        f"{item};{title} façon Zoë;{genre};{year:.0f}"
        for item, title, genre, year in dataset.items[["item_id", "title", "genre", "year"]].itertuples(index=False)
    ]
    people = [f"{user};{country}" for user, country in dataset.users[["user_id", "country"]].itertuples(index=False)]
    for name, header, lines in (
        ("commandes", "client;article;quand", orders),
        ("articles", "référence;désignation;rayon;année", products),
        ("clients", "client;pays", people),
    ):
        (folder / f"{name}.csv").write_text("\n".join([header, *lines]) + "\n", encoding="latin-1")
    return folder


@pytest.fixture(scope="module")
def flags(tiny_backbone: Path) -> list[str]:
    """What the README tells to pass for such files, and settings that make it quick."""
    text = """--interactions commandes.csv --items articles.csv --users clients.csv --encoding latin-1
        --column user_id=client --column interactions.item_id=article --column items.item_id=référence
        --column timestamp=quand --text désignation --categorical rayon --numeric année --categorical users.pays
        --bad-rows drop --epochs 4 --batch-size 128 --set model.embedding_size=16 --set training.learning_rate=0.01
        --set features.history_length=8 --set evaluation.bootstrap_samples=50"""
    return [*text.split(), "--set", f"backbone.name={tiny_backbone}", "--set", "backbone.sequence_length=16"]


@pytest.fixture(scope="module")
def undisturbed(shop: Path, flags: list[str]) -> str:
    """What a training that nothing disturbs has to say."""
    return succeed(shop, "train", *flags, "--run", "runs/shop").stderr


@pytest.fixture(scope="module")
def trained(shop: Path, undisturbed: str) -> Path:
    assert "epoch 4/4" in undisturbed
    return shop / "runs" / "shop"


@pytest.fixture(scope="module")
def exported(shop: Path, trained: Path) -> Path:
    folder = succeed(shop, "export", trained, "--top-k", 10).stdout.strip()
    return shop / folder


@pytest.fixture(scope="module")
def server(shop: Path, exported: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = start(
        shop,
        "serve",
        "--model_name",
        "shop",
        "--model_base_path",
        exported.parent,
        "--port",
        port,
        "--rest_api_port",
        0,
    )
    yield f"127.0.0.1:{port}"
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 0


def test_dirty_rows_stop_the_command_before_anything_is_trained(shop: Path, flags: list[str]) -> None:
    strict = [flag for flag in flags if flag not in ("--bad-rows", "drop")]
    result = run(shop, "train", *strict, "--run", "runs/strict")
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    assert "commandes.csv" in result.stderr
    assert "--bad-rows drop" in result.stderr
    assert not (shop / "runs" / "strict" / "prepared").exists()


def test_the_remedy_of_one_message_leads_to_the_next_step(shop: Path, flags: list[str]) -> None:
    # Nothing but the file: the message says which flag is missing.
    result = run(shop, "train", "--interactions", "commandes.csv", "--encoding", "latin-1", "--run", "runs/bare")
    assert result.returncode == 2
    assert "--column user_id=" in result.stderr
    assert "client" in result.stderr
    # The default encoding does not fit.
    result = run(shop, "train", "--interactions", "commandes.csv", "--items", "articles.csv", "--run", "runs/bare")
    assert result.returncode == 2


def test_evaluation_sets_the_model_beside_the_baselines(shop: Path, trained: Path) -> None:
    result = succeed(shop, "evaluate", trained)
    assert all(name in result.stdout for name in ("popularity", "random", "similar_texts"))
    saved = {report["name"]: report["metrics"] for report in json.loads((trained / "metrics.json").read_text())}
    assert saved["two_tower"]["ndcg@10"]["mean"] > saved["random"]["ndcg@10"]["mean"]
    assert f"{saved['two_tower']['ndcg@10']['mean']:.4f}" in result.stdout


def test_the_page_of_a_run(shop: Path, trained: Path) -> None:
    page = Page((trained / "report.html").read_text("utf-8"))
    page.check()
    saved = json.loads((trained / "metrics.json").read_text())
    for estimate in saved[0]["metrics"].values():
        assert f"{estimate['mean']:.4f}" in page.text
    assert page.text.count("façon Zoë") > 50  # Examples have titles.
    assert f"python -m tfrec.evaluate {trained}" in page.text
    assert re.search(r"python -m tfrec\.train --interactions commandes\.csv .* --run runs/shop", page.text)
    # Nothing but the folder is read to make it anew, or to set runs side by side.
    succeed(shop, "report", trained, "--output", "again.html")
    assert (shop / "again.html").read_text("utf-8") == page.html
    shutil.copytree(trained, shop / "runs" / "copy")
    told = succeed(shop, "report", trained, "runs/copy").stderr
    assert "comparison.html" in told
    both = Page((shop / "comparison.html").read_text("utf-8"))
    both.check()
    assert re.search("Whether (shop|copy) is better than (shop|copy).* cannot be told", both.text)


def test_the_client_prints_titles_that_came_over_grpc(shop: Path, server: str, exported: Path) -> None:
    titles = [
        line.split("\t")[1] for line in (exported / "assets.extra" / "titles.tsv").read_text("utf-8").splitlines()[1:]
    ]
    arguments = ["--model", "shop", "--server", server, "--wait", 90]
    known = ["--history", titles[0], "--history", titles[4], "--attribute", "pays=Norway"]
    result = succeed(shop, "recommend", *arguments, *known, "--count", 10)
    printed = [title for title in titles if title in result.stdout.split("score", 1)[1]]
    assert len(printed) == 10
    assert "façon Zoë" in result.stdout

    result = succeed(shop, "recommend", *arguments, "--search", titles[7], "--count", 1, "--json")
    assert json.loads(result.stdout) == [{"item_id": "item-7", "title": titles[7], "score": pytest.approx(1, abs=1e-4)}]


def test_python_a_v1_session_and_the_server_answer_alike(server: str, exported: Path) -> None:
    import tensorflow as tf

    from tfrec.serving.client import Client

    history = np.array([["item-0", "item-4", *[""] * 6], ["item-3", *[""] * 7], [""] * 8], object)
    inputs = {"history_item_ids": history, "exclude_item_ids": np.array([["item-8"], [""], [""]], object)}
    inputs["pays"] = np.array(["", "", ""], object)
    answers = []
    reloaded = tf.saved_model.load(str(exported))
    outputs = reloaded.signatures["recommend"](**{name: tf.constant(value) for name, value in inputs.items()})
    answers.append({name: value.numpy() for name, value in outputs.items()})
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        signature = tf.compat.v1.saved_model.load(session, ["serve"], str(exported)).signature_def["recommend"]
        fetches = {name: tensor.name for name, tensor in signature.outputs.items()}
        answers.append(session.run(fetches, {signature.inputs[name].name: value for name, value in inputs.items()}))
    with Client(server, "shop") as client:
        client.wait_until_available(90)
        answers.append(client.predict("recommend", inputs))
    for answer in answers[1:]:
        np.testing.assert_array_equal(answer["item_ids"], answers[0]["item_ids"])
        np.testing.assert_allclose(answer["scores"], answers[0]["scores"], atol=1e-5)


@pytest.mark.parametrize("phase", [pytest.param("texts:", marks=pytest.mark.slow), "epoch 3/4"])
def test_kill_9_then_the_same_command(
    phase: str, shop: Path, flags: list[str], undisturbed: str, tmp_path: Path
) -> None:
    command = ["train", *flags, "--run", tmp_path / "run", "--data-root", tmp_path / "data"]
    command += ["--set", "training.checkpoint_minutes=1e-9"]  # Each step is saved.
    process = start(shop, *command)
    for line in process.stderr:
        if phase in line:
            break
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    words = succeed(shop, *command).stderr
    # The epoch's steps are over when its line comes; its validation may be, too.
    went_on = re.search("resuming after epoch (2, step [1-9]|3)", words) is not None
    assert went_on == (phase != "texts:")
    assert re.search("done: .*", words)[0] == re.search("done: .*", undisturbed)[0]


def test_two_trainings_in_one_folder(shop: Path, flags: list[str], tmp_path: Path) -> None:
    with Run.alone_in(tmp_path / "run"):
        second = run(shop, "train", *flags, "--run", tmp_path / "run", "--fresh")
    assert second.returncode == 2
    assert "Another process is training in" in second.stderr


@pytest.mark.parametrize("module", ["train", "evaluate", "compare", "report", "export", "serve", "recommend"])
def test_help_has_examples_and_needs_no_tensorflow(module: str) -> None:
    code = (
        f"import sys; sys.argv = ['{module}', '--help']\n"
        f"from tfrec.{module} import app\n"
        "try: app()\n"
        "except SystemExit as end: assert not end.code\n"
        "assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert result.returncode == 0, result.stderr
    assert "Examples" in result.stdout
    assert f"python -m tfrec.{module}" in result.stdout


@pytest.mark.slow
def test_a_run_stands_beside_baselines(shop: Path, trained: Path) -> None:
    arguments = ("--run", trained, "--baseline", "popularity", "--baseline", "ease", "--output", "comparison")
    result = succeed(shop, "compare", *arguments)
    assert "density" in result.stderr
    shown = [line.split()[0] for line in result.stdout.splitlines() if line.strip()]
    metrics = json.loads((shop / "comparison" / "metrics.json").read_text())
    names = [each["name"] for each in metrics]
    assert sorted(names) == ["ease", "popularity", f"two_tower ({trained})"]
    named = [name.split()[0] for name in names]
    assert [word for word in shown if word in named][:3] == named
    means = [each["metrics"]["ndcg@10"]["mean"] for each in metrics]
    assert means == sorted(means, reverse=True)
    page = Page((shop / "comparison" / "report.html").read_text("utf-8"))
    page.check()
    assert all(f"{mean:.4f}" in page.text for mean in means)
    assert "history" in page.text and "the long tail" in page.text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Expected a recipe, a TOML file or --run FOLDER"),
        (["movielens-100k/two_tower", "--baseline", "eaze"], "Received: eaze"),
        (["movielens-100k/deepfm"], "Expected a model that recommends. Received: 'deepfm'"),
    ],
)
def test_what_cannot_be_compared_is_told(arguments: list[str], message: str, tmp_path: Path) -> None:
    result = run(tmp_path, "compare", *arguments)
    assert result.returncode == 2
    assert message in " ".join(result.stderr.split())
    assert not list(tmp_path.iterdir())


def test_events_that_a_table_lacks(shop: Path, flags: list[str]) -> None:
    result = run(shop, "train", *flags, "--run", "runs/events", "--set", "features.history_events=true")
    assert result.returncode == 2
    assert "--column event=COLUMN" in result.stderr
    assert not (shop / "runs" / "events" / "prepared").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--event", "view"], "Expected --event once for each --history, that is 2 times. Received: 1 times"),
        (["--time", "5", "--time", "yesterday"], "Expected --time in seconds since 1970 or as in 2024-05-01T12:30:00Z"),
    ],
)
def test_what_was_done_goes_with_the_history(arguments: list[str], message: str, tmp_path: Path) -> None:
    result = run(tmp_path, "recommend", "--model", "shop", "--history", "a", "--history", "b", *arguments)
    assert result.returncode == 2
    assert message in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("time", "seconds"),
    [
        ("1714566600", 1714566600),
        ("2024-05-01T12:30:00Z", 1714566600),
        ("2024-05-01T14:30:00.9+02:00", 1714566600),
        ("2024-05-01 12:30:00", 1714566600),
        ("", 0),
    ],
)
def test_times_on_the_command_line(time: str, seconds: int) -> None:
    # date -u -d 2024-05-01T12:30:00Z +%s
    assert _seconds(time) == seconds


def test_neither_recipe_nor_tables(tmp_path: Path) -> None:
    result = run(tmp_path, "train")
    assert result.returncode == 2
    assert "movielens-100k/two_tower" in result.stderr


@pytest.fixture(scope="module")
def renewed(shop: Path, trained: Path, exported: Path) -> Path:
    """A version of a catalogue with an item less, a changed one, a new one in the middle, and a blocked one."""
    header, *lines = (shop / "articles.csv").read_text(encoding="latin-1").splitlines()
    gone, changed = lines.pop(7), lines[11].split(";")
    lines[11] = ";".join([changed[0], "tout autre chose", *changed[2:]])
    lines.insert(5, "new-one;" + ";".join(gone.split(";")[1:]))
    (shop / "nouveaux.csv").write_text("\n".join([header, *lines]) + "\n", encoding="latin-1")
    blocked = lines[31].split(";")[0]
    (shop / "blocked.txt").write_text(f"\n {blocked}\nno such item\n", encoding="utf-8")
    folder = shop / "renewed"
    shutil.copytree(exported, folder / "shop" / "1")
    options = ["--items", "nouveaux.csv", "--output", folder / "shop", "--block", "blocked.txt"]
    path = succeed(shop, "index", trained, *options).stdout.strip()
    return shop / path


def test_another_catalogue_without_training(shop: Path, exported: Path, renewed: Path) -> None:
    import tensorflow as tf

    ids = [line.split(";")[0] for line in (shop / "articles.csv").read_text(encoding="latin-1").splitlines()[1:]]
    before, after = (tf.saved_model.load(str(folder)).signatures for folder in (exported, renewed))
    history = np.array([[ids[7], ids[20], ids[21]] + [""] * 5], object)

    def scores(signatures: object, banned: list[str]) -> dict[str, float]:
        answer = signatures["recommend"](  # type: ignore[index]
            history_item_ids=tf.constant(history), exclude_item_ids=tf.constant([banned]), pays=tf.constant(["Chile"])
        )
        found = zip(answer["item_ids"].numpy()[0].tolist(), answer["scores"].numpy()[0].tolist(), strict=True)
        return {id.decode(): score for id, score in found if id}

    # The history is read as before, with the item in it that is gone: what stayed has the scores that it had.
    first, second = scores(before, [""]), scores(after, [""])
    assert len(second) == 10
    stayed = [id for id in first.keys() & second.keys() if id != ids[11]]
    assert len(stayed) >= 7
    np.testing.assert_allclose([second[id] for id in stayed], [first[id] for id in stayed], atol=1e-5)
    # What is gone comes back neither here nor among what is similar, and what is new does.
    seen: set[str] = set()
    for id in ids:
        answer = after["similar_items"](item_ids=tf.constant([id]))["item_ids"].numpy()[0]
        seen |= {each.decode() for each in answer}
    blocked = json.loads((renewed / "assets.extra/model.json").read_text())["blocked"][0]
    assert blocked in ids and ids[7] not in seen and "new-one" in seen
    assert blocked not in seen | second.keys()
    # What says the same as the one that is gone is most like it, though nobody has seen it yet.
    similar = after["similar_items"](item_ids=tf.constant([ids[7]]))["item_ids"].numpy()[0]
    assert b"new-one" in similar[:3]


def test_the_version_is_as_the_one_before_but_for_the_catalogue(exported: Path, renewed: Path) -> None:
    first, second = (json.loads((each / "assets.extra/model.json").read_text()) for each in (exported, renewed))
    assert renewed.name == "2"
    assert first["catalogue"] is None and second["catalogue"].startswith("sha256:")
    assert (second["top_k"], second["weights"]) == (10, first["weights"])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--items", "nowhere.csv"], "Received: no such file"),
        pytest.param(["--items", "clients.csv"], "Expected column 'référence' in clients.csv", marks=pytest.mark.slow),
    ],
)
def test_a_catalogue_that_does_not_fit_is_refused(
    shop: Path, trained: Path, renewed: Path, arguments: list[str], told: str
) -> None:
    result = run(shop, "index", trained, *arguments)
    assert result.returncode == 2
    assert told in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr
