//! All that a laboratory holds, as text; and what must always be true of it.

use std::collections::BTreeMap;
use std::fmt::Write;

use ratoon::domain::disk::{DiskKind, LayerRole};
use ratoon::domain::operation::OperationStatus;
use ratoon::domain::server::ServerStatus;
use ratoon::domain::snapshot::SnapshotStatus;
use ratoon::drivers::fake::dump::{Detail, fingerprint};
use ratoon::store::Page;
use ratoon::store::operations::OperationFilter;

use crate::lab::Lab;

/// Replaces every id by its place of first appearance, so that two worlds with other ids can be compared.
pub fn without_ids(text: &str) -> String {
    let mut known: BTreeMap<String, usize> = BTreeMap::new();
    let mut out = String::new();
    let mut word = String::new();
    let mut flush = |word: &mut String, out: &mut String| {
        for (place, part) in split_ids(word).into_iter().enumerate() {
            if place % 2 == 1 {
                let next = known.len() + 1;
                let _ = write!(out, "#{}", known.entry(part).or_insert(next));
            } else {
                out.push_str(&part);
            }
        }
        word.clear();
    };
    for c in text.chars() {
        if c.is_ascii_alphanumeric() || c == '-' {
            word.push(c);
        } else {
            flush(&mut word, &mut out);
            out.push(c);
        }
    }
    flush(&mut word, &mut out);
    out
}

/// A word in parts: plain, id, plain, id, …
fn split_ids(word: &str) -> Vec<String> {
    let is_uuid = |text: &str| {
        text.len() == 36
            && text
                .bytes()
                .enumerate()
                .all(|(at, byte)| if [8, 13, 18, 23].contains(&at) { byte == b'-' } else { byte.is_ascii_hexdigit() })
    };
    let start = word.len().saturating_sub(36);
    if word.is_ascii() && is_uuid(&word[start..]) {
        return vec![word[..start].to_owned(), word[start..].to_owned()];
    }
    let number = word.rsplit('-').next().unwrap_or_default();
    if number.len() == 6 && number.bytes().all(|byte| byte.is_ascii_digit()) {
        return vec![String::new(), word.to_owned()];
    }
    vec![word.to_owned()]
}

impl Lab {
    /// The tree with its storage side, without what is only a measurement.
    pub async fn tree_text(&self) -> String {
        let Some(tree) = self.world.store.tree(self.server).await.unwrap() else {
            return "branches [] current None equals None\n".to_owned(); // as a record without anything
        };
        let mut text = String::new();
        let branch = |id| tree.forest.branch(id).map_or("?", |branch| branch.name.as_str()).to_owned();
        let mut layers: BTreeMap<_, _> = BTreeMap::new();
        for layer in &tree.layers {
            let next = layers.len();
            layers.insert(layer.id, next);
        }
        let part_name = |id| {
            let part = tree.disk_snapshots.iter().find(|part| part.id == id);
            part.map_or("gone".to_owned(), |part| {
                let node = tree.snapshots.iter().find(|node| node.id == part.snapshot_id);
                format!("{}/{}", node.map_or("?", |node| node.name.as_str()), part.position)
            })
        };
        for (depth, node) in tree.forest.preorder() {
            let here = if tree.forest.current == Some(node.id) { " <- you are here" } else { "" };
            let _ = writeln!(
                text,
                "{}{} on {} {}{}{}{}{here}",
                "  ".repeat(depth),
                node.name,
                branch(node.branch_id),
                node.status.as_str(),
                if node.hidden { " hidden" } else { "" },
                if node.safety { " safety" } else { "" },
                if node.at_rest { " at rest" } else { "" },
            );
            for part in tree.disks_of(node.id) {
                let shared =
                    if part.origin == part.id { String::new() } else { format!(" shares {}", part_name(part.origin)) };
                let bytes = self.cloud.snapshot_bytes(&tree.layer(part.layer_id).unwrap().backend_id, &part.backend_id);
                let _ = writeln!(
                    text,
                    "{}  disk {} on layer {} tag {:?} {}{shared}",
                    "  ".repeat(depth),
                    part.position,
                    layers[&part.layer_id],
                    part.attachment.tag,
                    bytes.map_or("MISSING".to_owned(), |bytes| fingerprint(&bytes)),
                );
            }
        }
        let mut branches: Vec<String> = tree.forest.branches.iter().map(|branch| branch.name.clone()).collect();
        branches.sort();
        let current = tree.forest.current_branch.map(branch);
        let equals =
            tree.record.equals_snapshot_id.map(|id| tree.snapshot(id).map_or("?".to_owned(), |node| node.name.clone()));
        let _ = writeln!(text, "branches {branches:?} current {current:?} equals {equals:?}");
        let volumes = self.cloud.peek(self.server).map(|facts| facts.volumes).unwrap_or_default();
        for layer in &tree.layers {
            // That a volume was detached by hand is noted by the next look, whatever comes of what was asked for.
            let here =
                layer.kind != DiskKind::Volume || volumes.iter().any(|volume| volume.volume_id == layer.backend_id);
            let role = if layer.role == LayerRole::Head && !here { LayerRole::Detached } else { layer.role };
            let _ = writeln!(
                text,
                "layer {} {} of {} parent {:?} equals {:?} backend {}",
                layers[&layer.id],
                role.as_str(),
                layer.disk_id,
                layer.parent.map(part_name),
                layer.equals.map(part_name),
                layer.backend_id,
            );
        }
        text
    }

