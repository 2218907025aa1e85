"""The order of the rooms, who may touch the world, and what travels in the wheel (docs/decisions/0001-the-house.md)."""

from __future__ import annotations

import ast
import re
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path

import pytest

import orxaq_mesh

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "orxaq_mesh"
PURE = tuple(
    "errors text credentials rules record keys plain schema kinds fold saying reconcile standing voting spine news ledger review prose carry effects answers silence duties choosing reacting pen engine".split()
)
EFFECTFUL = (
    "store",
    "home",
    "gate",
    "hub",
    "sync",
    "holding",
    "orders",
    "worker",
    "status",
    "inspect",
    "mesh",
    "demo",
    "doctor",
    "cli",
)
ROOMS = PURE + EFFECTFUL
DOORS = ("__init__", "__main__")

WORLDLY = set(
    "os sys pathlib io socket subprocess time datetime random secrets logging threading tempfile shutil".split()
)
ITS_OWN_FILES = {("schema", "pathlib")}  # it finds the contract that travels with the package
ONE_IMPORTER = {"git": "store/git.py", "gitdb": "store/git.py", "rich": "cli/view.py"}
NEVER_IMPORTED = {"pickle", "marshal", "shelve"}
NEVER_CALLED = {"eval", "exec", "os.system", "os.popen"}
PURE_NEVER_CALLS = {"open", "print", "input"}
CLOCKS = re.compile(
    r"time\.(time|monotonic|perf_counter|process_time|clock_gettime|localtime|gmtime|ctime)(_ns)?"
    r"|(datetime\.|dt\.)?(datetime|date)\.(now|utcnow|today)"
)
ENVIRONMENT = {"os.environ", "os.environb", "os.getenv", "os.putenv", "os.unsetenv"}


def room_of(file: str) -> str:
    """`kinds/lease.py` belongs to `kinds`, `fold.py` to `fold`."""
    return file.split("/")[0].removesuffix(".py")


