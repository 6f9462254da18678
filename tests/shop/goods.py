"""The shelves of the invented shop, theme by theme."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Good:
    """One item; `theme` is what the tests know and the recommender has to find out.

    `is_new` marks an item that nobody has touched yet.
    """

    theme: str
    item_id: str
    title: str
    category: tuple[str, str]
    description: str = ""
    brand: str = ""
    price: float | None = None
    available: bool = True
    is_new: bool = False


# id | title | category | brand | price ("-" = unknown) | marks | description
# Marks: n = new, nobody has touched it; x = cannot be had now.
SHELVES = """
# gardening
g-tomato-seeds | Heirloom tomato seeds, six varieties | Garden > Seeds | Greenleaf | 6.50 | | Vegetable garden seeds for red, yellow and striped tomatoes.
g-trowel | Hand trowel with ash handle | Garden > Tools | Greenleaf | 14.00 | | For planting seedlings and bulbs in garden beds.
g-pruner | Bypass pruning shears | Garden > Tools | Ironbark | 29.00 | | Garden secateurs for roses, shrubs and fruit trees.
g-soil | Peat-free potting soil, 40 litres | Garden > Soil | Greenleaf | 11.00 | | Compost for vegetable garden planters and seedlings.
g-raised-bed | Cedar raised garden bed | Garden > Planters | Ironbark | 120.00 | | A wooden bed for growing vegetables and herbs.
g-watering-can | Galvanised watering can, 9 litres | Garden > Tools | Ironbark | 34.00 | | With a fine rose for watering garden seedlings.
g-greenhouse | Cold frame mini greenhouse | Garden > Planters | Greenleaf | 89.00 | n | Brings on garden seedlings early in spring.
b-vegetable-garden | The Year-Round Vegetable Garden | Books > Home and Garden | Orchard Press | 24.00 | | Month by month guide to growing vegetables: sowing, planting, harvest.
b-roses | Pruning Roses and Garden Shrubs | Books > Home and Garden | Orchard Press | 18.00 | | Where to cut garden roses, when, and why.
k-herb-planter | Windowsill herb growing kit | Kitchen > Gadgets | Greenleaf | 19.00 | | Grow basil, parsley and chives from seeds in pots of soil.
o-garden-kneeler | Folding garden kneeler seat | Outdoors > Comfort | Ironbark | 32.00 | x | Spares the knees while weeding and planting garden beds.
p-garden-game | Flower Bed: a gardening board game | Games > Board Games | Tablewise | 35.00 | | Plant seeds, prune roses and grow the best garden.
# chess
p-chess-set | Tournament chess set with board | Games > Chess | Rook & Sons | 39.00 | | Weighted chess pieces and a roll-up chess board.
p-chess-wood | Wooden chess board, walnut and maple | Games > Chess | Rook & Sons | 95.00 | | A chess board made of wood, without pieces.
p-chess-pieces | Staunton chess pieces, boxwood | Games > Chess | Rook & Sons | 79.00 | | A full set of hand carved chess pieces.
p-chess-clock | Digital chess clock | Games > Chess | Tempo | 45.00 | | Timer for blitz and tournament chess games.
p-chess-travel | Magnetic travel chess set | Games > Chess | Tempo | 22.00 | | Folding pocket chess board with magnetic pieces.
p-chess-computer | Electronic chess board that plays back | Games > Chess | Tempo | 249.00 | n | A chess computer with a thousand levels.
b-chess-openings | Chess Openings for Club Players | Books > Hobbies | Castle Books | 21.00 | | Sicilian, Ruy Lopez and the Queen's Gambit explained.
b-chess-endgames | Essential Chess Endgames | Books > Hobbies | Castle Books | 25.00 | | Pawn, rook and minor piece endings every chess player needs.
b-chess-tactics | 1001 Chess Tactics Puzzles | Books > Hobbies | Castle Books | 17.00 | | Forks, pins and checkmate in three moves.
b-chess-biography | Endgame of a Champion | Books > Biography | Castle Books | 16.00 | | The life of a chess grandmaster.
g-chess-giant | Giant garden chess pieces | Garden > Play | Rook & Sons | 310.00 | x | Weatherproof chess set for the lawn.
k-chess-mug | Checkmate chess mug | Kitchen > Tableware | Tempo | 12.00 | | Ceramic mug printed with a chess board and chess pieces.
# espresso
k-espresso-machine | Espresso machine with steam wand | Kitchen > Coffee | Crema | 449.00 | | Pump espresso coffee maker for latte and cappuccino.
k-espresso-grinder | Conical burr coffee grinder | Kitchen > Coffee | Crema | 129.00 | | Grinds coffee beans for espresso, in forty steps.
k-espresso-tamper | Espresso tamper, 58 mm | Kitchen > Coffee | Crema | 28.00 | | Presses ground coffee evenly in the espresso portafilter.
k-espresso-cups | Set of four espresso cups | Kitchen > Tableware | Portobello | 26.00 | | Thick porcelain coffee cups for a single espresso.
k-milk-jug | Stainless steel milk frothing jug | Kitchen > Coffee | Crema | 19.00 | | For steaming milk and pouring latte art over espresso.
k-coffee-beans | Espresso roast coffee beans, 1 kg | Kitchen > Coffee | Portobello | 23.00 | | Dark whole bean coffee with chocolate notes.
k-coffee-scale | Coffee scale with shot timer | Kitchen > Coffee | Crema | 59.00 | n | Weighs the espresso while the coffee flows.
b-espresso | The Home Barista: Espresso Step by Step | Books > Food | Castle Books | 22.00 | | Dialling in espresso, steaming milk, coffee beans and roasts.
b-coffee-atlas | Atlas of Coffee | Books > Food | Orchard Press | 30.00 | | Coffee growing regions, beans and brewing from farm to cup.
o-coffee-travel | Hand-pumped travel espresso maker | Outdoors > Camp Kitchen | Trailhead | 74.00 | | Brews espresso coffee at the camp site without power.
p-coffee-puzzle | Espresso bar jigsaw puzzle | Games > Puzzles | Tablewise | 18.00 | | A thousand pieces: coffee cups, beans and an espresso machine.
g-coffee-plant | Coffee plant in a pot | Garden > Plants | Greenleaf | 16.00 | x | Arabica coffee shrub; with patience it bears coffee beans.
# trail running
o-trail-shoes | Trail running shoes with deep lugs | Outdoors > Running | Trailhead | 135.00 | | Grip for runners on muddy mountain trails.
o-trail-vest | Running hydration vest, 8 litres | Outdoors > Running | Trailhead | 99.00 | | Carries water flasks and gels on long trail runs.
o-trail-jacket | Waterproof running jacket | Outdoors > Running | Stormline | 160.00 | | Light shell with a hood for trail runners in the rain.
o-trail-socks | Merino trail running socks | Outdoors > Running | Stormline | 18.00 | | Cushioned socks that keep a runner's feet dry.
o-trail-poles | Carbon poles for trail running | Outdoors > Running | Trailhead | 120.00 | | Folding poles for steep ultra marathon climbs.
o-trail-headlamp | Running headlamp, 600 lumens | Outdoors > Lighting | Stormline | 69.00 | | Bounce-free light for trail runs at night.
o-trail-watch | GPS running watch | Outdoors > Running | Trailhead | 279.00 | n | Maps, pace and heart rate for trail and road runners.
b-trail-guide | Training for Your First Trail Ultra | Books > Sport | Stride Press | 20.00 | | Plans for trail runners from half marathon to fifty miles.
b-running-memoir | Running the High Ridge | Books > Sport | Stride Press | 15.00 | | A runner's memoir of mountain trails and ultra marathons.
k-running-bottle | Soft running flask, 500 ml | Kitchen > Bottles | Trailhead | 17.00 | | Squeezable water bottle for runners' hydration vests.
k-energy-bars | Oat energy bars for runners, box of 12 | Kitchen > Food | Stormline | 21.00 | | Fuel for long trail runs and marathon training.
p-running-game | Ultra: the trail running card game | Games > Card Games | Tablewise | 19.00 | | Race runners over mountain trails and mind your pace.
# baking
k-banneton | Rattan proofing basket for sourdough | Kitchen > Baking | Crumb | 16.00 | | A banneton that shapes bread dough as it rises.
k-dutch-oven | Cast iron bread baking pot | Kitchen > Baking | Ironbark | 85.00 | | For baking sourdough loaves with a crisp crust.
k-stand-mixer | Stand mixer with dough hook | Kitchen > Baking | Crumb | 329.00 | | Kneads bread dough and whips cake batter for baking.
k-bread-flour | Strong white bread flour, 5 kg | Kitchen > Baking | Crumb | 9.00 | | Baking flour for sourdough bread, rolls and pizza dough.
k-cake-tins | Set of three springform cake tins | Kitchen > Baking | Crumb | 27.00 | | Non-stick baking tins for cakes and cheesecake.
k-rolling-pin | Beech rolling pin | Kitchen > Baking | Ironbark | 13.00 | | Rolls pastry and cookie dough for baking.
k-dough-scraper | Dough scraper and bread lame | Kitchen > Baking | Crumb | 11.00 | n | Cuts dough and scores bread loaves before baking.
b-sourdough | Sourdough from Scratch | Books > Food | Orchard Press | 23.00 | | Starter, dough and oven: baking bread at home.
b-cakes | The Complete Book of Cakes and Pastry | Books > Food | Orchard Press | 28.00 | | Two hundred baking recipes for cakes, tarts and cookies.
o-camp-oven | Folding camp oven for baking | Outdoors > Camp Kitchen | Trailhead | 66.00 | | Bakes bread, rolls and cakes over a camp stove.
p-baking-game | Rising Dough: a baking board game | Games > Board Games | Tablewise | 33.00 | | Run a bakery, bake bread and cakes, feed the town.
g-wheat-seeds | Heritage wheat seeds for bread flour | Garden > Seeds | Greenleaf | 8.00 | x | Grow and mill wheat, and bake your own bread.
# astronomy
o-telescope | Reflector telescope, 130 mm | Outdoors > Optics | Perihelion | 219.00 | | Astronomy telescope for the moon, planets and nebulae.
o-binoculars-astro | Astronomy binoculars, 15x70 | Outdoors > Optics | Perihelion | 98.00 | | Large binoculars for stargazing at star clusters and comets.
o-eyepieces | Telescope eyepiece set | Outdoors > Optics | Perihelion | 75.00 | | Three lenses for viewing planets and stars through a telescope.
o-moon-filter | Moon filter for telescopes | Outdoors > Optics | Perihelion | 15.00 | | Dims the bright moon in the telescope to show craters.
o-star-chair | Reclining stargazing chair | Outdoors > Comfort | Trailhead | 88.00 | | For watching meteor showers and stars at night.
o-red-light | Red light torch for stargazing | Outdoors > Lighting | Perihelion | 14.00 | n | Read a star chart at the telescope and keep night vision.
b-night-sky | Stargazing: a Guide to the Night Sky | Books > Science | Perihelion | 19.00 | | Constellations, planets and star charts for each month.
b-telescope | Your First Telescope | Books > Science | Castle Books | 17.00 | | Choosing and using a telescope for backyard astronomy.
b-cosmos | A Short History of Stars and Galaxies | Books > Science | Orchard Press | 21.00 | | Astronomy from Galileo's moons to black holes.
p-planets-puzzle | Solar system jigsaw puzzle | Games > Puzzles | Tablewise | 20.00 | | The sun, the planets and their moons in a thousand pieces.
p-space-cards | Constellation memory cards | Games > Card Games | Perihelion | 12.00 | | Pair stars with constellations: astronomy for the family.
k-planet-mug | Phases of the moon mug | Kitchen > Tableware | Portobello | 13.00 | x | The moon and stars wax and wane when the mug is hot.
# camping
o-tent | Two-person backpacking tent | Outdoors > Camping | Trailhead | 239.00 | | Light camping tent with a waterproof rain fly.
o-sleeping-bag | Down sleeping bag, three season | Outdoors > Camping | Stormline | 189.00 | | Warm camping sleeping bag for cold nights in the tent.
o-sleeping-pad | Inflatable sleeping pad | Outdoors > Camping | Stormline | 79.00 | | Insulated camping mattress to sleep on in a tent.
o-camp-stove | Folding camping gas stove | Outdoors > Camp Kitchen | Trailhead | 49.00 | | Boils water at the camp site in three minutes.
o-backpack | Trekking backpack, 60 litres | Outdoors > Camping | Trailhead | 165.00 | | Hiking rucksack that carries a tent and sleeping bag.
o-lantern | Rechargeable camping lantern | Outdoors > Lighting | Stormline | 36.00 | | Lights up a tent or a camp table.
o-hammock | Camping hammock with mosquito net | Outdoors > Camping | Trailhead | 64.00 | n | Sleep between two trees at the camp site.
b-camping | The Wild Camping Handbook | Books > Travel | Stride Press | 18.00 | | Where to pitch a tent, what to pack, how to leave no trace.
b-campfire | Campfire Cookbook | Books > Food | Stride Press | 19.00 | | Meals over an open fire or camping stove.
k-camp-pots | Nesting camping cookware | Kitchen > Cookware | Trailhead | 42.00 | | Pots, pan and bowls that pack small for camping trips.
p-camp-cards | Waterproof playing cards for camping | Games > Card Games | Stormline | 9.00 | | A card game for long evenings in the tent.
g-fire-bowl | Portable campfire bowl | Garden > Comfort | Ironbark | 58.00 | x | A steel fire pit for the garden or the camp site.
# birds
g-bird-feeder | Hanging bird feeder, four perches | Garden > Wildlife | Wren & Co | 21.00 | | Feeds garden birds such as finches and tits.
g-bird-seed | Wild bird seed mix, 10 kg | Garden > Wildlife | Wren & Co | 19.00 | | Sunflower hearts and millet for bird feeders.
g-nest-box | Cedar nest box for small birds | Garden > Wildlife | Wren & Co | 24.00 | | A bird house for wrens, tits and sparrows.
g-bird-bath | Stone bird bath | Garden > Wildlife | Ironbark | 75.00 | | Water for garden birds to drink and bathe in.
g-bird-camera | Bird feeder with camera | Garden > Wildlife | Wren & Co | 149.00 | n | Films the birds that come to feed and names the species.
g-suet-balls | Suet fat balls for birds, 50 pieces | Garden > Wildlife | Wren & Co | 14.00 | | Winter bird food to hang in the garden.
o-birding-binoculars | Birdwatching binoculars, 8x42 | Outdoors > Optics | Perihelion | 139.00 | | Bright binoculars for watching birds in woods and wetlands.
b-bird-guide | Field Guide to Birds | Books > Nature | Orchard Press | 22.00 | | Four hundred bird species: plumage, calls and nests.
b-birdsong | Learning Birdsong | Books > Nature | Orchard Press | 16.00 | | Tell birds apart by their songs and calls.
p-bird-game | Nest: a birdwatching board game | Games > Board Games | Tablewise | 44.00 | | Attract birds to your woods, lay eggs, fill the nests.
p-bird-puzzle | Garden birds jigsaw puzzle | Games > Puzzles | Tablewise | 17.00 | | Robins, wrens and finches around a bird feeder.
k-bird-tea-towel | Songbird tea towels, set of three | Kitchen > Tableware | Wren & Co | - | |
""".strip().splitlines()

# What a shop does not know about a few of its items.
NO_PRICE = frozenset({"g-trowel", "b-cosmos", "p-chess-travel"})
NO_DESCRIPTION = frozenset({"b-chess-biography", "o-moon-filter", "k-bread-flour"})


def _read() -> tuple[Good, ...]:
    goods, theme = [], ""
    for line in SHELVES:
        if line.startswith("# "):
            theme = line[2:]
            continue
        id, title, category, brand, price, marks, text = (part.strip() for part in line.split("|"))
        top, shelf = category.split(" > ")
        goods.append(
            Good(
                theme=theme,
                item_id=id,
                title=title,
                category=(top, shelf),
                description="" if id in NO_DESCRIPTION else text,
                brand=brand,
                price=None if price == "-" or id in NO_PRICE else float(price),
                available="x" not in marks,
                is_new="n" in marks,
            )
        )
    return tuple(goods)


GOODS: tuple[Good, ...] = _read()
