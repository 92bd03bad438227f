//! The one error type. What the host can act on is a variant with its own HTTP status; the rest is text.

use nix::errno::Errno;

/// A failed action of the agent.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The request makes no sense: 400.
    #[error("{0}")]
    Invalid(String),
    /// The secret is missing or wrong: 401.
    #[error("Missing or wrong secret")]
    Unauthorized,
    /// No such route: 404.
    #[error("No such route")]
    UnknownRoute,
    /// The request comes at the wrong time: 409.
    #[error("{0}")]
    WrongOrder(String),
    /// There are too many of these already: 429.
    #[error("{0}")]
    TooMany(String),
    /// What was asked for is over: 410.
    #[error("{0}")]
    Gone(String),
    /// A system call failed: 500.
    #[error("Cannot {action}: {}", .errno.desc())]
    System {
        /// What was attempted, as the rest of a sentence that starts with "Cannot".
        action: String,
        /// The kernel's answer.
        errno: Errno,
    },
    /// Anything else that failed: 500.
    #[error("{0}")]
    Failed(String),
}

/// Result of an action of the agent.
pub type Result<T> = std::result::Result<T, AgentError>;

impl AgentError {
    /// The HTTP status of the answer that carries this error.
    pub fn http_status(&self) -> u16 {
        match self {
            Self::Invalid(_) => 400,
            Self::Unauthorized => 401,
            Self::UnknownRoute => 404,
            Self::WrongOrder(_) => 409,
            Self::Gone(_) => 410,
            Self::TooMany(_) => 429,
            Self::System { .. } | Self::Failed(_) => 500,
        }
    }
}

/// Adds what was attempted to a bare system error.
pub trait Context<T> {
    /// Turns the error into `Cannot {action}: …`.
    fn context(self, action: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Context<T> for nix::Result<T> {
    fn context(self, action: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|errno| AgentError::System {
            action: action(),
            errno,
        })
    }
}

impl<T> Context<T> for std::io::Result<T> {
    fn context(self, action: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| match error.raw_os_error() {
            Some(code) => AgentError::System {
                action: action(),
                errno: Errno::from_raw(code),
            },
            None => AgentError::Failed(format!("Cannot {}: {error}", action())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_errors_name_the_action_and_the_cause() {
        let error = Err::<(), _>(Errno::ENOENT)
            .context(|| "open \"/x\"".into())
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "Cannot open \"/x\": No such file or directory"
        );
        assert_eq!(error.http_status(), 500);
    }
}
