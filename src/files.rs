//! Files of this machine.

use std::path::Path;

/// Makes a folder that only its owner can read, unless it is there.
///
/// # Errors
/// What the system said.
pub fn make_private(folder: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(folder)
}
