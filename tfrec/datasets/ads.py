"""Criteo and Avazu, the public data sets of display advertising, in the formats in which they were published.

Their terms forbid passing them on, and fetching them needs an account: they are looked for in the data root.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from tfrec.datasets.assemble import assemble
from tfrec.datasets.dataset import Dataset, Roles
from tfrec.errors import InputError

CRITEO_NUMBERS = tuple(f"I{number}" for number in range(1, 14))
CRITEO_CATEGORIES = tuple(f"C{number}" for number in range(1, 27))
_AVAZU = """id click hour C1 banner_pos site_id site_domain site_category app_id app_domain app_category device_id
    device_ip device_model device_type device_conn_type C14 C15 C16 C17 C18 C19 C20 C21"""
AVAZU_COLUMNS = tuple(_AVAZU.split())

_FILES = ("train", "valid", "dev", "test")
_SUFFIXES = (".txt", ".txt.gz", ".csv", ".csv.gz", ".tsv", ".tsv.gz")


def load_criteo(data_root: Path) -> Dataset:
    """The Kaggle Display Advertising Challenge of 2014, or a sample of it in the same format.

    Tab-separated lines without a header: the label, 13 integers (`I1` … `I13`) and 26 hashed categories (`C1` … `C26`).
    Nothing says who was shown what: there is one user and one item, and all is context. Rows are in the order of time.

    Args:
        data_root: Holds the folder `criteo` or `criteo-sample`, with train, and perhaps valid, dev and test files,
            which are read in this order.

    Raises:
        InputError: There is no such folder, or a file has other columns.
    """
    names = ["label", *CRITEO_NUMBERS, *CRITEO_CATEGORIES]
    table = _read(_files("criteo", data_root), names, "\t", dict.fromkeys(CRITEO_NUMBERS, pa.float32()))
    return _assemble(
        "Criteo",
        table.rename_columns(names),
        user_ids=pa.array(["anyone"] * table.num_rows).dictionary_encode(),
        item_ids=pa.array(["ad"] * table.num_rows).dictionary_encode(),
        roles=Roles(categorical=CRITEO_CATEGORIES, numeric=CRITEO_NUMBERS),
    )


def load_avazu(data_root: Path) -> Dataset:
    """The Kaggle competition of Avazu of 2014, or a sample of it in the same format.

    Comma-separated: id, click, hour (as YYMMDDHH) and 21 anonymised categories; a file may have a header. Nothing says
    who the user is or which ad was shown: the user is taken to be the `device_ip`, and the item `C14`, the finest of
    the ad's categories. Of the hour the hour of the day is context. Rows are in the order of time.

    Args and errors: as of load_criteo, with the folder `avazu` or `avazu-sample`.
    """
    table = _read(_files("avazu", data_root), list(AVAZU_COLUMNS), ",", {})
    hours = pc.cast(table["hour"], pa.string())
    context = tuple(name for name in AVAZU_COLUMNS[3:] if name not in ("device_ip", "C14"))
    table = table.append_column("hour_of_day", pc.utf8_slice_codeunits(hours, 6, 8))
    return _assemble(
        "Avazu",
        table.rename_columns(["label" if name == "click" else name for name in table.column_names]),
        user_ids=table["device_ip"].combine_chunks().dictionary_encode(),
        item_ids=table["C14"].combine_chunks().dictionary_encode(),
        roles=Roles(categorical=(*context, "hour_of_day")),
    )


def _files(name: str, data_root: Path) -> list[Path]:
    folders = [data_root / name, data_root / f"{name}-sample"]
    for folder in folders:
        found = [folder / (stem + suffix) for stem in _FILES for suffix in _SUFFIXES]
        if files := [path for path in found if path.is_file()]:
            return files
    raise InputError(
        f"Expected {name}'s files, such as train.txt or train.csv.gz, in {folders[0]} or {folders[1]}. Received: none. "
        "Its terms forbid fetching it for you: download it from its publisher, unpack it there, or pass --data-root."
    )


def _read(files: list[Path], names: list[str], delimiter: str, types: dict[str, pa.DataType]) -> pa.Table:
    """The files' rows, one after the other; what is not named in types is a string, and empty ones are missing."""
    tables = []
    for path in files:
        try:
            table = pyarrow.csv.read_csv(
                path,
                read_options=pyarrow.csv.ReadOptions(column_names=names),
                parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter, quote_char=False),
                convert_options=pyarrow.csv.ConvertOptions(
                    column_types={name: pa.string() for name in names} | types, strings_can_be_null=True
                ),
            )
        except pa.ArrowInvalid as error:
            raise InputError(
                f"Expected {len(names)} columns, {names[0]} to {names[-1]}, in {path}. Received: {error}."
            ) from error
        has_header = table.num_rows and table[names[1]][0].as_py() == names[1]
        tables.append(table.slice(1) if has_header else table)
    return pa.concat_tables(tables)


def _assemble(
    name: str, table: pa.Table, user_ids: pa.DictionaryArray, item_ids: pa.DictionaryArray, roles: Roles
) -> Dataset:
    labels = table["label"].to_numpy()
    unknown = ~np.isin(labels, ["0", "1"])
    if unknown.any():
        raise InputError(f"Expected 0 or 1 as label of {name}. Received: {labels[unknown][0]!r}, in row "
                         f"{np.argmax(unknown) + 1}.")  # fmt: skip
    columns = {
        "user_id": user_ids,
        "item_id": item_ids,
        "timestamp": np.arange(table.num_rows),
        "label": (labels == "1").astype(np.float32),
        **{column: table[column] for column in roles.columns},
    }
    notes = ("Rows are taken to be in the order of time; their number is their time.",)
    return assemble(name, pa.table(columns), context_roles=roles, notes=notes, has_times=False)
