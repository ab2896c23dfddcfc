//! Finding the programs of the server.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::ClusterError;

/// The lowest minor of each major without known holes in row security (CVE-2025-8713, CVE-2024-10976).
const FLOOR: &[(u32, u32)] = &[(15, 14), (16, 10), (17, 6), (18, 0)];

/// The folder that holds `postgres`, `initdb` and `pg_ctl`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    dir: PathBuf,
}

impl Binaries {
    /// Looks in `TENANTRY_PG_BIN_DIR`, on PATH, in Debian's, Red Hat's and Homebrew's places; the newest that is
    /// not too old.
    pub fn find() -> Result<Self, ClusterError> {
        let mut found: Vec<((u32, u32), PathBuf)> = Vec::new();
        let mut too_old = None;
        for dir in candidates() {
            let Some((version, text)) = version_of(&dir) else {
                continue;
            };
            if supported(version) {
                found.push((version, dir));
            } else {
                too_old = Some(ClusterError::TooOld { found: text, bin: dir });
            }
        }
        found.sort();
        match found.pop() {
            Some((_, dir)) => Ok(Self { dir }),
            None => Err(too_old.unwrap_or(ClusterError::NoServer)),
        }
    }

    /// The program's path.
    pub fn program(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// A call of the program, with the libraries that were unpacked beside it.
    pub fn command(&self, name: &str) -> Command {
        command(&self.dir, name)
    }
}

fn command(dir: &Path, name: &str) -> Command {
    let mut command = Command::new(dir.join(name));
    // Packages that nobody installed, but only unpacked, keep their libraries below their own /usr/lib.
    let usr_lib = dir.ancestors().nth(3).filter(|lib| *lib != Path::new("/usr/lib") && lib.ends_with("usr/lib"));
    let libraries = usr_lib.and_then(|lib| std::fs::read_dir(lib).ok()).into_iter().flatten().filter_map(Result::ok);
    let libraries: Vec<PathBuf> =
        libraries.map(|entry| entry.path()).filter(|path| path.to_string_lossy().ends_with("-linux-gnu")).collect();
    if let Ok(path) = std::env::join_paths(&libraries)
        && !libraries.is_empty()
    {
        command.env("LD_LIBRARY_PATH", path);
    }
    command
}

fn candidates() -> Vec<PathBuf> {
    if let Some(dir) = std::env::var_os("TENANTRY_PG_BIN_DIR") {
        return vec![PathBuf::from(dir)];
    }
    let mut dirs = Vec::new();
    if let Some(path) = std::env::var_os("PATH") {
        // A link on PATH leads to the folder that has the server's other programs beside it.
        let real = |dir: PathBuf| dir.join("postgres").canonicalize().ok()?.parent().map(Path::to_path_buf);
        dirs.extend(std::env::split_paths(&path).filter_map(real));
    }
    for (parent, below) in
        [("/usr/lib/postgresql", "bin"), ("/usr", "bin"), ("/opt/homebrew/opt", "bin"), ("/usr/local/opt", "bin")]
    {
        let Ok(entries) = std::fs::read_dir(parent) else {
            continue;
        };
        dirs.extend(entries.filter_map(Result::ok).map(|entry| entry.path().join(below)));
    }
    if let Some(cache) = std::env::var_os("HOME") {
        // Where `scripts/setup.sh` unpacks the server when nobody is root.
        let unpacked = Path::new(&cache).join(".cache/tenantry/postgresql/usr/lib/postgresql");
        if let Ok(entries) = std::fs::read_dir(unpacked) {
            dirs.extend(entries.filter_map(Result::ok).map(|entry| entry.path().join("bin")));
        }
    }
    dirs.retain(|dir| ["postgres", "initdb", "pg_ctl"].iter().all(|name| dir.join(name).is_file()));
    dirs.sort();
    dirs.dedup();
    dirs
}

fn version_of(dir: &Path) -> Option<((u32, u32), String)> {
    let output = command(dir, "postgres").arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let number = text.split_whitespace().find(|word| word.starts_with(|first: char| first.is_ascii_digit()))?;
    let digits = |part: &str| part.chars().take_while(char::is_ascii_digit).collect::<String>().parse::<u32>().ok();
    let mut parts = number.split('.');
    let major = digits(parts.next()?)?;
    let minor = parts.next().and_then(digits).unwrap_or(0);
    Some(((major, minor), number.to_owned()))
}

fn supported((major, minor): (u32, u32)) -> bool {
    match FLOOR.iter().find(|(floor, _)| *floor == major) {
        Some((_, least)) => minor >= *least,
        None => FLOOR.last().is_some_and(|(newest, _)| major > *newest),
    }
}

#[cfg(test)]
mod tests {
    use super::supported;

    #[test]
    fn servers_with_known_holes_are_not_taken() {
        for (version, ok) in [
            ((14, 99), false),
            ((15, 13), false),
            ((15, 14), true),
            ((16, 9), false),
            ((16, 10), true),
            ((17, 5), false),
            ((17, 6), true),
            ((18, 0), true),
            ((19, 0), true),
        ] {
            assert_eq!(supported(version), ok, "{version:?}");
        }
    }
}
