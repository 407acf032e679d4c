# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # A lake in DuckDB, polars and pandas
#
# Loads the lake that `./just collect-prototype` makes and redraws three pictures of its report. Run it from the
# repository, as a notebook or by `python examples/quickstart.py`; it needs duckdb, polars, pandas, pyarrow and
# matplotlib. `SAELAKE_LAKE` names another lake, `SAELAKE_PICTURES` another folder for the pictures.

# %%
import os
from pathlib import Path

import duckdb
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import polars as pl

repository = next(folder for folder in [Path.cwd(), *Path.cwd().parents] if (folder / "queries").is_dir())
lake = Path(os.environ.get("SAELAKE_LAKE", repository / "data/prototype")).resolve()
pictures = Path(os.environ.get("SAELAKE_PICTURES", repository / "data/pictures"))
pictures.mkdir(parents=True, exist_ok=True)


def show(text):
    """A token as it is shown: without line breaks, and without what matplotlib would read as a formula."""
    return repr(text)[1:-1].replace("$", r"\$")


# %% [markdown]
# ## The tables
#
# Small tables are `TABLE/*.parquet`, large ones `TABLE/game_block=*/layer=*/*.parquet`. Rows of games that are not
# in `games` do not count: an interrupted run may have left some.

# %%
games = pd.read_parquet(lake / "games", filters=[("n_steps", ">", 0)])
games[["game", "game_id", "n_steps", "outcome", "final_balance", "bet_type"]].head()

# %% [markdown]
# ## DuckDB: which tokens the decision attends to
#
# Every question of `saelake query` is a file in `queries/` that DuckDB runs as it is. Variables say what is asked
# about; here the first step of the first game, at the last layer.


# %%
def ask(question, **variables):
    """The rows of a question, as a pandas frame."""
    connection = duckdb.connect()
    for name, value in {"lake": str(lake), **variables}.items():
        literal = "'" + value.replace("'", "''") + "'" if isinstance(value, str) else value
        connection.execute(f'SET VARIABLE "{name}" = {literal}')
    return connection.execute((repository / f"queries/{question}.sql").read_text(encoding="utf-8")).df()


attribution = ask("attribution", limit=15)
attribution

# %%
game, step, layer = (int(attribution[name][0]) for name in ("game", "step", "layer"))
figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
labels = [f"{show(token)}  {position}" for token, position in zip(attribution["token"], attribution["position"])]
axes.barh(range(len(labels)), attribution["importance"])
axes.set_yticks(range(len(labels)), labels, fontfamily="monospace")
axes.invert_yaxis()
axes.set_xlabel("attention of the decision × feature norm, share")
axes.set_title(f"game {game}, step {step}, layer {layer}")
figure.savefig(pictures / "attribution.png", dpi=150)

# %% [markdown]
# ## polars: which features fire where
#
# The forty features whose activation varies most over the positions of the same step. A filter on the layer leaves
# the files of other layers unread.

# %%
features = (
    pl.scan_parquet(f"{lake}/features/game_block=*/layer=*/*.parquet", hive_partitioning=True)
    .filter(pl.col("layer") == layer, pl.col("game") == game, pl.col("step") == step)
    .join(pl.scan_parquet(f"{lake}/games/*.parquet"), on=["game", "game_block"], how="semi")
    .select("position", "feature", "activation")
    .collect()
)
tokens = (
    pl.scan_parquet(f"{lake}/tokens/*.parquet")
    .filter(pl.col("game") == game, pl.col("step") == step, ~pl.col("is_special"), ~pl.col("is_generated"))
    .filter(pl.col("position") > 0)
    .select("position", "token")
    .sort("position")
    .collect()
)
n = tokens.height
seen = features.join(tokens, on="position")
variance = (pl.col("activation") ** 2).sum() / n - (pl.col("activation").sum() / n) ** 2
varying = seen.group_by("feature").agg(variance.alias("variance")).sort("variance", "feature", descending=[True, False])
varying = varying.head(40)["feature"].to_list()

# %%
columns = {position: column for column, position in enumerate(tokens["position"])}
cells = np.zeros((len(varying), n))
for position, feature, activation in seen.filter(pl.col("feature").is_in(varying)).select(
    "position", "feature", "activation"
).iter_rows():
    cells[varying.index(feature), columns[position]] = activation
figure, axes = plt.subplots(figsize=(max(7, n / 9), 8), layout="constrained")
image = axes.imshow(cells, aspect="auto", cmap="viridis", interpolation="nearest")
axes.set_xticks(range(n), [show(token) for token in tokens["token"]], rotation=90, fontsize=6)
axes.set_yticks(range(len(varying)), [f"L{layer}-{feature}" for feature in varying], fontsize=7)
figure.colorbar(image, label="activation")
axes.set_title(f"game {game}, step {step}")
figure.savefig(pictures / "heatmap.png", dpi=150)

# %% [markdown]
# ## pandas: what differs between bets and stops
#
# The question `contrast` compares the features of every span between steps that bet and steps that stop, with
# games as clusters. Its rows come as a pandas frame.

# %%
contrast = ask("contrast-all", limit=100_000).dropna(subset=["effect", "p_value"])
contrast.head(10)

# %%
below = contrast["q_value"] < 0.05
strength = -np.log10(contrast["p_value"].clip(lower=1e-30))
figure, axes = plt.subplots(figsize=(7, 5), layout="constrained")
for chosen, label in [(~below, "others"), (below, "q < 0.05")]:
    axes.scatter(contrast["effect"][chosen], strength[chosen], s=8, alpha=0.6, label=f"{label} ({chosen.sum()})")
for _, row in contrast.head(8).iterrows():
    name = f"L{row['layer']}-{row['feature']} {row['span']}"
    axes.annotate(show(name), (row["effect"], -np.log10(max(row["p_value"], 1e-30))), fontsize=7)
axes.set_xlabel("effect: bet − stop in standard deviations")
axes.set_ylabel("−log10 p")
axes.legend()
figure.savefig(pictures / "contrast.png", dpi=150)
