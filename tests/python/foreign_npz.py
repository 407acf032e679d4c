"""Writes matrices of features as llm-addiction's scripts save them, and many that are wrong.

usage: foreign_npz.py FOLDER

FOLDER/good has two layers of 130 games; every folder of FOLDER/bad has one thing wrong, which its name says.
"""

import json
import struct
import sys
import zipfile
from pathlib import Path

import numpy as np

folder = Path(sys.argv[1])
WIDTH = 512


def games(random, n_games):
    """What is known of the rows."""
    rows = [(game, number + 1, rounds) for game, rounds in enumerate(random.integers(1, 5, n_games), 1) for number in range(rounds)]
    n = len(rows)
    outcomes = random.choice(["bankruptcy", "voluntary_stop"], n_games)
    bets = random.choice(["fixed", "variable"], n_games)
    combos = random.choice(["BASE", "G", "GMHWP", "HWP"], n_games)
    return {
        "game_ids": np.array([row[0] for row in rows], dtype=np.int64),
        "round_nums": np.array([row[1] for row in rows], dtype=np.int32),
        "game_outcomes": np.array([outcomes[row[0] - 1] for row in rows]),
        "bet_types": np.array([bets[row[0] - 1] for row in rows]),
        "bet_constraints": np.array(["N/A"] * n),
        "prompt_conditions": np.array([combos[row[0] - 1] for row in rows]),
        "balances": random.integers(0, 200, n).astype(np.float64),
        "is_last_round": np.array([row[1] == row[2] for row in rows]),
        "valid_mask": np.arange(n) != 7,
        "paradigms": np.array(["sm"] * n),
    }


def matrix(random, known):
    """A sparse matrix by its dense one, as they make it."""
    n = len(known["game_ids"])
    dense = np.where(random.random((n, WIDTH)) < 0.05, random.exponential(2.0, (n, WIDTH)), 0).astype(np.float32)
    dense[~known["valid_mask"]] = 0
    rows, columns = np.nonzero(dense)
    return {
        "row_indices": rows.astype(np.int32),
        "col_indices": columns.astype(np.int32),
        "values": dense[rows, columns],
        "shape": np.array([n, WIDTH], dtype=np.int64),
    }


def save(path, layer, arrays):
    path.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path / f"sae_features_L{layer}.npz", **arrays, layer=layer)


random = np.random.default_rng(0)
known = games(random, 130)
layers = {layer: {**matrix(random, known), **known} for layer in (8, 25)}
for layer, arrays in layers.items():
    save(folder / "good", layer, arrays)
    about = {"layer": layer, "model": "meta-llama/Llama-3.1-8B", "sae_source": "fnlp_direct", "n_features": WIDTH}
    (folder / "good" / f"sae_features_L{layer}.json").write_text(json.dumps(about))

few = games(random, 12)
small = {**matrix(random, few), **few}


def bad(name, **changed):
    arrays = {key: value for key, value in {**small, **changed}.items() if value is not None}
    save(folder / "bad" / name, 8, arrays)


def put(array, at, value):
    array = array.copy()
    array[at] = value
    return array


bad("a pickle", game_outcomes=np.array(list(small["game_outcomes"]), dtype=object))
for missing in ("row_indices", "col_indices", "values", "shape", "game_ids", "round_nums"):
    bad(f"no {missing}", **{missing: None})
bad("rows not ascending", **{name: small[name][::-1] for name in ("row_indices", "col_indices", "values")})
bad("a row too many", row_indices=put(small["row_indices"], -1, small["shape"][0]))
bad("a negative row", row_indices=put(small["row_indices"], 0, -1))
bad("a column too many", col_indices=put(small["col_indices"], 3, WIDTH))
bad("a negative column", col_indices=put(small["col_indices"], 3, -1))
bad("a column twice", col_indices=put(small["col_indices"], 1, small["col_indices"][0]))
bad("nan", values=put(small["values"], 5, np.nan))
bad("infinity", values=put(small["values"], 5, np.inf))
bad("a negative value", values=put(small["values"], 5, -1))
bad("a zero", values=put(small["values"], 5, 0))
bad("a value missing", values=small["values"][:-1])
bad("a round missing", round_nums=small["round_nums"][:-1])
bad("rounds not ascending", round_nums=small["round_nums"][::-1].copy())
bad("a game in two places", game_ids=put(small["game_ids"], -1, small["game_ids"][0]))
bad("values where none are valid", valid_mask=np.zeros_like(small["valid_mask"]))
bad("a wide shape", shape=np.array([small["shape"][0], 2**40]))
bad("a shape of three", shape=np.array([1, 2, 3]))
bad("another byte order", game_ids=small["game_ids"].astype(">i8"))
bad("floats for indices", row_indices=small["row_indices"].astype(np.float32))
bad("double precision", values=small["values"].astype(np.float64))
bad("a matrix of values", values=small["values"].reshape(1, -1))
bad("rows of tokens", positions=np.zeros_like(small["round_nums"]))
save(folder / "bad" / "layers of other rows", 8, small)
save(folder / "bad" / "layers of other rows", 9, {**small, "balances": small["balances"] + 1})

cut = folder / "bad" / "a file cut off"
save(cut, 8, small)
bytes_ = (cut / "sae_features_L8.npz").read_bytes()
(cut / "sae_features_L8.npz").write_bytes(bytes_[: len(bytes_) // 2])
flipped = folder / "bad" / "a byte flipped"
save(flipped, 8, small)
(flipped / "sae_features_L8.npz").write_bytes(bytes_[:200] + bytes([bytes_[200] ^ 255]) + bytes_[201:])
no_zip = folder / "bad" / "no zip"
no_zip.mkdir()
(no_zip / "sae_features_L8.npz").write_bytes(b"\x93NUMPY" + bytes(100))
(folder / "bad" / "no file").mkdir()


def header(name, begin):
    """The good arrays, but for one whose file begins otherwise."""
    path = folder / "bad" / name
    path.mkdir()
    with zipfile.ZipFile(path / "sae_features_L8.npz", "w") as out, zipfile.ZipFile(cut.parent / "nan" / "sae_features_L8.npz") as into:
        for entry in into.namelist():
            out.writestr(entry, begin if entry == "shape.npy" else into.read(entry))


text = b"{'descr': '<i8', 'fortran_order': False, 'shape': (4611686018427387904,), }\n"
header("a header of four gigabytes", b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 16) + text)
header("a length that is not there", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + bytes(16))
header("a header that is none", b"\x93NUMPY\x01\x00" + struct.pack("<H", 4) + b"{'a'" + bytes(16))
json_ = folder / "bad" / "no json"
save(json_, 8, small)
(json_ / "sae_features_L8.json").write_text("{")
