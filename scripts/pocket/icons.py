"""Fetch more drawings of the pocket's icons, for training only, and write which glyph shows which concept.

The suites draw icons in eight styles, of which two (Remix Icon) are held out. A tower that has seen a concept in three
or four drawings does not name a new one; these fonts bring up to forty. None of them is shipped: they are fetched from
the npm registry (needs npm and `pip install fonttools`), converted to TrueType, and listed in OUT/icons.json.

    python scripts/pocket/icons.py OUT
"""

import json
import logging
import re
import subprocess
import sys
import tarfile
from pathlib import Path

from fontTools.ttLib import TTFont

from counterpoise.data.render import glyphs

PACKAGES = (  # MIT, Apache-2.0, ISC or OFL-1.1; Remix Icon must never be among them
    "@tabler/icons-webfont@3.49.0", "bootstrap-icons@1.13.2", "boxicons@2.1.4", "lucide-static@1.62.0",
    "line-awesome@1.3.0", "ionicons@4.6.3", "primeicons@8.0.2", "themify-icons@1.0.0", "material-icons@1.13.14",
    "foundation-icons@2.0.0", "@flaticon/flaticon-uicons@3.3.1", "@phosphor-icons/web@2.1.2", "typicons.font@2.1.2",
    "open-iconic@1.1.1", "eva-icons@1.1.3", "@iconscout/unicons@4.2.0", "octicons@8.5.0", "simple-line-icons@2.5.5",
)  # fmt: skip
RULE = re.compile(r"\.([a-zA-Z][\w-]*):{1,2}before\s*\{\s*content:\s*[\"']\\([0-9a-fA-F]+)[\"']")
FONT = re.compile(r"([\w-]+)\.(?:ttf|woff)\b")
AROUND = re.compile(
    r"(ico|icon|ti|bi|bxs?|la|las|lar|ion-(ios|md)|ion|pi|fi(-\w\w)?|uil|uis|uit|ph(-\w+)?|oi|eva|typcn)-"
)
TAILS = r"(-(outline[d]?|o|fill(ed)?|solid|sharp|alt|variant|simple|line|light|thin|bold|duotone|round(ed)?|f|2|bolt))*"
ALSO = {  # names under which other sets draw the same thing
    "airplane": ("plane",), "alarm": ("alarm-clock",), "bicycle": ("bike",), "bike": ("bicycle",),
    "boat": ("sailboat",),
    "cart": ("shopping-cart", "basket-shopping"), "couch": ("sofa",), "droplet": ("drop", "water-drop"),
    "earth": ("globe",),
    "engine": ("car-engine",), "envelope": ("mail", "email"), "gear": ("settings", "cog"), "gun": ("pistol",),
    "gavel": ("hammer-law", "legal"), "government": ("bank", "building-columns", "landmark"), "home": ("house",),
    "house": ("home",), "image": ("picture", "photo"), "lamp": ("lamp-desk", "desk-lamp"), "mail": ("envelope",),
    "medal": ("award",), "microphone": ("mic",), "movie": ("film", "clapperboard"), "paint": ("paintbrush",),
    "phone": ("call", "telephone"), "pill": ("capsule",),
    "plane": ("airplane",), "radioactive": ("radiation",),
    "shirt": ("tshirt", "t-shirt"), "shop": ("store",), "sofa": ("couch",),
    "store": ("shop",), "sailboat": ("boat", "sailing"),
    "syringe": ("vaccine", "injection"), "trash": ("delete", "bin", "trash-can"), "wave": ("waves",),
    "wrench": ("spanner",), "fuel": ("gas-station", "gas-pump"), "fridge": ("refrigerator",),
    "doctor": ("user-doctor", "user-md"), "drone": ("quadcopter",), "cash": ("money-bill", "banknote"),
}  # fmt: skip


def fetch(package: str, out: Path) -> Path:
    """The folder of an npm package, unpacked under `out`."""
    folder = out / "packages" / re.sub(r"\W+", "-", package).strip("-")
    if not folder.exists():
        command = ["npm", "pack", "--silent", "--pack-destination", str(out), package]
        name = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1]
        with tarfile.open(out / name) as archive:
            archive.extractall(folder, filter="data")
    return folder


def named(font: TTFont, sheets: str) -> dict[str, str]:
    """Icon name -> character, from the style sheets and from the glyphs' own names."""
    have = font.getBestCmap() or {}
    found = {name: chr(code) for code, name in have.items()}
    found |= {name: chr(int(code, 16)) for name, code in RULE.findall(sheets) if int(code, 16) in have}
    return {AROUND.sub("", re.sub(r"[ _.]", "-", name.lower()), count=1): char for name, char in found.items()}


def main() -> None:
    logging.getLogger("fontTools").setLevel(logging.ERROR)
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    table: dict[str, list[tuple[str, str]]] = {concept: [] for concept in glyphs()}
    for package in PACKAGES:
        folder, before = fetch(package, out), sum(map(len, table.values()))
        texts = [p.read_text(errors="ignore") for p in sorted(folder.rglob("*.css"))]
        stems = {p.stem: p for kind in ("woff2", "woff", "otf", "ttf") for p in sorted(folder.rglob(f"*.{kind}"))}
        seen: set[bytes] = set()
        for stem, path in stems.items():
            if path.suffix == ".woff2" or re.search("brands|logos|uotone", stem):
                continue
            font = TTFont(path)
            own_sheets = [text for text in texts if f"{stem}." in text]  # one package may hold many fonts
            names = named(
                font, min(own_sheets, key=lambda text: (len(set(FONT.findall(text))), -len(text)), default="")
            )
            file = out / "fonts" / f"{folder.name}-{stem}.ttf"
            file.parent.mkdir(exist_ok=True)
            font.flavor = None
            font.save(file)
            for concept, own in table.items():
                if concept == "bullet":  # elsewhere a mark in a list
                    continue
                also = [name for name in ALSO.get(concept, ()) if name not in table]  # a name of its own stays its own
                wanted = re.compile("|".join(re.escape(name) + TAILS for name in (concept, *also)))
                for name, char in names.items():
                    if wanted.fullmatch(name):
                        mark = f"{char}{len(font.getGlyphOrder())}{stem if len(stems) < 30 else ''}".encode()
                        if mark not in seen:
                            seen.add(mark)
                            own.append((str(file.resolve()), char))
        print(f"{package}: {sum(map(len, table.values())) - before} drawings")
    (out / "icons.json").write_text(json.dumps(table))
    counts = sorted((len(own), concept) for concept, own in table.items())
    print(f"{sum(n for n, _ in counts)} drawings; fewest: {counts[:30]}; median {counts[len(counts) // 2][0]}")


if __name__ == "__main__":
    main()
