//! What can go wrong with a private cluster; each message says what to do.

use std::path::{Path, PathBuf};

/// Why there is no cluster.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// No server on this machine.
    #[error(
        "no PostgreSQL server was found on PATH, in /usr/lib/postgresql or with Homebrew: run `scripts/setup.sh`, or set DATABASE_ADMIN_URL"
    )]
    NoServer,
    /// The server is older than the first one without known holes.
    #[error(
        "PostgreSQL {found} in {} has known holes in row security; 15.14, 16.10, 17.6 or 18.0 is needed: update it", bin.display()
    )]
    TooOld {
        /// What `postgres --version` says.
        found: String,
        /// Where it is.
        bin: PathBuf,
    },
    /// Another process holds the folder.
    #[error("another tenantry (pid {pid}) uses {}: stop it, or choose another folder with --data-dir", dir.display())]
    InUse {
        /// The data folder.
        dir: PathBuf,
        /// Process id of the holder, as it wrote it.
        pid: String,
    },
    /// The folder cannot be written.
    #[error("cannot write to {}: {source}; make it writable or choose another folder with --data-dir", path.display())]
    NotWritable {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// No room.
    #[error("the disk that holds {} is full: free some space and start again; nothing is lost", path.display())]
    DiskFull {
        /// The folder.
        path: PathBuf,
    },
    /// Root, and nobody to run the server as.
    #[error(
        "PostgreSQL does not run as root and this machine has neither a user `postgres` nor `nobody`: add one, or start tenantry as another user"
    )]
    NoUser,
    /// A program of the server failed.
    #[error("{program} failed: {reason}")]
    Program {
        /// Which one.
        program: &'static str,
        /// Its last words.
        reason: String,
    },
    /// The cluster in the folder cannot be used.
    #[error("the database in {} is damaged: {reason}; restore it from a backup, or move the folder away to begin anew", dir.display())]
    Damaged {
        /// Where it lies.
        dir: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

impl ClusterError {
    /// A failed write, told apart by what the user can do about it.
    pub(crate) fn writing(path: &Path, source: std::io::Error) -> Self {
        use std::io::ErrorKind;
        if matches!(source.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge) {
            Self::DiskFull { path: path.to_owned() }
        } else {
            Self::NotWritable { path: path.to_owned(), source }
        }
    }

    /// A failed program, told apart likewise by its output.
    pub(crate) fn program(program: &'static str, dir: &Path, output: &str) -> Self {
        if ["No space left on device", "Disk quota exceeded", "File too large"]
            .iter()
            .any(|words| output.contains(words))
        {
            return Self::DiskFull { path: dir.to_owned() };
        }
        let telling = |line: &str| ["FATAL", "PANIC", "ERROR", "error:"].iter().any(|word| line.contains(word));
        let lines: Vec<&str> = output.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let last = lines.iter().rev().copied().find(|line| telling(line)).or(lines.last().copied());
        let reason = last.unwrap_or("it said nothing").to_owned();
        if program == "pg_ctl start" && output.contains("FATAL") {
            return Self::Damaged { dir: dir.to_owned(), reason };
        }
        Self::Program { program, reason }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use super::*;

    #[test]
    fn a_failed_write_says_what_to_do() {
        let said = |kind: ErrorKind| ClusterError::writing(Path::new("/data"), Error::from(kind)).to_string();
        for full in [ErrorKind::StorageFull, ErrorKind::QuotaExceeded, ErrorKind::FileTooLarge] {
            assert_eq!(
                said(full),
                "the disk that holds /data is full: free some space and start again; nothing is lost"
            );
        }
        for closed in [ErrorKind::ReadOnlyFilesystem, ErrorKind::PermissionDenied] {
            let said = said(closed);
            assert!(said.starts_with("cannot write to /data: ") && said.contains("--data-dir"), "{said}");
        }
    }
}
