//! Runs the model over games and turns what it sees into rows.
