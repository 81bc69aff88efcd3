import re
from pathlib import Path

import pytest

from tfrec.config.reference import reference

ROOT = Path(__file__).parent.parent
PAGES = [
    path
    for folder in (ROOT, ROOT / "docs", ROOT / "docs" / "decisions", ROOT / "serving")
    for path in folder.glob("*.md")
]


def test_the_page_of_settings_is_up_to_date() -> None:
    # If it is not: python -m tfrec.config > docs/configuration.md
    assert (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8") == reference()


def test_every_setting_is_explained() -> None:
    assert "| None |" not in reference()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []
