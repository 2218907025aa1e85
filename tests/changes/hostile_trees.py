"""Laws QUIET and RENDER, broken by trees: modes, names, folders, bombs, malformed objects (traps B4, B6, B7)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from orxaq_mesh.store.objects import FILE, FOLDER, MAX_FILE_BYTES, MAX_TREE_ENTRIES
from tests.changes.objects import Objects, Odd
from tests.changes.scene import SPINE, Case, Scene, file_of, says

LINK, MODULE, PROGRAM = b"120000", b"160000", b"100755"
_TEXT = b"hello\n"

_BESIDE = "a node reads nothing that stands beside ledger/, and carries it along (law QUIET)"
_FSCK = "git's own check of objects turns it away before any hook is asked (trap B7)"


def _no_commit(_: Objects) -> str:
    return "11" * 20


Name = str | Callable[[Scene], str]


def _path(scene: Scene, path: Name) -> str:
    return path if isinstance(path, str) else path(scene)


def _odd(law: str, name: str, path: Name, entry: Odd, **how: str) -> Case:
    """One entry of the tree that no ledger has; elm's sound record comes with it."""

    def build(scene: Scene) -> None:
        scene.add(says(scene.elm))
        scene.odd[_path(scene, path)] = entry

    return Case(f"{law}: {name}", law, build, **how)


def _file(law: str, name: str, path: Name, content: bytes = _TEXT, **how: str) -> Case:
    return _odd(law, name, path, Odd(FILE, content), **how)


def _named(text: str) -> Case:
    """A file of a name that no name in a ledger is like."""
    return _file("QUIET", f"a file named {text.encode('unicode_escape').decode()}", f"ledger/nodes/{text}")


def _mine(scene: Scene) -> str:
    return file_of(scene.elm)


def _folder_of(scene: Scene) -> str:
    return _mine(scene).rpartition("/")[0]


def _log_of(scene: Scene) -> str:
    return f"ledger/nodes/{scene.elm.log}"


def _moved(law: str, name: str, path: Callable[[Scene], str], mode: bytes) -> Case:
    """What stands there has another mode."""

    def build(scene: Scene) -> None:
        scene.odd[path(scene)] = Odd(mode, scene.files[_mine(scene)])

    return Case(f"{law}: {name}", law, build)


def _beside(name: str, path: str, entry: Odd) -> Case:
    return _odd("RENDER", f"beside the ledger: {name}", path, entry, node=_BESIDE)


def _empty(scene: Scene) -> None:
    scene.files[f"{_folder_of(scene)}/0000000033.ndjson"] = b""


def _readme_edited(scene: Scene) -> None:
    scene.beside["README.md"] = b"# Fleet\n"
    scene.add(says(scene.elm))
    scene.files["README.md"] = b"# Mine\n"


def _readme_deleted(scene: Scene) -> None:
    scene.beside["README.md"] = b"# Fleet\n"
    scene.add(says(scene.elm))
    scene.odd["README.md"] = Odd(FOLDER, Objects.tree)


# Objects at many places, trees without end, objects without measure.


def _bomb(objects: Objects) -> str:
    """Eleven trees that spell 10^10 paths."""
    oid = objects.tree((FILE, b"0000000001.ndjson", objects.blob(_TEXT)))
    for _ in range(10):
        oid = objects.tree(*((FOLDER, b"%06d" % n, oid) for n in range(10)))
    return oid


def _many(mode: bytes, name: bytes, times: int = 1) -> Callable[[Objects], str]:
    """A tree that says the same so many times."""
    return lambda objects: objects.tree(*[(mode, name, objects.blob(_TEXT))] * times)


def _unsorted(scene: Scene) -> None:
    """All that elm's sound change makes of the ledger, with its two folders the wrong way round."""
    scene.add(says(scene.elm))
    files = dict(scene.files)
    scene.odd["ledger"] = Odd(FOLDER, lambda objects: objects.tree(*_parts(objects, files)[::-1]))


