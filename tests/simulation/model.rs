//! What should be there, byte for byte. It knows nothing of layers, clones or attachments: only of disks and moments.

use std::collections::BTreeMap;

use ratoon::drivers::fake::scribble;
use ratoon::ids::SnapshotId;

/// A disk through all its replacements.
pub type Line = String;

/// A disk's content at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    pub line: Line,
    /// Whether it is a volume.
    pub volume: bool,
    pub bytes: Vec<u64>,
}

/// A node: its disks in order, and the lines that were left out on purpose.
#[derive(Debug, Clone)]
pub struct Node {
    pub disks: Vec<Disk>,
    pub left_out: Vec<Line>,
}

/// See the module's text.
#[derive(Debug, Clone, Default)]
pub struct Model {
    /// The server's disks in order.
    pub live: Vec<Disk>,
    pub nodes: BTreeMap<SnapshotId, Node>,
    /// Volumes that the owner has detached, by id.
    pub loose: BTreeMap<String, Disk>,
}

/// The guest writes on all of these.
pub fn write(disks: &mut [Disk], number: u64) {
    for disk in disks {
        scribble(&mut disk.bytes, number);
    }
}

impl Model {
    /// The live disks after all of `node` has come back.
    pub fn after_whole(&self, node: &Node) -> Vec<Disk> {
        let mut after: Vec<Disk> =
            self.live.iter().filter(|disk| !disk.volume && !node.has(&disk.line)).cloned().collect();
        after.extend(node.disks.iter().cloned());
        after.sort_by(|a, b| (a.volume, named(a)).cmp(&(b.volume, named(b))));
        let mut taken: Vec<&Line> = Vec::new();
        for disk in self.live.iter().filter(|disk| disk.volume) {
            // The first of a line gives way to the node's, if the node has one.
            let gives_way = node.has(&disk.line) && !taken.contains(&&disk.line);
            taken.push(&disk.line);
            if !gives_way && node.left_out.contains(&disk.line) {
                after.push(disk.clone());
            }
        }
        after
    }

    /// The live disks after one of a node's has come back.
    pub fn after_one(&self, disk: &Disk) -> Vec<Disk> {
        let mut after = self.live.clone();
        match after.iter_mut().find(|live| live.line == disk.line) {
            Some(live) => live.bytes.clone_from(&disk.bytes),
            None => after.push(disk.clone()),
        }
        after
    }

    /// Whether some node holds just this.
    pub fn is_kept(&self, disk: &Disk) -> bool {
        self.nodes.values().any(|node| node.disks.iter().any(|kept| kept.line == disk.line && kept.bytes == disk.bytes))
    }
}

impl Node {
    pub fn has(&self, line: &Line) -> bool {
        self.disks.iter().any(|disk| disk.line == *line)
    }

    /// Whether it left out a disk of the same line as one that it has. Which is which, the model, that knows no ids, cannot say.
    pub fn is_ambiguous(&self) -> bool {
        self.left_out.iter().any(|line| self.has(line))
    }
}

/// Named disks stand by name, volumes as they are (the sort is stable).
fn named(disk: &Disk) -> &str {
    if disk.volume { "" } else { &disk.line }
}
