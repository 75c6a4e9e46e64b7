//! What a batch must look like. Pure.

use bytes::Bytes;
use consensus_core::Transaction;
use metanode_shell::status;
use tonic::Status;

/// Limits of one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubmitLimits {
    /// Most transactions in a batch. Default 1000.
    pub max_transactions: usize,
    /// Most bytes of all transactions of a batch together. Default 2 MiB.
    pub max_batch_bytes: usize,
    /// Most bytes of one transaction: the genesis limit, 512 KiB by default.
    pub max_transaction_bytes: usize,
}

/// Checks a batch and computes the digests. Which transaction is wrong, its size and the limit are in the error.
///
/// # Errors
/// INVALID_ARGUMENT with `BadRequest`, naming `transactions` or `transactions[i]` (T03).
pub fn check_batch(limits: &SubmitLimits, batch: Vec<Bytes>) -> Result<Vec<Transaction>, Box<Status>> {
    let wrong = |field: &str, description: String| Err(Box::new(status::invalid_field(field, description)));
    let count = batch.len();
    if count == 0 || count > limits.max_transactions {
        let description = format!("{count} transactions, 1 to {} are allowed", limits.max_transactions);
        return wrong("transactions", description);
    }
    let mut total = 0usize;
    for (position, bytes) in batch.iter().enumerate() {
        let size = bytes.len();
        if size == 0 || size > limits.max_transaction_bytes {
            let description = format!("{size} bytes, 1 to {} are allowed", limits.max_transaction_bytes);
            return wrong(&format!("transactions[{position}]"), description);
        }
        total = total.saturating_add(size);
    }
    if total > limits.max_batch_bytes {
        let description = format!("{total} bytes together, at most {} are allowed", limits.max_batch_bytes);
        return wrong("transactions", description);
    }
    let transactions: Vec<_> = batch.into_iter().map(Transaction::new).collect();
    match repeated(&transactions) {
        None => Ok(transactions),
        Some((first, second)) => wrong(
            &format!("transactions[{second}]"),
            format!("the same as transactions[{first}]; each may stand once in a batch"),
        ),
    }
}

/// The first transaction that stands twice: both positions.
fn repeated(transactions: &[Transaction]) -> Option<(usize, usize)> {
    let mut seen = std::collections::HashMap::with_capacity(transactions.len());
    transactions
        .iter()
        .enumerate()
        .find_map(|(position, tx)| seen.insert(tx.digest(), position).map(|first| (first, position)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use metanode_proto::reason;
    use tonic::Code;
    use tonic_types::StatusExt;

    const LIMITS: SubmitLimits =
        SubmitLimits { max_transactions: 4, max_batch_bytes: 30, max_transaction_bytes: 10 };

    fn batch(sizes: &[usize]) -> Vec<Bytes> {
        (0u8..).zip(sizes).map(|(fill, size)| Bytes::from(vec![fill; *size])).collect()
    }

    /// Field and description of the refusal.
    fn refused(batch: Vec<Bytes>) -> (String, String) {
        let error = check_batch(&LIMITS, batch).unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument);
        assert_eq!(status::reason_of(&error).as_deref(), Some(reason::INVALID_FIELD));
        let violation = error.get_details_bad_request().unwrap().field_violations.remove(0);
        (violation.field, violation.description)
    }

    #[test]
    fn t03_one_transaction_at_the_limit_passes_and_one_byte_more_is_refused_by_its_position() {
        assert_eq!(check_batch(&LIMITS, batch(&[1, 2, 3, 10])).unwrap().len(), 4);
        let (field, description) = refused(batch(&[1, 2, 3, 11]));
        assert_eq!(field, "transactions[3]");
        assert_eq!(description, "11 bytes, 1 to 10 are allowed");
        assert_eq!(refused(batch(&[1, 0])).0, "transactions[1]");
    }

    #[test]
    fn t03_the_batch_is_bounded_in_count_and_bytes() {
        assert!(check_batch(&LIMITS, batch(&[10, 10, 10])).is_ok());
        let (field, description) = refused(batch(&[10, 10, 10, 1]));
        assert_eq!(
            (field.as_str(), description.as_str()),
            ("transactions", "31 bytes together, at most 30 are allowed")
        );
        let (field, description) = refused(batch(&[1; 5]));
        assert_eq!(
            (field.as_str(), description.as_str()),
            ("transactions", "5 transactions, 1 to 4 are allowed")
        );
        assert_eq!(refused(vec![]).1, "0 transactions, 1 to 4 are allowed");
    }

    #[test]
    fn a_transaction_stands_once_in_a_batch() {
        let (field, description) = refused(vec!["a".into(), "b".into(), "a".into()]);
        assert_eq!(field, "transactions[2]");
        assert!(description.contains("transactions[0]"));
    }
}
