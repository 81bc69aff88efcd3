from pathlib import Path

import pytest

from tfrec.datasets.dataset import Dataset
from tfrec.datasets.open_bandit import load_open_bandit
from tfrec.errors import InputError

HEADER = (
    ",timestamp,item_id,position,click,propensity_score,user_feature_0,user_feature_1,user_feature_2,user_feature_3"
)
ITEMS = ",item_id,item_feature_0,item_feature_1,item_feature_2,item_feature_3\n0,0,-0.5,aa,bb,cc\n1,1,0.25,dd,bb,ee\n"


def write(folder: Path, policy: str, campaign: str, *rows: str) -> None:
    path = folder / "open-bandit" / policy / campaign
    path.mkdir(parents=True)
    (path / f"{campaign}.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    (path / "item_context.csv").write_text(ITEMS)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    write(tmp_path, "random", "men", "0,1970-01-01 00:00:02.500000+00:00,1,3,0,0.5,u,v,w,x")
    write(tmp_path, "bts", "men", "0,1970-01-01 00:01:00+00:00,0,1,1,0.125,u,v,w,y")
    write(tmp_path, "bts", "women", "0,1970-01-01 00:00:09+00:00,0,2,0,0.25,u,v,w,x")
    return load_open_bandit(tmp_path)


def test_what_was_shown_where_and_with_what_probability(dataset: Dataset) -> None:
    rows = dataset.interactions
    assert rows["item_id"].tolist() == ["men-1", "men-0", "women-0"]
    assert rows["timestamp"].tolist() == [2.5, 60, 9]
    assert rows["label"].tolist() == [0, 1, 0]
    assert rows["propensity"].tolist() == [0.5, 0.125, 0.25]
    assert rows["position"].tolist() == ["3", "1", "2"]
    assert rows["policy"].tolist() == ["random", "bts", "bts"]
    assert rows["user_feature_3"].tolist() == ["x", "y", "x"]
    assert dataset.context_roles.columns[:2] == ("position", "policy")


def test_items_are_those_of_a_campaign(dataset: Dataset) -> None:
    assert dataset.items["item_id"].tolist() == ["men-0", "men-1", "women-0", "women-1"]
    assert dataset.items["item_feature_0"].tolist() == [-0.5, 0.25, -0.5, 0.25]
    assert dataset.items["item_feature_1"].tolist() == ["aa", "dd", "aa", "dd"]


def test_another_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "open-bandit/notes").mkdir(parents=True)
    with pytest.raises(InputError, match=r"Expected files like random.all.all\.csv"):
        load_open_bandit(tmp_path)
