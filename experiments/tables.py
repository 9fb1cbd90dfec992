"""The table of a study's README, between the two lines that mark its place.

A study in a folder of its own finds this module as it finds ``command.py``.
"""


def with_table(text: str, content: str, name: str = "table") -> str:
    """A text with what stands between ``<!-- NAME: begin -->`` and ``<!-- NAME: end -->`` replaced.

    Raises:
        SystemExit: a marker is missing, or they are in another order: all behind the place would be lost.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise SystemExit(f"README.md: expected the markers {begin} and {end}, in that order; put them back")
    return f"{before}{begin}\n\n{content}\n\n{end}{after}"
