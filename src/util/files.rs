//! Creates files and folders that only their owner can read, and replaces files atomically.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;

/// Creates a folder that only its owner can read. Does nothing if the folder already exists.
pub fn create_private_folder(folder: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(folder)
}

/// Opens a file for reading and writing; creates it, readable by its owner only, if it does not exist.
pub fn open_private(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Replaces the content of the file `path`, so that a crash leaves either the complete old content or the complete new
/// content: writes a new file in the same folder, flushes it to disk, and renames it to `path`. Only its owner can read the
/// new file.
pub fn replace_file(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let new_path = path.with_added_extension("new");
    let mut file = open_private(&new_path)?;
    file.set_len(0)?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(new_path, path)
}
