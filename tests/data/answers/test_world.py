"""The made-up world: what it tells is true, and is its seed alone."""

import re

from seqlab.data import World
from seqlab.data.answers.world import NOBODY, PEOPLE, PLACES, THINGS
from tests.data.answers.small import SMALL


def answer_by_reading(sentences, question: str) -> str:
    """The answer that a reader of the sentences gives: written apart from the generator, by their words alone."""
    place, holder, lies = {}, {}, {}
    for sentence in sentences:
        if found := re.fullmatch(r"(\w+) (?:walked to|ran to|went over to|set out for) the (\w+)\.", sentence):
            place[found[1]] = found[2]
        elif found := re.fullmatch(r"(\w+) (?:picked up|took) the (\w+)\.", sentence):
            holder[found[2]] = found[1]
        elif found := re.fullmatch(r"(\w+) (?:put down|left) the (\w+)\.", sentence):
            holder.pop(found[2], None)
            lies[found[2]] = place.get(found[1])
        elif found := re.fullmatch(r"(\w+) (?:gave|handed) the (\w+) to (\w+)\.", sentence):
            holder[found[2]] = found[3]
        else:
            raise AssertionError(sentence)
    subject = re.fullmatch(r"(?:Where is (?:the )?|Who has the |Is )(\w+)(?: in the (\w+))?\?", question)
    name, other = subject[1], subject[2]
    if question.startswith("Is"):
        return "yes" if place[name] == other else "no"
    if question.startswith("Who"):
        return holder.get(name, NOBODY)
    if name in THINGS:
        return place[holder[name]] if name in holder else lies[name]
    return place[name]


def test_every_answer_of_the_world_follows_from_its_story_and_from_the_supporting_sentences_alone():
    rows = [row for split in ("train", "validation", "test") for row in SMALL.read(split)]
    assert len(rows) == 200
    for row in rows:
        assert answer_by_reading(row.story, row.question) == row.answer, row
        supports = [row.story[position] for position in row.supports]
        assert supports and answer_by_reading(supports, row.question) == row.answer, row
    kinds = {re.sub("|".join([*PEOPLE, *PLACES, *THINGS]), "X", row.question) for row in rows}
    assert kinds == {"Where is X?", "Where is the X?", "Who has the X?", "Is X in the X?"}
    assert {row.answer for row in rows} >= {"yes", "no", NOBODY}


def test_nobody_takes_what_is_elsewhere_or_gives_to_one_who_is_elsewhere():
    for row in World(stories=(60, 1, 1), questions=6).read("train")[5::6]:  # each story's last, which holds it all
        place, holder, lies = {}, {}, {}
        for sentence in row.story:
            person, *_, last = sentence.rstrip(".").split()
            thing = next((name for name in THINGS if name in sentence), None)
            if thing is None:
                assert place.get(person) != last, "a journey leads elsewhere"
                place[person] = last
            elif re.search("picked up|took", sentence):
                assert thing not in holder and lies.pop(thing, place[person]) == place[person]
                holder[thing] = person
            elif re.search("gave|handed", sentence):
                assert holder[thing] == person != last and place[last] == place[person]
                holder[thing] = last
            else:
                assert holder.pop(thing) == person
                lies[thing] = place[person]


def test_a_world_is_its_seed_on_every_machine_and_its_splits_differ():
    assert SMALL.read("train") == World(stories=(40, 9, 9), seed=3).read("train")
    assert SMALL.read("train")[:20] != World(stories=(40, 5, 5), seed=4).read("train")[:20]
    assert SMALL.read("test")[0].story != SMALL.read("validation")[0].story
    first = World(stories=(1, 1, 1), seed=0).read("train")[0]
    assert (first.question, first.answer, first.supports) == ("Is Lena in the orchard?", "no", (3,))
    assert first.story[:2] == ("Hugo went over to the market.", "Theo went over to the harbour.")