def imports(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """(module, name) of every import, lazy ones too; `name` is empty for a plain `import`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (("." * node.level + (node.module or ""), alias.name) for alias in node.names)


def rooms_used(tree: ast.AST) -> Iterator[str]:
    for module, name in imports(tree):
        top, _, rest = module.partition(".")
        if top == "orxaq_mesh":
            yield rest.split(".")[0] or name or "__init__"


def offences(file: str, source: str) -> list[str]:
    """What a file of the package does that its room may not."""
    tree, room = ast.parse(source), room_of(file)
    found = [*_order(room, tree), *_foreign(file, room, tree), *_deeds(room, tree)]
    return [f"{file}: {what}" for what in found]


def _order(room: str, tree: ast.Module) -> Iterator[str]:
    if room in DOORS:
        eager = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        if room == "__init__" and any(used for node in eager for used in rooms_used(node)):
            yield "imports a room before it is asked for one"
        return
    if room not in ROOMS:
        yield f"`{room}` is no room of the house"
        return
    for used in rooms_used(tree):
        if used in ROOMS and ROOMS.index(used) > ROOMS.index(room):
            yield f"imports `{used}`, which lies below it"
        elif used not in ROOMS and used != "__version__":
            yield f"imports `{used}`, which is no room"


def _foreign(file: str, room: str, tree: ast.AST) -> Iterator[str]:
    for module, name in imports(tree):
        top = module.split(".")[0]
        if module.startswith("."):
            yield "imports by a relative path"
        if top in NEVER_IMPORTED:
            yield f"imports {top}"
        if ONE_IMPORTER.get(top, file) != file:
            yield f"imports {top}; only {ONE_IMPORTER[top]} may"
        if room in PURE and top in WORLDLY and (room, top) not in ITS_OWN_FILES:
            yield f"imports {top} above the line"
        if room != "home" and f"{module}.{name}" in ENVIRONMENT:
            yield "reads the environment"
        if room != "home" and CLOCKS.fullmatch(f"{module}.{name}"):
            yield "reads a clock"


def _deeds(room: str, tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in NEVER_CALLED or (room in PURE and called in PURE_NEVER_CALLS):
                yield f"calls {called}"
            if any(word.arg == "shell" and ast.unparse(word.value) != "False" for word in node.keywords):
                yield "passes shell="
        if isinstance(node, ast.Attribute) and room != "home":
            said = ast.unparse(node)
            if said in ENVIRONMENT:
                yield "reads the environment"
            if CLOCKS.fullmatch(said):
                yield "reads a clock"


def test_every_room_keeps_the_order_of_the_house() -> None:
    files = sorted(path for path in PACKAGE.rglob("*.py") if "__pycache__" not in path.parts)
    assert len(files) > 5
    found = [what for path in files for what in offences(path.relative_to(PACKAGE).as_posix(), path.read_text("utf-8"))]
    assert found == []


@pytest.mark.parametrize(
    ("file", "source", "what"),
    [
        ("fold.py", "import os", "imports os above the line"),
        ("kinds/lease.py", "def f():\n    from datetime import datetime", "imports datetime above the line"),
        ("record.py", "from orxaq_mesh.keys import sign", "`keys`, which lies below it"),
        ("record.py", "from orxaq_mesh import keys", "`keys`, which lies below it"),
        ("kinds/lease.py", "import orxaq_mesh.fold", "`fold`, which lies below it"),
        ("store/git.py", "from orxaq_mesh.home import clock", "`home`, which lies below it"),
        ("keys.py", "from . import record", "relative path"),
        ("util.py", "", "`util` is no room"),
        ("fold.py", "from orxaq_mesh.util import x", "`util`, which is no room"),
        ("store/memory.py", "import git", "only store/git.py may"),
        ("mesh.py", "from rich.text import Text", "only cli/view.py may"),
        ("schema.py", "x = open('a')", "calls open"),
        ("sync.py", "import os\nos.environ['A']", "reads the environment"),
        ("sync.py", "from os import environ", "reads the environment"),
        ("gate.py", "import time\ntime.monotonic()", "reads a clock"),
        ("gate.py", "from time import time_ns", "reads a clock"),
        ("sync.py", "import datetime\ndatetime.datetime.now(None)", "reads a clock"),
        ("cli/lease.py", "eval('1')", "calls eval"),
        ("store/git.py", "import subprocess\nsubprocess.run('x', shell=True)", "passes shell="),
        ("home.py", "import pickle", "imports pickle"),
        ("__init__.py", "from orxaq_mesh.mesh import Mesh", "before it is asked"),
    ],
)
def test_the_walk_finds_what_it_is_for(file: str, source: str, what: str) -> None:
    assert any(what in found for found in offences(file, source)), offences(file, source)


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("kinds/lease.py", "from orxaq_mesh.kinds.base import Kind\nfrom orxaq_mesh.record import Record"),
        ("store/git.py", "import git\nimport os, subprocess, time\ntime.sleep(0.1)"),
        ("home.py", "import os, time\nos.environ.get('A'), time.monotonic()"),
        ("cli/main.py", "from orxaq_mesh import __version__\nfrom orxaq_mesh.demo import run"),
        ("__init__.py", "def __getattr__(name):\n    from orxaq_mesh.mesh import Mesh\n    return Mesh"),
    ],
)
def test_the_walk_lets_pass_what_the_house_allows(file: str, source: str) -> None:
    assert offences(file, source) == []


def test_the_decision_page_lists_the_rooms_in_this_order() -> None:
    page = (ROOT / "docs/decisions/0001-the-house.md").read_text("utf-8")
    assert tuple(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == ROOMS
    above, _, below = page.partition("**the line**")
    assert f"`{PURE[-1]}`" in above
    assert f"| `{EFFECTFUL[0]}`" in below
    assert set(re.findall(r"`(\w+)`", page.partition("nobody imports")[2].partition(", and nobody")[0])) == WORLDLY


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from hatchling.builders.wheel import WheelBuilder

    out = tmp_path_factory.mktemp("wheel")
    return Path(next(iter(WheelBuilder(str(ROOT)).build(directory=str(out), versions=["standard"]))))


def test_the_schemas_travel_in_the_wheel(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    here = {path.relative_to(ROOT).as_posix() for path in (ROOT / "schemas").rglob("*.json")}
    assert here
    assert {f"orxaq_mesh/{name}" for name in here} <= names
    assert {path.relative_to(ROOT).as_posix() for path in PACKAGE.rglob("*.py")} <= names
    tops = {name.split("/")[0] for name in names}
    assert tops == {"orxaq_mesh", f"orxaq_mesh-{orxaq_mesh.__version__}.dist-info"}


def test_the_wheel_has_the_three_scripts_and_the_licence(wheel: Path) -> None:
    info = f"orxaq_mesh-{orxaq_mesh.__version__}.dist-info"
    with zipfile.ZipFile(wheel) as archive:
        scripts = set(archive.read(f"{info}/entry_points.txt").decode().splitlines())
        assert f"{info}/licenses/LICENSE" in archive.namelist()
    assert {
        "mesh = orxaq_mesh.cli:main",
        "orxaq-mesh = orxaq_mesh.cli:main",
        "mesh-sync = orxaq_mesh.cli:sync_main",
    } <= scripts


def test_the_sdist_makes_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    from hatchling.builders.sdist import SdistBuilder
    from hatchling.builders.wheel import WheelBuilder

    sdist = Path(next(iter(SdistBuilder(str(ROOT)).build(directory=str(tmp_path)))))
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
        archive.extractall(tmp_path, filter="data")
    unpacked = WheelBuilder(str(tmp_path / sdist.name.removesuffix(".tar.gz")))
    again = Path(next(iter(unpacked.build(directory=str(tmp_path / "again"), versions=["standard"]))))
    assert zipfile.ZipFile(again).namelist() == zipfile.ZipFile(wheel).namelist()
    assert {path.relative_to(ROOT).as_posix() for path in (ROOT / "schemas").rglob("*.json")} <= names
    assert {"pyproject.toml", "LICENSE", "README.md", "orxaq_mesh/__init__.py", "tests/test_house.py"} <= names
    assert not [name for name in names if name.startswith((".venv", ".git/", "dist")) or "__pycache__" in name]


def test_the_version_is_one(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        metadata = message_from_bytes(archive.read(f"orxaq_mesh-{orxaq_mesh.__version__}.dist-info/METADATA"))
    assert metadata["Version"] == orxaq_mesh.__version__
    assert tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dynamic"] == ["version"]
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert headings[0] == orxaq_mesh.__version__
