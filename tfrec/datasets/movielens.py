"""MovieLens 100K and 1M (Harper and Konstan, 2015): films, and what people thought of them.

GroupLens allows research with them and forbids passing them on: they are fetched, never shipped.
"""

import re
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from tfrec.datasets.assemble import assemble
from tfrec.datasets.dataset import Dataset, Roles
from tfrec.downloads import Archive, Source, Wheel, fetch
from tfrec.errors import InputError

_PUBLISHER = "https://files.grouplens.org/datasets/movielens"

# The publisher gives MD5 sums only; they guard against broken downloads, not against a forger.
SOURCES: dict[str, list[Source]] = {
    "movielens-100k": [
        Archive(f"{_PUBLISHER}/ml-100k.zip", "md5:0e33842e24a9c977be4e0107933c0723", "ml-100k"),
        Wheel(
            "recbole",
            "1.2.1",
            "sha256:9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407",
            "recbole/dataset_example/ml-100k",
            size=2_130_151,
        ),
    ],
    "movielens-1m": [Archive(f"{_PUBLISHER}/ml-1m.zip", "md5:c4d9eecfca2ab87c1945afe126590906", "ml-1m")],
}

_LAYOUTS = {
    "movielens-100k": (("u.data", "u.item", "u.user"), ("ml-100k.inter", "ml-100k.item", "ml-100k.user")),
    "movielens-1m": (("ratings.dat", "movies.dat", "users.dat"), ("ratings.parquet", "movies.csv", "users.csv")),
}

# fmt: off
_GENRES = [
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama",
    "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
]

_OCCUPATIONS = [
    "other", "academic/educator", "artist", "clerical/admin", "college/grad student", "customer service",
    "doctor/health care", "executive/managerial", "farmer", "homemaker", "K-12 student", "lawyer", "programmer",
    "retired", "sales/marketing", "scientist", "self-employed", "technician/engineer", "tradesman/craftsman",
    "unemployed", "writer",
]
# fmt: on


def load_movielens(source: str, data_root: Path) -> Dataset:
    """Reads MovieLens from `data_root`, fetching it first if it is not there.

    Args:
        source: "movielens-100k" or "movielens-1m". Either is looked for in `data_root/<source>` and, under the
            publisher's name, in `data_root/ml-100k` or `data_root/ml-1m`.
        data_root: The folder of the data sets.

    Returns:
        Items with `title` and `genres` (text) and `year` (numeric); users with `gender` and `occupation` (categorical)
        and `age` (numeric); the rating (1 to 5) is the interactions' `value`.

    Raises:
        InputError: The folder holds something else, or nothing could be fetched.
    """
    folders = [data_root / source, data_root / source.replace("movielens", "ml")]
    folder = next((folder for folder in folders if folder.is_dir() and any(folder.iterdir())), None)
    if folder is None:
        folder = fetch(source, SOURCES[source], folders[0])
    for layout in _LAYOUTS[source]:
        paths = [folder / name for name in layout]
        if all(path.is_file() for path in paths):
            break
    else:
        expected = " or ".join(", ".join(layout) for layout in _LAYOUTS[source])
        raise InputError(
            f"Expected {expected} in {folder}. Received: {sorted(path.name for path in folder.iterdir())}. "
            "Remove the folder to have it fetched again, or complete it by hand."
        )
    interactions, items, users = (read(path) for read, path in zip(_READERS[layout], paths, strict=True))
    items["title"] = [readable_title(title) for title in items["title"]]
    items["year"] = pd.to_numeric(items["title"].str.extract(r"\((\d{4})\)(?!.*\(\d{4}\))")[0]).astype("float32")
    items["genres"] = items["genres"].str.replace("unknown", "").str.replace("|", ", ")
    users["age"] = pd.to_numeric(users["age"]).astype("float32")
    notes: tuple[str, ...] = ()
    shared_clock = layout[0] != "ratings.parquet"
    if not shared_clock:
        notes = (
            "The order is column 'pos' of ratings.parquet, which counts within each user; its times are not used.",
        )
    return assemble(
        {"movielens-100k": "MovieLens 100K", "movielens-1m": "MovieLens 1M"}[source],
        interactions,
        items[["item_id", "title", "genres", "year"]],
        users[["user_id", "gender", "occupation", "age"]],
        item_roles=Roles(text=("title", "genres"), numeric=("year",)),
        user_roles=Roles(categorical=("gender", "occupation"), numeric=("age",)),
        title="title",
        notes=notes,
        shared_clock=shared_clock,
        has_times=shared_clock,
    )


_ARTICLE = re.compile(
    r"(^|\()([^()]+), (The|An?|L[aeo]s?|L'|Il|I|Gli|Un[ae]?|El|D[aei][rse]|Den|Det|O)(?= *(?:[()]|$))",
)


