//! How a command ends when it cannot do what it was asked to.

use std::process::ExitCode;

use tenantry_embedded::ClusterError;

use crate::billing::catalog_file::CatalogFileError;
use crate::billing::catalog_store::LoadError;
use crate::config::ConfigError;
use crate::deployment::DeploymentError;
use crate::server::ServeError;
use crate::server::clock::ClockError;
use crate::server::sandbox::SandboxFault;
use crate::server::stripe::NoStripe;
use crate::storage::StoreError;
use crate::storage::migrate::MigrateError;
use crate::stripe_sync::catalog::PushError;
use crate::tenancy::TenancyError;
use crate::usage::import::ImportError;
use crate::usage::retention::RetentionError;

/// Why a command did not do it: a message that says what to do, and an exit code.
#[derive(Debug)]
pub(super) struct Failure {
    message: String,
    exit: u8,
}

impl Failure {
    /// Something is wrong: exit 1.
    pub(super) fn wrong(message: impl Into<String>) -> Self {
        Self { message: message.into(), exit: 1 }
    }

    /// The command was not used as it is meant: exit 2.
    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self { message: message.into(), exit: 2 }
    }

    /// Tells it on standard error.
    pub(super) fn report(&self) -> ExitCode {
        use std::io::Write as _;
        let mut text = String::new();
        for line in self.message.lines() {
            text.push_str("error: ");
            text.push_str(line);
            text.push('\n');
        }
        // Where standard error is closed, the exit code has to do.
        let _ = std::io::stderr().write_all(text.as_bytes());
        ExitCode::from(self.exit)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        match error {
            ConfigError::DataDir { .. } => Self::wrong(error.to_string()),
            other => Self::usage(other.to_string()),
        }
    }
}

impl From<ServeError> for Failure {
    fn from(error: ServeError) -> Self {
        match error {
            ServeError::Config(error) => error.into(),
            ServeError::Outbound(error) => Self::usage(error.to_string()),
            other => Self::wrong(other.to_string()),
        }
    }
}

impl From<NoStripe> for Failure {
    fn from(error: NoStripe) -> Self {
        match error {
            NoStripe::Config(error) => error.into(),
            NoStripe::NoSandbox => Self::wrong(error.to_string()),
            NoStripe::Off | NoStripe::Client(_) => Self::usage(error.to_string()),
        }
    }
}

macro_rules! wrong {
    ($($error:ty),+ $(,)?) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::wrong(error.to_string())
            }
        }
    )+};
}

wrong!(
    CatalogFileError,
    ClockError,
    ClusterError,
    DeploymentError,
    ImportError,
    LoadError,
    MigrateError,
    PushError,
    RetentionError,
    SandboxFault,
    StoreError,
    TenancyError,
    std::io::Error,
);
