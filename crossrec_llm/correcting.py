"""What a person corrects in their profile: in the truth at once, and so in the next answer."""

from __future__ import annotations

from collections.abc import Sequence

from crossrec_llm.errors import QueryError
from crossrec_llm.profiles import Profile
from crossrec_llm.recommender import Recommender
from crossrec_llm.store import Ledger

LONGEST = 1_000
"""Characters of a pinned sentence, at most."""


def pin(recommender: Recommender, user_id: str, sentence: str) -> Profile:
    """Add a sentence to a profile; gives the profile as it is then.

    Raises
    ------
    QueryError : an empty or a very long sentence, or one that is pinned already.
    UnknownUser, IndexLocked, StoreUnavailable : it cannot be written down.
    """
    if not isinstance(sentence, str):
        raise QueryError(f"a sentence to pin is text, not {sentence!r}")
    sentence = " ".join(sentence.encode("utf-8", "replace").decode().split())
    if not sentence:
        raise QueryError("the sentence to pin is empty")
    if len(sentence) > LONGEST:
        raise QueryError(
            f"the sentence to pin has {len(sentence):,} characters; at most {LONGEST:,} fit"
        )
    profile = recommender.profile(user_id)
    if any(one.sentence == sentence for one in profile.corrections):
        raise QueryError(f"{sentence!r} is pinned already")
    with _writing(recommender) as ledger:
        ledger.add_correction(profile.user_id, sentence=sentence)
    return recommender.profile(user_id)


def strike(recommender: Recommender, user_id: str, item_ids: Sequence[str]) -> Profile:
    """Strike items from a history: they count no more, and never come again.

    Raises
    ------
    UnknownItem, QueryError : an item that is not in the catalogue, or not in this history.
    UnknownUser, IndexLocked, StoreUnavailable : it cannot be written down.
    """
    item_ids = [item_ids] if isinstance(item_ids, str) else item_ids
    profile = recommender.profile(user_id)
    there = {entry.item.item_id for entry in (*profile.history, *profile.disliked)}
    struck = {item.item_id for item in profile.struck}
    wanted = list(dict.fromkeys(recommender.item(item_id).item_id for item_id in item_ids))
    for item_id in wanted:
        if item_id in struck:
            raise QueryError(f"{item_id!r} is struck already")
        if item_id not in there:
            raise QueryError(f"{item_id!r} is not in the history of {profile.user_id!r}")
    if not wanted:
        raise QueryError("no item to strike")
    with _writing(recommender) as ledger:
        ledger.add_correction(profile.user_id, items=wanted)
    return recommender.profile(user_id)


def strike_interest(recommender: Recommender, user_id: str, number: int) -> Profile:
    """Strike the items of an interest, by its number in the profile, from 1.

    Raises
    ------
    QueryError : there is no interest of this number. Others as for `strike`.
    """
    interests = recommender.profile(user_id).interests
    if not 1 <= number <= len(interests):
        there = f"1 to {len(interests)}" if len(interests) > 1 else f"{len(interests) or 'none'}"
        raise QueryError(f"there is no interest {number}: {user_id!r} has {there}")
    return strike(recommender, user_id, interests[number - 1].items)


def undo(recommender: Recommender, user_id: str, number: int | None = None) -> Profile:
    """Take back the last correction of a person, or the one of a number.

    Raises
    ------
    QueryError : there is none. UnknownUser, IndexLocked, StoreUnavailable : as for `pin`.
    """
    made = [one.number for one in recommender.ledger.corrections_of(str(user_id))]
    with _writing(recommender) as ledger:
        unknown = number is not None and number not in made  # of any size
        if unknown or not ledger.undo(str(user_id), number):
            there = f"; there is {', '.join(map(str, made))}" if made else ""
            raise QueryError(
                f"{user_id!r} has no correction to undo"
                if number is None
                else f"there is no correction {number}{there}"
            )
    return recommender.profile(user_id)


def _writing(recommender: Recommender) -> Ledger:
    return Ledger.open(recommender.ledger.path, write=True)