def _padded(scene: Scene) -> None:
    """The same in order, with a zero before the mode of a folder."""
    scene.add(says(scene.elm))
    files = dict(scene.files)
    scene.odd["ledger"] = Odd(FOLDER, lambda objects: objects.tree(*_parts(objects, files, b"0")))


def _parts(objects: Objects, files: Mapping[str, bytes], pad: bytes = b"") -> list[tuple[bytes, bytes, str]]:
    """The two folders of a ledger."""
    parts = ("epochs", "nodes")
    inner = {part: {path: data for path, data in files.items() if path.startswith(f"ledger/{part}/")} for part in parts}
    return [(pad + FOLDER, part.encode(), objects.folder(f"ledger/{part}", inner[part])) for part in parts]


def _twice(scene: Scene) -> None:
    """One blob at two places: the lines of elm stand as the lines of ash, too."""
    scene.odd[_mine(scene).replace("0000000001", "0000000033")] = Odd(FILE, scene.files[_mine(scene)])
    scene.add(says(scene.ash))
    scene.odd[_mine(scene)] = Odd(FILE, scene.files[_mine(scene)])


def _log_twice(scene: Scene) -> None:
    """The folder of elm's log is the folder of a log rue's, too."""
    scene.files[f"ledger/nodes/rue-00000000/{_mine(scene).partition(scene.elm.log)[2][1:]}"] = scene.files[_mine(scene)]
    scene.add(says(scene.elm))
    scene.files[f"ledger/nodes/rue-00000000/{_mine(scene).partition(scene.elm.log)[2][1:]}"] = scene.files[_mine(scene)]


def _huge(scene: Scene) -> None:
    scene.files[f"ledger/nodes/{scene.elm.log}/000000/0000000033.ndjson"] = b"x" * (MAX_FILE_BYTES + 1)


def _grown(scene: Scene) -> None:
    scene.files[_mine(scene)] += b"\n" * (MAX_FILE_BYTES + 1)


def _crowd(scene: Scene) -> None:
    """More folders of logs than a folder of a ledger can have."""
    for number in range(MAX_TREE_ENTRIES + 1):
        scene.files[f"ledger/nodes/x-{number:08x}/000000/0000000001.ndjson"] = b"{}\n"


def _malformed(law: str, name: str, content: Callable[[Objects], str]) -> Case:
    """A log's folder that no git would have written."""
    return _odd(law, name, "ledger/nodes/rue-00000000", Odd(FOLDER, content), hub=_FSCK)


