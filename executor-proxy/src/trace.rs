//! Values in events.

/// Integers are recorded as i64: collectors of JSON do not keep larger ones.
pub(crate) fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
