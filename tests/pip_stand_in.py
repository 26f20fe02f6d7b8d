"""Stands in for pip in the test of docs/quickstart.md: installs this checkout's wheel, offline.

Called as ``python pip_stand_in.py <wheel> <virtual environment> install ...``. The wheel is
unpacked into the environment; what it needs is borrowed from the environment that runs the tests.
"""

import sys
import sysconfig
import zipfile
from importlib.metadata import EntryPoint, distribution
from pathlib import Path

__all__ = ["main"]

#: What the page's first pip command would have brought commands of.
_DISTRIBUTIONS = (
    "create-dagster",
    "dagster",
    "dagster-dg-cli",
    "dagster-webserver",
    "hog-dagster",
)
#: As pip writes them: processes that a command spawns read its script again.
_SCRIPT = """\
#!{python}
import sys
from {module} import {attr}
if __name__ == "__main__":
    sys.exit({attr}())
"""


def main(words: list[str]) -> None:
    """Install as `words` say.

    Raises:
        SystemExit: the page asks for something that is not foreseen here.
    """
    wheel, environment, *asked = words
    site = Path(sysconfig.get_path("purelib", "venv", {"base": environment}))
    if asked == ["install", "hog-dagster[sandbox,ui]", "dagster-dg-cli", "create-dagster"]:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(site)
        (site / "borrowed.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
        for name in _DISTRIBUTIONS:
            for point in distribution(name).entry_points.select(group="console_scripts"):
                _write_script(Path(environment) / "bin", point)
    elif asked == ["install", "--editable", "."]:
        (site / "project.pth").write_text(str(Path("src").resolve()), encoding="utf-8")
    else:
        raise SystemExit(f"the stand-in for pip does not know: {asked}")


def _write_script(folder: Path, point: EntryPoint) -> None:
    script = folder / point.name
    text = _SCRIPT.format(python=folder / "python", module=point.module, attr=point.attr)
    script.write_text(text, encoding="utf-8")
    script.chmod(0o755)


if __name__ == "__main__":
    main(sys.argv[1:])
