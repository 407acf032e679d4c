"""The columns of a lake's tables, and how a test writes their files."""

import pyarrow
import pyarrow.parquet

I32, I64, F32 = pyarrow.int32(), pyarrow.int64(), pyarrow.float32()
TEXT, BOOL = pyarrow.string(), pyarrow.bool_()

PLACE = {"game": I64, "step": I32}
SCHEMAS = {
    "runs": {
        "run": TEXT, "format_version": I32, "saelake_version": TEXT, "started_at": TEXT, "model": TEXT,
        "model_revision": TEXT, "model_hash": TEXT, "d_model": I32, "n_layers": I32, "n_heads": I32,
        "layers": TEXT, "top_k": I32, "attention": TEXT, "device": TEXT, "dtype": TEXT, "seed": I64,
        "source": TEXT, "decide": TEXT, "bos": TEXT, "positions": TEXT, "activation_bits": I32, "settings": TEXT,
    },
    "dictionaries": {
        "run": TEXT, "layer": I32, "hook": TEXT, "format": TEXT, "source": TEXT, "revision": TEXT,
        "hash": TEXT, "neuronpedia": TEXT, "d_sae": I32, "d_in": I32, "activation": TEXT,
        "input_scale": F32, "output_scale": F32, "decoder_norms": TEXT, "measured_l0": F32,
        "measured_explained_variance": F32, "verified": BOOL,
    },
    "games": {
        "game": I64, "game_id": TEXT, "game_block": I32, "run": TEXT, "source": TEXT, "n_steps": I32,
        "outcome": TEXT, "final_balance": I32, "bet_type": TEXT, "components": TEXT, "metadata": TEXT,
    },
    "steps": {
        **PLACE, "n_tokens": I32, "n_prompt_tokens": I32, "decision_position": I32, "decision": TEXT,
        "bet": I32, "won": BOOL, "balance_before": I32, "balance_after": I32, "p_bet": F32, "p_stop": F32,
        "option_mass": F32, "p_amount": F32, "amount_mass": F32, "logit_diff": F32, "answer": TEXT,
        "status": TEXT, "error": TEXT,
    },
    "tokens": {
        **PLACE, "position": I32, "token_id": I32, "token": TEXT, "byte_start": I32, "byte_end": I32,
        "is_special": BOOL, "is_generated": BOOL,
    },
    "spans": {
        **PLACE, "name": TEXT, "byte_start": I32, "byte_end": I32, "position_start": I32,
        "position_end": I32,
    },
    "prefixes": {**PLACE, "position_start": I32, "position_end": I32, "stored_step": I32},
    "features": {**PLACE, "position": I32, "feature": I32, "activation": F32, "rank": I32},
    "feature_rollup": {
        "game": I64, "feature": I32, "count": I32, "sum": F32, "max": F32, "step": I32, "position": I32,
    },
    "positions": {
        **PLACE, "position": I32, "l0": I32, "feature_norm": F32, "residual_norm": F32,
        "reconstruction_error": F32, "kept_share": F32,
    },
    "attention": {**PLACE, "head": I32, "query": I32, "key": I32, "weight": F32},
    "attention_rows": {**PLACE, "head": I32, "query": I32, "kept_mass": F32, "entropy": F32},
}

# The causal tables, which a lake need not have.
CAUSAL = {
    "interventions": {
        "analysis": TEXT, "arm": I32, "name": TEXT, "command": TEXT, "started_at": TEXT, "saelake_version": TEXT,
        "model": TEXT, "model_hash": TEXT, "edit": TEXT, "hook": TEXT, "layer": I32, "head": I32, "feature": I32,
        "span": TEXT, "strength": F32, "scope": TEXT, "seed": I64, "settings": TEXT,
    },
    "effects": {
        **PLACE, "analysis": TEXT, "row": I32, "arm": I32, "metric": TEXT, "method": TEXT, "node": TEXT, "hook": TEXT,
        "layer": I32, "position_start": I32, "position_end": I32, "span": TEXT, "head": I32, "feature": I32,
        "strength": F32, "estimate": F32, "exact": F32, "metric_base": F32, "metric_other": F32,
    },
    "edges": {
        **PLACE, "analysis": TEXT, "row": I32, "source_node": TEXT, "source_layer": I32, "source_position": I32,
        "source_feature": I32, "target_node": TEXT, "target_layer": I32, "target_position": I32,
        "target_feature": I32, "weight": F32, "method": TEXT, "frozen": BOOL,
    },
}


def rollup(features, steps, tokens):
    """Rows of `feature_rollup` of a layer by its rows of `features`: of a feature and game, how often it fires at a
    position that counts, the sum of its activations, the largest one, and the first place of it."""
    decisions = {(row[0], row[1]): row[4] for row in steps}
    special = {(row[0], row[1], row[2]): row[7] for row in tokens}
    found = {}
    for game, step, position, feature, activation, _ in features:
        if 0 < position <= decisions[game, step] and not special[game, step, position]:
            found.setdefault((feature, game), []).append((-activation, step, position))
    rows = []
    for (feature, game), fired in sorted(found.items()):
        largest, step, position = min(fired)
        total = sum(-float(activation) for activation, _, _ in fired)
        rows.append((game, feature, len(fired), total, -largest, step, position))
    return rows


def write(lake, table, rows, name, folder=""):
    """Writes rows, each a tuple in the order of the columns, as one file of a table."""
    schema = SCHEMAS.get(table) or CAUSAL[table]
    columns = list(zip(*rows)) if rows else [[] for _ in schema]
    arrays = [pyarrow.array(list(values), ty) for values, ty in zip(columns, schema.values())]
    path = lake / table / folder
    path.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.table(arrays, names=list(schema)), path / f"part-{name}.parquet")


def write_logs(lake):
    """Gives every table a folder, and in it a Delta log with a Parquet checkpoint that is no data."""
    for table in SCHEMAS:
        log = lake / table / "_delta_log"
        log.mkdir(parents=True)
        (log / "00000000000000000000.json").write_text("{}\n")
        checkpoint = pyarrow.table({"protocol": pyarrow.array([1], I32)})
        pyarrow.parquet.write_table(checkpoint, log / "00000000000000000010.checkpoint.parquet")
