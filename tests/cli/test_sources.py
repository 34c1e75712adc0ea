"""Files as people have them: without names, in other encodings, in parts, compressed, piped, or of another kind."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pyarrow as pa
import pytest
from commands import QUICK, refused, run, table

from focal_loss._command import formats, reading
from focal_loss._command.errors import UserError
from focal_loss._command.sources import Source


@pytest.mark.parametrize(
    ("text", "is_data"),
    [
        ("0.5,7,a\n1.5,8,b\n", True),
        ("5,1,0\n6,1,0\n7,0,1\n", True),  # two columns would have one name
        ("2026-03-04,7.5\n2026-03-05,8\n", True),
        ("alice,30\nbob,25\n", True),
        ("yes,no\nyes,yes\nno,no\n", True),
        (",7,true\n3,8,false\n", True),
        ("x,rare\n0.5,1\n", False),
        ("0,1,2\n0.5,7,9\n", False),  # as pandas names columns
        ("country,2024,2025\nx,1,2\n", False),
        ("country,2024\nx,1\n", False),
        (",a\n0,1\n", False),
    ],
)
def test_a_first_line_of_data(text: str, is_data: bool, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text)
    if is_data:
        with pytest.raises(UserError, match=r"the first line looks like data, not like names: .*; give --no-header"):
            reading.read(path, ["target"])
        assert reading.read(Source(path, header=False)).num_rows == len(text.splitlines())
    else:
        assert reading.read(path, ["target"]).num_rows == len(text.splitlines()) - 1
    named = text.partition("\n")[0].split(",")
    if len(set(named)) == len(named):  # the user says that these are names
        assert reading.read(path, [named[-1]]).num_rows == len(text.splitlines()) - 1


def test_a_table_without_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, names = tmp_path / "t.csv", [f"column_{k}" for k in range(1, 6)]
    table().to_csv(path, index=False, header=False)
    fit = ("fit", path, "--target", "column_5", *QUICK, "--out", tmp_path / "m")
    assert "the first line looks like data" in refused(capsys, *fit)
    assert run(*fit, "--no-header") == 0
    assert "400 rows, " in capsys.readouterr().err
    assert "the first line looks like data" in refused(capsys, "predict", tmp_path / "m", path)
    assert run("predict", tmp_path / "m", path, "--no-header", "--out", tmp_path / "p.csv") == 0
    table().set_axis(names, axis=1).to_csv(path, index=False)
    assert run("predict", tmp_path / "m", path, "--out", tmp_path / "q.csv") == 0
    assert (tmp_path / "p.csv").read_text() == (tmp_path / "q.csv").read_text()


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "utf-16-le", "utf-8"])
def test_other_encodings(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes("größe,rare\nhöhe,0\nx,1\n".encode(encoding))
    assert reading.read(Source(path, encoding=encoding)).to_pydict() == {"größe": ["höhe", "x"], "rare": [0, 1]}


def test_encodings_that_are_not_those_of_the_file(
    fitted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "t.csv"
    for text in ("größe,rare\n1,0\n", "size,rare\nhöhe,0\nx,1\n"):
        path.write_bytes(text.encode("cp1252"))
        assert "give its encoding, such as --encoding cp1252" in refused(capsys, "fit", path, "--target", "rare")
    message = "it is not in ascii; give its encoding, such as --encoding cp1252"
    assert message in refused(capsys, "fit", path, "--target", "rare", "--encoding", "ascii")
    path.write_bytes("number,kind,yes,day\n1,höhe,True,2026-01-01\n".encode("cp1252"))
    capsys.readouterr()
    assert "give its encoding, such as --encoding cp1252" in refused(capsys, "predict", fitted, path)
    assert run("predict", fitted, path, "--encoding", "cp1252") == 0
    for wrong in ("nonsense", "base64"):
        capsys.readouterr()
        found = refused(capsys, "fit", path, "--target", "rare", "--encoding", wrong)
        assert f"must be an encoding such as cp1252 or latin-1, got {wrong!r}" in found


def test_options_of_csv_are_not_those_of_parquet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "parts").mkdir()
    for path in (tmp_path / "t.parquet", tmp_path / "parts" / "a.parquet"):
        table().to_parquet(path)
    for path in (tmp_path / "t.parquet", tmp_path / "parts"):
        for option in (["--no-header"], ["--encoding", "cp1252"]):
            message = f"{option[0]} is for CSV files, and {path} is Parquet; leave it out"
            assert message in refused(capsys, "fit", path, "--target", "rare", *option, "--out", tmp_path / "m")


@pytest.mark.parametrize("form", ["zstd", "gzip", "bz2", None])
def test_compressed_and_piped(form: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = b"zip,x\n01234,1.5\n56789,2\n"
    path = tmp_path / {"zstd": "t.csv.zst", "gzip": "t.csv.gz", "bz2": "t.csv.bz2", None: "t.csv"}[form]
    with pa.output_stream(str(path), compression=form) as file:
        file.write(text)
    expected = {"zip": ["01234", "56789"], "x": [1.5, 2]}
    assert reading.read(path).to_pydict() == expected
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(path.read_bytes())))
    assert reading.read(Path("-")).to_pydict() == expected


def test_tables_from_standard_input(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def piped(path: Path) -> None:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(path.read_bytes())))

    piped(data)
    assert run("fit", "-", "--target", "rare", *QUICK, "--out", tmp_path / "m") == 0
    table().to_parquet(tmp_path / "t.parquet")
    for path in (data, tmp_path / "t.parquet"):
        piped(path)
        assert run("predict", tmp_path / "m", "-", "--out", tmp_path / "p.csv") == 0
        assert run("predict", tmp_path / "m", data, "--out", tmp_path / "q.csv") == 0
        assert (tmp_path / "p.csv").read_text() == (tmp_path / "q.csv").read_text()
    (tmp_path / "empty").write_bytes(b"")
    piped(tmp_path / "empty")
    capsys.readouterr()
    assert "cannot read standard input: Empty CSV file" in refused(capsys, "predict", tmp_path / "m", "-")


def test_a_directory_is_one_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Folders are a column; what Spark leaves beside the parts is not read."""
    whole, parts = table().assign(year=[2024, 2025] * 200), tmp_path / "parts"
    for year, rows in whole.groupby("year"):
        (parts / f"year={year}").mkdir(parents=True)
        rows.drop(columns="year").to_parquet(parts / f"year={year}" / "part-0.snappy.parquet")
    (parts / "_temporary").mkdir()
    for name in ("_SUCCESS", ".part-0.crc", "_temporary/part-1.parquet"):
        (parts / name).write_bytes(b"")
    found = reading.read(parts).to_pandas(ignore_metadata=True)
    expected = whole.sort_values("year", kind="stable", ignore_index=True)
    pd.testing.assert_frame_equal(found[whole.columns], expected, check_dtype=False)
    assert run("fit", parts, "--target", "rare", *QUICK, "--out", tmp_path / "m") == 0
    assert run("predict", tmp_path / "m", parts, "--out", tmp_path / "p.csv") == 0
    assert len(pd.read_csv(tmp_path / "p.csv")) == 400
    capsys.readouterr()
    local = ("--dask", "local", *QUICK, "--out", tmp_path / "n")
    message = "year=2024 is a column of its own, which --dask cannot read"
    assert message in refused(capsys, "fit", parts, "--target", "rare", *local)


