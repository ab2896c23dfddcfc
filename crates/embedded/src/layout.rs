//! Where things lie in a data folder.

use std::fmt::Write as _;
use std::fs::{self, File, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::ClusterError;
use crate::server_user::ServerUser;

/// Where clusters lie that cannot lie in their data folder.
const ELSEWHERE: &str = "/var/lib/tenantry";
/// A socket's path has at most 107 bytes, `/.s.PGSQL.65535` among them.
const LONGEST_SOCKET_DIR: usize = 90;

/// The folders and files of one cluster.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    /// The product's data folder, absolute.
    pub(crate) data_dir: PathBuf,
    /// The folder of the cluster; the server's user owns it.
    pub(crate) home: PathBuf,
}

impl Layout {
    /// Finds or chooses the place of the cluster and makes its folders.
    pub(crate) fn prepare(data_dir: &Path, user: ServerUser) -> Result<Self, ClusterError> {
        fs::create_dir_all(data_dir).map_err(|source| ClusterError::writing(data_dir, source))?;
        let data_dir = data_dir.canonicalize().map_err(|source| ClusterError::writing(data_dir, source))?;
        let layout = match Self::find(&data_dir)? {
            Some(layout) => layout,
            None => Self::choose(data_dir, user)?,
        };
        if !layout.home.is_dir() {
            fs::create_dir_all(&layout.home).map_err(|source| ClusterError::writing(&layout.home, source))?;
        }
        user.own(&layout.home)?;
        set_mode(&layout.home, 0o700)?;
        Ok(layout)
    }

    /// The place of the cluster that the folder has already.
    pub(crate) fn find(data_dir: &Path) -> Result<Option<Self>, ClusterError> {
        let Ok(data_dir) = data_dir.canonicalize() else {
            return Ok(None);
        };
        let home = match fs::read_to_string(data_dir.join("cluster-location")) {
            Ok(text) => PathBuf::from(text.trim()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => data_dir.join("postgres"),
            Err(source) => {
                return Err(ClusterError::writing(&data_dir.join("cluster-location"), source));
            }
        };
        Ok(home.is_dir().then_some(Self { data_dir, home }))
    }

    fn choose(data_dir: PathBuf, user: ServerUser) -> Result<Self, ClusterError> {
        let home = data_dir.join("postgres");
        if user.reaches(&home) {
            return Ok(Self { data_dir, home });
        }
        let mut name = String::new();
        for byte in &Sha256::digest(data_dir.as_os_str().as_bytes())[..8] {
            // Writing to a String cannot fail.
            let _ = write!(name, "{byte:02x}");
        }
        let home = Path::new(ELSEWHERE).join(name);
        let pointer = data_dir.join("cluster-location");
        fs::write(&pointer, format!("{}\n", home.display()))
            .map_err(|source| ClusterError::writing(&pointer, source))?;
        Ok(Self { data_dir, home })
    }

    pub(crate) fn pgdata(&self) -> PathBuf {
        self.home.join("pgdata")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.home.join("startup.log")
    }

    pub(crate) fn password_file(&self) -> PathBuf {
        self.data_dir.join("database-password")
    }

    /// The socket's folder, where the path is short enough for one.
    pub(crate) fn socket_dir(&self) -> Option<PathBuf> {
        (self.home.as_os_str().len() <= LONGEST_SOCKET_DIR).then(|| self.home.clone())
    }
}

pub(crate) fn set_mode(path: &Path, mode: u32) -> Result<(), ClusterError> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(|source| ClusterError::writing(path, source))
}

/// Holds the data folder for this process; given back when it is dropped or the process ends.
#[derive(Debug)]
pub(crate) struct FolderLock {
    _file: File,
}

impl FolderLock {
    pub(crate) fn take(data_dir: &Path) -> Result<Self, ClusterError> {
        let path = data_dir.join("tenantry.lock");
        let mut file = File::options()
            .create(true)
            .read(true)
            .write(true)
            .truncate(false)
            .open(&path)
            .map_err(|source| ClusterError::writing(&path, source))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                // Only for the message: an unreadable pid leaves it empty.
                let _ = file.read_to_string(&mut pid);
                return Err(ClusterError::InUse { dir: data_dir.to_owned(), pid: pid.trim().to_owned() });
            }
            Err(TryLockError::Error(source)) => return Err(ClusterError::writing(&path, source)),
        }
        let write = |file: &mut File| {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{}", std::process::id())
        };
        write(&mut file).map_err(|source| ClusterError::writing(&path, source))?;
        Ok(Self { _file: file })
    }
}
