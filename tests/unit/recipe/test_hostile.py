"""Whatever a recipe's file, its values and ``--set`` hold: a recipe, or an error that exits 2."""

import copy
import os
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eosin.core.errors import RecipeError, UsageError
from eosin.recipe import Recipe, read_recipe, recipe_from_dict, recipe_to_toml
from eosin.recipe.overrides import override, parse_overrides

BASE = {"name": "a", "data": {"dataset": "phantom"}, "model": {"name": "light_cnn"}}
TEXT = 'name = "a"\n[data]\ndataset = "phantom"\n[model]\nname = "light_cnn"\n'
QUICK = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def _paths(model=Recipe, lead=()):
    for name, field in model.model_fields.items():
        yield (*lead, name)
        if hasattr(field.annotation, "model_fields"):
            yield from _paths(field.annotation, (*lead, name))


NUMBERS = st.one_of(
    st.integers(), st.floats(), st.sampled_from([0, -1, 2**31, 2**63, 2**70, 10**4000])
)
LEAVES = st.one_of(st.none(), st.booleans(), NUMBERS, st.text(), st.dates(), st.datetimes())
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)
KEYS = st.sampled_from(sorted(_paths()))


def _set(path, value):
    tree = copy.deepcopy(BASE)
    *sections, leaf = path
    branch = tree
    for name in sections:
        branch = branch.setdefault(name, {})
    branch[leaf] = value
    return tree


def _check_read(call):
    """Call what returns a recipe; one that comes back can be written, and an error printed."""
    refusal = None
    try:
        recipe_to_toml(call()).encode()
    except UsageError as error:
        refusal = str(error)
    assert len((refusal or "").encode()) < 9000


@given(path=KEYS, value=VALUES)
@QUICK
def test_any_value_of_any_key_is_taken_or_refused(path, value):
    _check_read(lambda: recipe_from_dict(_set(path, value)))


@given(content=st.one_of(st.binary(), st.text().map(lambda text: TEXT + text).map(str.encode)))
@QUICK
def test_any_file_is_taken_or_refused(tmp_path, content):
    (tmp_path / "recipe.toml").write_bytes(content)
    _check_read(lambda: read_recipe(tmp_path / "recipe.toml"))


PIECES = st.sampled_from(
    [
        *("data", "split", "transfer", "stage", "0", "²", ".", "=", "[", "{", '"', "\n", "#", "lr"),
        *("arguments", "inf", "nan", "1e999", "9" * 5000, "2026-01-01", "\udcff", "\0", "train"),
    ]
)
TYPED = st.one_of(
    st.lists(PIECES, max_size=9).map("".join),
    st.builds(lambda path, text: f"{'.'.join(path)}={text}", KEYS, st.text() | NUMBERS.map(repr)),
)
STAGES = {"transfer": {"stage": [{"name": "s", "data": {"dataset": "phantom"}, "epochs": 1}]}}


@given(texts=st.lists(TYPED, max_size=3))
@QUICK
def test_any_override_is_taken_or_refused(texts):
    _check_read(lambda: recipe_from_dict(override({**BASE, **STAGES}, texts)))


@pytest.mark.parametrize(
    "content",
    [
        b"a = " + b"[" * 10_000, b"a = " + b"{b=" * 10_000, b"a" + b".a" * 10_000 + b" = 1",
        b"[" + b"a." * 10_000 + b"a]", b"seed = " + b"1" * 5000, TEXT.encode() + b"\x00",
        TEXT.encode("utf-16"), TEXT.encode("utf-16-le"), b'name = "\xff"', b"\xff\xfe",
        b"a = 1\na = 2",
        b"name = 1" + b"0" * 4000, b'seed = "' + b"a" * 100_000 + b'"', b"[transfer]\nstage = [1]",
        b"[[data]]\n", b"data = 1", b"[data]\nsplit = [[[]]]", b"[transfer]\nstage = {data = 1}",
        b"[model]\nname = {a = 1}", b"[stain]\nreference = [1]", b"[transfer]\nsource = 1979-05-27",
        b'[transfer]\nstage = ["a.safetensors"]', b"[train]\nlr = nan",
        b"seed = 0x" + b"f" * 99_999,
        TEXT.encode() + b"[train]\nschedule.every = " + b"9" * 4000,
    ],
)  # fmt: skip
def test_a_hostile_file_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "recipe.toml"
    path.write_bytes(content)
    with pytest.raises(RecipeError) as caught:
        read_recipe(path)
    assert caught.value.exit_status == 2
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 2000


