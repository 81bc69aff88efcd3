"""From tables to the answer of a server, without a model: compare, export, ask."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from tfrec.baselines import EASE, RecentHistory
from tfrec.compare import app as compare_app
from tfrec.config import Config
from tfrec.datasets import load_dataset, split_dataset
from tfrec.datasets.ragged import Ragged
from tfrec.evaluation import Recommender
from tfrec.export import app as export_app
from tfrec.recommend import app as recommend_app
from tfrec.serving.config import ModelConfig
from tfrec.serving.server import Server

RECIPE = """
[data.interactions]
path = "visits.csv"

[data.items]
path = "items.csv"
text = ["name"]
categorical = ["kind", "brand"]

[features]
history_length = 6

[model]
use_text = false

[evaluation]
bootstrap_samples = 20
"""

FOLDER = "runs/compare/visits"


def write_visits(folder: Path, num_visits: int) -> None:
    generator = np.random.default_rng(0)
    lines = ["user_id,item_id,timestamp"]
    for user in range(40):
        items = generator.permutation(np.arange(user % 2, 30, 2))[:num_visits]
        lines += [f"u{user},i{item},{time}" for time, item in enumerate(items.tolist())]
    (folder / "visits.csv").write_text("\n".join(lines) + "\n")


def invoke(app, *arguments: object, status: int = 0) -> str:
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == status, result.output
    return " ".join(result.output.split())


def card(version: Path) -> dict:
    return json.loads((version / "assets.extra" / "model.json").read_text())


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty users, each of whom likes even items or odd ones; compared, and EASE exported, from within the folder."""
    folder = tmp_path_factory.mktemp("shop")
    write_visits(folder, 9)
    rows = [f"i{item},thing {item % 5},{'abc'[item % 3]},brand {item % 7}" for item in range(30)]
    (folder / "items.csv").write_text("\n".join(["item_id,name,kind,brand", *rows]) + "\n")
    (folder / "visits.toml").write_text(RECIPE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        names = ("popularity", "ease", "user_knn", "tf_idf_texts")
        output = invoke(compare_app, "visits.toml", *(flag for name in names for flag in ("--baseline", name)))
        assert f"next: python -m tfrec.export {FOLDER} --baseline ease" in output
        arguments = ["--baseline", "ease", "--output", "saved_models/shop", "--top-k", 10]
        output = invoke(export_app, FOLDER, *arguments, "--filter", "kind", "--cap", "brand=2")
        assert "written to saved_models/shop/1" in output
    return folder


@pytest.fixture(autouse=True)
def inside(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shop)


def fitted(everything: bool = False) -> tuple[Recommender, np.ndarray]:
    """With what was chosen, and the items' ids."""
    config = Config.load("visits.toml")
    dataset = load_dataset(config.data, Path("data"))
    train = dataset.by_user() if everything else split_dataset(dataset, config.split).train
    chosen = json.loads((Path(FOLDER) / "results" / "ease.json").read_text())["parameters"]
    length = chosen.pop("history_length", None)
    ease = EASE(train, dataset.num_items, **chosen)
    return ease if length is None else RecentHistory(ease, length), dataset.items["item_id"].to_numpy()


def best(ease: Recommender, ids: np.ndarray, history: list[str]) -> list[tuple[str, float]]:
    codes = np.array([ids.tolist().index(id) for id in history], np.int32)
    scores = ease.score(np.array([0]), Ragged(codes, np.array([0, len(codes)])))[0]
    scores[codes] = -np.inf
    return [(ids[code], scores[code]) for code in np.argsort(-scores, kind="stable") if code not in codes]


def test_a_server_answers_what_ease_scores(shop: Path) -> None:
    history = ["i4", "i10", "i22"]
    items = pd.read_csv("items.csv", index_col="item_id")
    ranked = best(*fitted(), history)

    def capped(kinds: set[str]) -> list[str]:
        """Two of a brand."""
        ids = pd.Series([id for id, _ in ranked if items["kind"][id] in kinds])
        return ids[ids.groupby(items["brand"][ids].to_numpy()).cumcount() < 2].tolist()[:10]

    with Server([ModelConfig("shop", shop / "saved_models" / "shop")], grpc_port=0) as server:
        asked = ["--model", "shop", "--server", f"127.0.0.1:{server.grpc_port}", "--wait", 60, "--json"]
        flags = [flag for id in history for flag in ("--history", id)]
        for extra, kinds in (((), {"a", "b", "c"}), (("--filter", "kind=b"), {"b"})):
            result = CliRunner().invoke(recommend_app, list(map(str, [*asked, *flags, *extra])))
            assert result.exit_code == 0, result.output
            found = json.loads(result.stdout)
            assert [each["item_id"] for each in found] == capped(kinds)
            of_item = dict(ranked)
            np.testing.assert_allclose(
                [each["score"] for each in found], [of_item[each["item_id"]] for each in found], atol=1e-5
            )


def test_the_card_says_what_it_is(shop: Path) -> None:
    known = card(shop / "saved_models" / "shop" / "1")
    assert known["baseline"] == "ease"
    assert {"regularization"} <= known["hyperparameters"]["ease"].keys() <= {"regularization", "history_length"}
    assert known["fitted_to"] == "the training part"
    assert known["num_interactions"] == 40 * 7
    assert known["configuration"]["features"]["history_length"] == 6
    # Measured as it is served: histories of the test have eight items, of which six are told.
    assert known["metrics"]["num_cases"] == 40
    assert known["metrics"]["metrics"]["ndcg@10"]["mean"] > 0.1


def test_what_is_new_in_the_tables_and_in_the_recipe_is_learned(shop: Path) -> None:
    command = [FOLDER, "--baseline", "ease", "--output", "saved_models/renewed", "--top-k", 3]
    invoke(export_app, *command)
    assert "holds these very weights already" in invoke(export_app, *command)
    write_visits(shop, 12)
    assert "renewed/2" in invoke(export_app, *command)
    assert "renewed/3" in invoke(export_app, *command, "--all-interactions")
    write_visits(shop, 9)
    counted = [card(shop / "saved_models" / "renewed" / str(version))["num_interactions"] for version in (1, 2, 3)]
    assert counted == [40 * 7, 40 * 10, 40 * 12]
    invoke(compare_app, "visits.toml", "--baseline", "ease", "--set", "features.history_length=4")
    assert "the last 4 items of a history" in invoke(export_app, *command)
    assert card(shop / "saved_models" / "renewed" / "3")["metrics"] is None


def test_what_can_not_be_exported_is_refused() -> None:
    for arguments, message in (
        ([FOLDER, "--baseline", "user_knn"], "Received: user_knn: it asks the rows of all users"),
        ([FOLDER, "--baseline", "easy"], "Received: easy."),
        ([FOLDER, "--baseline", "slim"], "Compare it first: python -m tfrec.compare … --baseline slim"),
        ([FOLDER, "--baseline", "ease", "--diversity", 0.3], "nor vectors for --diversity"),
        (["runs", "--baseline", "ease"], "Expected the folder of a comparison"),
        ([FOLDER], "Expected the folder of a run"),
        ([FOLDER, "--all-interactions"], "Expected --all-interactions beside --baseline"),
    ):
        assert message in invoke(export_app, *arguments, status=2)
