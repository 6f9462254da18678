"""Their column names -> ours."""

from __future__ import annotations

import difflib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from crossrec_llm.errors import DataError
from crossrec_llm.records import STRICT

# Best first; compared without case, spaces, signs, and RecBole's ":token". From the exports of
# MovieLens, Amazon, RecBole, Shopify, WooCommerce, Google Merchant, GA4, RetailRocket, Goodreads,
# Steam, H&M, Instacart, Yelp, Last.fm and others.
_ITEM_IDS = """item_id item product_id parent_asin asin sku movie_id book_id article_id goods_id
    app_id game_id track_id song_id artist_id video_id news_id business_id content_id offer_id
    listing_id stock_code gtin ean upc isbn items_item_id lineitem_sku"""
_ITEM_NAMES: Mapping[str, str] = {
    "item_id": _ITEM_IDS + " id handle code",
    "title": """title product_title item_title name product_name item_name prod_name display_name
        app_name movie_title book_title track_name song_name artist_name original_title
        product_display_name headline""",
    "description": """description product_description item_description body_html body_content
        detail_desc long_description short_description about summary overview abstract details
        text features about_the_game""",
    "category": """category categories category_path product_category category_name
        category_code google_product_category product_type main_category genres genre
        product_type_name department item_category item_category_name type class tags""",
    "brand": "brand brand_name vendor manufacturer maker author authors developer publisher artist",
    "price": """price sale_price current_price variant_price regular_price final_price list_price
        unit_price price_usd retail_price amount""",
    "image_url": """image_url image_link image_src image images picture img_url im_url thumbnail
        thumbnail_url main_image photo cover_url additional_image_link""",
    "available": "available availability in_stock is_in_stock stock_status status stock is_active",
    "added": """added added_at date_added created_at creation_date created release_date
        published_at publication_date date_published available_since date""",
}
_EVENT_NAMES: Mapping[str, str] = {
    "user_id": """user_id user customer_id customer client_id visitor_id household_id household_key
        reviewer_id member_id account_id buyer_id shopper_id person_id uid user_pseudo_id author_id
        steam_id username user_name customer_email email session_id""",
    "item_id": _ITEM_IDS + " variant_id handle id",
    "timestamp": """timestamp event_timestamp unix_review_time event_time transaction_timestamp time
        ts datetime date_time t_dat created_at review_time order_date purchase_date invoice_date
        date_added date_updated date interaction_time sort_timestamp""",
    "event": """event event_type event_name interaction_type behavior behavior_type behaviour
        behaviour_type behavior_name action action_type activity type""",
    "value": """rating stars overall score rate review_score my_rating rating_score is_recommended
        recommended value quantity qty count units play_count lineitem_quantity weight hours""",
    "event_id": "event_id event_uuid interaction_id message_id insert_id",
}
RATINGS = frozenset(
    """rating stars overall score rate reviewscore myrating ratingscore isrecommended
    recommended""".split()
)
"""Value columns (as `plain` writes them) that say how much somebody liked an item."""

QUANTITIES = frozenset(
    """quantity qty count units playcount lineitemquantity menge anzahl stückzahl quantité quantità
    cantidad quantidade aantal antal ilość""".split()
)
"""Value columns that say how many of an item somebody took."""

MANY_CATEGORIES = frozenset("genres genre tags".split())
"""Category columns that list equals, not the parts of a path."""

Mapped = str | tuple[str, ...]


@dataclass(frozen=True)
class ItemColumns:
    """Which columns of an items source to take; "" = recognised by its name, "-" = none.

    Where several are named, title and description join their texts, and category takes them as the
    parts of the path, top first.

    Parameters
    ----------
    item_id : what tells items apart; the interactions name items by it.
    title : name of the item.
    description : longer text about it.
    category : path of categories, or a list of genres or tags.
    brand : brand, author, artist, maker.
    price : price, with or without a currency.
    image_url : where its picture is.
    available : whether it can be had now; where nothing is said, it can.
    added : when it came into the catalogue.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    item_id: str = ""
    title: Mapped = ""
    description: Mapped = ""
    category: Mapped = ""
    brand: str = ""
    price: str = ""
    image_url: str = ""
    available: str = ""
    added: str = ""


@dataclass(frozen=True)
class EventColumns:
    """Which columns of an interactions source to take; "" = recognised by its name, "-" = none.

    Parameters
    ----------
    user_id : who did it.
    item_id : with which item.
    timestamp : when; without it the order of the rows is the order in time.
    event : what kind of event it was ("purchase", "view" ...).
    value : how much: a rating, a quantity.
    event_id : what tells events apart that come live: each id is taken once.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    user_id: str = ""
    item_id: str = ""
    timestamp: str = ""
    event: str = ""
    value: str = ""
    event_id: str = ""


@dataclass(frozen=True)
class ColumnMap:
    """Our names -> their columns; what is left over; what is mapped and not there (live only)."""

    columns: Mapping[str, tuple[str, ...]]
    unused: tuple[str, ...] = ()
    absent: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def one(self, name: str) -> str | None:
        return self.columns[name][0] if name in self.columns else None


