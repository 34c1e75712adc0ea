"""Tables from real sources: delimiters and encodings, types, odd words, indices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from commands import QUICK, refused, run, table

from focal_loss._command import columns, reading, sources, store, tables, targets
from focal_loss._command.errors import UserError
from focal_loss._command.numerals import Form


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_delimiters_and_encodings(delimiter: str, encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    columns = {"a, b; c": [1, 2], "größe": ["x", "y"], "rare": [0, 1]}
    pd.DataFrame(columns).to_csv(path, index=False, sep=delimiter, encoding=encoding)
    assert reading.read(path).to_pydict() == columns


def test_text_in_no_known_encoding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "latin.csv"
    path.write_bytes("size,rare\nhöhe,0\nx,1\n".encode("latin-1"))
    message = refused(capsys, "fit", path, "--target", "rare", "--out", tmp_path / "m")
    assert "column 'size' holds text that is not UTF-8; give its encoding, such as --encoding cp1252" in message


def columns_of(**columns: Any) -> tuple[dict[str, columns.Column], list[str]]:
    found = pa.table({"number": [1.0] * len(next(iter(columns.values()))), **columns})
    schema, notes = tables.Schema.of(found, "rare", Path("t"))
    return {column.name: column for column in schema.columns if column.name != "number"}, notes


def test_words_among_numbers_are_missing(tmp_path: Path) -> None:
    found, notes = columns_of(age=["1", "2.5", "?", "-3e1", None] * 4)
    assert found == {"age": columns.Column("age", "number", missing=("?",))}
    assert notes == ["'age' holds numbers; '?' among them counts as missing"]
    schema = tables.Schema((found["age"],))
    for values in (["1", " 2.5", "?"], [1, 2.5, None], ["?", "?", "?"]):
        (frame,) = schema.frames(pa.table({"age": values}), tmp_path)
        expected = [np.nan] * 3 if values[0] == "?" else [1, 2.5, np.nan]
        np.testing.assert_array_equal(frame.age, expected)
    with pytest.raises(UserError, match="must hold numbers"):
        schema.frames(pa.table({"age": ["1", "many"]}), tmp_path)


def test_codes_and_words_are_categories() -> None:
    found, notes = columns_of(
        code=["007", "008", "?", "009"] * 5, kind=["a", "b", "1", "2"] * 5, digits=["1", "2", "3", "4"] * 5
    )
    assert {column.kind for column in found.values()} == {"category"}
    assert notes == []


def test_columns_that_tell_nothing_are_left_out_and_named(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table().assign(name=[f"name {k}" for k in range(400)]).to_csv(data)  # with the index, which has no name
    assert run("fit", data, "--target", "rare", *QUICK, "--out", tmp_path / "m") == 0
    said = capsys.readouterr().err
    assert "'' is left out: it is an index that pandas wrote" in said
    assert "'name' is left out: nearly every row has its own word" in said
    assert "nearly every row has its own word." in (tmp_path / "m" / "report.html").read_text()
    table().to_csv(data, index=False)
    assert run("predict", tmp_path / "m", data, "--out", tmp_path / "p.csv") == 0


def test_a_column_of_words_without_a_value(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    table().assign(empty=pd.Series([None] * 400, dtype="string")).to_parquet(path)
    given = ("fit", path, "--target", "rare", "--engine", "xgboost", *QUICK)
    assert run(*given, "--out", tmp_path / "m") == 0


def test_words_that_are_new_are_said(
    fitted: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = table()
    frame.loc[[3, 5], "kind"] = "blue"
    frame.to_csv(data, index=False)
    capsys.readouterr()
    assert run("predict", fitted, data, "--out", tmp_path / "p.csv") == 0
    assert "'kind' holds words that it did not in training, such as 'blue', in 2 rows" in capsys.readouterr().err
    frame.loc[[3, 5], "kind"] = None
    frame.to_csv(data, index=False)
    assert run("predict", fitted, data, "--out", tmp_path / "q.csv") == 0
    assert (tmp_path / "p.csv").read_text() == (tmp_path / "q.csv").read_text()


def test_columns_are_what_they_are_in_training(data: Path) -> None:
    found = reading.read(data)
    schema, notes = tables.Schema.of(found, "rare", data)
    assert {c.name: c.kind for c in schema.columns} == {
        "number": "number", "kind": "category", "yes": "boolean", "day": "date"
    }  # fmt: skip
    assert notes == []
    (frame,) = schema.frames(found, data)
    assert frame.day.max() - frame.day.min() == pytest.approx(
        table().day.max().toordinal() - table().day.min().toordinal()
    )
    clock = pa.table(
        {"t": pa.array([0, 43_200_000_000, None], pa.time64("us")), "d": pa.array([1, 2, 3], pa.duration("s"))}
    )
    shown = tables.Schema.of(clock, "none", data)[0].frames(clock, data)[0]
    np.testing.assert_allclose(shown.t, [0, 0.5, np.nan])
    np.testing.assert_allclose(shown.d, np.array([1, 2, 3]) / 86400)
    with pytest.raises(UserError, match="nearest are 'rare'"):
        targets.without_missing(found, "rrae", False, data)


@pytest.mark.parametrize("decimal", [".", ","])
def test_decimal_commas(decimal: str, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    values = {"x": [1.5, -2.25e-7, np.nan, 4.0], "n": [1, 2, 3, 4], "word": ["a", "b", "1,x", "c"]}
    pd.DataFrame(values).to_csv(path, index=False, sep=";", decimal=decimal)
    found = reading.read(path)
    schema, _ = tables.Schema.of(found, "rare", path)
    (frame,) = schema.frames(found, path)
    assert {name: frame[name].tolist() for name in ("n", "word")} == {name: values[name] for name in ("n", "word")}
    np.testing.assert_array_equal(frame.x, values["x"])


def test_decimal_commas_among_whole_numbers_and_signs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "t.csv"
    path.write_text("x;rare\n1,5;0\n4;1\n?;0\n-2,25;0\n")
    found = reading.read(path)
    schema, notes = tables.Schema.of(found, "rare", path)
    assert schema.columns == (columns.Column("x", "number", missing=("?",), form=Form(",")),)
    assert notes == ["'x' holds numbers such as '-2,25', read as -2.25; '?' among them counts as missing"]
    np.testing.assert_array_equal(schema.frames(found, path)[0].x, [1.5, 4, np.nan, -2.25])
    path.write_text("x\trare\n16,317\t0\n4\t1\n")
    message = refused(capsys, "fit", path, "--target", "rare", "--out", tmp_path / "m")
    assert "column 'x' holds 16,317, with decimals or with thousands" in message


def test_every_row_of_one_column_is_a_row(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("x\n1\n\n2\n\n3\n")
    assert reading.read(path).to_pydict() == {"x": [1, None, 2, None, 3]}
    path.write_text("x,y\n1,2\n\n3,4\n")
    assert reading.read(path).to_pydict() == {"x": [1, 3], "y": [2, 4]}


def test_line_breaks_in_words_of_a_large_file(tmp_path: Path) -> None:
    path, words = tmp_path / "t.csv", [f"line {k % 7}\nand more" for k in range(60_000)]
    pd.DataFrame({"n": range(60_000), "word": words}).to_csv(path, index=False)
    assert reading.read(path)["word"].to_pylist() == words


@pytest.mark.parametrize("values", [[b"\xff", b"\xfe"], [[1], [2]], [{"a": 1}, {"a": 2}]])
def test_targets_that_are_no_classes(values: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "t.parquet"
    pa.parquet.write_table(pa.table({"x": [1.0, 2.0], "rare": values}), path)
    assert "the target 'rare' holds" in refused(capsys, "fit", path, "--target", "rare", "--out", tmp_path / "m")


def test_numbers_written_as_words_are_numbers_if_there_are_many() -> None:
    found, notes = columns_of(many=[f"{k}.5" for k in range(200)], few=["1", "2"] * 100)
    assert {name: column.kind for name, column in found.items()} == {"many": "number", "few": "category"}
    assert notes == ["'many' holds numbers, written as words"]


def test_a_column_without_a_name_is_an_index_only_if_it_counts() -> None:
    found, notes = columns_of(**{"": [0.5, 1.5, 2.5], "Unnamed: 0": [4, 0, 9], "__index_level_0__": [1, 1, 2]})
    assert set(found) == {"", "__index_level_0__"}
    assert notes == ["'Unnamed: 0' is left out: it is an index that pandas wrote"]


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary(3), pa.dictionary(pa.int32(), pa.binary())])
def test_bytes_are_refused(kind: pa.DataType, tmp_path: Path, fitted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "t.parquet"
    found = pa.Table.from_pandas(table().drop(columns="kind"))
    values = pa.array([b"\xff\xfe\xfd"] * 400, pa.binary() if pa.types.is_dictionary(kind) else kind)
    found = found.append_column("kind", values.dictionary_encode() if pa.types.is_dictionary(kind) else values)
    pa.parquet.write_table(found, path)
    capsys.readouterr()
    message = refused(capsys, "fit", path, "--target", "rare", "--out", tmp_path / "m")
    assert "column 'kind' holds" in message
    assert "column 'kind' must hold words" in refused(capsys, "predict", fitted, path)


@pytest.mark.parametrize("dtype", ["float16", "float32", "uint8", "bool", "category"])
def test_targets_of_any_type(dtype: str, tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    frame = table().astype({"rare": dtype})
    frame.to_parquet(path)
    target = targets.target(reading.read(path), "rare", None, path)
    np.testing.assert_array_equal(target.labels, table().rare == 1)
    if dtype != "bool":
        assert (target.positive, target.negative) == ("1", "0")
        assert targets.target(reading.read(path), "rare", "1.0", path).positive == "1"


def test_twins_in_parquet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "t.parquet"
    pa.parquet.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["a", "a"]), path)
    message = refused(capsys, "fit", path, "--target", "a", "--out", tmp_path / "m")
    assert "has 'a' for the name of more than one column" in message


def test_times_durations_and_dates_are_not_one_another(tmp_path: Path) -> None:
    values = {
        "date": pa.array([0, 86_400_000_000], pa.timestamp("us")),
        "time": pa.array([0, 3600], pa.time32("s")),
        "duration": pa.array([0, 3600], pa.duration("s")),
        "number": pa.array([0, 1]),
    }
    for kind, column in values.items():
        schema, _ = tables.Schema.of(pa.table({"t": column}), "rare", tmp_path)
        assert schema.columns[0].kind == kind
        for other, wrong in values.items():
            if other != kind:
                with pytest.raises(UserError, match="column 't' must hold"):
                    schema.frames(pa.table({"t": wrong}), tmp_path)


def test_what_the_model_does_not_need_may_be_anything(fitted: Path, tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    table().assign(more=[[1, 2]] * 400).to_parquet(path)
    assert run("predict", fitted, path, "--out", tmp_path / "p.csv") == 0


def test_names_and_words_do_not_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "t.csv"
    table().rename(columns={"rare": "ra\x1b[31mre"}).to_csv(path, index=False)
    assert run("fit", path, "--target", "ra\x1b[31mre", *QUICK, "--out", tmp_path / "m") == 0
    assert "\x1b" not in "".join(capsys.readouterr()).replace("\x1b[?25", "")
    assert "no\x1b" not in refused(capsys, "fit", "no\x1bfile\nhere", "--target", "a")


def test_categories_of_numbers_in_parquet_are_categories(tmp_path: Path) -> None:
    """Parquet keeps the numbers, and pandas' note beside them that they were categories."""
    frame = pd.DataFrame(
        {"grade": [2, 10, None, 2], "size": [1.5, 2.0, 2.0, 1.5], "n": [1, 2, 3, 4], "rare": [0, 1, 0, 1]}
    )
    path = tmp_path / "t.parquet"
    frame.astype({"grade": "category", "size": "category"}).to_parquet(path)
    schema, notes = tables.Schema.of(reading.read(path), "rare", path)
    held = {column.name: column.categories for column in schema.columns if column.kind == "category"}
    assert held == {"grade": ("10", "2"), "size": ("1.5", "2")}
    assert notes == [
        f"{name!r} holds numbers that are categories of pandas, and is read as words" for name in ("grade", "size")
    ]
    frame.to_parquet(path)  # a model of categories is given numbers
    (frame,) = schema.frames(reading.read(path), path)
    assert frame.grade.tolist()[:2] == ["2", "10"]
    assert frame["size"].tolist() == ["1.5", "2", "2", "1.5"]


