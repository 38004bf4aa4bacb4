"""What is built from here works elsewhere: the package alone, without this repository."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CACHES = shutil.ignore_patterns("__pycache__")


def run(*command, **options):
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, check=False, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """An sdist, the wheel made from it, and the folder in which that is installed."""
    folder = tmp_path_factory.mktemp("built")
    source = folder / "source"
    shutil.copytree(ROOT / "rnnbook", source / "rnnbook", ignore=CACHES)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = "import setuptools.build_meta as b, sys; print(b.build_sdist(sys.argv[1]))"
    run(sys.executable, "-c", build, folder, cwd=source)
    (sdist,) = folder.glob("*.tar.gz")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    run(*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", folder, sdist, cwd=folder)
    (wheel,) = folder.glob("*.whl")
    run(*pip, "install", "--no-deps", "--target", folder / "site", wheel, cwd=folder)
    return folder, sdist, wheel


def test_the_sdist_holds_all_that_the_wheel_does_and_the_wheel_the_package_alone(built):
    _, sdist, wheel = built
    with tarfile.open(sdist) as archive:
        sources = {name.split("/", 1)[-1] for name in archive.getnames()}
    installed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    package = {p.relative_to(ROOT).as_posix() for p in (ROOT / "rnnbook").rglob("*.py")}
    assert installed == package | {"rnnbook/py.typed"}
    assert installed <= sources


def test_the_installed_package_trains_saves_loads_and_predicts(built):
    folder, _, _ = built
    environment = {**os.environ, "PYTHONPATH": str(folder / "site")}
    said = run(
        sys.executable, "-P", ROOT / "tests" / "smoke.py", cwd=folder, env=environment
    ).strip()  # fmt: skip
    assert said.startswith("scratch, pytorch: rnnbook ")
    assert said.endswith(str(folder / "site" / "rnnbook"))


def test_importing_the_package_takes_less_than_a_third_of_a_second():
    code = "import time; t = time.process_time(); import rnnbook; print(time.process_time() - t)"
    assert min(float(run(sys.executable, "-c", code)) for _ in range(3)) < 0.3
