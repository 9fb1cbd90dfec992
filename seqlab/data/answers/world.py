"""A small made-up world whose stories and questions stand in bAbI's form, and whose answers are known exactly."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from seqlab.data.core.batch import SPLITS
from seqlab.data.core.options import check_whole_number
from seqlab.data.core.reading import EmbeddedSource
from seqlab.data.formats.babi import StoryQuestion, write_babi
from seqlab.errors import InputError

PEOPLE = ("Nora", "Theo", "Iris", "Omar", "Lena", "Hugo")
PLACES = ("harbour", "market", "tower", "mill", "orchard", "library")
THINGS = ("lantern", "map", "basket", "violin", "key")
NOBODY = "nobody"
WORLD_STORIES = (800, 100, 100)
_GOING = ("walked to", "ran to", "went over to", "set out for")
_TAKING = ("picked up", "took")
_LEAVING = ("put down", "left")
_GIVING = ("gave", "handed")


@dataclass
class State:
    """The facts of the world after some sentences, and the sentences that state them, by number.

    Attributes:
        place: where each person is who has gone anywhere.
        holder: who has each thing that anybody has.
        lies: where each thing lies that somebody put down.
        went: the sentence of each person's last journey.
        moved: the sentences about each thing: the last taking, giving or leaving; of a thing that lies somewhere, also
            the journey there.
    """

    place: dict[str, str] = field(default_factory=dict)
    holder: dict[str, str] = field(default_factory=dict)
    lies: dict[str, str] = field(default_factory=dict)
    went: dict[str, int] = field(default_factory=dict)
    moved: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def where(self, thing: str) -> tuple[str, tuple[int, ...]]:
        """Where a thing is that has been mentioned, and the sentences that state it."""
        if thing not in self.holder:
            return self.lies[thing], self.moved[thing]
        holder = self.holder[thing]
        return self.place[holder], tuple(sorted({*self.moved[thing], self.went[holder]}))


class World(EmbeddedSource):
    """Stories of people who walk about, take things, hand them over and put them down, with questions about them.

    The questions ask where a person is, where a thing is, who has a thing ("nobody" where it lies about), and whether a
    person is in a place (yes and no equally often). The story before a question always decides the answer. A split
    depends on the seed, its own name and the options alone, and is the same on every machine and Python.

    Args:
        stories: the number of stories of train, validation and test.
        questions: the number of questions in a story. There are two to four sentences before the first question, and
            one to three between two.
        seed: of the stories.

    Raises:
        InputError: an option is not a whole number of at least 1 (the seed: of at least 0).

    Example:
        >>> first, second = World(stories=(1, 1, 1), questions=2, seed=1).read("train")
        >>> second.story[: len(first.story)] == first.story, len(second.story) > len(first.story)
        (True, True)
    """

    def __init__(self, stories: Sequence[int] = WORLD_STORIES, questions: int = 4, seed: int = 0) -> None:
        if len(stories) != len(SPLITS):
            raise InputError(f"data.stories={list(stories)} must be three numbers, such as [800,100,100]")
        self._stories = {
            split: check_whole_number("data.stories", number, 1) for split, number in zip(SPLITS, stories, strict=True)
        }
        self._questions = check_whole_number("data.questions", questions, 1)
        self._seed = check_whole_number("data.world_seed", seed, 0)

    def __str__(self) -> str:
        return "the made-up world"

    def read(self, split: str) -> list[StoryQuestion]:
        """The questions of a split."""
        draw = random.Random(f"{self._seed} {split}")
        return [
            row._replace(place=f"{split} story {group + 1}")
            for group in range(self._stories[split])
            for row in _story(draw, group, self._questions)
        ]

    def text(self, split: str) -> str:
        """The split as the text of a bAbI file."""
        return write_babi(self.read(split))


def _story(draw: random.Random, group: int, questions: int) -> list[StoryQuestion]:
    state = State()
    sentences: list[str] = []
    rows: list[StoryQuestion] = []
    for number in range(questions):
        for _ in range(draw.randint(2, 4) if number == 0 else draw.randint(1, 3)):
            sentences.append(_happen(draw, state, len(sentences)))
        question, answer, supports = _ask(draw, state)
        rows.append(StoryQuestion(tuple(sentences), question, answer, supports, group, ""))
    return rows


def _happen(draw: random.Random, state: State, number: int) -> str:
    """Changes the state by an event that is possible in it, and returns the sentence, which has this ``number``."""
    kind = draw.choice(("go", "go", "take", "take", "give", "leave"))
    near = [(person, thing) for person in state.place for thing in THINGS if _in_reach(state, person, thing)]
    holdings = sorted(state.holder.items())
    if kind == "take" and near:
        person, thing = draw.choice(near)
        state.lies.pop(thing, None)
        state.holder[thing], state.moved[thing] = person, (number,)
        return f"{person} {draw.choice(_TAKING)} the {thing}."
    if kind == "leave" and holdings:
        thing, person = draw.choice(holdings)
        del state.holder[thing]
        state.lies[thing], state.moved[thing] = state.place[person], (state.went[person], number)
        return f"{person} {draw.choice(_LEAVING)} the {thing}."
    company = [
        (thing, giver, other)
        for thing, giver in holdings
        for other in PEOPLE
        if other != giver and state.place.get(other) == state.place[giver]
    ]
    if kind == "give" and company:
        thing, person, other = draw.choice(company)
        state.holder[thing], state.moved[thing] = other, (number,)
        return f"{person} {draw.choice(_GIVING)} the {thing} to {other}."
    person = draw.choice(PEOPLE)
    place = draw.choice([place for place in PLACES if place != state.place.get(person)])
    state.place[person], state.went[person] = place, number
    return f"{person} {draw.choice(_GOING)} the {place}."


def _in_reach(state: State, person: str, thing: str) -> bool:
    """Whether a person can take a thing: it lies where the person is, or has not been mentioned."""
    unmentioned = thing not in state.moved
    return unmentioned or state.lies.get(thing) == state.place[person]


def _ask(draw: random.Random, state: State) -> tuple[str, str, tuple[int, ...]]:
    """A question that the state answers, the answer, and the sentences that state it."""
    kind = draw.choice(("person", "thing", "holder", "whether"))
    if kind in ("thing", "holder") and state.moved:
        thing = draw.choice(sorted(state.moved))
        if kind == "thing":
            return f"Where is the {thing}?", *state.where(thing)
        return f"Who has the {thing}?", state.holder.get(thing, NOBODY), state.moved[thing][-1:]
    person = draw.choice(sorted(state.place))
    place, supports = state.place[person], (state.went[person],)
    if kind != "whether":
        return f"Where is {person}?", place, supports
    if draw.random() < 0.5:
        return f"Is {person} in the {place}?", "yes", supports
    other = draw.choice([name for name in PLACES if name != place])
    return f"Is {person} in the {other}?", "no", supports
