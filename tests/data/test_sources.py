"""Fetching public rows: against a local server, through the hub's own client and plain HTTP."""

import io
import multiprocessing
import stat
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest
from hub_server import TOKEN, HubServer, Repo

from counterpoise.base import InputError, public_address
from counterpoise.data.sources import (
    AlsoNamed,
    AnyOf,
    GitHub,
    Hub,
    Listing,
    Pictures,
    Release,
    Remote,
    Source,
    Take,
    Unzip,
    differences,
    fetch_all,
    interrupted,
    locked,
    plan,
    present,
    read_card,
    read_cards,
)
from counterpoise.data.sources._addresses import Gate
from counterpoise.data.sources._source import chosen, fixed, matches, target
from counterpoise.data.sources._web import Web

BIG = bytes(range(256)) * 2000  # 512,000 bytes: several pieces of a download
ROWS = b"prompt\nhello\n"


@pytest.fixture
def server(monkeypatch, tmp_path):
    """Both endpoints on loopback, a cache of our own, no token, and no waiting between tries."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf-cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_IMPLICIT_TOKEN", False)
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "GITHUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    slept = []
    for module in ("huggingface_hub.utils._http", "huggingface_hub.file_download"):
        monkeypatch.setattr(f"{module}.time.sleep", slept.append)
    monkeypatch.setattr(Web.__init__, "__defaults__", (slept.append,))
    with HubServer() as made:
        monkeypatch.setenv("HF_ENDPOINT", made.url)
        monkeypatch.setenv("COUNTERPOISE_GITHUB_ENDPOINT", made.url)
        made.slept = slept
        yield made


@pytest.fixture
def root(tmp_path):
    return tmp_path / "data"


def source(origin, *parts, name="mine", **more):
    return Source(name, "Rows of a test", origin, parts or (Take("rows.csv", "mine/rows.csv"),), licence="MIT", **more)


def yes(plans):
    return "--accept-licence"


def get(one, root):
    """Fetch one source; its card. Raises InputError with the reason it failed."""
    done = fetch_all([one], root, yes)
    for reason in done.failed.values():
        raise InputError(reason)
    return done.done[0] if done.done else None


def zipped(entries):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return out.getvalue()


# the main road


def test_a_hub_set_is_fetched_pinned_and_described(server, root):
    server.hub["me/set"] = Repo({"rows.csv": ROWS, "big.bin": BIG, "other.txt": b"not wanted"}, lfs=["big.bin"])
    one = source(Hub("me/set"), Take("rows.csv", "mine/rows.csv"), Take("big.bin", "mine/big.bin"))
    card = get(one, root)
    assert (root / "mine" / "rows.csv").read_bytes() == ROWS and (root / "mine" / "big.bin").read_bytes() == BIG
    assert sorted(path.name for path in (root / "mine").iterdir()) == ["big.bin", "rows.csv"]
    assert (card.revision, card.pinned, card.accepted) == ("c" * 40, "first fetch", "--accept-licence")
    assert read_card(root, "mine") == card and read_cards(root) == [card]
    assert differences(root, card) == [] and present(one, root) and not interrupted(root, "mine")
    text = (root / "cards" / "mine.md").read_text()
    assert "| Licence | MIT |" in text and "c" * 40 in text and card.files[0].sha256 in text
    assert not (root / ".fetch" / "mine").exists()  # nothing is left of the work
    assert fetch_all([one], root, yes).here == ["mine"]


def test_more_files_than_one_page_of_a_listing(server, root):
    files = {f"images/{number}.png": str(number).encode() for number in range(250)}
    server.hub["me/set"] = Repo(files)
    card = get(source(Hub("me/set"), Take("images/**", "mine/images/")), root)
    assert len(card.files) == 250 and (root / "mine" / "images" / "249.png").read_bytes() == b"249"


def test_files_of_a_git_repository_at_its_pinned_commit(server, root):
    server.git["me/repo"] = Repo({"data/rows.csv": ROWS, "data/a b#.txt": b"x"})
    commit = "a" * 40
    parts = (Take("data/rows.csv", "mine/rows.csv"), Take("data/*.txt", "mine/"))
    card = get(source(GitHub("me/repo", commit), *parts), root)
    assert (card.revision, card.pinned) == (commit, "declared")
    assert (root / "mine" / "a b#.txt").read_bytes() == b"x"
    assert get(source(GitHub("me/repo"), *parts, name="newest"), root).revision == "c" * 40


def test_large_files_behind_pointers_of_git(server, root):
    import hashlib

    digest = hashlib.sha256(BIG).hexdigest()
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {len(BIG)}\n"
    server.git["me/repo"] = Repo({"big.bin": pointer.encode()})
    server.git["me/repo"].media = {"big.bin": BIG}
    one = source(GitHub("me/repo", "a" * 40), Take("big.bin", "mine/big.bin"))
    get(one, root)
    assert (root / "mine" / "big.bin").read_bytes() == BIG
    server.git["me/repo"].media = {"big.bin": BIG[:-1] + b"!"}
    (root / "mine" / "big.bin").unlink()
    with pytest.raises(InputError, match=r"big.bin is not the file that was pinned"):
        get(one, root)


def test_a_release_is_redirected_unpacked_and_pinned_by_its_first_fetch(server, root):
    path = "/me/repo/releases/download/v1/rows.zip"
    server.releases[path] = zipped({"rows/a.txt": b"a", "rows/images/b.png": b"b", "__MACOSX/rows/._a": b"junk"})
    one = source(Release("me/repo", "v1"), Unzip("rows.zip", "mine/", strip="rows/"))
    card = get(one, root)
    assert [each.path for each in card.files] == ["mine/a.txt", "mine/images/b.png"]
    server.releases[path] = zipped({"rows/a.txt": b"other", "rows/images/b.png": b"b"})
    (root / "mine" / "a.txt").unlink()
    with pytest.raises(InputError, match="not the file that was pinned: .*the SHA-256 of the first fetch"):
        get(one, root)
    assert not (root / "mine" / "a.txt").exists()


# trust


def test_a_declared_hash_that_differs_keeps_nothing(server, root):
    server.hub["me/set"] = Repo({"rows.csv": ROWS})
    with pytest.raises(InputError, match=r"mine: rows.csv is not the file .* its card declares; nothing"):
        get(source(Hub("me/set"), Take("rows.csv", "mine/rows.csv", sha256="0" * 64)), root)
    assert not (root / "mine").exists() and read_cards(root) == []


@pytest.mark.parametrize("lfs", [(), ("rows.csv",)])
def test_content_that_is_not_what_the_listing_says(server, root, lfs):
    server.hub["me/set"] = Repo({"rows.csv": ROWS}, lfs=lfs)
    server.swaps["rows.csv"] = ROWS.replace(b"hello", b"HELLO")
    with pytest.raises(InputError, match=r"rows.csv (was changed on its way|is not the file that was pinned)"):
        get(source(Hub("me/set")), root)
    assert not (root / "mine").exists()
    server.swaps.clear()  # and the bad copy in the cache is not believed when the source is right again
    get(source(Hub("me/set")), root)
    assert (root / "mine" / "rows.csv").read_bytes() == ROWS


def test_a_git_file_changed_on_its_way_is_asked_for_once_more(server, root):
    server.git["me/repo"] = Repo({"rows.csv": ROWS})
    server.swaps["rows.csv"] = b"prompt\nHELLO\n"
    one = source(GitHub("me/repo", "a" * 40))
    with pytest.raises(InputError, match="was changed on its way: git's hash is"):
        get(one, root)
    assert server.served["rows.csv"] == 2
    server.swaps.clear()
    get(one, root)
    assert (root / "mine" / "rows.csv").read_bytes() == ROWS


def test_a_source_without_revision_keeps_to_the_commit_of_its_first_fetch(server, root):
    server.hub["me/set"] = Repo({"rows.csv": ROWS})
    one = source(Hub("me/set"))
    first = get(one, root)
    server.hub["me/set"] = Repo({"rows.csv": b"prompt\nnew\n"}, commit="d" * 40)
    (root / "mine" / "rows.csv").write_bytes(b"damaged")
    with pytest.raises(InputError, match="the SHA-256 of the first fetch"):  # the history was rewritten
        get(one, root)
    assert read_card(root, "mine") == first
    server.hub["me/set"] = Repo({"rows.csv": ROWS}, commit="d" * 40)
    assert get(one, root).revision == "c" * 40  # repaired, at the pinned commit
    assert (root / "mine" / "rows.csv").read_bytes() == ROWS


def test_verify_names_changed_and_missing_files(server, root):
    server.hub["me/set"] = Repo({"a.txt": b"a", "b.txt": b"b", "c.txt": b"c"})
    card = get(source(Hub("me/set"), Take("*.txt", "mine/")), root)
    (root / "mine" / "a.txt").write_bytes(b"A")  # the same size
    (root / "mine" / "b.txt").unlink()
    assert differences(root, card) == ["mine/a.txt: changed since it was fetched", "mine/b.txt: missing"]


def test_files_of_somebody_else_are_not_overwritten(server, root):
    server.hub["me/set"] = Repo({"a.txt": b"a", "b.txt": b"b"})
    (root / "mine").mkdir(parents=True)
    (root / "mine" / "b.txt").write_bytes(b"my own")
    one = source(Hub("me/set"), Take("*.txt", "mine/"))
    with pytest.raises(InputError, match=r"b.txt is here with other content and was not fetched by this command"):
        get(one, root)
    assert (root / "mine" / "b.txt").read_bytes() == b"my own" and not (root / "mine" / "a.txt").exists()
    (root / "mine" / "b.txt").write_bytes(b"b")  # the same rows, put there by hand
    assert get(one, root) is not None


# gates and absences


def test_a_gate_says_what_to_accept_and_a_token_opens_it(server, root, monkeypatch):
    server.hub["me/set"] = Repo({"rows.csv": ROWS}, gated=True)
    one = source(Hub("me/set"), gate="accept their terms")
    line = r"mine: gated: accept their terms; accept at https://huggingface.co/datasets/me/set, then log in"
    with pytest.raises(InputError, match=line):
        get(one, root)
    monkeypatch.setenv("HF_TOKEN", "hf_other")  # a user who has not accepted: 403
    with pytest.raises(InputError, match=line):
        get(one, root)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert get(one, root) is not None


def test_offline_stays_offline(server, root, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    server.hub["me/set"] = Repo({"rows.csv": ROWS})
    with pytest.raises(InputError, match="HF_HUB_OFFLINE is set; unset it to fetch"):
        get(source(Hub("me/set")), root)


@pytest.mark.parametrize(
    ("origin", "part", "line"),
    [
        (Hub("me/absent"), "rows.csv", "https://huggingface.co/datasets/me/absent is not there, or needs a token"),
        (Hub("me/set", "e" * 40), "rows.csv", "has no such revision; the source was rewritten"),
        (Hub("me/set"), "gone.csv", r"at cccccccccccc has no gone.csv; its layout has changed"),
        (GitHub("me/absent", "a" * 40), "rows.csv", "the server answered 404"),
        (Release("me/repo", "v9"), "rows.zip", "the server answered 404"),
    ],
)
def test_what_is_not_there(server, root, origin, part, line):
    server.hub["me/set"] = Repo({"rows.csv": ROWS}, only=["main"])
    with pytest.raises(InputError, match=line):
        get(source(origin, Take(part, "mine/rows.csv")), root)
    assert not (root / "mine").exists()


def test_one_failing_source_does_not_stop_the_others(server, root):
    server.hub["me/set"] = Repo({"rows.csv": ROWS})
    done = fetch_all([source(Hub("me/absent"), name="first"), source(Hub("me/set"), name="second")], root, yes)
    assert [card.name for card in done.done] == ["second"] and list(done.failed) == ["first"]


# networks


@pytest.mark.parametrize("lfs", [(), ("big.bin",)])
def test_a_broken_connection_to_the_hub_is_resumed_by_range(server, root, lfs, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 50_000)  # else 10 MB, and less than that is asked for anew
    server.hub["me/set"] = Repo({"big.bin": BIG}, lfs=lfs)
    server.breaks["big.bin"] = [200_000, 100_000]
    get(source(Hub("me/set"), Take("big.bin", "mine/big.bin")), root)
    assert (root / "mine" / "big.bin").read_bytes() == BIG
    assert [wanted for _, wanted in server.ranges] == ["bytes=200000-", "bytes=300000-"]


def test_a_broken_connection_to_plain_https_is_resumed_also_by_a_later_process(server, root):
    server.git["me/repo"] = Repo({"big.bin": BIG})
    server.breaks["big.bin"] = [100_000] + [0] * 5  # one try with bytes, five without, then it gives up
    one = source(GitHub("me/repo", "a" * 40), Take("big.bin", "mine/big.bin"))
    with pytest.raises(InputError, match="the connection broke 6 times .* the same command continues where it was"):
        get(one, root)
    before = len(server.ranges)
    get(one, root)
    assert (root / "mine" / "big.bin").read_bytes() == BIG
    assert server.ranges[before:] == [("big.bin", "bytes=100000-")]


def test_a_part_of_another_version_is_not_continued(server, root):
    server.git["me/repo"] = Repo({"big.bin": BIG})
    server.breaks["big.bin"] = [100_000] + [0] * 5
    with pytest.raises(InputError, match="connection broke"):
        get(source(GitHub("me/repo", "a" * 40), Take("big.bin", "mine/big.bin")), root)
    other, before = BIG[::-1], len(server.ranges)
    server.git["me/repo"] = Repo({"big.bin": other})
    get(source(GitHub("me/repo", "b" * 40), Take("big.bin", "mine/big.bin")), root)
    assert (root / "mine" / "big.bin").read_bytes() == other
    assert server.ranges[before:] == []


@pytest.mark.parametrize("kind", ["hub", "git"])
def test_a_server_that_asks_to_wait_is_waited_for(server, root, kind):
    getattr(server, kind)["me/set"] = Repo({"rows.csv": ROWS})
    where = f"/datasets/me/set/resolve/{'c' * 40}/rows.csv" if kind == "hub" else f"/raw/me/set/{'c' * 40}/rows.csv"
    server.delays[where] = [7]
    get(source(Hub("me/set") if kind == "hub" else GitHub("me/set")), root)
    assert any(7 <= seconds <= 8 for seconds in server.slept)
    if kind == "git":
        (root / "mine" / "rows.csv").unlink()
        server.delays[where] = [3600]
        with pytest.raises(InputError, match="asks to wait 3600 s; try again then"):
            get(source(GitHub("me/set")), root)


def test_private_addresses_are_asked_only_as_the_users_own_endpoint():
    class Request:
        class url:
            scheme, host = "https", "rows.example"

    def check(address, endpoint=None, scheme="https", host="rows.example"):
        Request.url.scheme, Request.url.host = scheme, host
        Gate(endpoint, lambda _: [address]).request(Request)

    check("93.184.216.34")
    for address in ("10.0.0.1", "127.0.0.1", "169.254.169.254", "::1", "::ffff:192.168.0.1", "fd00::1", "100.64.0.1"):
        assert not public_address(address)
        with pytest.raises(InputError, match="is a private one; nothing was fetched"):
            check(address)
        with pytest.raises(InputError, match="is a private one"):  # written out in a redirect
            check("unused", host=f"[{address}]" if ":" in address else address)
    with pytest.raises(InputError, match="led to an address without https"):
        check("93.184.216.34", scheme="http")
    check("10.0.0.1", endpoint="http://rows.example:8000", scheme="http")
    with pytest.raises(InputError, match="private"):  # the endpoint's answer leads to another private host
        check("10.0.0.1", endpoint="http://mirror.example")


@pytest.mark.parametrize("kind", ["hub", "release"])
def test_a_redirect_into_a_private_network_is_not_followed(server, root, kind):
    elsewhere = server.store.replace("127.0.0.1", "localhost")  # loopback, but not the host of the endpoint
    server.hub["me/set"] = Repo({"big.bin": BIG}, lfs=["big.bin"])
    server.redirect["big.bin"] = f"{elsewhere}/store/hub/me/set/big.bin"
    one = source(Hub("me/set"), Take("big.bin", "mine/big.bin"))
    if kind == "release":
        server.releases["/me/repo/releases/download/v1/big.bin"] = BIG
        server.store = elsewhere  # of its redirects
        one = source(Release("me/repo", "v1"), Take("big.bin", "mine/big.bin"))
    with pytest.raises(InputError, match="localhost: led to an address without https"):
        get(one, root)
    assert server.served["big.bin"] == 0 and not (root / "mine").exists()


def test_the_clients_session_is_given_back_as_it_was(server, root):
    from huggingface_hub import get_session
    from huggingface_hub.utils import are_progress_bars_disabled

    before, bars = get_session().event_hooks, are_progress_bars_disabled()
    server.hub["me/set"] = Repo({f"{number}.txt": b"x" for number in range(20)})
    get(source(Hub("me/set"), Take("*.txt", "mine/")), root)
    assert get_session().event_hooks == before and are_progress_bars_disabled() == bars


# names and sizes that are not trusted


@pytest.mark.parametrize(
    "name", ["../out.txt", "/etc/passwd", "a/../../out.txt", "..\\out.txt", "C:\\out.txt", "a//b", "a\nb", "./x", ""]
)
def test_names_cannot_leave_the_data_folder(server, root, name):
    server.releases["/me/repo/releases/download/v1/rows.zip"] = zipped({"good.txt": b"x", name or "./x": b"bad"})
    with pytest.raises(InputError, match="could leave the data folder; nothing was written"):
        get(source(Release("me/repo", "v1"), Unzip("rows.zip", "mine/")), root)
    assert not (root / "mine").exists() and not (root.parent / "out.txt").exists()
    with pytest.raises(InputError, match="could leave the data folder"):
        chosen(source(Hub("me/set")), Listing("c", (Remote("rows.csv"), Remote(name or "a/"[:0]))))


def test_links_encrypted_and_broken_archives(server, root):
    path = "/me/repo/releases/download/v1/rows.zip"
    one = source(Release("me/repo", "v1"), Unzip("rows.zip", "mine/"))
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    server.releases[path] = zipped({link: b"/etc/passwd"})
    with pytest.raises(InputError, match="'link' is a link"):
        get(one, root)
    plain = bytearray(zipped({"a.txt": b"a"}))
    for signature, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        struct.pack_into("<H", plain, plain.index(signature) + place, 1)
    for data, line in ((bytes(plain), "it is encrypted"), (b"PK no archive", "not a readable zip archive")):
        server.releases[path] = data
        with pytest.raises(InputError, match=line):
            get(source(Release("me/repo", "v1"), Unzip("rows.zip", "mine/"), name=line.replace(" ", "-")), root)


def tarred(*entries, mode="w"):
    """A tar archive of (name, content), or of a TarInfo as it is."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        for entry in entries:
            info = entry if isinstance(entry, tarfile.TarInfo) else tarfile.TarInfo(entry[0])
            data = b"" if entry is info else entry[1]
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


