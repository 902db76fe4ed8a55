//! Which files there are.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Path from the top of the tree, and text.
pub type Text = (String, String);

/// The top of the tree.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The service's own sources, tests left out.
pub fn rust() -> Vec<Text> {
    let paths = walk(&root().join("src")).into_iter().filter(|path| path.ends_with(".rs") && !is_test(path));
    text_files(&paths.collect::<Vec<_>>())
}

/// The sources of the client and the dashboard, tests left out.
pub fn python() -> Vec<Text> {
    let paths = ["client", "dashboard"].iter().flat_map(|folder| walk(&root().join(folder)));
    let paths = paths.filter(|path| path.ends_with(".py") && !is_test(path));
    text_files(&paths.collect::<Vec<_>>())
}

/// The pages of the operations guide.
pub fn guide() -> Vec<Text> {
    text_files(&walk(&root().join("doc/source/operations")))
}

fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

/// The files that git knows; without git (an unpacked archive) all but what is made by building.
pub fn tracked() -> Vec<String> {
    let listing = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output();
    match listing {
        Ok(listing) if listing.status.success() && !listing.stdout.is_empty() => {
            let names = String::from_utf8_lossy(&listing.stdout).into_owned();
            names.split('\0').filter(|name| !name.is_empty()).map(str::to_owned).collect()
        }
        _ => walk(&root()),
    }
}

/// The texts of those files; what is gone or is not text is left out.
pub fn text_files(paths: &[String]) -> Vec<Text> {
    let read = |path: &String| Some((path.clone(), std::fs::read_to_string(root().join(path)).ok()?));
    paths.iter().filter_map(read).collect()
}

fn walk(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let skipped = name == "target" || name == "build" || name.to_string_lossy().starts_with('.');
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if !skipped {
                    folders.push(path);
                }
            } else if let Ok(path) = path.strip_prefix(root()) {
                found.push(path.to_string_lossy().replace('\\', "/"));
            }
        }
    }
    found.sort();
    found
}
