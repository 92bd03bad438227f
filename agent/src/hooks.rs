//! Calls the app's lifecycle hooks over loopback, as the service does: `POST`, `Host: localhost:{port}`.

use crate::error::{AgentError, Result};
use crate::protocol::{HookRequest, HookResponse};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::handshake;
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use std::net::Ipv4Addr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::timeout;

/// The rest of an answer is read for this long and this far, so that the app need not see a broken connection.
const DRAIN_BUDGET: Duration = Duration::from_secs(5);
const DRAIN_LIMIT: usize = 64 * 1024;

/// Ends the connection's task when the call is given up.
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Calls one hook. Only a request that makes no sense is an error; whatever the app does is an outcome.
pub async fn call_hook(request: HookRequest) -> Result<HookResponse> {
    let limit = Duration::from_millis(request.timeout_ms);
    let message = build_request(&request)?;
    Ok(
        match timeout(limit, exchange(request.port, message)).await {
            Ok(Ok(status)) => HookResponse::Answered { status },
            Ok(Err(reason)) => HookResponse::Refused { reason },
            Err(_) => HookResponse::Timeout,
        },
    )
}

fn build_request(request: &HookRequest) -> Result<Request<Full<Bytes>>> {
    let invalid = |what: &str| AgentError::Invalid(format!("{what} of the hook is malformed"));
    if request.port == 0 {
        return Err(invalid("port"));
    }
    let path: Uri = request.path.parse().map_err(|_| invalid("path"))?;
    if !request.path.starts_with('/') {
        return Err(invalid("path"));
    }
    let mut builder = Request::post(path)
        .header("host", format!("localhost:{}", request.port))
        .header("connection", "close")
        .header("content-length", request.body.len());
    if !request.body.is_empty() {
        builder = builder.header("content-type", "application/json");
    }
    builder
        .body(Full::from(request.body.clone()))
        .map_err(|_| invalid("path"))
}

async fn exchange(port: u16, message: Request<Full<Bytes>>) -> std::result::Result<u16, String> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
        .await
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::ConnectionRefused => "Connection refused".to_owned(),
            _ => error.to_string(),
        })?;
    let (mut sender, connection) = handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    let driver = AbortOnDrop(spawn_local(async {
        // Its failure is the request's, which is told below.
        let _ = connection.await;
    }));
    let response = sender.send_request(message).await.map_err(|error| {
        if error.is_incomplete_message() {
            "The app closed the connection without an answer".to_owned()
        } else {
            format!("No HTTP answer: {error}")
        }
    })?;
    let status = response.status().as_u16();
    spawn_local(async move {
        // The outcome is known; the rest is courtesy.
        let _ = timeout(DRAIN_BUDGET, drain(response)).await;
        drop(driver);
    });
    Ok(status)
}

async fn drain(mut response: Response<Incoming>) {
    let mut total = 0;
    while let Some(Ok(frame)) = response.frame().await {
        total += frame.data_ref().map_or(0, Bytes::len);
        if total > DRAIN_LIMIT {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::task::LocalSet;

    /// Calls a hook of an app that sends `answer` to whatever comes; gives what it was sent and the outcome.
    fn call(answer: &'static str, body: &str, timeout_ms: u64) -> (String, HookResponse) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        LocalSet::new().block_on(&runtime, async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let app = spawn_local(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut received = vec![0; 4096];
                let length = stream.read(&mut received).await.unwrap();
                stream.write_all(answer.as_bytes()).await.unwrap();
                if answer == "HTTP/1.1" {
                    std::future::pending::<()>().await;
                }
                String::from_utf8(received[..length].to_vec()).unwrap()
            });
            let request = HookRequest {
                port,
                path: "/aws/lambda-microvms/runtime/v1/run".into(),
                body: body.into(),
                timeout_ms,
            };
            let outcome = call_hook(request).await.unwrap();
            if outcome == HookResponse::Timeout {
                return (String::new(), outcome);
            }
            (app.await.unwrap(), outcome)
        })
    }

    #[test]
    fn status_of_the_answer_is_the_outcome() {
        let answer = "HTTP/1.1 503 Nope\r\ncontent-length: 2\r\n\r\nhi";
        let (request, outcome) = call(answer, "{}", 5000);
        assert_eq!(outcome, HookResponse::Answered { status: 503 });
        assert!(request.starts_with("POST /aws/lambda-microvms/runtime/v1/run HTTP/1.1\r\n"));
        assert!(request.contains("host: localhost:"));
        assert!(request.contains("content-type: application/json\r\n"));
        assert!(request.ends_with("\r\n\r\n{}"));
    }

    #[test]
    fn empty_body_has_a_length_and_no_type() {
        let (request, _) = call("HTTP/1.1 200 OK\r\n\r\n", "", 5000);
        assert!(request.contains("content-length: 0\r\n"));
        assert!(!request.contains("content-type"));
    }

    #[test]
    fn connection_that_closes_without_an_answer_is_refused() {
        let (_, outcome) = call("", "", 5000);
        assert!(matches!(outcome, HookResponse::Refused { reason } if reason.contains("closed")));
    }

    #[test]
    fn answer_that_is_no_http_is_refused() {
        let (_, outcome) = call("SSH-2.0-x\r\n\r\n", "", 5000);
        assert!(matches!(outcome, HookResponse::Refused { reason } if reason.contains("HTTP")));
    }

    #[test]
    fn half_an_answer_is_a_timeout() {
        let (_, outcome) = call("HTTP/1.1", "", 50);
        assert_eq!(outcome, HookResponse::Timeout);
    }

    #[test]
    fn malformed_requests_are_refused() {
        for (port, path) in [
            (0, "/x"),
            (80, "x"),
            (80, ""),
            (80, "/a b"),
            (80, "http://h/x"),
        ] {
            let request = HookRequest {
                port,
                path: path.into(),
                body: String::new(),
                timeout_ms: 1,
            };
            assert_eq!(
                build_request(&request).unwrap_err().http_status(),
                400,
                "{path}"
            );
        }
    }
}