    /// All of it, comparable with another laboratory's.
    pub async fn text(&self, detail: Detail) -> String {
        without_ids(&format!("{}{}", self.tree_text().await, self.cloud.dump(detail)))
    }

    /// What must be true whenever no operation runs.
    pub async fn must_be_clean(&self, what: &str) {
        let filter = OperationFilter::default();
        let page = Page { limit: 1000, ..Page::default() };
        for operation in self.world.store.operations(&filter, &page).await.unwrap() {
            assert!(operation.status.is_final(), "{what}: operation {} is {:?}", operation.kind, operation.status);
            assert_eq!(
                operation.status == OperationStatus::Succeeded,
                operation.error.is_none(),
                "{what}: {:?}",
                operation.error
            );
        }
        if let Some(facts) = self.cloud.peek(self.server) {
            assert_ne!(facts.status, ServerStatus::Paused, "{what}: the server is still paused");
            let ours = facts.locked_reason.as_deref().is_some_and(|reason| reason.starts_with("ratoon"));
            assert!(!ours, "{what}: the server is still locked: {:?}", facts.locked_reason);
        }
        let Some(tree) = self.world.store.tree(self.server).await.unwrap() else { return };
        assert_eq!(tree.record.operation_id, None, "{what}: the lease is still held");
        tree.forest.check().unwrap();
        self.storage_must_equal_tree(what).await;
    }

    /// Every row has its object, and every object of ours its row.
    async fn storage_must_equal_tree(&self, what: &str) {
        let tree = self.tree().await;
        let objects = self.cloud.our_objects();
        for layer in &tree.layers {
            assert_ne!(layer.role, LayerRole::Preparing, "{what}: a layer is still being made: {layer:?}");
            if layer.role != LayerRole::Detached {
                let there = objects.disks.iter().any(|(id, _)| *id == layer.backend_id);
                assert!(there, "{what}: layer {} of {} has no disk {}", layer.id, layer.key, layer.backend_id);
            }
        }
        for part in &tree.disk_snapshots {
            let disk = &tree.layer(part.layer_id).unwrap().backend_id;
            let name = format!("ratoon-{}", part.origin);
            let there =
                objects.snapshots.iter().any(|(on, id, named)| on == disk && *id == part.backend_id && *named == name);
            let node = tree.snapshot(part.snapshot_id).unwrap();
            let halfway_gone = node.hidden || node.status == SnapshotStatus::Error && node.safety;
            assert!(
                there || halfway_gone,
                "{what}: part {} of {} ({:?}) has no snapshot on {disk}",
                part.position,
                node.name,
                node.status
            );
        }
        self.nothing_may_be_orphaned(what).await;
    }

    /// Every object of ours has its row.
    pub async fn nothing_may_be_orphaned(&self, what: &str) {
        let tree = self.tree().await;
        let objects = self.cloud.our_objects();
        for (id, name) in objects.disks.iter().filter(|(_, name)| name.starts_with("ratoon.")) {
            let known = tree.layers.iter().any(|layer| layer.backend_id == *id);
            assert!(known, "{what}: nobody knows of disk {name}");
        }
        for (_, _, name) in objects.snapshots.iter().filter(|(_, _, name)| name.starts_with("ratoon-")) {
            let known = tree.disk_snapshots.iter().any(|part| *name == format!("ratoon-{}", part.origin));
            assert!(known, "{what}: nobody knows of {name}");
        }
    }
}
