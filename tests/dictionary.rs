//! Tests of the dictionary.