@pytest.mark.parametrize(("file", "mode"), [("imgs.tar", "w"), ("imgs.tar.gz", "w:gz")])
def test_a_tar_archive_is_unpacked_like_any_other(server, root, file, mode):
    folder = tarfile.TarInfo("./imgs")
    folder.type = tarfile.DIRTYPE
    files = (("./imgs/a.png", b"a"), ("./imgs/._a.png", b"junk"), ("./imgs/deep/b.png", BIG))
    server.hub["me/set"] = Repo({file: tarred(folder, *files, mode=mode)})
    card = get(source(Hub("me/set"), Unzip(file, "mine/", strip="imgs/")), root)
    assert [each.path for each in card.files] == ["mine/a.png", "mine/deep/b.png"]
    assert (root / "mine" / "deep" / "b.png").read_bytes() == BIG


def test_a_tar_archive_is_not_trusted(server, root):
    link = tarfile.TarInfo("imgs/a.png")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    pipe = tarfile.TarInfo("imgs/pipe")
    pipe.type = tarfile.FIFOTYPE
    for number, (data, line) in enumerate((
        (tarred(link), "'imgs/a.png' is a link or no file"),
        (tarred(pipe), "'imgs/pipe' is a link or no file"),
        (tarred(("../out.txt", b"bad")), "could leave the data folder; nothing was written"),
        (tarred(("/out.txt", b"bad")), "could leave the data folder; nothing was written"),
        (tarred(("imgs/a.png", bytes(4_000_000)), mode="w:gz"), "more than 3,000,000 bytes when unpacked"),
        (tarred(("imgs/a.png", b"a" * 900), mode="w:gz")[:-30], "not a readable tar archive"),
        (tarred(("imgs/a.png", BIG))[:300_000], "not a readable tar archive"),
        (b"no archive", "not a readable tar archive"),
    )):  # fmt: skip
        server.releases[f"/me/repo/releases/download/v{number}/imgs.tar"] = data
        one = source(Release("me/repo", f"v{number}"), Unzip("imgs.tar", "mine/"), name=f"n{number}", limit=1_000_000)
        with pytest.raises(InputError, match=line):
            get(one, root)
    assert not (root / "mine").exists() and not (root.parent / "out.txt").exists()


