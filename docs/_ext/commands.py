"""The directive ``seqlab-commands``: every subcommand with its options, from the parser that the command uses."""

import argparse
from collections.abc import Iterator

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from seqlab import cli

WIDTH = 88


class Commands(SphinxDirective):
    """A section a subcommand: what it does, its usage, a table of its arguments."""

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(cli.__file__)
        sections: list[nodes.Node] = [self._train()]
        for parser, text in subcommands(cli._parser()):
            if parser.prog == "seqlab train":
                continue
            sections.append(self._section(parser, text))
        return sections

    def _train(self) -> nodes.section:
        section = new_section("seqlab train")
        section += nodes.literal_block(text=cli.TRAIN_HELP.rstrip(), language="text")
        return section

    def _section(self, parser: argparse.ArgumentParser, text: str) -> nodes.section:
        section = new_section(parser.prog)
        if text:
            section += nodes.paragraph(text=sentence(text))
        parser.formatter_class = lambda prog: argparse.HelpFormatter(prog, width=WIDTH)  # type: ignore[assignment]
        section += nodes.literal_block(text=parser.format_usage().strip(), language="text")
        rows = [
            (name_of(action), text_of(action))
            for action in parser._actions
            if not isinstance(action, (argparse._HelpAction, argparse._SubParsersAction))
        ]
        if rows:
            section += table(("argument", ""), rows)
        return section


def subcommands(parser: argparse.ArgumentParser) -> Iterator[tuple[argparse.ArgumentParser, str]]:
    """The subcommands of a parser that have none themselves, each with its help."""
    for action in parser._actions:
        if not isinstance(action, argparse._SubParsersAction):
            continue
        texts = {choice.dest: choice.help or "" for choice in action._choices_actions}
        for name, each in action.choices.items():
            below = list(subcommands(each))
            yield from below or [(each, texts.get(name, ""))]


def name_of(action: argparse.Action) -> str:
    """An argument as it is typed."""
    metavar = action.metavar if isinstance(action.metavar, str) else None
    if not action.option_strings:
        return metavar or action.dest
    name = ", ".join(action.option_strings)
    if action.nargs == 0:
        return name
    choices = "|".join(map(str, action.choices)) if action.choices else None
    return f"{name} {metavar or choices or action.dest.upper()}"


def text_of(action: argparse.Action) -> str:
    """What an argument does, and its default where the text does not say it."""
    text = action.help or ""
    default = action.default
    if default in (None, False, argparse.SUPPRESS) or default == [] or "default" in text:
        return text
    return f"{text} (default: {default})".strip()


def sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def new_section(title: str) -> nodes.section:
    """A section whose anchor is its title."""
    section = nodes.section(ids=[nodes.make_id(title)], names=[nodes.fully_normalize_name(title)])
    section += nodes.title(text=title)
    return section


def table(head: tuple[str, str], rows: list[tuple[str, str]]) -> nodes.table:
    """A table of two columns, the first of them code."""
    node = nodes.table(classes=["keys"])
    group = nodes.tgroup(cols=2)
    node += group
    group += [nodes.colspec(colwidth=35), nodes.colspec(colwidth=65)]
    body = nodes.tbody()
    for first, second in rows:
        row = nodes.row()
        row += nodes.entry("", nodes.paragraph("", "", nodes.literal(text=first)))
        row += nodes.entry("", nodes.paragraph(text=second))
        body += row
    header = nodes.thead()
    titles = nodes.row()
    titles += [nodes.entry("", nodes.paragraph(text=title)) for title in head]
    header += titles
    group += [header, body]
    return node


def setup(app: Sphinx) -> dict[str, bool]:
    """Registers the directive."""
    app.add_directive("seqlab-commands", Commands)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
