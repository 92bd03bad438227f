//! Bodies of the agent's API. `src/guest/protocol.ts` is the contract; `test/contract/agent-protocol/` holds golden
//! bodies that both sides read. Unknown fields are ignored, because a newer host may meet an agent inside an old snapshot.

use serde::{Deserialize, Serialize};

/// TCP port of the agent's API.
pub const AGENT_PORT: u16 = 1023;
/// Bytes of the app's output that are kept.
pub const LOG_BYTES: usize = 1024 * 1024;
/// Largest request body.
pub const BODY_LIMIT: usize = 4 * 1024 * 1024;
/// Most bytes kept of each output stream of an exec.
pub const EXEC_OUTPUT_LIMIT: usize = 1024 * 1024;
/// Fewest hex digits of a secret.
pub const SECRET_DIGITS: usize = 32;
/// Bytes of randomness with each clock.
pub const ENTROPY_BYTES: usize = 64;

/// The host's wall clock.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Clock {
    /// Milliseconds since 1970, UTC.
    pub epoch_ms: u64,
}

/// `POST /v1/start`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StartRequest {
    /// At least 32 hex digits.
    pub secret: String,
    /// What to run.
    pub container: ContainerSpec,
    /// The host's wall clock.
    pub clock: Clock,
    /// Base64, 64 bytes.
    pub entropy: String,
}

/// The user's container as its OCI image says it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerSpec {
    /// ENTRYPOINT followed by CMD; never empty.
    pub args: Vec<String>,
    /// `NAME=value`, in order; later ones win.
    pub env: Vec<String>,
    /// Created when missing.
    pub working_dir: String,
    /// "", "name", "uid", "name:group", "uid:gid".
    pub user: String,
    /// Of the container's UTS namespace.
    pub hostname: String,
    /// Written to `/etc/resolv.conf`.
    pub nameservers: Vec<String>,
    /// Lifts the usual container restrictions.
    pub all_capabilities: bool,
}

/// `POST /v1/restored`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoredRequest {
    /// The host's wall clock.
    pub clock: Clock,
    /// Base64, 64 bytes of fresh host randomness.
    pub entropy: String,
}

/// How the app is; also an event of `GET /v1/events`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(
    tag = "status",
    rename_all = "lowercase",
    rename_all_fields = "camelCase"
)]
pub enum AppStatus {
    /// Its first process runs.
    Running {
        /// Of that process, in the guest's own PID namespace.
        pid: i32,
    },
    /// Its first process ended, and with it the container.
    Exited {
        /// Null when a signal ended it.
        exit_code: Option<i32>,
        /// Null when it exited by itself.
        signal: Option<i32>,
        /// The last lines it wrote.
        last_output: String,
    },
    /// It could not be started.
    Failed {
        /// Why, in words.
        reason: String,
    },
}

impl AppStatus {
    /// Whether the guest is about to power off.
    pub fn is_final(&self) -> bool {
        !matches!(self, Self::Running { .. })
    }
}

/// `POST /v1/hook`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HookRequest {
    /// TCP port on 127.0.0.1.
    pub port: u16,
    /// Absolute path.
    pub path: String,
    /// Sent as it is; JSON or empty.
    pub body: String,
    /// From connecting to the end of the answer's head.
    pub timeout_ms: u64,
}

/// Answer to [`HookRequest`].
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub enum HookResponse {
    /// The app answered.
    Answered {
        /// HTTP status.
        status: u16,
    },
    /// No answer in time.
    Timeout,
    /// No connection, or one that ended without an HTTP answer.
    Refused {
        /// Why, in words.
        reason: String,
    },
}

/// `POST /v1/exec`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExecRequest {
    /// Never empty.
    pub args: Vec<String>,
    /// Added to the container's environment; later ones win.
    #[serde(default)]
    pub env: Vec<String>,
    /// The container's unless given.
    #[serde(default)]
    pub working_dir: Option<String>,
    /// The container's unless given.
    #[serde(default)]
    pub user: Option<String>,
    /// Then its process group is killed.
    pub timeout_ms: u64,
}

