"""Online Retail II (Chen 2012, UCI): two years of a British shop's invoices, with its returns and missing customers."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from tfrec.datasets.assemble import assemble
from tfrec.datasets.dataset import Dataset, Roles
from tfrec.errors import InputError

COLUMNS = ("Invoice", "StockCode", "Description", "Quantity", "InvoiceDate", "Price", "Customer ID", "Country")
RETURNED = "returned"


def load_online_retail(data_root: Path) -> Dataset:
    """What was bought, and whether it was returned.

    Each product of an invoice is an interaction with the label 1. A return (a line with a negative quantity) is no
    interaction: it makes the same customer's last purchase of the product before it one that was `returned`. A line
    without a customer is a stranger's: all lines of its invoice are one user. What is no product (postage, fees,
    adjustments: stock codes that don't begin with five digits) or has no price is left out, and counted in the notes.

    Args:
        data_root: Holds the folder `online-retail`, with online_retail_II*.csv or .parquet, which are read in the order
            of their names.

    Returns:
        Items with a `title` (text) and their median `price` (numeric); users with a `country` (categorical); the
        interactions' `weekday` (categorical) and `hour` (numeric); the outcome `returned`.

    Raises:
        InputError: There is no such file, or it has other columns.
    """
    lines, notes = _product_lines(_read(data_root / "online-retail"))
    bought = lines[lines["Quantity"] > 0].drop_duplicates(["Invoice", "StockCode"]).reset_index(drop=True)
    returned = _returned(bought, lines[lines["Quantity"] < 0])
    num_returns = int((lines["Quantity"] < 0).sum())
    came_back = f"{int(returned.sum()):,} of {len(bought):,} purchases count as returned"
    notes += (f"{num_returns:,} lines are returns: {came_back}.",)
    times = bought["InvoiceDate"]
    interactions = pa.table(
        {
            "user_id": pa.array(bought["user_id"]).dictionary_encode(),
            "item_id": pa.array(bought["StockCode"]).dictionary_encode(),
            "timestamp": times.astype("datetime64[s]").astype(np.int64).to_numpy(),
            "label": np.ones(len(bought), np.float32),
            RETURNED: returned.astype(np.float32),
            "weekday": pa.array(times.dt.day_name().astype(str)),
            "hour": times.dt.hour.to_numpy(np.float32),
        }
    )
    of_items, of_users = bought.groupby("StockCode", sort=False), bought.groupby("user_id", sort=False)
    items = pd.DataFrame(
        {
            "title": of_items["Description"].agg(lambda texts: next(iter(texts.mode()), "")).astype(str),
            "price": of_items["Price"].median().astype(np.float32),
        }
    )
    return assemble(
        "Online Retail II",
        interactions,
        items.reset_index(names="item_id").astype({"item_id": "str", "title": "str"}),
        of_users["Country"].first().reset_index(name="country").astype("str"),
        item_roles=Roles(text=("title",), numeric=("price",)),
        user_roles=Roles(categorical=("country",)),
        context_roles=Roles(categorical=("weekday",), numeric=("hour",)),
        outcomes=(RETURNED,),
        title="title",
        notes=notes,
    )


def _read(folder: Path) -> pd.DataFrame:
    files = sorted(path for path in folder.glob("online_retail_II*") if path.suffix in (".csv", ".parquet"))
    if not files:
        raise InputError(
            f"Expected online_retail_II.csv, or .parquet, in {folder}. Received: no such file. Download Online Retail "
            "II from the UCI repository, save its sheets there as CSV, or pass --data-root."
        )
    frames = []
    for path in files:
        ids = dict.fromkeys(("Invoice", "StockCode", "Customer ID"), str)
        frame = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, dtype=ids)
        missing = [column for column in COLUMNS if column not in frame]
        if missing:
            raise InputError(f"Expected the columns {list(COLUMNS)} in {path}. Received: {list(frame)}.")
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def _product_lines(lines: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The lines of products, with a user each, and what is to be said of the others."""
    is_product = lines["StockCode"].astype(str).str.match(r"\d{5}") & (lines["Price"] > 0)
    customers = pd.to_numeric(lines["Customer ID"], errors="coerce")
    is_stranger = customers.isna()
    names = customers.fillna(0).astype(np.int64).astype(str)
    lines = lines.assign(
        user_id=names.where(~is_stranger, "stranger of invoice " + lines["Invoice"].astype(str)),
        StockCode=lines["StockCode"].astype(str).str.upper(),
        InvoiceDate=pd.to_datetime(lines["InvoiceDate"]),
    )[is_product]
    notes = (
        f"{int((~is_product).sum()):,} of {len(is_product):,} lines are no products, or have no price: left out.",
        f"{int(is_stranger[is_product].sum()):,} lines have no customer: each of their invoices is a user of its own.",
    )
    return lines, notes


def _returned(bought: pd.DataFrame, returns: pd.DataFrame) -> np.ndarray:
    """Which purchases were returned: of each return, the last of the same customer and product before it."""
    key, when = ["user_id", "StockCode"], "InvoiceDate"
    purchases = bought.reset_index(names="row").sort_values(when, kind="stable")[[*key, when, "row"]]
    found = pd.merge_asof(returns.sort_values(when, kind="stable")[[*key, when]], purchases, on=when, by=key)["row"]
    returned = np.zeros(len(bought), bool)
    returned[found.dropna().astype(np.int64)] = True
    return returned
