"""What tests of sentence pairs share."""


def texts(source, split: str) -> list[tuple[str, str]]:
    return [(pair.source, pair.target) for pair in source.read(split)]
