#!/usr/bin/env python3
"""Prints a home with more devices, whose names are two words of a list: grow.py HOME.json DEVICES"""
import json
import sys

DOMAINS = ["light", "switch", "cover", "fan", "climate", "media_player", "sensor", "lock"]
FIRST = ["north", "south", "upper", "lower", "small", "large", "old", "new", "front", "rear",
         "oak", "glass", "stone", "river", "summer", "winter", "corner", "guest", "work", "play",
         "green", "amber", "silver", "round", "long"]
SECOND = ["panel", "beam", "tower", "niche", "arch", "desk", "bench", "shelf", "column", "frame",
          "basin", "alcove", "gallery", "terrace", "pavilion", "arcade", "loft", "cabin", "studio", "annex",
          "hatch", "ledge", "parlor", "stage", "vault", "closet", "porch", "nook", "court", "pantry",
          "cellar", "library", "dock", "forge", "barn", "mill", "den", "grove", "pier", "quay"]


def main():
    home = json.load(open(sys.argv[1], encoding="utf-8"))
    names = [f"{first} {second}" for second in SECOND for first in FIRST]
    missing = max(0, int(sys.argv[2]) - len(home["devices"]))
    home["devices"] += [
        {"names": [name], "domain": DOMAINS[n % len(DOMAINS)]} for n, name in enumerate(names[:missing])
    ]
    json.dump(home, sys.stdout, ensure_ascii=False)


main()
