"""Scores of translated text, and of pronunciations."""

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


def pronunciation_scores(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    r"""Returns the word error rate "wer" and the phoneme error rate "per" of pronunciations, as shares.

    .. math::  \text{WER} = \frac{1}{N} \sum_n [h_n \notin R_n], \qquad
               \text{PER} = \frac{\sum_n d(h_n, r_n)}{\sum_n |r_n|}, \quad r_n = \arg\min_{r \in R_n} d(h_n, r)

    with :math:`R_n` the pronunciations of word n and d the number of phonemes to insert, delete and replace
    (Levenshtein 1966, by torchmetrics); of several nearest ones the first counts. As in Yao & Zweig (2015), a word is
    right if any of its pronunciations is met.

    Args:
        hypotheses: a pronunciation of each word, phonemes with spaces between them.
        references: the pronunciations of each word, one or more.

    Example:
        >>> pronunciation_scores(["R EH D", "F OW"], [["R IY D", "R EH D"], ["F OW N"]])
        {'wer': 0.5, 'per': 0.16666666666666666}
    """
    from torchmetrics.functional.text import edit_distance

    characters: dict[str, str] = {}  # a character of the private use area for each phoneme

    def compact(phonemes: str) -> str:
        return "".join(characters.setdefault(each, chr(0xF0000 + len(characters))) for each in phonemes.split())

    pairs = [(number, compact(each)) for number, several in enumerate(references) for each in several]
    written = [compact(each) for each in hypotheses]
    wrong = [(number, reference) for number, reference in pairs if written[number] != reference]
    distances = dict.fromkeys(pairs, 0)
    if wrong:
        counted = edit_distance(
            [written[number] for number, _ in wrong], [reference for _, reference in wrong], 1, None
        )
        distances.update(zip(wrong, map(int, counted.tolist()), strict=True))
    nearest: dict[int, tuple[int, int]] = {}  # the distance of the nearest reference of each word, and its length
    for (number, reference), distance in distances.items():
        if number not in nearest or distance < nearest[number][0]:
            nearest[number] = distance, len(reference)
    errors = sum(distance > 0 for distance, _ in nearest.values())
    edits, length = (sum(values) for values in zip(*nearest.values(), strict=True))
    return {"wer": errors / len(nearest), "per": edits / length}
