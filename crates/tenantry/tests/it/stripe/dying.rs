//! Workers that die.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A future that is dropped when it would wait for the n-th time.
struct Dies<F> {
    inner: Pin<Box<F>>,
    waits: usize,
}

impl<F: Future> Future for Dies<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.waits == 0 {
            return Poll::Ready(None);
        }
        self.waits -= 1;
        self.inner.as_mut().poll(context).map(Some)
    }
}

/// None where it died before it was done.
pub(super) async fn dying<F: Future>(waits: usize, future: F) -> Option<F::Output> {
    Dies { inner: Box::pin(future), waits }.await
}
