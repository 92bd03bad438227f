//! The connection that shows a shell session to the host, from the answer to its upgrade on.

use crate::console::report;
use crate::error::Result;
use crate::shell::{Pending, Session};
use crate::shell_frames::{Frame, read_frame};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::rc::Rc;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, split};

/// Most output in one frame.
const OUTPUT_FRAME: usize = 32 * 1024;

/// A session, and where its new connection goes on.
#[derive(Debug)]
pub struct Attached {
    /// Whose bytes they are.
    pub session: Rc<Session>,
    /// The number of the connection.
    pub connection: u64,
    /// Input that was taken over so far.
    pub received: u64,
    /// Output that the host has.
    pub sent: u64,
}

/// Carries the session until either side ends the connection, or a newer one takes over.
pub async fn carry(upgrade: OnUpgrade, attached: Attached) {
    let (session, connection) = (Rc::clone(&attached.session), attached.connection);
    match upgrade.await {
        Ok(upgraded) => {
            let (mut reader, mut writer) = split(TokioIo::new(upgraded));
            tokio::select! {
                // A connection that breaks is the host's to notice: the session goes on without it.
                _ = receive(&mut reader, &session, connection) => {}
                _ = send(&mut writer, &attached) => {}
                () = superseded(&session, connection) => {}
            }
        }
        Err(error) => report(&format!("shell: {error}")),
    }
    session.detach(connection);
}

async fn receive(
    reader: &mut (impl AsyncRead + Unpin),
    session: &Session,
    connection: u64,
) -> Result<()> {
    loop {
        match read_frame(reader).await? {
            Frame::Data(bytes) => {
                if !session.take_input(connection, &bytes).await {
                    return Ok(());
                }
            }
            Frame::Received(offset) => session.confirm(offset),
            Frame::Resize(columns, rows) => session.set_size(columns, rows),
            Frame::End => {
                session.release();
                return Ok(());
            }
        }
    }
}

async fn send(writer: &mut (impl AsyncWrite + Unpin), attached: &Attached) -> std::io::Result<()> {
    let (mut received, mut sent, mut has_ended) = (attached.received, attached.sent, false);
    loop {
        let frame = match attached.session.pending(received, sent, OUTPUT_FRAME) {
            Some(Pending::Received(offset)) => {
                received = offset;
                Frame::Received(offset)
            }
            Some(Pending::Output(bytes)) => {
                sent += bytes.len() as u64;
                Frame::Data(bytes)
            }
            Some(Pending::End) if !has_ended => {
                has_ended = true;
                Frame::End
            }
            _ => {
                attached.session.changed.notified().await;
                continue;
            }
        };
        writer.write_all(&frame.encode()).await?;
        writer.flush().await?;
    }
}

async fn superseded(session: &Session, connection: u64) {
    while session.has(connection) {
        session.changed.notified().await;
    }
}
