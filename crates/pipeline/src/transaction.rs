//! Transactions of the program itself, written in place.

/// Runs the body in a transaction, commits it, and runs it again when transactions met or the connection broke. The
/// body is an expression of type `Result<T, StoreError>`. A macro, because a future that holds a closure over a
/// borrowed transaction cannot be proved to be `Send`.
macro_rules! in_system {
    ($store:expr, |$tx:ident| $body:expr) => {{
        let mut tries = store::tx::Tries::default();
        loop {
            let attempt = async {
                let mut transaction = $store.system().await?;
                let $tx = &mut transaction;
                let done: Result<_, store::error::StoreError> = $body;
                let done = done?;
                transaction.commit().await?;
                Ok::<_, store::error::StoreError>(done)
            };
            if let Some(outcome) = tries.settle(attempt.await).await {
                break outcome;
            }
        }
    }};
}
pub(crate) use in_system;
