"""All benchmarks, one after the other, and one page with what they said.

    python benchmarks/suite.py --data-root data [--quick] [--only stages evaluation] [--folder runs/benchmarks/suite]
        [--beam .venv-beam/bin/python] [--py-spy py-spy]
    python benchmarks/suite.py --list

Each is set beside a peer or a floor in the same run. --quick takes small sizes and MovieLens 100K, which is fetched by
itself: it tries whether everything runs, and its figures say little. In full it takes a day on two cores, and needs
MovieLens 1M and Amazon Beauty in --data-root. What is finished is kept in --folder: the same command goes on. What
fails is named, and the others run; what lacks its tool is skipped, and the page says what it lacks. The curves of how
the cost grows with the work stand below the benchmarks that draw them.
"""

import argparse
import importlib.metadata
import os
import platform
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

HERE = Path(__file__).parent
FULL_RECIPE, QUICK_RECIPE = "movielens-1m/jd_tower", "movielens-100k/two_tower"
MADE = {
    "run": "-m tfrec.train {recipe} --run {folder}/run --data-root {data_root}",
    "model": "-m tfrec.export {folder}/run --output {folder}/model --version 1 --data-root {data_root}",
    "compared": "-m tfrec.compare {recipe} --output {folder}/compared --data-root {data_root}",
}
"""What some benchmarks are of; --quick trains one epoch and compares two baselines."""
QUICK = {"run": "--epochs 1", "compared": "--no-tune --baseline popularity --baseline ease"}
BENCHMARKS = {
    "stages": ("stages.py {recipe} --data-root {data_root}", "--rounds 1 --steps 5"),
    "load_tables": ("load_tables.py", "--rows 100000 --rounds 1"),
    "load_files": ("load_files.py", "--rows 300000 --at-once 100000 --rounds 1"),
    "scale": (
        "scale.py --folder {folder}/scale --growth {folder}/scale.svg",
        "--rows 100000 --items 20000 --users 4000",
    ),
    "evaluation": ("evaluation.py --rounds 15", "--users 500 --rounds 1"),
    "index": ("index.py --runs {folder}/run --data-root {data_root}", "--items 50000 --rounds 1"),
    "index_growth": ("index.py --growth {folder}/index_growth.svg", "--rounds 1 --items 100000"),
    "serving_load": ("serving_load.py --model_base_path {folder}/model", "--seconds 1 --first_rate 100"),
    "serving_chaos": (
        "serving_chaos.py --model_base_path {folder}/model --rate 10 --minutes 60 --reloads 50 --fuzz 100",
        "--rate 5 --swaps 2 --pause 1 --minutes 0.1 --reloads 2 --fuzz 2",
    ),
    "served_baselines": ("served_baselines.py {folder}/compared --data-root {data_root}", ""),
    "peers": (
        "peers.py {recipe} --data-root {data_root} --folder {folder}/peers",
        "--seeds 0 --epochs 1 --tries 1 --peers tfrec/ease implicit/item_knn",
    ),
    "peers_clicks": (
        "peers.py movielens-100k/deepfm --data-root {data_root} --folder {folder}/peers_clicks",
        "--seeds 0 --epochs 1 --tries 1 --peers tfrec/logistic_regression lightgbm/binary",
    ),
    "click_truth": (
        "click_truth.py --folder {folder}/click_truth",
        "--impressions 20000 --users 100 --items 50 --epochs 1 --models esmm youtube_ranker",
    ),
    "batch": ("batch.py --model {folder}/model --recipe {recipe} --data-root {data_root}", "--rounds 1"),
    "profiles": (
        "profiles.py --data-root {data_root} --folder {folder}/profiles --py-spy {py_spy}",
        "--stages read split two_tower_step --recipe {recipe} --seconds 3",
    ),
    "click_quality": ("click_quality.py --data-root {data_root} --folder {folder}/click_quality", None),
    "jd_tower_cost": ("jd_tower_cost.py --data-root {data_root}", None),
    "jd_tower_quality": ("jd_tower_quality.py --data-root {data_root} --folder {folder}/jd_tower_quality", None),
    "jd_tower_ablation": ("jd_tower_ablation.py --data-root {data_root} --folder {folder}/jd_tower_ablation", None),
    "jd_tower_cold_items": (
        "jd_tower_cold_items.py --data-root {data_root} --folder {folder}/jd_tower_cold_items",
        None,
    ),
}
"""Name -> the command, and what --quick adds; None: it needs data that are not fetched."""
NEEDS = {
    "batch": "Apache Beam: pass --beam PYTHON, of the environment that docs/batch.md makes",
    "profiles": "py-spy: pip install py-spy, or pass --py-spy FILE",
}
"""What is skipped unless there is the tool."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=BENCHMARKS)
    parser.add_argument("--folder", type=Path, help="runs/benchmarks/suite, or suite-quick, if not given")
    parser.add_argument("--beam", metavar="PYTHON", help="of an environment with Apache Beam")
    parser.add_argument("--py-spy", metavar="FILE", default=shutil.which("py-spy"), help="the one on the path")
    parser.add_argument("--list", action="store_true", help="the commands, which are not run")
    arguments = parser.parse_args()
    folder = arguments.folder or Path("runs/benchmarks") / ("suite-quick" if arguments.quick else "suite")
    chosen = {name: BENCHMARKS[name] for name in arguments.only or BENCHMARKS}
    if arguments.quick:
        chosen = {name: (command, more) for name, (command, more) in chosen.items() if more is not None}
    commands = {name: f"{HERE}/{command} {more if arguments.quick else ''}" for name, (command, more) in chosen.items()}
    needed = [name for name in MADE if any(f"{{folder}}/{name}" in command for command in commands.values())]
    if "model" in needed and "run" not in needed:
        needed = ["run", *needed]
    made = {name: f"{MADE[name]} {QUICK.get(name, '') if arguments.quick else ''}" for name in needed}
    places = {
        "recipe": QUICK_RECIPE if arguments.quick else FULL_RECIPE,
        "folder": folder,
        "data_root": arguments.data_root,
        "py_spy": arguments.py_spy or "py-spy",
    }
    commands = {name: command.format(**places).strip() for name, command in (made | commands).items()}
    if arguments.list:
        print("\n".join(f"python {command}" for command in commands.values()))
        return
    pythons = dict.fromkeys(commands, sys.executable) | {"batch": arguments.beam}
    missing = {"batch": not arguments.beam, "profiles": not arguments.py_spy}
    skipped = {name: NEEDS[name] for name in commands if missing.get(name)}
    folder.mkdir(parents=True, exist_ok=True)
    for name, why in skipped.items():
        print(f"{name}: skipped, needs {why}", file=sys.stderr)
    asked = {name: [pythons[name], *shlex.split(command)] for name, command in commands.items() if name not in skipped}
    failed = [name for name, command in asked.items() if not _run(name, command, folder)]
    page = folder / "report.md"
    page.write_text(_report(commands, skipped, folder), encoding="utf-8")
    print(page)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}; see {folder}/NAME.log")


def _run(name: str, command: list[str], folder: Path) -> bool:
    """Whether it succeeded, now or before; its output is in NAME.md then."""
    output, log = folder / f"{name}.md", folder / f"{name}.log"
    if output.is_file():
        print(f"{name}: done before", file=sys.stderr)
        return True
    told = shlex.join(["python", *command[1:]])
    print(f"{name}: {told}", file=sys.stderr, flush=True)
    started = time.perf_counter()
    with log.open("w", encoding="utf-8") as written:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=written, text=True)
    if done.returncode:
        return False
    took = time.perf_counter() - started
    text = f"## {name}\n\n    {told}\n\nTook {took:,.0f} s.\n\n{done.stdout.strip()}\n"
    temporary = output.with_suffix(".tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(output)
    return True


def _report(names: Iterable[str], skipped: Mapping[str, str], folder: Path) -> str:
    """What the benchmarks said, in order; a failed one says nothing."""
    versions = ", ".join(f"{each} {importlib.metadata.version(each)}" for each in ("tensorflow", "keras", "numpy"))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    python = platform.python_version()
    machine = f"{os.cpu_count()} cores ({platform.machine()}), {memory:.0f} GB, Python {python}, {versions}"
    parts = [f"# Benchmarks\n\n{machine}.\n"]
    for name in names:
        said, drawn = folder / f"{name}.md", folder / f"{name}.svg"
        if said.is_file():
            parts.append(said.read_text(encoding="utf-8"))
            if drawn.is_file():
                parts.append(f"How it grows with the work:\n\n![{name}]({drawn.name})\n")
        else:
            why = f"skipped, needs {skipped[name]}" if name in skipped else f"failed, see {name}.log"
            parts.append(f"## {name}\n\n{why[0].upper()}{why[1:]}.\n")
    return "\n".join(parts)


if __name__ == "__main__":
    main()
