//! The stream of `GET /v1/events`: a line for the present status, one for each change, the end after the last.

use crate::protocol::AppStatus;
use hyper::body::{Body, Bytes, Frame};
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::sync::watch;

/// Follows the app's status; unknown until the app was started.
pub type StatusReceiver = watch::Receiver<Option<AppStatus>>;

type NextStatus = Pin<Box<dyn Future<Output = (AppStatus, StatusReceiver)>>>;

/// A response body that is held open until the app has ended or the host has gone.
pub struct EventBody {
    next: Option<NextStatus>,
}

impl EventBody {
    /// Starts with the present status.
    pub fn new(mut status: StatusReceiver) -> Self {
        status.mark_changed();
        Self {
            next: Some(Box::pin(next_status(status))),
        }
    }
}

async fn next_status(mut receiver: StatusReceiver) -> (AppStatus, StatusReceiver) {
    loop {
        if receiver.changed().await.is_err() {
            // The sender lives as long as the agent.
            std::future::pending::<()>().await;
        }
        let status = receiver.borrow_and_update().clone();
        if let Some(status) = status {
            return (status, receiver);
        }
    }
}

impl Body for EventBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(next) = self.next.as_mut() else {
            return Poll::Ready(None);
        };
        let (status, receiver) = ready!(next.as_mut().poll(context));
        self.next = (!status.is_final()).then(|| Box::pin(next_status(receiver)) as NextStatus);
        let mut line = serde_json::to_vec(&status).unwrap_or_default();
        line.push(b'\n');
        Poll::Ready(Some(Ok(Frame::data(line.into()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    #[tokio::test]
    async fn stream_tells_the_present_status_and_ends_after_the_last() {
        let (sender, receiver) = watch::channel(Some(AppStatus::Running { pid: 7 }));
        let mut body = EventBody::new(receiver);
        let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(first, "{\"status\":\"running\",\"pid\":7}\n");
        sender.send_replace(Some(AppStatus::Failed { reason: "x".into() }));
        let rest = body.collect().await.unwrap().to_bytes();
        assert_eq!(rest, "{\"status\":\"failed\",\"reason\":\"x\"}\n");
    }

    #[tokio::test]
    async fn stream_waits_for_the_first_status() {
        let (sender, receiver) = watch::channel(None);
        let mut body = EventBody::new(receiver);
        assert!(
            tokio::time::timeout(std::time::Duration::from_millis(5), body.frame())
                .await
                .is_err()
        );
        sender.send_replace(Some(AppStatus::Failed { reason: "x".into() }));
        assert!(body.frame().await.is_some());
        assert!(body.frame().await.is_none());
    }
}
