"""The words the sample catalogue is made of, each text in English, German and French."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

LANGUAGES: Final = ("en", "de", "fr")

Text = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Shelf:
    """One kind of goods: where it stands, what is on it, what it costs (euros) and weighs (grams)."""

    department: str
    name: str
    products: tuple[Text, ...]
    price: tuple[float, float]
    weight_g: tuple[int, int]
    materials: tuple[str, ...]
    powered: bool = False


SHELVES: Final[tuple[Shelf, ...]] = (
    Shelf(
        "Electronics",
        "Audio",
        (
            ("Headphones", "Kopfhörer", "Casque audio"),
            ("Earbuds", "Ohrhörer", "Écouteurs"),
            ("Bluetooth Speaker", "Bluetooth-Lautsprecher", "Enceinte Bluetooth"),
            ("Soundbar", "Soundbar", "Barre de son"),
            ("Turntable", "Plattenspieler", "Platine vinyle"),
            ("Microphone", "Mikrofon", "Microphone"),
        ),
        (19, 690),
        (40, 4200),
        ("aluminium", "plastic", "walnut"),
        powered=True,
    ),
    Shelf(
        "Electronics",
        "Computers",
        (
            ("Laptop", "Laptop", "Ordinateur portable"),
            ("Mechanical Keyboard", "Mechanische Tastatur", "Clavier mécanique"),
            ("Mouse", "Maus", "Souris"),
            ("Monitor", "Bildschirm", "Écran"),
            ("Webcam", "Webcam", "Webcam"),
            ("Docking Station", "Dockingstation", "Station d'accueil"),
            ("External Drive", "Externe Festplatte", "Disque dur externe"),
        ),
        (24, 2400),
        (90, 6500),
        ("aluminium", "plastic", "steel"),
        powered=True,
    ),
    Shelf(
        "Electronics",
        "Phones and Cameras",
        (
            ("Smartphone", "Smartphone", "Smartphone"),
            ("Smartwatch", "Smartwatch", "Montre connectée"),
            ("Camera", "Kamera", "Appareil photo"),
            ("Lens", "Objektiv", "Objectif"),
            ("Power Bank", "Powerbank", "Batterie externe"),
            ("Tripod", "Stativ", "Trépied"),
        ),
        (29, 1900),
        (45, 1800),
        ("aluminium", "glass", "carbon"),
        powered=True,
    ),
    Shelf(
        "Home",
        "Kitchen",
        (
            ("Espresso Machine", "Espressomaschine", "Machine à expresso"),
            ("Kettle", "Wasserkocher", "Bouilloire"),
            ("Chef's Knife", "Kochmesser", "Couteau de chef"),
            ("Frying Pan", "Bratpfanne", "Poêle"),
            ("Blender", "Mixer", "Mixeur"),
            ("Teapot", "Teekanne", "Théière"),
            ("Cutting Board", "Schneidebrett", "Planche à découper"),
        ),
        (12, 780),
        (180, 9800),
        ("steel", "cast iron", "ceramic", "bamboo", "glass"),
    ),
    Shelf(
        "Home",
        "Furniture",
        (
            ("Desk", "Schreibtisch", "Bureau"),
            ("Office Chair", "Bürostuhl", "Chaise de bureau"),
            ("Bookshelf", "Bücherregal", "Bibliothèque"),
            ("Sofa", "Sofa", "Canapé"),
            ("Side Table", "Beistelltisch", "Table d'appoint"),
            ("Bed Frame", "Bettgestell", "Cadre de lit"),
        ),
        (59, 1890),
        (3500, 62000),
        ("oak", "walnut", "pine", "steel", "linen"),
    ),
    Shelf(
        "Home",
        "Lighting",
        (
            ("Desk Lamp", "Schreibtischlampe", "Lampe de bureau"),
            ("Floor Lamp", "Stehlampe", "Lampadaire"),
            ("Pendant Light", "Pendelleuchte", "Suspension"),
            ("Lantern", "Laterne", "Lanterne"),
            ("Light Bulb", "Glühbirne", "Ampoule"),
        ),
        (6, 340),
        (60, 7200),
        ("brass", "glass", "paper", "steel"),
        powered=True,
    ),
    Shelf(
        "Outdoor",
        "Camping",
        (
            ("Tent", "Zelt", "Tente"),
            ("Sleeping Bag", "Schlafsack", "Sac de couchage"),
            ("Camping Stove", "Campingkocher", "Réchaud"),
            ("Backpack", "Rucksack", "Sac à dos"),
            ("Water Bottle", "Trinkflasche", "Gourde"),
            ("Headlamp", "Stirnlampe", "Lampe frontale"),
        ),
        (9, 620),
        (70, 5400),
        ("nylon", "steel", "titanium", "polyester"),
    ),
    Shelf(
        "Outdoor",
        "Cycling",
        (
            ("City Bike", "Stadtrad", "Vélo de ville"),
            ("Bike Helmet", "Fahrradhelm", "Casque de vélo"),
            ("Bike Lock", "Fahrradschloss", "Antivol"),
            ("Pannier", "Packtasche", "Sacoche"),
            ("Bike Pump", "Luftpumpe", "Pompe à vélo"),
            ("Saddle", "Sattel", "Selle"),
        ),
        (11, 1450),
        (110, 15800),
        ("aluminium", "steel", "leather", "carbon"),
    ),
    Shelf(
        "Garden",
        "Tools",
        (
            ("Spade", "Spaten", "Bêche"),
            ("Pruning Shears", "Gartenschere", "Sécateur"),
            ("Garden Hose", "Gartenschlauch", "Tuyau d'arrosage"),
            ("Watering Can", "Gießkanne", "Arrosoir"),
            ("Wheelbarrow", "Schubkarre", "Brouette"),
            ("Rake", "Rechen", "Râteau"),
        ),
        (8, 260),
        (150, 14000),
        ("steel", "ash", "zinc", "rubber"),
    ),
    Shelf(
        "Clothing",
        "Jackets and Shoes",
        (
            ("Rain Jacket", "Regenjacke", "Veste de pluie"),
            ("Wool Sweater", "Wollpullover", "Pull en laine"),
            ("Hiking Boots", "Wanderschuhe", "Chaussures de randonnée"),
            ("Running Shoes", "Laufschuhe", "Chaussures de course"),
            ("Down Vest", "Daunenweste", "Gilet en duvet"),
            ("Gloves", "Handschuhe", "Gants"),
        ),
        (19, 420),
        (80, 1600),
        ("wool", "cotton", "leather", "polyester"),
    ),
    Shelf(
        "Books and Games",
        "Games",
        (
            ("Board Game", "Brettspiel", "Jeu de société"),
            ("Jigsaw Puzzle", "Puzzle", "Puzzle"),
            ("Chess Set", "Schachspiel", "Jeu d'échecs"),
            ("Card Game", "Kartenspiel", "Jeu de cartes"),
            ("Building Blocks", "Bausteine", "Blocs de construction"),
        ),
        (7, 140),
        (120, 3200),
        ("cardboard", "beech", "plastic"),
    ),
    Shelf(
        "Office",
        "Stationery",
        (
            ("Notebook", "Notizbuch", "Carnet"),
            ("Fountain Pen", "Füllfederhalter", "Stylo plume"),
            ("Planner", "Kalender", "Agenda"),
            ("Pencil Case", "Federmappe", "Trousse"),
            ("Desk Organizer", "Schreibtisch-Organizer", "Organiseur de bureau"),
        ),
        (3, 180),
        (20, 1400),
        ("paper", "leather", "brass", "bamboo"),
    ),
)

BRANDS: Final = (
    "Aldermoor", "Björkvik", "Brightwater", "Calanque", "Côte & Fils", "Dunmere", "Elstrand", "Fjordlys", "Garrigue",
    "Hallbach", "Inselberg", "Juniper Lane", "Kestrel", "Lumivale", "Maison Aubier", "Nordhaus", "Ostrava Works",
    "Pinewright", "Quillon", "Ravenglass", "Sable & Stone", "Tannwald", "Umbra Nine", "Val d'Orée", "Westerlund",
    "Zephyrine",
)  # fmt: skip

SERIES: Final = (
    "Air", "Alto", "Arc", "Atlas", "Classic", "Compact", "Duo", "Edge", "Essential", "Evo", "Flex", "Harbour", "Lite",
    "Loft", "Max", "Mini", "Nova", "One", "Origin", "Plus", "Pro", "Quiet", "Studio", "Summit", "Terra", "Ultra",
)  # fmt: skip

COLORS: Final = ("black", "white", "silver", "graphite", "navy", "forest green", "sand", "terracotta", "sky blue")

TAGS: Final = (
    "bestseller", "eco-friendly", "gift idea", "handmade", "limited edition", "lightweight", "new", "outlet",
    "recycled", "repairable", "travel", "vegan", "waterproof", "wireless",
)  # fmt: skip

# One opening, two features, one use and one closing make a description.
OPENINGS: Final[tuple[Text, ...]] = (
    ("Made for every day", "Für jeden Tag gemacht", "Conçu pour tous les jours"),
    ("A quiet companion for years", "Ein stiller Begleiter für Jahre", "Un compagnon discret pour des années"),
    ("Small changes, big difference", "Kleine Änderungen, großer Unterschied", "De petits changements, un grand effet"),
    ("Designed with care in a small workshop", "Mit Sorgfalt in einer kleinen Werkstatt entworfen",
     "Dessiné avec soin dans un petit atelier"),
    ("The favourite of our customers", "Der Liebling unserer Kundschaft", "Le préféré de notre clientèle"),
    ("Simple, sturdy, beautiful", "Einfach, robust, schön", "Simple, robuste, élégant"),
)  # fmt: skip

FEATURES: Final[tuple[Text, ...]] = (
    ("spare parts available for ten years", "Ersatzteile zehn Jahre lang erhältlich",
     "pièces détachées disponibles pendant dix ans"),
    ("easy to clean", "leicht zu reinigen", "facile à nettoyer"),
    ("packaging without plastic", "Verpackung ohne Plastik", "emballage sans plastique"),
    ("smooth rounded edges", "sanft gerundete Kanten", "bords doux et arrondis"),
    ("low weight and high strength", "geringes Gewicht und hohe Festigkeit", "poids léger et grande solidité"),
    ("weatherproof finish", "wetterfeste Oberfläche", "finition résistante aux intempéries"),
    ("assembled in five minutes without tools", "in fünf Minuten ohne Werkzeug aufgebaut",
     "monté en cinq minutes sans outils"),
    ("a two-year warranty", "zwei Jahre Garantie", "une garantie de deux ans"),
    ("tested in wind and rain", "bei Wind und Regen getestet", "testé par vent et pluie"),
    ("remarkably quiet", "bemerkenswert leise", "remarquablement silencieux"),
    ("space-saving when folded", "platzsparend zusammengeklappt", "peu encombrant une fois plié"),
    ("materials from certified sources", "Materialien aus zertifizierten Quellen",
     "matériaux de sources certifiées"),
)  # fmt: skip

USES: Final[tuple[Text, ...]] = (
    ("Perfect for small flats", "Perfekt für kleine Wohnungen", "Parfait pour les petits appartements"),
    ("Ready for long journeys", "Bereit für lange Reisen", "Prêt pour les longs voyages"),
    ("At home in the office and on the road", "Im Büro und unterwegs zu Hause", "Chez lui au bureau et en route"),
    ("A good choice for beginners and experts", "Eine gute Wahl für Anfänger und Profis",
     "Un bon choix pour débutants et experts"),
    ("A thoughtful gift for friends and family", "Ein durchdachtes Geschenk für Freunde und Familie",
     "Un cadeau réfléchi pour les amis et la famille"),
    ("Welcome in every season", "Willkommen zu jeder Jahreszeit", "Bienvenu en toute saison"),
)  # fmt: skip

CLOSINGS: Final[tuple[Text, ...]] = (
    ("Delivered within three days", "Lieferung innerhalb von drei Tagen", "Livraison sous trois jours"),
    ("Free returns", "Kostenlose Rückgabe", "Retours gratuits"),
    ("Only while stocks last", "Nur solange der Vorrat reicht", "Dans la limite des stocks disponibles"),
    ("Also available in other colours", "Auch in anderen Farben erhältlich", "Existe aussi en d'autres couleurs"),
)  # fmt: skip

# Warehouses: name, latitude, longitude.
PLACES: Final = (
    ("Berlin", 52.520, 13.405), ("Hamburg", 53.551, 9.994), ("München", 48.137, 11.575), ("Paris", 48.857, 2.352),
    ("Lyon", 45.764, 4.836), ("Marseille", 43.296, 5.370), ("London", 51.507, -0.128), ("Dublin", 53.350, -6.260),
    ("Zürich", 47.377, 8.542), ("Wien", 48.208, 16.373), ("Bruxelles", 50.850, 4.352), ("New York", 40.713, -74.006),
    ("Montréal", 45.502, -73.567), ("Sydney", -33.869, 151.209),
)  # fmt: skip