def test_columns_that_are_ignored_or_words(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table().assign(code=table().index % 5 + 1.0, leak=table().rare, list=3, empty=None).to_csv(data, index=False)
    given = ("fit", data, "--target", "rare", *QUICK, "--out", tmp_path / "m")
    assert run(*given, "--ignore", "leak", "list", "--categorical", "code", "empty") == 0
    schema = store.Stored.load(tmp_path / "m").schema
    held = {column.name: column for column in schema.columns}
    assert set(held) == {"number", "kind", "yes", "day", "code", "empty"}
    assert held["code"].categories == ("1.0", "2.0", "3.0", "4.0", "5.0")
    capsys.readouterr()
    for options, message in (
        (["--ignore", "leek"], "has no column 'leek' for --ignore; the nearest are 'leak'"),
        (["--categorical", "rare"], "'rare' is the target, which --categorical must not name"),
        (["--ignore", "code", "--categorical", "code"], "'code' is named by --ignore and by --categorical"),
    ):
        assert message in refused(capsys, *given, "--force", *options)


def test_a_column_that_is_ignored_may_hold_anything(tmp_path: Path) -> None:
    source = sources.Source(tmp_path / "t.parquet", ignore=("list",))
    table(40).assign(list=[[1, 2]] * 40).to_parquet(source.path)
    schema, _ = tables.Schema.of(reading.read(source), "rare", source)
    assert "list" not in {column.name for column in schema.columns}
