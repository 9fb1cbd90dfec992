"""Scores of translated text."""

from collections.abc import Sequence


def score(
    hypotheses: Sequence[str], references: Sequence[str], lowercase: bool
) -> tuple[dict[str, float], dict[str, str]]:
    """Returns sacrebleu's "bleu" and "chrf" of a corpus, from 0 to 100, and the signature of each computation.

    Args:
        hypotheses: the translations.
        references: the reference of each.
        lowercase: whether case is ignored.

    Example:
        >>> scores, signatures = score(["a small house ."], ["A small house."], lowercase=True)
        >>> round(scores["bleu"], 6), signatures["bleu"].partition("|version")[0]
        (100.0, 'nrefs:1|case:lc|eff:no|tok:13a|smooth:exp')
    """
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    scorers = {"bleu": BLEU(lowercase=lowercase), "chrf": CHRF(lowercase=lowercase)}
    scores = {name: scorer.corpus_score(hypotheses, [references]).score for name, scorer in scorers.items()}
    return scores, {name: str(scorer.get_signature()) for name, scorer in scorers.items()}
