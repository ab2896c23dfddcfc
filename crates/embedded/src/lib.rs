//! A private PostgreSQL cluster in a data folder: found, created, started, found again, stopped.
//!
//! Knows nothing of tenants. The server keeps `fsync` on, listens on loopback and a socket in its own folder, and
//! asks for a password. Started as root it runs as an unprivileged user, since `initdb` refuses root; where that
//! user cannot reach the data folder (a home of mode 0700) the cluster lies under `/var/lib/tenantry` and the data
//! folder points there. It survives the death of its parent and is found again at the next start.

mod binaries;
mod cluster;
mod error;
mod layout;
mod server_user;

pub use binaries::Binaries;
pub use cluster::{Cluster, ClusterConfig, Connection, attach};
pub use error::ClusterError;