def test_parts_have_the_same_columns(tmp_path: Path) -> None:
    pd.DataFrame({"x": [1, 2]}).to_parquet(tmp_path / "a.parquet")
    pd.DataFrame({"x": [0.5]}).to_parquet(tmp_path / "b.parquet")
    assert reading.read(tmp_path).to_pydict() == {"x": [1, 2, 0.5]}
    pd.DataFrame({"y": [0.5]}).to_parquet(tmp_path / "b.parquet")
    with pytest.raises(UserError, match=r"b\.parquet has other columns than .*a\.parquet: 'x'"):
        reading.read(tmp_path)


@pytest.mark.parametrize("suffix", [*formats.SUFFIXES, ".CSV.ZIP"])
def test_other_kinds_are_named(suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / f"t{suffix}"
    path.write_bytes(b"anything")
    message = refused(capsys, "fit", path, "--target", "rare", "--out", tmp_path / "m")
    what, remedy = formats.SUFFIXES[path.suffix.lower()]
    assert f"{path} is {what}, and this command reads CSV and Parquet: {remedy}" in message


def test_other_kinds_are_seen_by_their_bytes(tmp_path: Path) -> None:
    frame, path = table().drop(columns="kind"), tmp_path / "t.csv"
    frame.to_feather(path)
    with pytest.raises(UserError, match="is an Arrow file"):
        reading.read(path)
    frame.to_pickle(path)
    with pytest.raises(UserError, match="is a pickle, which can run code"):
        reading.read(path)
    frame.drop(columns="day").to_json(path, orient="records")
    with pytest.raises(UserError, match="is JSON"):
        reading.read(path)
    frame.to_parquet(path)
    assert reading.read(path).num_rows == 400
    path.write_text("PAR1,FEA1,ORCID,ARROW1\n1,2,3,4\n")
    assert reading.read(path).num_rows == 1