def test_an_archive_that_grows_beyond_its_limit(server, root):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(50_000_000))
    server.releases["/me/repo/releases/download/v1/rows.zip"] = out.getvalue()
    one = source(Release("me/repo", "v1"), Unzip("rows.zip", "mine/"), limit=1_000_000)
    with pytest.raises(InputError, match="more than 3,000,000 bytes when unpacked; nothing was kept"):
        get(one, root)
    assert not (root / "mine").exists()


@pytest.mark.parametrize("kind", ["hub", "git", "release"])
def test_more_bytes_than_a_source_may_have(server, root, kind):
    server.hub["me/set"] = server.git["me/set"] = Repo({"rows.csv": BIG})
    server.releases["/me/set/releases/download/v1/rows.csv"] = BIG
    origin = {"hub": Hub("me/set"), "git": GitHub("me/set", "a" * 40), "release": Release("me/set", "v1")}[kind]
    with pytest.raises(InputError, match=r"512,000 bytes.* more than the 1,000 that (it|this source) may have"):
        get(source(origin, limit=1000), root)
    assert server.served["rows.csv"] <= 1 and not (root / "mine").exists()


# layouts


def test_patterns():
    assert matches("*/validation-*.parquet", "Art/validation-0.parquet")
    assert not matches("*/validation-*.parquet", "a/b/validation-0.parquet")
    assert matches("images/**", "images/a/b.png") and not matches("images/*", "images/a/b.png")
    assert not matches("rows.csv", "rowsXcsv")
    assert [fixed(each) for each in ("a/b/*.png", "**", "*/x", "a.csv")] == ["a/b/", "", "", ""]
    assert target(Take("data/images/*", "mine/"), "data/images/1.png") == "mine/1.png"


