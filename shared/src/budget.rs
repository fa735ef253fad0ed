//! The time budget of a request.
//!
//! Owns [`Budget`]: how long all store calls of one request may take together. `http` makes one for each request, and
//! every method of `store` takes it. Knows neither HTTP nor DynamoDB.

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::error::Error;

/// How long all store calls of one request may take together. After that the service answers 503, well before API
/// Gateway or Lambda would time out (F16).
pub const REQUEST_BUDGET: Duration = Duration::from_secs(2);

/// The time that is left for the store calls of one request. Only waiting for a store uses it up. It also ends at the
/// deadline of the Lambda invocation.
#[derive(Debug)]
pub struct Budget {
    left: Mutex<Duration>,
    deadline: Option<Instant>,
}

/// The budget is used up.
#[derive(Debug, thiserror::Error)]
#[error("the time budget of this request is used up")]
pub struct Exhausted;

impl Budget {
    /// Returns a full budget for an invocation that ends at `deadline`.
    #[must_use]
    pub fn new(deadline: Option<Instant>) -> Self {
        Self { left: Mutex::new(REQUEST_BUDGET), deadline }
    }

    /// Returns a budget for the work of an operator, which is not a request and has no deadline.
    #[must_use]
    pub fn lasting(duration: Duration) -> Self {
        Self { left: Mutex::new(duration), deadline: None }
    }

    /// Awaits `call` for as long as the budget lasts, and subtracts the time that it took. The call is boxed, because
    /// an SDK call is a large future and would make every future around it as large.
    ///
    /// # Errors
    /// [`Exhausted`] if the budget ends before the call.
    pub fn spend<T>(&self, call: impl Future<Output = T>) -> impl Future<Output = Result<T, Exhausted>> {
        let call = Box::pin(call);
        async move {
            let (started, left) = (Instant::now(), self.left());
            if left.is_zero() {
                return Err(Exhausted);
            }
            let outcome = tokio::time::timeout(left, call).await;
            self.subtract(started.elapsed());
            outcome.map_err(|_| Exhausted)
        }
    }

    /// Sleeps before a call is retried.
    ///
    /// # Errors
    /// [`Exhausted`] if no time would be left for the retry. Does not sleep then.
    pub async fn pause(&self, pause: Duration) -> Result<(), Exhausted> {
        if self.left() <= pause {
            return Err(Exhausted);
        }
        tokio::time::sleep(pause).await;
        self.subtract(pause);
        Ok(())
    }

    /// Returns the time that is left.
    #[must_use]
    pub fn left(&self) -> Duration {
        let left = *self.left.lock().unwrap_or_else(PoisonError::into_inner);
        match self.deadline {
            Some(deadline) => left.min(deadline.saturating_duration_since(Instant::now())),
            None => left,
        }
    }

    fn subtract(&self, spent: Duration) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        *left = left.saturating_sub(spent);
    }
}

impl From<Exhausted> for Error {
    fn from(exhausted: Exhausted) -> Self {
        Self::Unavailable(exhausted.into())
    }
}