def plain(name: str) -> str:
    """A column name as it is compared: "user_id:token", "userId" and "User ID" are one."""
    stem, _, kind = name.strip().rpartition(":")
    if kind not in ("token", "token_seq", "float", "float_seq"):
        stem = name
    return "".join(char for char in stem.casefold() if char.isalnum())


def needed(wanted: ItemColumns | EventColumns) -> tuple[str, ...]:
    """Our columns that no source may be without."""
    return ("item_id", "title") if isinstance(wanted, ItemColumns) else ("user_id", "item_id")


def map_columns(
    names: Sequence[str], wanted: ItemColumns | EventColumns, source: str, *, live: bool = False
) -> ColumnMap:
    """Finds our columns among `names`.

    Parameters
    ----------
    live : the recipe is that of an index, made for other files: a mapped column may have our own
        name as well, and one that is not needed may be missing.

    Raises
    ------
    DataError : a needed column is missing, two would do, or a mapped one is not there; lists the
        columns seen, a guess, and how to map.
    """
    is_items = isinstance(wanted, ItemColumns)
    table, known = ("items", _ITEM_NAMES) if is_items else ("interactions", _EVENT_NAMES)
    if repeated := [name for name, n in Counter(names).items() if n > 1]:
        raise DataError(f"two columns are called {repeated[0]!r}; rename one", source=source)
    by_plain: dict[str, list[str]] = defaultdict(list)
    for name in names:
        by_plain[plain(name)].append(name)
    taken: dict[str, tuple[str, ...]] = {}
    open_fields: dict[str, Sequence[str]] = {}
    absent: dict[str, tuple[str, ...]] = {}
    for f in fields(wanted):
        mapped = getattr(wanted, f.name)
        mapped = (mapped,) if isinstance(mapped, str) else tuple(mapped)
        if mapped in (("",), ()):
            open_fields[f.name] = known[f.name].split()
        elif live and mapped != ("-",) and not set(mapped) & set(names):
            open_fields[f.name], absent[f.name] = (f.name,), mapped
        elif mapped != ("-",):
            for name in mapped:
                if name not in names:
                    raise _unmapped(f.name, name, names, table, source, live)
            taken[f.name] = mapped
    used = {name for mapped in taken.values() for name in mapped}
    for ours, aliases in open_fields.items():
        found = _recognised(ours, aliases, by_plain, used, table, source, live)
        if found is not None:
            taken[ours] = (found,)
            used.add(found)
            absent.pop(ours, None)
    for ours in needed(wanted):
        if ours not in taken:
            aliases = (*absent.get(ours, ()), *open_fields.get(ours, ()))
            raise _missing(ours, names, aliases, used, table, source, live)
    return ColumnMap(taken, tuple(name for name in names if name not in used), absent)


def _recognised(
    ours: str,
    aliases: Sequence[str],
    by_plain: Mapping[str, list[str]],
    used: set[str],
    table: str,
    source: str,
    live: bool,
) -> str | None:
    for alias in aliases:
        found = [name for name in by_plain.get(plain(alias), ()) if name not in used]
        if len(found) > 1:
            raise DataError(
                f"columns {', '.join(map(repr, found))} could all be {ours};"
                f" {_how(table, ours, found[0], live)}",
                source=source,
            )
        if found:
            return found[0]
    return None


def _how(table: str, ours: str, theirs: str, live: bool) -> str:
    if live:
        return f"call it {ours}, or what the recipe of the index says"
    section = "item_columns" if table == "items" else "event_columns"
    return f'say which under [tables.{section}] in the recipe: {ours} = "{theirs}"'


def _seen(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name[:60]) for name in names[:30])
    return shown + (f" and {len(names) - 30} more" if len(names) > 30 else "")


def _unmapped(
    ours: str, theirs: str, names: Sequence[str], table: str, source: str, live: bool
) -> DataError:
    near = difflib.get_close_matches(theirs, names, 1)
    return DataError(
        f"no column {theirs!r}, which the recipe maps to {ours}; the columns are {_seen(names)};"
        f" {_how(table, ours, near[0] if near else 'NAME', live)}",
        source=source,
    )


def _missing(
    ours: str,
    names: Sequence[str],
    aliases: Sequence[str],
    used: set[str],
    table: str,
    source: str,
    live: bool,
) -> DataError:
    free = [name for name in names[:1000] if name not in used]
    guess = difflib.get_close_matches(plain(ours), [plain(name) for name in free], 1, 0.5)
    guessed = next((name for name in free if guess and plain(name) == guess[0]), None)
    hint = f"nearest is {guessed!r}; " if guessed else ""
    header = (
        ""
        if live
        else ("; a file without a header line needs its names under [tables.format] header")
    )
    return DataError(
        f"no {ours} column in this {table} table (expected one like {', '.join(aliases[:4])});"
        f" the columns are {_seen(names)}; {hint}{_how(table, ours, guessed or 'NAME', live)}"
        f"{header}",
        source=source,
    )
