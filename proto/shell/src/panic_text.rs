//! What a caught panic said.

use std::any::Any;

/// Text of a panic's payload, as `catch_unwind` or a `JoinError` hands it over.
pub fn panic_text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "panic without a text".to_owned())
}
