//! Policy files: one file, then those of some folders by name; what stands later goes before. They are read again when they
//! change. What cannot be used is refused as a whole, and what was read before goes on to hold.

use std::collections::BTreeMap;
use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::rules::Rules;
use crate::clock::Instant;
use crate::error::{Error, Kind, Result};

/// How long what was read is believed without a look at the files.
const BELIEVED: Duration = Duration::from_secs(1);

/// Where rules are written.
#[derive(Debug, Clone)]
pub struct PolicyFilesSettings {
    /// The file; it need not be there.
    pub file: PathBuf,
    /// Folders of more; they need not be there.
    pub folders: Vec<PathBuf>,
    /// The rule that answers for those that are not there.
    pub default_rule: String,
}

/// The rules as the files have them now.
pub struct PolicyFiles {
    settings: PolicyFilesSettings,
    defaults: Vec<(&'static str, &'static str)>,
    rules: ArcSwap<Rules>,
    /// What the files looked like when they were last read, and when that was last compared.
    seen: Mutex<(Stamps, Instant)>,
}

/// Each file with what changes when it does: times, size, and the file itself.
type Stamps = Vec<(PathBuf, [i64; 4])>;

impl PolicyFiles {
    /// Reads them. `defaults` hold where they say nothing.
    ///
    /// # Errors
    /// `BadRequest` naming the file that cannot be used.
    pub fn open(settings: PolicyFilesSettings, defaults: &[(&'static str, &'static str)]) -> Result<Self> {
        let stamps = stamps(&settings)?;
        let rules = read(&settings, &stamps, defaults)?;
        Ok(Self {
            rules: ArcSwap::from_pointee(rules),
            seen: Mutex::new((stamps, Instant::now())),
            defaults: defaults.to_vec(),
            settings,
        })
    }

    /// The rules that hold now. Looks at the files if that was not done for a second.
    pub fn rules(&self) -> Arc<Rules> {
        self.look(BELIEVED);
        self.rules.load_full()
    }

    fn look(&self, believed: Duration) {
        // Whoever comes while another looks takes what there is.
        let Ok(mut seen) = self.seen.try_lock() else { return };
        if seen.1.elapsed() < believed {
            return;
        }
        seen.1 = Instant::now();
        let read = stamps(&self.settings).and_then(|now| {
            if now == seen.0 {
                return Ok(false);
            }
            seen.0.clone_from(&now);
            self.rules.store(Arc::new(read(&self.settings, &now, &self.defaults)?));
            Ok(true)
        });
        match read {
            Ok(true) => tracing::info!("the policy files have changed and were read again"),
            Ok(false) => {}
            Err(error) => {
                tracing::error!(error = %error.chain(), "the policy files cannot be used; the rules stay as they were");
            }
        }
    }

    /// Looks at the files at once, whenever that was last done.
    pub fn look_now(&self) {
        self.look(Duration::ZERO);
    }
}

/// The files that are there, in their order.
fn stamps(settings: &PolicyFilesSettings) -> Result<Stamps> {
    let mut paths = Vec::new();
    if is_there(&settings.file)? {
        paths.push(settings.file.clone());
    }
    for folder in &settings.folders {
        if !is_there(folder)? {
            continue;
        }
        let entries = std::fs::read_dir(folder).and_then(|entries| entries.collect::<std::io::Result<Vec<_>>>());
        let mut files: Vec<_> =
            entries.map_err(|error| unreadable(folder, &error))?.iter().map(std::fs::DirEntry::path).collect();
        files.retain(|path| path.is_file() && !is_hidden(path));
        files.sort();
        paths.extend(files);
    }
    let stamp = |path: PathBuf| {
        let now = std::fs::metadata(&path).map_err(|error| unreadable(&path, &error))?;
        let inode = now.ino().cast_signed();
        Ok((path, [now.mtime(), now.mtime_nsec(), now.size().cast_signed(), inode]))
    };
    paths.into_iter().map(stamp).collect()
}

/// Not that it cannot be seen: the defaults would hold where the operator has written something else.
fn is_there(path: &Path) -> Result<bool> {
    path.try_exists().map_err(|error| unreadable(path, &error))
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

fn read(settings: &PolicyFilesSettings, files: &Stamps, defaults: &[(&str, &str)]) -> Result<Rules> {
    let mut written = Vec::new();
    for (path, _) in files {
        let text = std::fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
        let rules = parse(&text).map_err(|error| in_file(path, &error.to_string()))?;
        // Each by itself, so that the error names it.
        Rules::new(&[], &rules, "").map_err(|error| in_file(path, &error.chain()))?;
        written.extend(rules);
    }
    let rules = Rules::new(defaults, &written, &settings.default_rule)?;
    for (missing, by) in rules.undefined() {
        tracing::warn!(rule = by, missing, "a policy rule refers to one that is not there: nobody is allowed by that");
    }
    Ok(rules)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    Error::new(Kind::BadRequest, format!("The policy file {} cannot be read ({error}).", path.display()))
        .remedy("Make it readable for the user that Ratoon runs as.")
}

fn in_file(path: &Path, why: &str) -> Error {
    Error::new(Kind::BadRequest, format!("The policy file {} cannot be used: {why}", path.display()))
        .remedy("Correct it. `ratoon manage policy sample` prints each rule with its default.")
}

/// Names and what stands behind them, in YAML or JSON. Of two that have the same name the later one holds, as in Python.
fn parse(text: &str) -> std::result::Result<Vec<(String, Value)>, serde_norway::Error> {
    let file: Option<File> = serde_norway::from_str(text)?;
    Ok(file.map(|file| file.0.into_iter().collect()).unwrap_or_default())
}

struct File(BTreeMap<String, Value>);

impl<'de> Deserialize<'de> for File {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = File;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("rules by name, such as \"server-snapshot:snapshot:create\": \"role:member\"")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<File, A::Error> {
                let mut rules = BTreeMap::new();
                while let Some((name, value)) = map.next_entry()? {
                    rules.insert(name, value);
                }
                Ok(File(rules))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}