CASES: tuple[Case, ...] = (
    # Modes.
    _odd("QUIET", "a link", "ledger/link", Odd(LINK, b"/etc/passwd")),
    _odd("QUIET", "a link out of the repository", "ledger/nodes/link", Odd(LINK, b"../../../..")),
    _odd("QUIET", "a module", "ledger/nodes/rue-00000000", Odd(MODULE, _no_commit)),
    _odd("QUIET", "a program", f"{SPINE[:-6]}x.ndjson", Odd(PROGRAM, b"#!/bin/sh\n")),
    _moved("QUIET", "elm's records are a program", _mine, PROGRAM),
    _moved("QUIET", "elm's records are a link", _mine, LINK),
    _moved("QUIET", "elm's records are a file that its group may write", _mine, b"100664"),
    _moved("QUIET", "the folder of elm is a link", _log_of, LINK),
    _odd("QUIET", "the ledger is a link", "ledger", Odd(LINK, b"elsewhere")),
    _odd("QUIET", "the ledger is a module", "ledger", Odd(MODULE, _no_commit)),
    _file("RENDER", "the ledger is a file", "ledger"),
    _file("RENDER", "elm's folder is a file", _log_of),
    _odd("RENDER", "elm's file is a folder", _mine, Odd(FOLDER, Objects.tree)),
    # Names that no terminal and no file system should see.
    *(
        _named(text)
        for text in (
            "a\x1b[2J",
            "a\tb",
            "a\nb",
            "\u202egnp.exe",
            "\u200bspace",
            "caf\xe9",
            "\udcff",
            "A-00000000",
            "ELM-028BCF79",
            "a b",
            "$HOME",
            "`id`",
            "a;b",
            "<img src=x>",
            "a|b",
            "a\\b",
            "con:",
        )
    ),
    _file("RENDER", "a file named like an option", "ledger/nodes/-rf"),
    _file("QUIET", "a .gitattributes", "ledger/.gitattributes", b"* filter=x\n"),
    _file("QUIET", "a .gitmodules", "ledger/nodes/.gitmodules", b"[submodule]\n"),
    _file("QUIET", "a look-alike of .git", "ledger/.g\u200cit", hub=_FSCK),
    _file("QUIET", "a short name of .git", "ledger/git~1", hub=_FSCK),
    _file("QUIET", "a .GIT", "ledger/.GIT", hub=_FSCK),
    # Names that are no ledger's.
    _file("RENDER", "a file of no name of a ledger", "ledger/notes.txt"),
    _file("RENDER", "a file in the folder of logs", "ledger/nodes/readme.ndjson"),
    _file("RENDER", "a segment that begins in the middle", lambda scene: f"{_folder_of(scene)}/0000000002.ndjson"),
    _file("RENDER", "a segment of number 0", lambda scene: f"{_folder_of(scene)}/0000000000.ndjson"),
    _file("RENDER", "a segment in another folder", lambda scene: f"{_log_of(scene)}/000001/0000000033.ndjson"),
    _file("RENDER", "a segment too deep", lambda scene: f"{_folder_of(scene)}/000000/0000000033.ndjson"),
    _file("RENDER", "a segment with another ending", lambda scene: f"{_folder_of(scene)}/0000000033.json"),
    _file("RENDER", "a folder that is no log's", "ledger/nodes/elm/000000/0000000001.ndjson"),
    _file("RENDER", "a third folder of the ledger", "ledger/policies/000000/0000000001.ndjson"),
    Case("RENDER: an empty file in a log", "RENDER", _empty),
    _odd("RENDER", "an empty folder", "ledger/nodes/rue-00000000", Odd(FOLDER, Objects.tree)),
    # Beside the ledger.
    _beside("a workflow", ".github/workflows/x.yml", Odd(FILE, b"on: push\n")),
    _beside("a file", "README.md", Odd(FILE, _TEXT)),
    _beside("a link", "link", Odd(LINK, b"/etc/passwd")),
    _beside("a module", "module", Odd(MODULE, _no_commit)),
    _beside("a twin of the ledger", "Ledger/nodes/x.ndjson", Odd(FILE, _TEXT)),
    _beside("a .gitattributes", ".gitattributes", Odd(FILE, b"* merge=union\n")),
    Case("RENDER: beside the ledger: a file is changed", "RENDER", _readme_edited, node=_BESIDE),
    Case("RENDER: beside the ledger: a file is deleted", "RENDER", _readme_deleted, node=_BESIDE),
    # Size and number (trap B6).
    Case("RENDER: one blob at two places", "RENDER", _twice),
    Case("RENDER: one folder at two places", "RENDER", _log_twice),
    Case("RENDER: a file beyond any segment", "RENDER", _huge),
    Case("RENDER: a file that grew beyond any segment", "RENDER", _grown),
    Case("RENDER: more logs than a folder holds", "RENDER", _crowd),
    _odd("RENDER", "a tree bomb", "ledger/nodes/rue-00000000", Odd(FOLDER, _bomb)),
    # Objects that are none (trap B7).
    _malformed("RENDER", "a name twice in a folder", _many(FILE, b"0000000001.ndjson", 2)),
    Case("RENDER: a folder out of order", "RENDER", _unsorted, hub=_FSCK),
    Case("QUIET: a zero before a mode", "QUIET", _padded, hub=_FSCK),
    _malformed("RENDER", "a name with a slash", _many(FILE, b"000000/0000000001.ndjson")),
    _malformed("QUIET", "a folder named ..", _many(FILE, b"..")),
    _malformed("QUIET", "a file named .git", _many(FILE, b".git")),
)
