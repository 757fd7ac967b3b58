"""A language model on this machine, and mails for it to sort: no account, no network, the same answers every time.

It does what it is told as far as a list of words can: it picks the first label that the prompt names and the
mail has a sign of.
"""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

SIGNS = {
    "refund": ["money back"],
    "delivery": ["parcel", "arrived"],
    "billing": ["invoice", "charged"],
}
GOODS = ["lamp", "kettle", "desk", "chair", "clock"]
TEXTS = [
    "Where is my parcel? I ordered the {thing} two weeks ago.",
    "The invoice for the {thing} has the wrong address.",
    "You have charged me twice for the {thing}. I want my money back.",
    "Do you have the {thing} in green?",
    "The parcel with the {thing} came broken. Can I have my money back?",
    "The {thing} has arrived, thank you!",
    "Please send me the invoice for the {thing} once more.",
    "How do I clean the {thing}?",
]


def mails(count: int) -> list[dict[str, Any]]:
    """The first `count` mails of customers. They are the same in every kernel."""
    return [
        {"id": number, "text": TEXTS[number * 3 % len(TEXTS)].format(thing=GOODS[number * 7 % len(GOODS)])}
        for number in range(1, count + 1)
    ]


class Model:
    """The model. `answers` counts those that it has given."""

    def __init__(self) -> None:
        self.answers = 0

    async def ask(self, prompt: str, mail: str) -> tuple[str, int]:
        """The answer as JSON text, and how many tokens it took. A token is a word."""
        await asyncio.sleep(0.01)
        self.answers += 1
        offered = re.findall(r"\w+", prompt.lower())
        label, reason = "other", "nothing else fits"
        for each, sign in ((each, sign) for each, signs in SIGNS.items() for sign in signs):
            if each in offered and sign in mail:
                label, reason = each, f"it says “{sign}”"
                break
        answer = json.dumps({"label": label, "reason": reason}, ensure_ascii=False)
        return answer, len(f"{prompt} {mail} {answer}".split())
