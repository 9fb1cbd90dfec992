"""``seqlab new``: the files of a cell, a task or a dataset of one's own, to fill in. Torch is not needed."""

import importlib.util
import keyword
import os
import re
import shlex
import sys
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final

from seqlab.config.project import FILE_NAME, Project, read_project
from seqlab.errors import InputError

_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Kind:
    """A kind of thing that can be made.

    Attributes:
        group: its group of the configuration.
        suffix: with which the name of its class ends.
        overrides: with which ``seqlab train`` trains it; NAME is its name.
    """

    group: str
    suffix: str
    overrides: tuple[str, ...]


KINDS: Final = {
    "cell": Kind("model/cell", "Cell", ("experiment=hello", "model/cell=NAME")),
    "task": Kind("task", "Task", ("experiment=tiny_sentiment", "callbacks.confusion=null", "task=NAME")),
    "dataset": Kind("data", "Text", ("data=NAME", "model.hidden_size=64", "trainer.max_epochs=3")),
}
"""What ``seqlab new`` can make, by name."""


def new(kind_name: str, name: str) -> int:
    """``seqlab new KIND NAME``: writes a class, its configuration file and its test into the user's folder.

    They go into the ``config_dir`` of the project file, and beside it; without one into ``conf``, and a project file is
    written that names it. Existing files stay as they are.

    Args:
        kind_name: a name of `KINDS`.
        name: of the module, the configuration file and, in another form, the class.

    Returns:
        The exit code, 0.

    Raises:
        InputError: the name can't be used, or a file exists.

    Example:
        >>> import contextlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        ...     code = new("cell", "my_cell")
        written: my_cell.py
        written: conf/model/cell/my_cell.yaml
        written: test_my_cell.py
        written: seqlab.toml
        fill in what follows each HERE, and try it:
          python -m pytest test_my_cell.py
          seqlab train experiment=hello model/cell=my_cell
    """
    kind, here = KINDS[kind_name], Path.cwd()
    _check_name(name, kind_name)
    project = read_project(here)
    config_dir = Path(project.config_dir or here / "conf")
    module, test = config_dir.parent / f"{name}.py", config_dir.parent / f"test_{name}.py"
    texts = {
        module: _text(f"{kind_name}.py", name, kind),
        config_dir / kind.group / f"{name}.yaml": _text(f"{kind_name}.yaml", name, kind),
        test: _text(f"{kind_name}_test.py", name, kind),
    }
    existing = [_shown(path, here) for path in texts if os.path.lexists(path)]
    if (package := module.with_suffix("") / "__init__.py").exists():  # Python would import it, not the module
        existing.append(_shown(package, here))
    if existing:
        raise InputError(f"{', '.join(existing)}: there already, and nothing is written; give another name, or move it")
    _check_module(name)
    if not project.name and not os.path.lexists(here / FILE_NAME):
        texts[here / FILE_NAME] = f'config_dir = "conf"    # as --config-dir\nallow = ["{name}"]    # as --allow\n'
    _write_all(texts, here)
    for path in texts:
        print(f"written: {_shown(path, here)}")
    _print_next(kind, name, project, test, here)
    return 0


def _check_name(name: str, kind_name: str) -> None:
    """Refuses a name that no module or no configuration file of one's own can have."""
    kind = KINDS[kind_name]
    if not _NAME.fullmatch(name):
        near = re.sub(r"\W+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)).strip("_").lower()
        hint = f", such as {near}" if _NAME.fullmatch(near) else ""
        raise InputError(f"NAME is {name!r}; expected a name in lower case, of letters, digits and underscores{hint}")
    if keyword.iskeyword(name) or keyword.issoftkeyword(name):
        raise InputError(f"NAME is {name}, a word of Python itself; give another, such as my_{name}")
    if re.search(rf"^from .* import .*\b{_class_name(name, kind)}\b", _template(f"{kind_name}.py"), re.MULTILINE):
        raise InputError(f"NAME is {name}, and {_class_name(name, kind)} is a class of seqlab; give another, my_{name}")
    if files("seqlab.conf").joinpath(kind.group, f"{name}.yaml").is_file():
        raise InputError(f"NAME is {name}, and {kind.group}={name} comes with seqlab; give another, such as my_{name}")


def _check_module(name: str) -> None:
    """Refuses a module that another one of its name would hide."""
    if name in sys.stdlib_module_names:
        place = "a module of Python itself"
    elif name == "conftest":
        place = "a module of pytest"
    elif (spec := importlib.util.find_spec(name)) is not None:
        place = f"installed, as {spec.origin or 'a package'}"
    else:
        return
    raise InputError(f"NAME is {name}, which is {place}: Python would import that; give another, such as my_{name}")


def _text(template: str, name: str, kind: Kind) -> str:
    """A template of :mod:`seqlab.templates`, filled in."""
    return _template(template).replace("CLASS", _class_name(name, kind)).replace("NAME", name)


def _template(name: str) -> str:
    return files("seqlab.templates").joinpath(f"{name}.txt").read_text("utf-8")


def _class_name(name: str, kind: Kind) -> str:
    """The name of the class, such as MyCell of my_cell."""
    words = "".join(word.capitalize() for word in name.split("_"))
    return words if words.endswith(kind.suffix) else words + kind.suffix


def _write_all(texts: dict[Path, str], here: Path) -> None:
    """Writes all files, or none."""
    written: list[Path] = []
    try:
        for path, text in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                written.append(path)
                file.write(text)
    except BaseException as error:
        for done in written:
            done.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        place = _shown(Path(error.filename or path), here)
        raise InputError(f"{place} can't be written: {error.strerror}; nothing is written") from error


def _print_next(kind: Kind, name: str, project: Project, test: Path, here: Path) -> None:
    """Prints the next commands, and what the project file lacks."""
    overrides = [text.replace("NAME", name) for text in kind.overrides]
    option = ["--config-dir", "conf"] if project.name and project.config_dir is None else []
    print("fill in what follows each HERE, and try it:")
    print(f"  {shlex.join(['python', '-m', 'pytest', _shown(test, here)])}")
    print(f"  {shlex.join(['seqlab', 'train', *option, *overrides])}")
    if project.name and name not in project.allow:
        print(f"so that stored runs of it are read, add {name} to allow in {project.name}, or give --allow {name}")


def _shown(path: Path, here: Path) -> str:
    """A path as the user would write it."""
    return os.path.relpath(path, here)
