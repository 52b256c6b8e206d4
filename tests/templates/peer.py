#!/usr/bin/env python3
"""Expands published sentence templates at random and asks the original recognizer what each sentence means.

Prints one JSON object per sentence: language, text, area, and the intent with its slots, or null.
Usage: peer.py HOME.json COUNT SEED [LANGUAGE ..]
"""
import json
import random
import sys
import time

from hassil import Intents, recognize_best
from hassil.expression import Alternative, Group, ListReference, Permutation, RuleReference, Sequence, TextChunk
from hassil.intents import RangeSlotList, TextSlotList, WildcardSlotList
from home_assistant_intents import get_intents, get_languages

HOME = json.load(open(sys.argv[1], encoding="utf-8"))
COUNT = int(sys.argv[2])
RANDOM = random.Random(int(sys.argv[3]))
LANGUAGES = sys.argv[4:] or sorted(get_languages())

# Sentences of one language in a row.
ROUND = 500


def lists():
    """The home's names as the original takes them: with their domain as context."""
    names = [
        (name, name, {"domain": device["domain"]})
        for device in HOME["devices"]
        for name in device["names"]
    ]
    return {
        "name": TextSlotList.from_tuples(names, name="name", allow_template=False),
        "area": TextSlotList.from_strings(HOME["areas"], name="area", allow_template=False),
        "floor": TextSlotList.from_strings(HOME["floors"], name="floor", allow_template=False),
    }


class Expander:
    """Chooses one sentence of a template."""

    def __init__(self, intents, data, slot_lists):
        self.intents, self.data, self.slot_lists = intents, data, slot_lists

    def text(self, expression, depth=0):
        if depth > 30:
            return ""
        if isinstance(expression, TextChunk):
            return expression.original_text or expression.text
        if isinstance(expression, Permutation):
            items = list(expression.items)
            RANDOM.shuffle(items)
            return " ".join(self.text(item, depth + 1) for item in items)
        if isinstance(expression, Alternative):
            return self.text(RANDOM.choice(expression.items), depth + 1)
        if isinstance(expression, Group):
            return "".join(self.text(item, depth + 1) for item in expression.items)
        if isinstance(expression, RuleReference):
            rule = self.data.expansion_rules.get(expression.rule_name)
            rule = rule or self.intents.expansion_rules[expression.rule_name]
            return self.text(rule.expression, depth + 1)
        if isinstance(expression, ListReference):
            return self.value(expression, depth)
        return ""

    def value(self, reference, depth):
        name = reference.list_name
        values = self.data.slot_lists.get(name) or self.intents.slot_lists.get(name) or self.slot_lists.get(name)
        if isinstance(values, TextSlotList):
            fitting = values.values
            domains = (self.data.requires_context or {}).get("domain")
            if name == "name" and domains:
                domains = [domains] if isinstance(domains, str) else domains
                fitting = [v for v in fitting if (v.context or {}).get("domain") in domains] or fitting
            return self.text(RANDOM.choice(fitting).text_in, depth + 1)
        if isinstance(values, RangeSlotList):
            return str(RANDOM.randrange(values.start, values.stop + 1, values.step))
        return RANDOM.choice(["something nice", "jazz"])


def compare(language, count, home_lists):
    """Prints `count` sentences of a language with what the original makes of each."""
    intents = Intents.from_dict(get_intents(language))
    templates = [
        (data, sentence)
        for intent in intents.intents.values()
        for data in intent.data
        for sentence in data.sentences
    ]
    for _ in range(count):
        data, sentence = RANDOM.choice(templates)
        text = " ".join(Expander(intents, data, home_lists).text(sentence.expression).split())
        if not text:
            continue
        area = RANDOM.choice(HOME["areas"]) if data.requires_context and "area" in data.requires_context else None
        context = {"area": area} if area else {}
        begin = time.perf_counter()
        result = recognize_best(text, intents, slot_lists=home_lists, intent_context=context,
                                language=language, best_slot_name="name")
        elapsed = time.perf_counter() - begin
        print(json.dumps({
            "language": language, "text": text, "area": area, "us": round(elapsed * 1e6),
            "templates": len(templates), "intent": result.intent.name if result else None,
            "slots": {k: str(e.value) for k, e in result.entities.items()} if result else {},
        }, ensure_ascii=False))


def main():
    home_lists = lists()
    left = max(1, COUNT // len(LANGUAGES))
    # In rounds over all languages, so that a run that is ended early is a sample of all.
    while left > 0:
        for language in LANGUAGES:
            compare(language, min(left, ROUND), home_lists)
            sys.stdout.flush()
        left -= ROUND


main()
