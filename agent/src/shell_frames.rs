//! The frames of a shell's byte stream, either way: one byte that says what it is, the length of the rest in four bytes,
//! big-endian, and the rest. `src/guest/shell-frames.ts` is the host's side.

use crate::error::{AgentError, Result};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Largest payload.
pub const FRAME_LIMIT: usize = 64 * 1024;

const DATA: u8 = 0;
const RECEIVED: u8 = 1;
const RESIZE: u8 = 2;
const END: u8 = 3;

/// One frame.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame {
    /// Bytes of the terminal, typed or shown.
    Data(Vec<u8>),
    /// How many bytes the other side has sent, in the session's whole life, that need not be sent again.
    Received(u64),
    /// Columns and rows.
    Resize(u16, u16),
    /// From the host: the client left for good. From the agent: the shell has exited, and this was all.
    End,
}

impl Frame {
    /// The bytes of the frame.
    pub fn encode(&self) -> Vec<u8> {
        let (kind, payload) = match self {
            Self::Data(bytes) => (DATA, bytes.clone()),
            Self::Received(offset) => (RECEIVED, offset.to_be_bytes().to_vec()),
            Self::Resize(columns, rows) => {
                (RESIZE, [columns.to_be_bytes(), rows.to_be_bytes()].concat())
            }
            Self::End => (END, Vec::new()),
        };
        let length = payload.len() as u32;
        [&[kind][..], &length.to_be_bytes(), &payload].concat()
    }
}

/// The next frame; fails when the stream ends or makes no sense.
pub async fn read_frame(stream: &mut (impl AsyncRead + Unpin)) -> Result<Frame> {
    let mut head = [0; 5];
    read(stream, &mut head).await?;
    let [kind, length @ ..] = head;
    let length = u32::from_be_bytes(length) as usize;
    if length > FRAME_LIMIT {
        return Err(AgentError::Invalid("The frame is too long".into()));
    }
    let mut payload = vec![0; length];
    read(stream, &mut payload).await?;
    decode(kind, payload)
}

fn decode(kind: u8, payload: Vec<u8>) -> Result<Frame> {
    match (kind, payload.as_slice()) {
        (DATA, _) => Ok(Frame::Data(payload)),
        (RECEIVED, &[a, b, c, d, e, f, g, h]) => Ok(Frame::Received(u64::from_be_bytes([
            a, b, c, d, e, f, g, h,
        ]))),
        (RESIZE, &[a, b, c, d]) => Ok(Frame::Resize(
            u16::from_be_bytes([a, b]),
            u16::from_be_bytes([c, d]),
        )),
        (END, []) => Ok(Frame::End),
        _ => Err(AgentError::Invalid("The frame is malformed".into())),
    }
}

async fn read(stream: &mut (impl AsyncRead + Unpin), bytes: &mut [u8]) -> Result<()> {
    stream
        .read_exact(bytes)
        .await
        .map(drop)
        .map_err(|_| AgentError::Failed("The stream has ended".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The golden frames: name, hex of the bytes.
    fn golden(name: &str) -> Vec<u8> {
        let path = format!(
            "{}/../test/contract/agent-protocol/shell-frames.json",
            env!("CARGO_MANIFEST_DIR")
        );
        let text = std::fs::read_to_string(path).unwrap();
        let all: serde_json::Value = serde_json::from_str(&text).unwrap();
        let hex = all[name].as_str().unwrap();
        (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect()
    }

    fn read_all(bytes: &[u8]) -> Result<Frame> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(read_frame(&mut &bytes[..]))
    }

    #[test]
    fn frames_are_those_of_the_golden_file() {
        for (name, frame) in [
            ("data", Frame::Data(b"\x00\xffls\r".to_vec())),
            ("received", Frame::Received(0x0102_0304_0506_0708)),
            ("resize", Frame::Resize(120, 40)),
            ("end", Frame::End),
        ] {
            assert_eq!(frame.encode(), golden(name), "{name}");
            assert_eq!(read_all(&golden(name)).unwrap(), frame, "{name}");
        }
    }

    #[test]
    fn cut_long_and_malformed_frames_are_refused() {
        let long = [&[DATA][..], &(FRAME_LIMIT as u32 + 1).to_be_bytes()].concat();
        let bad: [&[u8]; 6] = [
            &[],
            &[DATA, 0, 0],
            &[DATA, 0, 0, 0, 2, 1],
            &long,
            &[RECEIVED, 0, 0, 0, 1, 1],
            &[9, 0, 0, 0, 0],
        ];
        for bytes in bad {
            assert!(read_all(bytes).is_err(), "{bytes:?}");
        }
    }
}