def test_the_first_form_that_a_source_has(server, root):
    either = AnyOf(((Take("images/**", "mine/images/"),), (Unzip("images.zip", "mine/images/", "images/"),)))
    server.hub["me/files"] = Repo({"images/1.png": b"1"})
    server.hub["me/packed"] = Repo({"images.zip": zipped({"images/1.png": b"1"})})
    server.hub["me/neither"] = Repo({"rows.csv": ROWS})
    for number, name in enumerate(("me/files", "me/packed")):
        card = get(source(Hub(name), either, name=f"s{number}"), root / str(number))
        assert [each.path for each in card.files] == ["mine/images/1.png"]
    with pytest.raises(InputError, match=r"has no images/\*\* or images.zip"):
        get(source(Hub("me/neither"), either), root)


def test_one_file_is_wanted_and_several_match(server, root):
    server.hub["me/set"] = Repo({"dev-0.parquet": b"0", "dev-1.parquet": b"1"})
    with pytest.raises(InputError, match=r"2 files match dev-\*.parquet where one is wanted"):
        get(source(Hub("me/set"), Take("dev-*.parquet", "mine/dev.parquet")), root)


def test_names_of_a_table_for_images_with_another_extension(server, root):
    table = b"ImageFileName\na.jpg\nb.png\nmissing.jpg\n"
    server.git["me/set"] = Repo({"t.csv": table, "images/a.png": b"a", "images/b.png": b"b"})
    also = AlsoNamed("mine/images", "mine/t.csv", "ImageFileName")
    get(source(GitHub("me/set"), Take("t.csv", "mine/t.csv"), Take("images/*", "mine/images/"), also), root)
    assert sorted(path.name for path in (root / "mine" / "images").iterdir()) == ["a.jpg", "a.png", "b.png"]
    assert (root / "mine" / "images" / "a.jpg").read_bytes() == b"a"


