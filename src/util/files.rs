//! Private files and folders, and files that are replaced whole.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;

/// Creates a folder that only its owner can read, unless it exists.
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

/// Replaces a file, which only its owner can read: writes a new file beside it, flushes it and renames it, so that a crash leaves
/// the old or the new content whole.
pub fn replace_file(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let new_path = path.with_added_extension("new");
    let mut file = open_private(&new_path)?;
    file.set_len(0)?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(new_path, path)
}
