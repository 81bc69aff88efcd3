"""CSV files, read in blocks."""

import numpy as np
import pytest

from tests.datasets.folder import HEADER, LINES, Folder, lines, rows
from tfrec.datasets import csv_reader, text_files


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_reader, "_SMALL_BLOCK", 64)
    monkeypatch.setattr(text_files, "_LOOKED_AT", 32)


@pytest.mark.usefixtures("small_blocks")
class TestBlocks:
    def test_ids_of_all_blocks_are_one_vocabulary_in_order_of_appearance(self, folder: Folder) -> None:
        dataset = folder.load(HEADER + lines(LINES))
        assert rows(dataset) == LINES
        assert dataset.users["user_id"].tolist() == [f"u{user}" for user in range(7)]
        assert dataset.interactions["timestamp"].dtype == np.int64

    def test_rows_are_counted_over_blocks(self, folder: Folder) -> None:
        log = HEADER + lines(LINES[:20]) + "u1,i1\n\n" + lines(LINES[20:30]) + "u1,,5\nu1,i1,noon\n"
        message = folder.error(log)
        assert "expected 3 values in a row: 1 row (row 21: 'u1,i1')" in message
        assert "1 row (row 32: nothing)" in message
        assert "1 row (row 33: 'noon')" in message

    @pytest.mark.parametrize("late", ["7.5", "1970-01-01 00:00:07", " +7 "])
    def test_a_time_that_is_written_otherwise_late_in_the_file_is_read_alike(self, folder: Folder, late: str) -> None:
        log = HEADER + lines(LINES[:30]) + f"u1,i1,{late}\n"
        if "-" in late:
            assert f"(row 31: '{late}')" in folder.error(log)
        else:
            assert folder.load(log).interactions["timestamp"].tolist() == [*range(30), float(late)]

    @pytest.mark.parametrize("time", ["1970-01-01T00:00:{:02}Z", "1970-01-01 00:00:{:02}", "1970-01-01T02:00:{:02}+02"])
    def test_moments_become_seconds(self, folder: Folder, time: str) -> None:
        assert rows(folder.load(HEADER + lines(LINES, time))) == LINES

    def test_moments_in_different_forms_are_read_together(self, folder: Folder) -> None:
        log = HEADER + lines(LINES[:20], "1970-01-01 00:00:{:02}") + lines(LINES[20:], "1970-01-01T01:00:{:02}+01:00")
        assert rows(folder.load(log)) == LINES

    def test_a_quote_late_in_the_file_quotes(self, folder: Folder) -> None:
        dataset = folder.load(HEADER + lines(LINES) + '"u,1","i ""1""",99\n')
        assert rows(dataset)[-1] == ("u,1", 'i "1"', 99)
        assert 'Expected each " in log.csv to have a second one' in folder.error(
            HEADER + lines(LINES) + '"u,1,i1,99\n' + lines(LINES)
        )

    def test_a_value_may_be_longer_than_a_block(self, folder: Folder) -> None:
        items = folder.table("items.csv", f'item_id,title\ni0,"{"x" * 50}\n{"y" * 900}"\ni1,short\n', text=("title",))
        assert folder.load(items=items, unknown_items="keep").items["title"].str.len().tolist()[:2] == [951, 5]
