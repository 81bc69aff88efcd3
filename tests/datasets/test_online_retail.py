"""A page of invoices by hand, with the traps of the real ones."""

from pathlib import Path

import pytest

from tfrec.datasets.dataset import Dataset
from tfrec.datasets.online_retail import load_online_retail
from tfrec.errors import InputError

INVOICES = """Invoice,StockCode,Description,Quantity,InvoiceDate,Price,Customer ID,Country
500001,85123a,WHITE HEART,6,2010-01-04 09:30:00,2.50,13085.0,France
500001,85123A,WHITE HEART,6,2010-01-04 09:30:00,2.50,13085.0,France
500001,POST,POSTAGE,1,2010-01-04 09:30:00,18.00,13085.0,France
500002,85123A,white heart,2,2010-01-05 10:00:00,3.50,13085.0,France
C500003,85123A,WHITE HEART,-2,2010-01-06 11:00:00,3.50,13085.0,France
500004,22041,RECORD FRAME,1,2010-01-06 12:15:00,4.00,,Norway
500004,85123A,WHITE HEART,1,2010-01-06 12:15:00,2.50,,Norway
500005,22041,?,1,2010-01-07 12:15:00,0.00,,Norway
C500006,22041,RECORD FRAME,-1,2010-01-08 12:15:00,4.00,13085.0,France
"""


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    folder = tmp_path / "online-retail"
    folder.mkdir()
    (folder / "online_retail_II.csv").write_text(INVOICES)
    return load_online_retail(tmp_path)


def test_purchases_are_products_and_each_once_an_invoice(dataset: Dataset) -> None:
    rows = dataset.interactions
    stranger = "stranger of invoice 500004"
    assert rows["user_id"].tolist() == ["13085", "13085", stranger, stranger]
    assert rows["item_id"].tolist() == ["85123A", "85123A", "22041", "85123A"]
    assert rows["label"].tolist() == [1, 1, 1, 1]
    assert rows["timestamp"].tolist()[0] == 1262597400  # 2010-01-04 09:30, as if in UTC
    assert rows["weekday"].tolist()[:3] == ["Monday", "Tuesday", "Wednesday"]
    assert rows["hour"].tolist() == [9, 10, 12, 12]


def test_a_return_is_of_the_last_purchase_before_it(dataset: Dataset) -> None:
    # The second of the two, and not the stranger's; the frame that came back was never bought.
    assert dataset.interactions["returned"].tolist() == [0, 1, 0, 0]
    assert dataset.outcomes == ("returned",)


def test_items_and_users(dataset: Dataset) -> None:
    assert dataset.items.to_dict("list") == {
        "item_id": ["85123A", "22041"],
        "title": ["WHITE HEART", "RECORD FRAME"],
        "price": [2.5, 4.0],
    }
    assert dataset.users["country"].tolist() == ["France", "Norway"]


def test_what_is_left_out_is_told(dataset: Dataset) -> None:
    assert dataset.notes == (
        "2 of 9 lines are no products, or have no price: left out.",
        "2 lines have no customer: each of their invoices is a user of its own.",
        "2 lines are returns: 1 of 4 purchases count as returned.",
    )


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Expected online_retail_II\.csv, or \.parquet"):
        load_online_retail(tmp_path)
    (tmp_path / "online-retail").mkdir()
    (tmp_path / "online-retail/online_retail_II.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match=r"Received: \['a', 'b'\]"):
        load_online_retail(tmp_path)