/// Answer to [`ExecRequest`].
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExecResponse {
    /// Null when ended by a signal or the timeout.
    pub exit_code: Option<i32>,
    /// Null when it exited by itself.
    pub signal: Option<i32>,
    /// The timeout ended it.
    pub timed_out: bool,
    /// Base64.
    pub stdout: String,
    /// Base64.
    pub stderr: String,
    /// Some output was dropped.
    pub truncated: bool,
}

/// Answer to `GET /v1/listening`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ListeningResponse {
    /// Some process listens on the port, on any address.
    pub listening: bool,
}

/// Body of every error.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ErrorResponse {
    /// What failed and why.
    pub message: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::DeserializeOwned;
    use serde_json::Value;
    use std::fmt::Debug;

    fn golden(name: &str) -> Value {
        let path = format!(
            "{}/../test/contract/agent-protocol/{name}.json",
            env!("CARGO_MANIFEST_DIR")
        );
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        serde_json::from_str(&text).unwrap()
    }

    fn reads<T: DeserializeOwned + PartialEq + Debug>(name: &str, expected: T) {
        assert_eq!(T::deserialize(golden(name)).unwrap(), expected);
    }

    fn writes(name: &str, value: impl Serialize) {
        assert_eq!(serde_json::to_value(value).unwrap(), golden(name));
    }

    fn entropy() -> String {
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+Pw=="
            .into()
    }

    const CLOCK: Clock = Clock {
        epoch_ms: 1_767_225_600_123,
    };

    #[test]
    fn requests_read_as_the_golden_bodies_say() {
        reads(
            "start-request",
            StartRequest {
                secret: "00112233445566778899aabbccddeeff".into(),
                container: ContainerSpec {
                    args: vec!["gunicorn".into(), "--bind=0.0.0.0:8080".into()],
                    env: vec!["PATH=/usr/bin:/bin".into(), "GREETING=héllo".into()],
                    working_dir: "/app".into(),
                    user: "app:staff".into(),
                    hostname: "localhost".into(),
                    nameservers: vec!["192.0.0.1".into()],
                    all_capabilities: false,
                },
                clock: CLOCK,
                entropy: entropy(),
            },
        );
        reads(
            "restored-request",
            RestoredRequest {
                clock: CLOCK,
                entropy: entropy(),
            },
        );
        reads(
            "hook-request",
            HookRequest {
                port: 9000,
                path: "/aws/lambda-microvms/runtime/v1/run".into(),
                body: "{\"microvmId\":\"microvm-1\"}".into(),
                timeout_ms: 1000,
            },
        );
        reads(
            "exec-request",
            ExecRequest {
                args: vec!["id".into(), "-u".into()],
                env: vec!["A=1".into()],
                working_dir: Some("/tmp".into()),
                user: Some("nobody".into()),
                timeout_ms: 5000,
            },
        );
        reads(
            "exec-request-minimal",
            ExecRequest {
                args: vec!["true".into()],
                env: vec![],
                working_dir: None,
                user: None,
                timeout_ms: 5000,
            },
        );
    }

    #[test]
    fn responses_are_written_as_the_golden_bodies_say() {
        writes("event-running", AppStatus::Running { pid: 57 });
        writes(
            "event-exited",
            AppStatus::Exited {
                exit_code: Some(3),
                signal: None,
                last_output: "bye\n".into(),
            },
        );
        writes(
            "event-signalled",
            AppStatus::Exited {
                exit_code: None,
                signal: Some(9),
                last_output: String::new(),
            },
        );
        writes(
            "event-failed",
            AppStatus::Failed {
                reason: "Unknown user \"ghost\"".into(),
            },
        );
        writes(
            "hook-response-answered",
            HookResponse::Answered { status: 503 },
        );
        writes("hook-response-timeout", HookResponse::Timeout);
        writes(
            "hook-response-refused",
            HookResponse::Refused {
                reason: "Connection refused".into(),
            },
        );
        writes(
            "exec-response",
            ExecResponse {
                exit_code: None,
                signal: Some(9),
                timed_out: true,
                stdout: "aGkK".into(),
                stderr: String::new(),
                truncated: false,
            },
        );
        writes("listening-response", ListeningResponse { listening: true });
        writes(
            "error-response",
            ErrorResponse {
                message: "Missing or wrong secret".into(),
            },
        );
    }
}
