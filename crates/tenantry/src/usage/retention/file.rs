//! An archive file: the events of a tenant's month as lines of JSON, compressed with Zstandard. It appears under its
//! name when it is whole and durable, and not before.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, BufWriter, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::month::Month;

/// Small files at a speed that the database does not outrun.
const LEVEL: i32 = 9;

/// The name of a part's file below the archive folder. Part 1 has the plain one.
pub(super) fn name(tenant: Uuid, month: Month, part: i32) -> String {
    match part {
        1 => format!("{tenant}/{month}.ndjson.zst"),
        later => format!("{tenant}/{month}.{later}.ndjson.zst"),
    }
}

/// A file that is being written, under another name than it will have.
pub(super) struct Writing {
    folder: PathBuf,
    path: PathBuf,
    written_at: PathBuf,
    encoder: zstd::Encoder<'static, BufWriter<File>>,
    digest: Sha256,
    lines: i64,
}

/// A file that is durable under its name.
pub(super) struct Written {
    /// SHA-256 of its lines.
    pub(super) digest: [u8; 32],
    /// How many they are.
    pub(super) lines: i64,
}

impl Writing {
    /// Begins the file of this name below a folder. Only the owner may read what is made here.
    pub(super) fn begin(folder: &Path, name: &str) -> io::Result<Self> {
        let path = folder.join(name);
        let own = path.parent().unwrap_or(folder);
        DirBuilder::new().recursive(true).mode(0o700).create(own)?;
        let written_at = path.with_extension("zst.partial");
        // What a run that was broken off left is begun anew.
        match fs::remove_file(&written_at) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&written_at)?;
        let mut encoder = zstd::Encoder::new(BufWriter::new(file), LEVEL)?;
        encoder.include_checksum(true)?;
        Ok(Self { folder: folder.to_owned(), path, written_at, encoder, digest: Sha256::new(), lines: 0 })
    }

    /// Adds lines, which have no line ends yet.
    pub(super) fn add(&mut self, lines: &[String]) -> io::Result<()> {
        for line in lines {
            for bytes in [line.as_bytes(), b"\n"] {
                self.digest.update(bytes);
                self.encoder.write_all(bytes)?;
            }
        }
        self.lines += i64::try_from(lines.len()).map_err(io::Error::other)?;
        Ok(())
    }

    /// Makes it durable, then gives it its name.
    pub(super) fn finish(self) -> io::Result<Written> {
        let file = self.encoder.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        fs::rename(&self.written_at, &self.path)?;
        // A name is durable with its folder, and the folder with the one above.
        for folder in self.path.parent().into_iter().chain([self.folder.as_path()]) {
            File::open(folder)?.sync_all()?;
        }
        Ok(Written { digest: self.digest.finalize().into(), lines: self.lines })
    }
}

/// Reads a file to its end, line by line, without their ends; gives SHA-256 of its lines.
pub(super) fn read(path: &Path, mut each: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<[u8; 32]> {
    let mut lines = BufReader::new(zstd::Decoder::new(File::open(path)?)?);
    let mut digest = Sha256::new();
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        digest.update(&line);
        each(line.strip_suffix(b"\n").unwrap_or(&line))?;
        line.clear();
    }
    Ok(digest.finalize().into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn lines_of(path: &Path) -> io::Result<(Vec<String>, [u8; 32])> {
        let mut lines = Vec::new();
        let digest = read(path, |line| {
            lines.push(String::from_utf8(line.to_vec()).unwrap());
            Ok(())
        })?;
        Ok((lines, digest))
    }

    #[test]
    fn a_file_appears_whole_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = name(Uuid::nil(), Month::new(2026, 5).unwrap(), 1);
        let path = folder.path().join(&file);
        // A run before was broken off.
        drop(Writing::begin(folder.path(), &file).unwrap());
        let mut writing = Writing::begin(folder.path(), &file).unwrap();
        writing.add(&["{\"a\":1}".to_owned(), "{}".to_owned()]).unwrap();
        assert!(!path.exists());
        let written = writing.finish().unwrap();
        let (lines, digest) = lines_of(&path).unwrap();
        assert_eq!((lines.as_slice(), written.lines), (["{\"a\":1}".to_owned(), "{}".to_owned()].as_slice(), 2));
        let due: [u8; 32] = Sha256::digest(b"{\"a\":1}\n{}\n").into();
        assert_eq!((written.digest, digest), (due, due));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        // Cut off anywhere, it is no file any more.
        let whole = fs::read(&path).unwrap();
        for length in [0, 1, whole.len() / 2, whole.len() - 1] {
            fs::write(&path, &whole[..length]).unwrap();
            assert!(lines_of(&path).map_or(true, |(_, digest)| digest != due), "{length} bytes");
        }
    }
}
