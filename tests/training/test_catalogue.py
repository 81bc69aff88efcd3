"""The data of a run, with another catalogue."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tfrec.config import Config
from tfrec.datasets import split_dataset
from tfrec.datasets.simulator import Simulation
from tfrec.errors import InputError
from tfrec.features.prepared import Prepared
from tfrec.features.text import item_texts
from tfrec.training.catalogue import read_catalogue, renew_catalogue
from tfrec.training.prepare import prepare

COLUMNS = {"items": {"path": "items.csv", "text": ["title"], "categorical": ["genre"], "numeric": ["year"]}}


@pytest.fixture(params=["frozen", "lora"])
def settings(request: pytest.FixtureRequest, config: Config) -> Config:
    return Config.load(
        None,
        {
            **config.model_dump(mode="json", exclude={"data": True, "backbone": {"tuning"}}, exclude_none=True),
            "data": {"interactions": {"path": "simulated.csv"}, **COLUMNS},
            "backbone.tuning": request.param,
        },
    )


@pytest.fixture
def original(simulation: Simulation, settings: Config, tmp_path: Path) -> Prepared:
    dataset = simulation.dataset
    return prepare(dataset, split_dataset(dataset, settings.split), item_texts(dataset, None), settings, tmp_path)


def renew(original: Prepared, table: pd.DataFrame, settings: Config, folder: Path) -> Prepared:
    table.to_csv(folder / "now.csv", index=False)
    return renew_catalogue(original, read_catalogue(settings.data, folder, folder / "now.csv"), settings, folder)


def test_items_old_new_and_gone(original: Prepared, simulation: Simulation, settings: Config, tmp_path: Path) -> None:
    table = simulation.dataset.items
    ids = table["item_id"].tolist()
    # Backwards, without two, and with a new one whose text is longer than any.
    title = "a war story about a ghost and a war story about a spy"
    new = pd.DataFrame({"item_id": ["new"], "title": [title], "genre": table["genre"][:1], "year": [1999.0]})
    result = renew(original, pd.concat([new, table.drop(index=[3, 50]).iloc[::-1]]), settings, tmp_path)
    kept = [row for row in range(60) if row not in (3, 50)]
    assert result.items.ids.tolist() == [*(ids[row] for row in kept), "new", ids[3], ids[50]]
    assert (result.num_on_sale, result.num_ids) == (59, 62)
    rows = np.array([*kept, 3, 50])
    places = np.array([*range(58), 59, 60])
    for name, before in original.items.arrays.items():
        after = result.items.arrays[name]
        np.testing.assert_array_equal(after[:2, : before.shape[1]] if before.ndim > 1 else after[:2], before[:2])
        same = after[2 + places]
        if name == "text_tokens":  # Wider now, by padding.
            assert after.shape[1] > before.shape[1] and not same[:, before.shape[1] :].any()
            same = same[:, : before.shape[1]]
        np.testing.assert_allclose(same, before[2 + rows], atol=1e-6)
    assert result.items.arrays["id"][2 + 58] == 1  # The unknown one.
    assert result.titles[58] == title
    np.testing.assert_array_equal(result.counts[places], original.counts[rows])
    assert result.counts[58] == 0
    for before, after in (
        (original.split.train, result.split.train),
        (original.split.test.histories, result.split.test.histories),
        (original.split.validation.targets, result.split.validation.targets),
    ):
        np.testing.assert_array_equal(result.items.ids[after.values], original.items.ids[before.values])


def test_columns_that_the_model_reads_are_needed(
    original: Prepared, simulation: Simulation, settings: Config, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="Expected column 'genre'"):
        renew(original, simulation.dataset.items.drop(columns="genre"), settings, tmp_path)


def test_a_known_data_set_has_no_table_to_renew(original: Prepared, config: Config, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="your own tables, with an items table"):
        read_catalogue(config.data, tmp_path, tmp_path / "now.csv")
