//! Whom the server runs as.

use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use crate::ClusterError;

/// The user that the server runs as: ourselves, or, where we are root, somebody without privileges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServerUser {
    Ourselves,
    Other { uid: u32, gid: u32 },
}

impl ServerUser {
    pub(crate) fn choose() -> Result<Self, ClusterError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self::Ourselves);
        }
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        ["postgres", "nobody"].iter().find_map(|name| lookup(&passwd, name)).ok_or(ClusterError::NoUser)
    }

    /// Makes a program run as this user, apart from our terminal: Ctrl-C is ours to handle.
    pub(crate) fn apply(self, command: &mut Command) {
        if let Self::Other { uid, gid } = self {
            command.uid(uid).gid(gid);
        }
        command.process_group(0);
    }

    /// Gives a file or folder to this user.
    pub(crate) fn own(self, path: &Path) -> Result<(), ClusterError> {
        match self {
            Self::Ourselves => Ok(()),
            Self::Other { uid, gid } => std::os::unix::fs::chown(path, Some(uid), Some(gid))
                .map_err(|source| ClusterError::writing(path, source)),
        }
    }

    /// Whether this user can walk to a folder: each one above it must let others through.
    pub(crate) fn reaches(self, dir: &Path) -> bool {
        match self {
            Self::Ourselves => true,
            Self::Other { uid, gid } => dir.ancestors().skip(1).all(|above| {
                std::fs::metadata(above).is_ok_and(|meta| {
                    let mode = meta.mode();
                    mode & 0o001 != 0
                        || (meta.uid() == uid && mode & 0o100 != 0)
                        || (meta.gid() == gid && mode & 0o010 != 0)
                })
            }),
        }
    }
}

fn lookup(passwd: &str, name: &str) -> Option<ServerUser> {
    let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2);
    Some(ServerUser::Other { uid: fields.next()?.parse().ok()?, gid: fields.next()?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_their_whole_name() {
        let passwd = "root:x:0:0::/root:/bin/sh\npostgres2:x:9:9::/:/bin/sh\npostgres:x:105:113::/:/bin/sh\n";
        assert_eq!(lookup(passwd, "postgres"), Some(ServerUser::Other { uid: 105, gid: 113 }));
        assert_eq!(lookup(passwd, "nobody"), None);
    }
}