def readable_title(title: str) -> str:
    """Puts the article that MovieLens sorts behind a title back to its front.

    Example:
        >>> readable_title("Postman, The (Postino, Il) (1994)")
        'The Postman (Il Postino) (1994)'
    """
    return _ARTICLE.sub(lambda match: f"{match[1]}{match[3]} {match[2]}".replace("' ", "'"), title)


def _interactions(table: pa.Table, order: str) -> pa.Table:
    user, item, value = (table.column(name) for name in ("user_id", "item_id", "rating"))
    columns = {
        "user_id": pc.cast(user, pa.string()),
        "item_id": pc.cast(item, pa.string()),
        "timestamp": pc.cast(table[order], pa.int64()),
        "value": pc.cast(value, pa.float32()),
    }
    return pa.table(columns)


def _read_ratings(path: Path, delimiter: str, columns: list[str], header_rows: int = 0) -> pa.Table:
    table = pyarrow.csv.read_csv(
        path,
        read_options=pyarrow.csv.ReadOptions(column_names=columns, skip_rows=header_rows),
        parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter, quote_char=False),
        convert_options=pyarrow.csv.ConvertOptions(include_columns=[name for name in columns if name]),
    )
    return _interactions(table, "timestamp")


def _read_lines(path: Path, delimiter: str, columns: list[str], encoding: str, header_rows: int = 0) -> pd.DataFrame:
    lines = path.read_text(encoding=encoding).splitlines()[header_rows:]
    return pd.DataFrame([line.split(delimiter) for line in lines if line], columns=columns, dtype="str")


def _published_100k_items(path: Path) -> pd.DataFrame:
    items = _read_lines(path, "|", ["item_id", "title", "released", "released_on_video", "url", *_GENRES], "latin-1")
    flags = items[_GENRES].to_numpy() == "1"
    items["genres"] = ["|".join(genre for genre, is_one in zip(_GENRES, row, strict=True) if is_one) for row in flags]
    return items


def _wheel_100k_items(path: Path) -> pd.DataFrame:
    items = _read_lines(path, "\t", ["item_id", "title", "year", "genres"], "utf-8", header_rows=1)
    has_year = items["year"].str.fullmatch(r"\d{4}")
    items["title"] = items["title"].str.replace("unkonwn", "unknown") + (" (" + items["year"] + ")").where(has_year, "")
    items["genres"] = items["genres"].str.replace(" ", "|")
    return items


def _published_1m_ratings(path: Path) -> pa.Table:
    # Arrow's separator is one character: '::' reads as an empty column between two.
    return _read_ratings(path, ":", ["user_id", "", "item_id", "", "rating", "", "timestamp"])


def _published_1m_users(path: Path) -> pd.DataFrame:
    users = _read_lines(path, "::", ["user_id", "gender", "age", "occupation", "zip_code"], "latin-1")
    users["occupation"] = [_OCCUPATIONS[int(code)] for code in users["occupation"]]
    return users


def _parquet_1m_ratings(path: Path) -> pa.Table:
    table = pyarrow.parquet.read_table(path, columns=["user_id", "movie_id", "pos", "rating"])
    return _interactions(table.rename_columns({"movie_id": "item_id"}), "pos")


def _csv_1m_users(path: Path) -> pd.DataFrame:
    users = pd.read_csv(path, dtype="str")
    users["occupation"] = [_OCCUPATIONS[int(code)] for code in users["occupation"]]
    return users


_RATING_COLUMNS = ["user_id", "item_id", "rating", "timestamp"]

_READERS = {
    ("u.data", "u.item", "u.user"): (
        lambda path: _read_ratings(path, "\t", _RATING_COLUMNS),
        _published_100k_items,
        lambda path: _read_lines(path, "|", ["user_id", "age", "gender", "occupation", "zip_code"], "latin-1"),
    ),
    ("ml-100k.inter", "ml-100k.item", "ml-100k.user"): (
        lambda path: _read_ratings(path, "\t", _RATING_COLUMNS, header_rows=1),
        _wheel_100k_items,
        lambda path: _read_lines(path, "\t", ["user_id", "age", "gender", "occupation", "zip"], "utf-8", header_rows=1),
    ),
    ("ratings.dat", "movies.dat", "users.dat"): (
        _published_1m_ratings,
        lambda path: _read_lines(path, "::", ["item_id", "title", "genres"], "latin-1"),
        _published_1m_users,
    ),
    ("ratings.parquet", "movies.csv", "users.csv"): (
        _parquet_1m_ratings,
        lambda path: pd.read_csv(path, dtype="str").rename(columns={"movie_id": "item_id"}),
        _csv_1m_users,
    ),
}
