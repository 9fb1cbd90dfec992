"""The directive ``seqlab-config``: the keys of YAML files with their defaults and comments, as they stand in ``conf/``.

.. code-block:: md

    ```{seqlab-config} model/cell
    ```

shows every file of ``conf/model/cell``; the option ``:source:`` shows whole files instead of tables.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import seqlab.conf
import yaml
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

CONF = Path(seqlab.conf.__file__).parent


@dataclass(frozen=True)
class Key:
    """A key of a configuration file: its dotted name, its value as written, and the comment beside it."""

    name: str
    value: str
    comment: str


def read_keys(text: str) -> list[Key]:
    """The keys of a YAML file in their order, without ``defaults``."""
    document = yaml.compose(text)
    lines = text.splitlines()
    return list(_keys(document, lines, "")) if isinstance(document, yaml.MappingNode) else []


def _keys(mapping: yaml.MappingNode, lines: list[str], prefix: str) -> Iterator[Key]:
    for key, value in mapping.value:
        name = f"{prefix}{key.value}"
        if name == "defaults":
            continue
        if isinstance(value, yaml.MappingNode) and not value.flow_style:
            if comment := _comment(lines, key.end_mark):
                yield Key(name, "", comment)
            yield from _keys(value, lines, f"{name}.")
        else:
            written = _written(value, lines)
            yield Key(name, written, _comment(lines, value.end_mark))


def _written(value: yaml.Node, lines: list[str]) -> str:
    start, end = value.start_mark, value.end_mark
    if start.line == end.line:
        return lines[start.line][start.column : end.column]
    return " ".join(part.strip() for part in (lines[start.line][start.column :], *lines[start.line + 1 : end.line]))


def _comment(lines: list[str], mark: yaml.Mark) -> str:
    """The comment behind a place, with the lines below that go on with it."""
    if mark.line >= len(lines):
        return ""
    _, sign, comment = lines[mark.line][mark.column :].partition("#")
    if not sign:
        return ""
    parts = [comment.strip()]
    for line in lines[mark.line + 1 :]:
        indent = len(line) - len(line.lstrip())
        if not line.lstrip().startswith("#") or indent <= mark.column:
            break
        parts.append(line.strip().lstrip("# "))
    return " ".join(parts)


def description(text: str) -> str:
    """The comment at the head of a file, without Hydra's own line."""
    parts = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        if "@package" not in line:
            parts.append(line.lstrip("# "))
    return " ".join(parts)


def parents(text: str) -> list[str]:
    """The files of the same group whose keys a file also has."""
    defaults = (yaml.safe_load(text) or {}).get("defaults") or []
    return [entry for entry in defaults if isinstance(entry, str) and entry != "_self_"]


class ConfigKeys(SphinxDirective):
    """A section a file of a group; of a single file (``train.yaml``) its table alone."""

    required_arguments = 1
    option_spec = {"source": directives.flag}  # noqa: RUF012

    def run(self) -> list[nodes.Node]:
        path = CONF / self.arguments[0]
        if path.is_file():
            return self._content(path)
        files = sorted(path.glob("*.yaml"), key=lambda file: (not file.stem.startswith("_"), file.stem))
        if not files:
            raise self.error(f"there is no configuration group {self.arguments[0]!r}")
        return [self._section(file) for file in files]

    def _section(self, file: Path) -> nodes.section:
        group = self.arguments[0]
        title = f"{group}={file.stem}"
        section = nodes.section(ids=[nodes.make_id(title)], names=[nodes.fully_normalize_name(title)])
        section += nodes.title(text=title)
        if file.stem.startswith("_"):
            section += nodes.paragraph(text="Keys that several choices of this group share; it is not a choice itself.")
        section += self._content(file)
        return section

    def _content(self, file: Path) -> list[nodes.Node]:
        self.env.note_dependency(str(file))
        text = file.read_text()
        found: list[nodes.Node] = []
        if shown := description(text):
            found += self.parse_text_to_nodes(shown)
        if "source" in self.options:
            return [*found, nodes.literal_block(text=text.rstrip(), language="yaml")]
        if names := parents(text):
            shown_names = ", ".join(f"`{name}`" for name in names)
            found += self.parse_text_to_nodes(f"It also has the keys of {shown_names}.")
        keys = read_keys(text)
        if keys:
            found.append(_table(keys))
        return found


def _table(keys: list[Key]) -> nodes.table:
    node = nodes.table(classes=["keys"])
    group = nodes.tgroup(cols=3)
    node += group
    group += [nodes.colspec(colwidth=width) for width in (33, 25, 42)]
    head = nodes.thead()
    titles = nodes.row()
    titles += [nodes.entry("", nodes.paragraph(text=title)) for title in ("key", "default", "")]
    head += titles
    body = nodes.tbody()
    for key in keys:
        row = nodes.row()
        row += nodes.entry("", nodes.paragraph("", "", nodes.literal(text=key.name)))
        value = nodes.paragraph("", "", nodes.literal(text=key.value)) if key.value else nodes.paragraph()
        row += nodes.entry("", value)
        row += nodes.entry("", nodes.paragraph(text=key.comment))
        body += row
    group += [head, body]
    return node


def setup(app: Sphinx) -> dict[str, bool]:
    """Registers the directive."""
    app.add_directive("seqlab-config", ConfigKeys)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
