//! The agent's API: who may call, which route does what. The routes are described in `src/guest/protocol.ts`.

use crate::agent::Agent;
use crate::console::report;
use crate::diag::destroy_connections;
use crate::error::{AgentError, Result};
use crate::events::EventBody;
use crate::exec::run_exec;
use crate::hooks::call_hook;
use crate::mounts::sync_disk;
use crate::network::GATEWAY_ADDRESS;
use crate::proc_net::is_listening;
use crate::program::check_arguments;
use crate::protocol::{
    BODY_LIMIT, ErrorResponse, ExecRequest, HookRequest, ListeningResponse, RestoredRequest,
    SECRET_DIGITS, StartRequest,
};
use crate::refresh::{decode_entropy, reseed, set_clock};
use crate::shell_stream::{Attached, carry};
use http_body_util::{BodyExt, Either, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, HeaderValue, UPGRADE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::{self, OnUpgrade};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::spawn_local;

/// The host keeps few; more wait in the listener's queue.
const CONNECTION_LIMIT: usize = 32;
const LOG_START_HEADER: &str = "x-torpor-log-start";
const SHELL_PROTOCOL: &[u8] = b"torpor-shell";
const SHELL_INPUT_HEADER: &str = "x-torpor-shell-input";

type Reply = Response<Either<Full<Bytes>, EventBody>>;

/// Answers the gateway for ever; connections of anyone else are closed unread.
pub async fn serve(agent: Rc<Agent>, listener: TcpListener) -> Infallible {
    let places = Arc::new(Semaphore::new(CONNECTION_LIMIT));
    loop {
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            continue;
        };
        match listener.accept().await {
            Ok((stream, peer)) if peer.ip() == IpAddr::V4(GATEWAY_ADDRESS) => {
                let agent = Rc::clone(&agent);
                spawn_local(async move {
                    serve_connection(agent, stream, peer).await;
                    drop(place);
                });
            }
            Ok(_) => {}
            Err(error) => {
                report(&format!("accept: {error}"));
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

async fn serve_connection(agent: Rc<Agent>, stream: TcpStream, peer: SocketAddr) {
    if let Err(error) = stream.set_nodelay(true) {
        report(&format!("set_nodelay: {error}"));
    }
    let service = service_fn(|request| answer(Rc::clone(&agent), request, peer));
    let mut server = http1::Builder::new();
    server.auto_date_header(false);
    // A connection that breaks is the host's to notice: every call has its answer or none.
    let connection = server.serve_connection(TokioIo::new(stream), service);
    let _ = connection.with_upgrades().await;
}

async fn answer(
    agent: Rc<Agent>,
    request: Request<Incoming>,
    peer: SocketAddr,
) -> std::result::Result<Reply, Infallible> {
    Ok(match route(&agent, request, peer).await {
        Ok(reply) => reply,
        Err(error) => {
            let message = error.to_string();
            let mut reply = json(&ErrorResponse { message });
            // Every status in the table of errors is a valid one.
            *reply.status_mut() = error
                .http_status()
                .try_into()
                .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            reply
        }
    })
}

async fn route(
    agent: &Rc<Agent>,
    mut request: Request<Incoming>,
    peer: SocketAddr,
) -> Result<Reply> {
    let upgrade = upgrade::on(&mut request);
    let (head, body) = request.into_parts();
    let query = head.uri.query().unwrap_or_default();
    let path = head.uri.path();
    if (&head.method, path) == (&Method::POST, "/v1/start") {
        return start(agent, read_json(body).await?).await;
    }
    agent.authorise(head.headers.get(AUTHORIZATION))?;
    match (&head.method, path) {
        (&Method::POST, "/v1/restored") => restored(&read_json(body).await?, peer),
        (&Method::GET, "/v1/events") => Ok(events(agent)),
        (&Method::POST, "/v1/hook") => {
            let request: HookRequest = read_json(body).await?;
            Ok(json(&call_hook(request).await?))
        }
        (&Method::POST, "/v1/quiesce") => sync_disk().map(|()| empty()),
        (&Method::GET, "/v1/logs") => Ok(logs(agent, query_number(query, "offset")?)),
        (&Method::POST, "/v1/exec") => {
            let request: ExecRequest = read_json(body).await?;
            check_arguments(&request.args, &request.env)?;
            let container = agent.running_container()?;
            Ok(json(
                &run_exec(&agent.children, &container, &request).await?,
            ))
        }
        (&Method::GET, "/v1/shell") => {
            if head.headers.get(UPGRADE).map(HeaderValue::as_bytes) != Some(SHELL_PROTOCOL) {
                return Err(AgentError::Invalid("A shell needs its protocol".into()));
            }
            shell(agent, query, upgrade).await
        }
        (&Method::POST, "/v1/poweroff") => {
            agent.request_poweroff();
            Ok(empty())
        }
        (&Method::GET, "/v1/listening") => {
            let port = query_number(query, "port")?;
            let port = u16::try_from(port)
                .map_err(|_| AgentError::Invalid("port is out of range".into()))?;
            let listening = is_listening(port)?;
            Ok(json(&ListeningResponse { listening }))
        }
        _ => Err(AgentError::UnknownRoute),
    }
}

/// The container is started by a task of its own, so that a host that goes away leaves nothing half-started.
async fn start(agent: &Rc<Agent>, request: StartRequest) -> Result<Reply> {
    let StartRequest {
        secret,
        container,
        clock,
        entropy,
    } = request;
    let is_hex = secret.bytes().all(|byte| byte.is_ascii_hexdigit());
    if secret.len() < SECRET_DIGITS || !is_hex {
        return Err(AgentError::Invalid(format!(
            "secret must be at least {SECRET_DIGITS} hex digits"
        )));
    }
    check_arguments(&container.args, &container.env)?;
    let entropy = decode_entropy(&entropy)?;
    agent.claim(secret)?;
    let starter = Rc::clone(agent);
    let started = spawn_local(async move {
        let refreshed = set_clock(&clock).and_then(|()| reseed(entropy));
        starter.start_app(refreshed, container).await;
    });
    started
        .await
        .map(|()| empty())
        .map_err(|_| AgentError::Failed("The start was lost".into()))
}

/// On the way of every launch, with cold code under emulation: no more than it must do.
fn restored(request: &RestoredRequest, peer: SocketAddr) -> Result<Reply> {
    let entropy = decode_entropy(&request.entropy)?;
    set_clock(&request.clock)?;
    reseed(entropy)?;
    destroy_connections(peer)?;
    Ok(empty())
}

/// A new session, or a known one from where the host has it.
async fn shell(agent: &Rc<Agent>, query: &str, upgrade: OnUpgrade) -> Result<Reply> {
    let id = query_text(query, "session")?;
    let (session, sent) = if query_text(query, "output").is_ok() {
        (agent.shells.find(id)?, query_number(query, "output")?)
    } else {
        let container = agent.running_container()?;
        let opened = agent.shells.open(&agent.children, &container, id).await?;
        (opened, 0)
    };
    let (connection, received) = session.attach(sent)?;
    spawn_local(carry(
        upgrade,
        Attached {
            session,
            connection,
            received,
            sent,
        },
    ));
    let mut reply = Response::new(Either::Left(Full::default()));
    *reply.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = reply.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("torpor-shell"));
    headers.insert(SHELL_INPUT_HEADER, received.into());
    Ok(reply)
}

fn events(agent: &Agent) -> Reply {
    let mut reply = Response::new(Either::Right(EventBody::new(agent.follow_status())));
    set_type(&mut reply, "application/x-ndjson");
    reply
}

fn logs(agent: &Agent, offset: u64) -> Reply {
    let (start, bytes) = agent.log.borrow().read_from(offset);
    let mut reply = Response::new(Either::Left(Full::from(bytes)));
    set_type(&mut reply, "application/octet-stream");
    reply.headers_mut().insert(LOG_START_HEADER, start.into());
    reply
}

fn empty() -> Reply {
    reply_with("{}".into())
}

fn json(value: &impl Serialize) -> Reply {
    // Plain structures of strings and numbers always have a JSON form.
    reply_with(serde_json::to_vec(value).unwrap_or_default())
}

fn reply_with(body: Vec<u8>) -> Reply {
    let mut reply = Response::new(Either::Left(Full::from(body)));
    set_type(&mut reply, "application/json");
    reply
}

fn set_type(reply: &mut Reply, value: &'static str) {
    let value = HeaderValue::from_static(value);
    reply.headers_mut().insert(CONTENT_TYPE, value);
}

/// Says where a body is malformed but not what is there, which may be a secret.
async fn read_json<T: DeserializeOwned>(body: Incoming) -> Result<T> {
    let collected = Limited::new(body, BODY_LIMIT).collect().await;
    let bytes = collected.map_err(|error| {
        AgentError::Invalid(if error.is::<LengthLimitError>() {
            format!("The body is larger than {BODY_LIMIT} bytes")
        } else {
            "The body is not complete".into()
        })
    })?;
    parse_json(&bytes.to_bytes())
}

fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| {
        AgentError::Invalid(format!(
            "The body is malformed at line {} column {}",
            error.line(),
            error.column()
        ))
    })
}

fn query_text<'a>(query: &'a str, name: &str) -> Result<&'a str> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
        .ok_or_else(|| AgentError::Invalid(format!("Query parameter \"{name}\" is missing")))
}

fn query_number(query: &str, name: &str) -> Result<u64> {
    query_text(query, name)
        .ok()
        .and_then(|value| value.parse().ok())
        .ok_or_else(|| AgentError::Invalid(format!("Query parameter \"{name}\" must be a number")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_numbers_are_found_by_name() {
        assert_eq!(query_number("offset=7", "offset").unwrap(), 7);
        assert_eq!(query_number("a=1&offset=7&b", "offset").unwrap(), 7);
        for bad in [
            "",
            "offset",
            "offset=",
            "offset=-1",
            "xoffset=7",
            "offset=0x7",
        ] {
            assert_eq!(query_number(bad, "offset").unwrap_err().http_status(), 400);
        }
    }

    #[test]
    fn malformed_bodies_are_refused_without_repeating_them() {
        let body = br#"{"clock":{"epochMs":"S3CRET"},"entropy":""}"#;
        let error = parse_json::<RestoredRequest>(body).unwrap_err();
        assert_eq!(error.http_status(), 400);
        assert!(!error.to_string().contains("S3CRET"));
    }
}
