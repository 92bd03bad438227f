//! The agent of a torpor guest: PID 1. It boots the guest, runs the user's container beside itself and answers the
//! host. `main.rs` reads as the boot sequence; `src/guest/protocol.ts` describes the API.
//!
//! One thread: the agent forks without surprises, its state needs no locks, and a restored guest touches little code.

pub mod agent;
pub mod api;
pub mod capabilities;
pub mod children;
pub mod console;
pub mod container;
pub mod devices;
pub mod diag;
pub mod error;
pub mod events;
pub mod exec;
pub mod hooks;
pub mod logs;
pub mod modules;
pub mod mounts;
pub mod network;
pub mod proc_net;
pub mod process;
pub mod program;
pub mod protocol;
pub mod pty;
pub mod refresh;
pub mod rootfs;
pub mod shell;
pub mod shell_frames;
pub mod shell_stream;
pub mod teardown;
pub mod users;
