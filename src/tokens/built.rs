//! Tokenizers of files that contradict themselves.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// What `make` makes. The crate that tokenizes panics at some files whose parts do not fit together, such as a merge of
/// pieces that are longer than what they are merged to: that is an error here.
pub(super) fn built<T>(make: impl FnOnce() -> tokenizers::Result<T>) -> tokenizers::Result<T> {
    catch_unwind(AssertUnwindSafe(make)).unwrap_or_else(|_| Err("its parts contradict each other".into()))
}