def test_images_out_of_a_table(server, root):
    pyarrow = pytest.importorskip("pyarrow", reason="needs pip install 'counterpoise[parquet]'")
    from pyarrow import parquet

    def table(rows):
        out = io.BytesIO()
        parquet.write_table(pyarrow.Table.from_pylist(rows), out)
        return out.getvalue()

    server.hub["me/set"] = Repo({"t.parquet": table([{"id": "7", "image": {"bytes": b"seven", "path": None}}])})
    part = Pictures("t.parquet", "mine/{id}.jpg")
    get(source(Hub("me/set"), part), root)
    assert (root / "mine" / "7.jpg").read_bytes() == b"seven"
    for rows, line in (
        ([{"id": "../7", "image": {"bytes": b"x"}}], r"row 1, field \"id\": '../7' is no file name"),
        ([{"id": "7", "image": {"bytes": None, "path": "7.jpg"}}], 'row 1, field "image": no image bytes'),
        ([{"image": {"bytes": b"x"}}], "no column for the name"),
    ):
        server.hub["me/bad"] = Repo({"t.parquet": table(rows)})
        with pytest.raises(InputError, match=line):
            get(source(Hub("me/bad"), part, name="bad"), root)


# processes


def _hold(root, ready, end):
    with locked(Path(root)):
        ready.set()
        end.wait(60)


