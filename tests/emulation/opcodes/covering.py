"""Instances of forms, chosen so that together they have every combination that matters."""

import random


def covering(instances, features):
    """Of instances in a random order those that have a feature which none before had: `features` gives the set of one.
    Whatever else they have is as it comes."""
    instances = list(instances)
    random.Random(1).shuffle(instances)
    seen = set()
    for instance in instances:
        new = features(*instance) - seen
        if new:
            seen |= new
            yield instance


def modifiers(opcode, groups):
    """The modifiers that are none of the order, scope, space, operation, length and type."""
    return set(opcode.split(".")[1:]) - {groups.get(name) for name in "OQSFVT"}


def order_of_modifiers(groups):
    return tuple(name for name in groups if groups[name] is not None and name in "OQSFVT")
