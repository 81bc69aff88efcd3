"""Python environments of peers, which do not all go with TensorFlow here or with each other."""

import shutil
import subprocess
import sys
from pathlib import Path


def python_of(folder: Path, requirements: str) -> Path:
    """The Python of an environment with these packages, which is made if it is not there.

    Args:
        folder: The environment's.
        requirements: As pip reads them, separated by blanks.

    Raises:
        subprocess.CalledProcessError: It can't be made; what pip says goes to stderr.
    """
    python, installed = folder / "bin" / "python", folder / "requirements.txt"
    if installed.is_file() and installed.read_text(encoding="utf-8") == requirements:
        return python
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, stdout=sys.stderr)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *requirements.split()], check=True, stdout=sys.stderr)
    installed.write_text(requirements, encoding="utf-8")
    return python
