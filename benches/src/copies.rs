//! Copies of stores that are open, as a killed process would leave them.

use std::fs;
use std::io;
use std::path::Path;

/// Copies MANIFEST first, so that every segment it names is there to be copied after it.
pub fn copy_store(source: &Path, target: &Path) -> io::Result<()> {
    copy_file(&source.join("MANIFEST"), &target.join("MANIFEST"))?;
    copy_rest(source, target)
}

fn copy_rest(source: &Path, target: &Path) -> io::Result<()> {
    for entry in fs::read_dir(source)? {
        let entry = entry?;
        let to = target.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            fs::create_dir(&to)?;
            copy_rest(&entry.path(), &to)?;
        } else if entry.file_name() != "MANIFEST" {
            copy_file(&entry.path(), &to)?;
        }
    }
    fs::File::open(target)?.sync_all()
}

fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    fs::copy(from, to)?;
    fs::File::open(to)?.sync_all()
}