def test_one_process_per_data_folder(server, root):
    context = multiprocessing.get_context("spawn")
    ready, end = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(str(root), ready, end))
    other.start()
    assert ready.wait(60)
    with pytest.raises(InputError, match="another process fetches into this folder"):
        fetch_all([source(Hub("me/set"))], root, yes)
    other.kill()  # and a killed one leaves no lock
    other.join()
    server.hub["me/set"] = Repo({"rows.csv": ROWS})
    assert get(source(Hub("me/set")), root) is not None


def test_stopped_while_files_are_put_in_place(server, root, monkeypatch):
    """Some files are there, the card is not: it must not count as present, and the next fetch completes it."""
    server.git["me/set"] = Repo({f"{number}.txt": str(number).encode() for number in range(9)})
    one = source(GitHub("me/set"), Take("*.txt", "mine/"))
    moved = []
    replace = Path.replace

    def stop(self, other):
        if self.parent.name == "mine":
            moved.append(self.name)
            if len(moved) == 5:
                raise KeyboardInterrupt
        return replace(self, other)

    monkeypatch.setattr(Path, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        get(one, root)
    monkeypatch.undo()
    assert interrupted(root, "mine") and not present(one, root) and len(list((root / "mine").iterdir())) == 4
    monkeypatch.setenv("COUNTERPOISE_GITHUB_ENDPOINT", server.url)
    served = sum(server.served.values())
    card = get(one, root)
    assert not interrupted(root, "mine") and differences(root, card) == [] and len(card.files) == 9
    assert sum(server.served.values()) == served  # nothing was asked for twice


def test_nothing_is_fetched_when_the_licence_is_not_accepted(server, root):
    server.hub["me/set"] = Repo({"rows.csv": ROWS})

    def no(plans):
        (each,) = plans
        assert (each.source.name, each.size, each.listing.revision) == ("mine", len(ROWS), "c" * 40)
        raise InputError("no")

    with pytest.raises(InputError, match="no"):
        fetch_all([source(Hub("me/set"))], root, no)
    assert server.served["rows.csv"] == 0 and not (root / "mine").exists()


def test_files_that_a_new_revision_no_longer_has_are_removed(server, root):
    server.git["me/set"] = Repo({"a.txt": b"a", "b.txt": b"b"})
    get(source(GitHub("me/set", "a" * 40), Take("*.txt", "mine/")), root)
    server.git["me/set"] = Repo({"a.txt": b"A"})
    renewed = source(GitHub("me/set", "b" * 40), Take("*.txt", "mine/"))
    assert not present(renewed, root)
    get(renewed, root)
    assert [path.name for path in (root / "mine").iterdir()] == ["a.txt"]
    assert (root / "mine" / "a.txt").read_bytes() == b"A"


def test_a_folder_that_cannot_be_written(server, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(InputError, match="cannot write .*set COUNTERPOISE_DATA"):
        fetch_all([source(Hub("me/set"))], tmp_path / "file" / "data", yes)


def test_a_broken_card_is_one_line(root):
    (root / "cards").mkdir(parents=True)
    (root / "cards" / "mine.json").write_text('{"name": "mine"}')
    with pytest.raises(InputError, match=r"mine.json: not a data card .*; remove it, and fetch again"):
        read_cards(root)


def test_a_plan_asks_for_nothing_but_the_list(server, root):
    server.hub["me/set"] = Repo({"rows.csv": ROWS})
    made = plan(source(Hub("me/set")), root)
    assert made.size == len(ROWS) and server.served["rows.csv"] == 0 and not root.exists()
