#!/usr/bin/env python3
"""A judge of two rules of wording: never speak in the first person, no exclamation mark.

A line of JSON with a `response` in, a line with `judgment` and `quotes` out, as `cutq judge
--judge "cmd:python3 demo/align/judge.py"` wants it. Offsets count characters.
"""
import json
import re
import sys

RULES = [
    (
        re.compile(r"\b(I|[Mm]e|[Mm]y|[Mm]ine|[Mm]yself|[Ww]e|[Uu]s|[Oo]ur|[Oo]urs|[Oo]urselves)\b"),
        "It speaks in the first person.",
    ),
    (re.compile(r"!+"), "It has an exclamation mark."),
]


def judge(response):
    """What is wrong with a response, and where."""
    said, quotes = [], []
    for pattern, fault in RULES:
        found = list(pattern.finditer(response))
        if found:
            said.append(fault)
        quotes += [{"text": m.group(), "start": m.start(), "end": m.end()} for m in found]
    quotes.sort(key=lambda quote: quote["start"])
    return {"judgment": " ".join(said) or None, "quotes": quotes}


for line in sys.stdin:
    print(json.dumps(judge(json.loads(line)["response"])), flush=True)
