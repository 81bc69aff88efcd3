"""What tests of pages share: a parser that insists on well-formed HTML, and folders of runs that nobody trained."""

import json
from html.parser import HTMLParser
from pathlib import Path

from tfrec.config import Config
from tfrec.evaluation import Comparison, Estimate, Report
from tfrec.pages.findings import (
    Curve,
    DataDescription,
    Findings,
    ListExample,
    Recommended,
    Table,
    Target,
)
from tfrec.training.run import Run

VOID = {"meta", "br", "link", "img", "hr", "input"}
SCRIPT = "<script>alert('Toy & \"Story\"')</script>"


class Page(HTMLParser):
    """Reads a page and complains of what is not closed, crossed, or doubled.

    Attributes:
        text: What people read.
        attributes: (tag, name, value) of all.
        tags: How often each occurs.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.attributes: list[tuple[str, str, str | None]] = []
        self.tags: dict[str, int] = {}
        self._open: list[str] = []
        self._text: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []
        self.text = " ".join(" ".join(self._text).split())

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attributes]
        assert len(names) == len(set(names)), (tag, names)
        self.attributes += [(tag, name, value) for name, value in attributes]
        self.tags[tag] = self.tags.get(tag, 0) + 1
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self._open and self._open[-1] == tag, (tag, self._open[-3:], self.getpos())
        self._open.pop()

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self._open):
            self._text.append(data)

    def check(self) -> None:
        """What holds for every page: nothing from elsewhere, nothing that runs, links that lead somewhere."""
        assert self.html.startswith("<!doctype html>")
        assert "script" not in self.tags and "link" not in self.tags and "img" not in self.tags
        outside = [each for each in self.attributes if each[2] is not None and "//" in each[2]]
        assert outside == []
        assert "@import" not in self.html and "url(" not in self.html
        assert not [name for _, name, _ in self.attributes if name.startswith("on")]
        ids = [value for _, name, value in self.attributes if name == "id"]
        assert len(ids) == len(set(ids))
        links = [value for tag, name, value in self.attributes if (tag, name) == ("a", "href") and value]
        assert {link[1:] for link in links if link.startswith("#")} <= set(ids)
        assert self.tags["svg"] == self.html.count('role="img"') + self.html.count('aria-hidden="true"')


def report(name: str, ndcg: float) -> Report:
    """A report whose figures tell the name."""
    group = Report(name, 40, 0.95, {"ndcg@10": Estimate(ndcg / 2, ndcg / 4, ndcg)})
    metrics = {
        "recall@10": Estimate(ndcg + 0.1, ndcg + 0.05, ndcg + 0.15),
        "ndcg@10": Estimate(ndcg, ndcg - 0.01, ndcg + 0.01),
        "coverage@10": Estimate(0.25),
    }
    beyond = {"novelty@10": Estimate(7.5, 7.25, 7.75)}
    return Report(name, 120, 0.95, metrics, beyond=beyond, cohorts={"history 10-49": group, "items new": group})


def run_in(folder: Path, **settings: object) -> Run:
    """A run's folder with its configuration alone."""
    config = Config.load(None, {"data.source": "movielens-100k", "training.seed": 7, **settings})
    return Run.create(folder, config)


def evaluated(
    folder: Path, ndcg: float = 0.1234, p_value: float = 0.01, cases: str = "same", **settings: object
) -> Run:
    """The same, evaluated: the model has this NDCG, popularity .05 and chance .001."""
    run = run_in(folder, **settings)
    reports = [report("two_tower", ndcg), report("popularity", 0.05), report("random", 0.001)]
    run.metrics.write_text(json.dumps([each.to_dict() for each in reports]))
    comparisons = tuple(
        Comparison("two_tower", name, "ndcg@10", Estimate(ndcg - mean, ndcg - mean - 0.02, ndcg - mean + 0.02), 0.95, p)
        for name, mean, p in (("popularity", 0.05, p_value), ("random", 0.001, 0.005))
    )
    per_case = (ndcg * 2, 0.0) * 60
    table = Table("", ("two_tower",), ("popularity", "random"), comparisons, cases, per_case)
    example = ListExample(
        30, ("Heat", SCRIPT), (Target(SCRIPT, 2),), (Recommended("Babe", 9, False), Recommended(SCRIPT, 8, True))
    )
    Findings(
        tables=(table,),
        curve=Curve(({"loss": 3.0, "val_ndcg@10": 0.08}, {"loss": 2.0, "val_ndcg@10": 0.0987}), 2, (1.5, 2.5), 4321),
        data=DataDescription(
            {"training": {"interactions": 987.0}, "test": {"cases": 120.0}},
            {"users": 943.0, "density": 0.0618, "Gini of item popularity": 0.6303},
            ((0.0, 0.0), (0.5, 0.1), (1.0, 1.0)),
            (("8-15", 70), ("16-31", 50)),
            ("3 users were left out.",),
        ),
        list_examples=(example,),
    ).save(run.findings)
    return run
