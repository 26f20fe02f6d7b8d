"""How complete the types of the public surface are, as whoever installs the wheel sees them."""

import os
import re
import shutil
import site
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
#: Percent of the exported names whose types are known without guessing.
LEAST = 95.0


def test_the_types_of_the_wheel_are_complete(tmp_path: Path) -> None:
    if shutil.which("pyright", path=str(Path(sys.executable).parent)) is None:
        pytest.skip("pyright is not here: pip install 'pyright[nodejs]'")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "wheel")],
        cwd=ROOT,
        check=True,
    )
    (wheel,) = (tmp_path / "wheel").glob("*.whl")
    venv.create(tmp_path / "venv", with_pip=False)
    (packages,) = (tmp_path / "venv" / "lib").glob("python3*/site-packages")
    zipfile.ZipFile(wheel).extractall(packages)
    (packages / "others.pth").write_text(site.getsitepackages()[0] + "\n")
    # Elsewhere than in the repository, whose source would be found first.
    said = subprocess.run(
        [
            str(tmp_path / "venv" / "bin" / "python"),
            *("-m", "pyright", "--verifytypes", "hog_dagster", "--ignoreexternal"),
        ],
        cwd=tmp_path,
        env={
            **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            "VIRTUAL_ENV": str(tmp_path / "venv"),
            "PATH": f"{tmp_path / 'venv' / 'bin'}{os.pathsep}{os.environ['PATH']}",
        },
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    score = re.search(r"Type completeness score: ([\d.]+)%", said)
    assert score is not None, said[-2_000:]
    assert float(score[1]) >= LEAST, said[-20_000:]