@pytest.mark.parametrize("kind", ["utf-16", "utf-16-be", "latin-1"])
def test_another_encoding_is_told_how_to_be_saved(tmp_path, kind):
    path = tmp_path / "recipe.toml"
    path.write_bytes(("# größer\n" + TEXT).encode(kind))
    with pytest.raises(RecipeError, match="UTF-8"):
        read_recipe(path)


def test_a_byte_order_mark_is_no_fault(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_bytes(TEXT.replace("\n", "\r\n").encode("utf-8-sig"))
    assert read_recipe(path) == recipe_from_dict(BASE)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", ["device", "loop", "name", "nul", "long", "large"])
def test_what_is_no_recipe_is_refused_without_reading_it_all(tmp_path, kind):
    path = tmp_path / "recipe.toml"
    if kind in {"device", "loop"}:
        path.symlink_to("/dev/zero" if kind == "device" else path.name)
    elif kind == "large":
        with path.open("wb") as stream:
            stream.truncate(1 << 40)
    elif kind != "name":
        path = tmp_path / {"nul": "a\0b", "long": "a" * 5000}[kind]
    else:
        path = path / "below"
        (tmp_path / "recipe.toml").write_text(TEXT)
    with pytest.raises(RecipeError) as caught:
        read_recipe(path)
    assert caught.value.exit_status == 2


@pytest.mark.timeout(20)
def test_a_recipe_may_be_written_by_a_process(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pipe = tmp_path / "elsewhere" / "pipe"
    pipe.parent.mkdir()
    os.mkfifo(pipe)
    text = TEXT.replace('dataset = "phantom"', 'manifest = "m.csv"')
    writer = threading.Thread(target=pipe.write_text, args=[text])
    writer.start()
    recipe = read_recipe(pipe)
    writer.join()
    assert recipe.data.manifest == str(tmp_path / "m.csv")


@pytest.mark.parametrize(
    "text",
    [
        "transfer.stage." + "1" * 5000 + ".epochs=1", "a" + ".a" * 10_000 + "=1",
        "model.arguments.x=a\0b", "data.root=a\udcffb", "train.batch_size=" + "1" * 5000,
        "train.lr=true", "seed=false",
        "train.epochs=1e400", "train.lr=inf", "train.lr=nan", "train.threads=1000000",
        f"train.batch_size={2**70}", f"data.limit={2**70}", "x" * 1_000_000, "=1", "model.\udcff=1",
        "transfer.stage.-1.epochs=1", "transfer.stage.²=1",
    ],
)  # fmt: skip
def test_a_hostile_override_is_refused_in_one_line(text):
    with pytest.raises(RecipeError) as caught:
        recipe_from_dict(override({**BASE, **STAGES}, [text]))
    assert caught.value.exit_status == 2
    assert len(str(caught.value)) < 2000


@pytest.mark.parametrize("text", ["[" * 10_000, "{a=" * 10_000, "1" * 5000, "{a" + ".a" * 9000])
def test_what_is_no_value_of_toml_is_text(text):
    assert parse_overrides([f"model.arguments.x={text}"]) == {"model": {"arguments": {"x": text}}}


def test_what_is_nested_too_deeply_is_refused_from_python_as_well():
    deep = inner = {}
    for _ in range(100_000):
        inner["a"] = inner = {}
    with pytest.raises(RecipeError, match="nested"):
        recipe_from_dict({**BASE, "model": {"name": "light_cnn", "arguments": deep}})
    assert parse_overrides(["data.options.a.b=1"]) == {"data": {"options": {"a": {"b": 1}}}}


@pytest.mark.parametrize("value", [[None], [[None]], b"x", {1, 2}, object(), 2**63, range(3), 1j])
def test_a_value_that_toml_has_no_form_of_is_refused(value):
    with pytest.raises(RecipeError, match=r"'model\.arguments\.x"):
        recipe_from_dict({**BASE, "model": {"name": "light_cnn", "arguments": {"x": value}}})
