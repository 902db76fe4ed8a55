//! The acts, each followed by a comparison with the model.

use std::sync::{Arc, Mutex};

use ratoon::app::Answer;
use ratoon::app::snapshot_delete::HowToDelete;
use ratoon::domain::operation::{EventKind, Operation, OperationStatus};
use ratoon::domain::snapshot::Consistency;
use ratoon::drivers::fake::faults::{Harm, When, Which};
use ratoon::ids::{OperationId, SnapshotId};
use ratoon::operations::Verdict;

use crate::lab::Lab;
use crate::model::{Disk, Model, Node, write};
use crate::random::Random;

/// One seed's world.
pub struct Simulation {
    lab: Lab,
    model: Model,
    random: Random,
    story: Arc<Mutex<Vec<String>>>,
    volumes: usize,
}

/// What the guest wrote while an operation was at work.
#[derive(Default)]
struct Written {
    /// Numbers of the writes before the moment that counts.
    before: Vec<u64>,
    /// And after it.
    after: Vec<u64>,
    /// Whether that moment has come.
    come: bool,
}

/// An operation that has ended.
struct Ended {
    operation: Operation,
    written: Written,
}

impl Simulation {
    pub async fn new(seed: u64, story: Arc<Mutex<Vec<String>>>) -> Self {
        let lab = if seed % 4 == 3 { Lab::with_a_bare_server().await } else { Lab::with_a_server().await };
        let live = lab.cloud.live_bytes(lab.server).into_iter();
        let live = live.map(|(key, bytes)| Disk { volume: !key.starts_with("disk"), line: key, bytes }).collect();
        if seed % 2 == 1 {
            lab.cloud.let_clones_go();
        }
        let model = Model { live, ..Model::default() };
        Self { lab, model, random: Random::new(seed), story, volumes: 0 }
    }

    fn tell(&self, what: String) {
        self.story.lock().unwrap().push(what);
    }

    pub async fn run(mut self, acts: usize) {
        for _ in 0..acts {
            match self.random.below(100) {
                0..16 => self.guest_writes(),
                16..24 => self.owner_turns_power(),
                24..29 => self.owner_attaches(),
                29..32 => self.owner_detaches(),
                32..34 => self.owner_uses_a_parked_volume(),
                34..57 => self.captures().await,
                57..76 => self.restores().await,
                76..84 => self.restores_one_disk().await,
                84..96 => self.deletes().await,
                _ => self.sweeps().await,
            }
            self.compare().await;
        }
    }

    fn guest_writes(&mut self) {
        if let Some(number) = self.lab.cloud.guest_write(self.lab.server) {
            write(&mut self.model.live, number);
            self.tell(format!("the guest writes {number}"));
        }
    }

    fn owner_turns_power(&mut self) {
        let server = self.lab.server;
        if self.lab.status() == "ACTIVE" {
            self.lab.cloud.owner_stop(server).unwrap();
            let number = *self.lab.cloud.last_words(server).last().unwrap();
            write(&mut self.model.live, number);
            self.tell(format!("the owner stops the server; last write {number}"));
        } else {
            self.lab.cloud.owner_start(server).unwrap();
            self.tell("the owner starts the server".into());
        }
    }

    fn owner_attaches(&mut self) {
        let loose: Vec<String> = self.model.loose.keys().cloned().collect();
        let (id, disk) = match self.random.pick(&loose) {
            Some(id) if self.random.percent(60) => (id.clone(), self.model.loose.remove(id).unwrap()),
            _ if self.volumes < 4 => {
                self.volumes += 1;
                let line = format!("extra-{}", self.volumes);
                let id = self.lab.cloud.add_volume(&line);
                (id, Disk { line, volume: true, bytes: vec![0; ratoon::drivers::fake::SECTORS] })
            }
            _ => return,
        };
        self.lab.cloud.owner_attach(self.lab.server, &id, &Default::default()).unwrap();
        self.tell(format!("the owner attaches {id} of {}", disk.line));
        self.model.live.push(disk);
    }

    fn owner_detaches(&mut self) {
        let attached = self.lab.volumes();
        let Some(id) = self.random.pick(&attached).cloned() else { return };
        let place = attached.iter().position(|other| *other == id).unwrap();
        let named = self.model.live.iter().filter(|disk| !disk.volume).count();
        self.lab.cloud.owner_detach(self.lab.server, &id).unwrap();
        let disk = self.model.live.remove(named + place);
        self.tell(format!("the owner detaches {id} of {}", disk.line));
        self.model.loose.insert(id, disk);
    }

    fn owner_uses_a_parked_volume(&mut self) {
        let attached = self.lab.volumes();
        let objects = self.lab.cloud.our_objects();
        let parked: Vec<String> = objects
            .disks
            .into_iter()
            .filter(|(id, name)| *name == format!("ratoon.{id}") && id.starts_with("volume"))
            .map(|(id, _)| id)
            .filter(|id| !attached.contains(id) && !self.model.loose.contains_key(id))
            .collect();
        if let Some(id) = self.random.pick(&parked) {
            self.lab.cloud.owner_scribble(id).unwrap();
            self.tell(format!("the owner writes on the parked {id}"));
        }
    }

    async fn captures(&mut self) {
        let levels = [Consistency::Auto, Consistency::Crash, Consistency::None];
        let consistency = *self.random.pick(&levels).unwrap();
        let volumes = self.lab.volumes();
        let named = self.model.live.iter().filter(|disk| !disk.volume).count();
        let mut left_out = Vec::new();
        if self.random.percent(20)
            && let Some(id) = self.random.pick(&volumes)
        {
            left_out.push((id.clone(), volumes.iter().position(|other| other == id).unwrap() + named));
        }
        let exclude: Vec<String> = left_out.iter().map(|(id, _)| id.clone()).collect();
        let asked = self
            .lab
            .ask_capture("n", |request| {
                request.consistency = consistency;
                request.exclude_disks = exclude.clone();
            })
            .await;
        let id = match asked {
            Ok(id) => id,
            Err(error) => return self.tell(format!("capture refused: {error}")),
        };
        let ended = self.carry_out(id, "capture").await;
        for number in &ended.written.before {
            write(&mut self.model.live, *number);
        }
        if ended.operation.status == OperationStatus::Succeeded {
            let places: Vec<usize> = left_out.iter().map(|(_, place)| *place).collect();
            let disks = self.model.live.iter().enumerate().filter(|(place, _)| !places.contains(place));
            let node = Node {
                disks: disks.map(|(_, disk)| disk.clone()).collect(),
                left_out: places.iter().map(|place| self.model.live[*place].line.clone()).collect(),
            };
            self.model.nodes.insert(ended.operation.snapshot_id, node);
            assert_eq!(self.lab.tree().await.forest.current, Some(ended.operation.snapshot_id));
        }
        for number in &ended.written.after {
            write(&mut self.model.live, *number);
        }
    }

    async fn known_nodes(&self) -> Vec<SnapshotId> {
        match self.lab.world.store.tree(self.lab.server).await.unwrap() {
            Some(tree) => tree.forest.nodes.iter().filter(|node| !node.hidden).map(|node| node.id).collect(),
            None => vec![],
        }
    }

    /// A node, all that grew from one, a branch, or all.
    async fn deletes(&mut self) {
        let known = self.known_nodes().await;
        let Some(target) = self.random.pick(&known).copied() else { return };
        let tree = self.lab.tree().await;
        let how = HowToDelete { subtree: self.random.percent(20), ..HowToDelete::default() };
        let (app, caller) = (self.lab.app.clone(), self.lab.caller());
        let (what, asked): (_, Vec<SnapshotId>) = if self.random.percent(20) {
            let branch = self.random.pick(&tree.forest.branches).unwrap().id;
            let nodes = tree.forest.nodes.iter().filter(|node| node.branch_id == branch).map(|node| node.id).collect();
            match app.delete_branch(&caller, branch, how).await {
                Ok(Answer::Accepted((_, id))) => (id, nodes),
                other => return self.tell(format!("deletion of a branch: {:?}", other.map(|_| "planned"))),
            }
        } else if self.random.percent(8) {
            match app.delete_tree(&caller, self.lab.server, how).await {
                Ok(Answer::Accepted((_, id))) => (id, known.clone()),
                other => panic!("deletion of the tree: {:?}", other.map(|_| "planned")),
            }
        } else {
            let mut nodes = vec![target];
            for (_, node) in tree.forest.preorder() {
                if how.subtree && node.parent_id.is_some_and(|parent| nodes.contains(&parent)) {
                    nodes.push(node.id);
                }
            }
            match app.delete_snapshot(&caller, target, how).await {
                Ok(Answer::Accepted((_, id))) => (id, nodes),
                other => panic!("deletion of {target}: {:?}", other.map(|_| "planned")),
            }
        };
        self.tell(format!("asks for the deletion of {asked:?}"));
        let ended = self.carry_out(what, "deletion").await;
        for number in ended.written.before.iter().chain(&ended.written.after) {
            write(&mut self.model.live, *number);
        }
        let succeeded = ended.operation.status == OperationStatus::Succeeded;
        let left: Vec<SnapshotId> = known.into_iter().filter(|id| !succeeded || !asked.contains(id)).collect();
        assert_eq!(self.known_nodes().await, left, "just these are gone");
    }

    async fn sweeps(&mut self) {
        ratoon::background::sweep::sweep(
            &self.lab.world,
            &self.lab.app,
            &mut ratoon::background::sweep::Progress::default(),
        )
        .await
        .unwrap();
        if self
            .lab
            .world
            .store
            .tree(self.lab.server)
            .await
            .unwrap()
            .is_some_and(|tree| tree.record.operation_id.is_some())
        {
            let id = self.lab.last_operation().await;
            let ended = self.carry_out(id, "tidying up").await;
            for number in ended.written.before.iter().chain(&ended.written.after) {
                write(&mut self.model.live, *number);
            }
        }
    }

    async fn restores(&mut self) {
        let known = self.known_nodes().await;
        let Some(mut target) = self.random.pick(&known).copied() else { return };
        if self.random.percent(40) {
            // A switch to a branch: to its tip.
            let tree = self.lab.tree().await;
            let branch = self.random.pick(&tree.forest.branches).unwrap().id;
            target = tree.forest.tip(branch).unwrap_or(target);
        }
        if !known.contains(&target) {
            let refused = self.lab.ask_restore(target, |_| {}).await;
            assert!(refused.is_err(), "a branch whose nodes were deleted begins at a joint");
            return;
        }
        if self.model.nodes[&target].is_ambiguous() {
            return;
        }
        let safety = self.random.percent(85);
        let id = match self.lab.ask_restore(target, |request| request.safety_snapshot = safety).await {
            Ok(id) => id,
            Err(error) => return self.tell(format!("restore refused: {error}")),
        };
        let node = self.model.nodes[&target].clone();
        let lines: Vec<&str> = node.disks.iter().map(|disk| disk.line.as_str()).collect();
        self.tell(format!("asks for all of {target}: {lines:?}"));
        let before = self.lab.volumes();
        let ended = self.carry_out(id, "restore").await;
        let untouched = self.lab.volumes() == before;
        let after = |model: &Model| {
            // Where nothing has to come back, nothing is moved: what was left out stays in its place too.
            let same = node.disks.iter().all(|disk| model.live.contains(disk));
            if same && untouched { model.live.clone() } else { model.after_whole(&node) }
        };
        let succeeded = self.after_restore(&ended, &known, safety, after).await;
        if succeeded {
            assert_eq!(self.lab.tree().await.forest.current, Some(target));
        }
    }

    async fn restores_one_disk(&mut self) {
        let known = self.known_nodes().await;
        let Some(target) = self.random.pick(&known).copied() else { return };
        let node = self.model.nodes[&target].clone();
        let place = self.random.below(node.disks.len());
        let line = &node.disks[place].line;
        let several = |disks: &[Disk]| disks.iter().filter(|disk| disk.line == *line).count() > 1;
        if several(&node.disks) || several(&self.model.live) || node.is_ambiguous() {
            return; // its owner had attached an older volume of the same line too: nobody could say which is meant
        }
        let tree = self.lab.tree().await;
        let part = tree.disks_of(target)[place].clone();
        let disk = tree.layer(part.layer_id).unwrap().disk_id.to_string();
        let safety = self.random.percent(85);
        let asked = self
            .lab
            .ask_restore(target, |request| {
                request.disks = Some(vec![disk]);
                request.safety_snapshot = safety;
            })
            .await;
        let id = match asked {
            Ok(id) => id,
            Err(error) => return self.tell(format!("restore of one disk refused: {error}")),
        };
        let lines: Vec<&str> = self.model.live.iter().map(|disk| disk.line.as_str()).collect();
        self.tell(format!(
            "asks for disk {} of the {} of {target}; live {lines:?}",
            node.disks[place].line,
            node.disks.len()
        ));
        let ended = self.carry_out(id, "restore of one disk").await;
        let wanted = node.disks[place].clone();
        if node.disks.len() == 1 {
            self.after_restore(&ended, &known, safety, |model| model.after_whole(&node)).await;
        } else {
            self.after_restore(&ended, &known, safety, |model| model.after_one(&wanted)).await;
        }
    }

    async fn after_restore(
        &mut self,
        ended: &Ended,
        known: &[SnapshotId],
        safety: bool,
        after: impl FnOnce(&Model) -> Vec<Disk>,
    ) -> bool {
        for number in &ended.written.before {
            write(&mut self.model.live, *number);
        }
        let succeeded = ended.operation.status == OperationStatus::Succeeded;
        if succeeded {
            let present = self.model.live.clone();
            let new: Vec<SnapshotId> = self.known_nodes().await.into_iter().filter(|id| !known.contains(id)).collect();
            assert!(new.len() <= 1, "one safety snapshot at most");
            for id in new {
                self.model.nodes.insert(id, Node { disks: present.clone(), left_out: vec![] });
            }
            self.model.live = after(&self.model);
            for disk in present.iter().filter(|disk| safety && !self.model.live.contains(disk)) {
                assert!(self.model.is_kept(disk), "what disk {} held is lost", disk.line);
            }
        }
        for number in &ended.written.after {
            write(&mut self.model.live, *number);
        }
        succeeded
    }

    /// One engine after the other, disturbed at random, until the operation is final.
    async fn carry_out(&mut self, id: OperationId, what: &str) -> Ended {
        let (deaths, cancels) = *self.random.pick(&[(0, 0), (0, 0), (4, 0), (8, 10), (3, 30)]).unwrap();
        let fault = self.random.percent(45).then(|| {
            let harm = [Harm::Temporary, Harm::Permanent, Harm::Death];
            let when = [When::Before, When::After];
            (self.random.below(60) as u64 + 1, *self.random.pick(&when).unwrap(), *self.random.pick(&harm).unwrap())
        });
        if let Some((number, when, harm)) = fault {
            self.lab.cloud.plan_fault(Which::Nth(number), when, harm);
        }
        if self.random.percent(20) {
            self.lab.cloud.set_power_looks(2);
        }
        let moment = if what == "capture" { "capture" } else { "record" };
        let written = Arc::new(Mutex::new(Written::default()));
        self.disturb(moment, deaths, written.clone());
        let said = self.lab.cloud.last_words(self.lab.server).len();
        let status = self.lab.status();
        let mut engines = 0;
        let operation = loop {
            let operation = self.lab.world.store.operation(id).await.unwrap().unwrap();
            if operation.status.is_final() {
                break operation;
            }
            engines += 1;
            assert!(engines < 200, "the operation does not end");
            self.lab.engine().await;
            if self.random.percent(cancels) {
                let _ = self.lab.app.cancel_operation(&self.lab.caller(), id).await;
            }
        };
        self.lab.probe.calm();
        self.lab.probe.forget();
        self.lab.cloud.clear_faults();
        self.lab.cloud.set_power_looks(0);
        while self.lab.cloud.peek(self.lab.server).unwrap().task_state.is_some() {
            // A start that was left out with a warning comes about all the same.
            self.lab.app.compute.server(self.lab.server).await.unwrap();
        }
        self.tell(format!(
            "{what} with {engines} engines, fault {fault:?}: {} {:?} {:?}",
            operation.status.as_str(),
            operation.error.as_ref().map(|error| &error.message),
            operation.warnings
        ));
        if fault.is_none() && matches!(what, "deletion" | "tidying up") {
            assert_eq!(operation.warnings, Vec::<String>::new(), "nothing was refused without a reason");
        }
        if operation.warnings.is_empty() {
            assert_eq!(self.lab.status(), status, "the server is as it was");
        }
        let mut written = std::mem::take(&mut *written.lock().unwrap());
        // A server that is stopped by us says its last words, always before what counts.
        written.before.extend(self.lab.cloud.last_words(self.lab.server).into_iter().skip(said));
        written.before.sort_unstable();
        Ended { operation, written }
    }

    /// While the operation is at work the guest writes between its steps, and engines die.
    fn disturb(&mut self, moment: &'static str, deaths: usize, written: Arc<Mutex<Written>>) {
        let mut random = self.random.fork();
        let (cloud, server) = (self.lab.cloud.clone(), self.lab.server);
        self.lab.probe.script(move |step, event| {
            let mut written = written.lock().unwrap();
            let here = step == moment;
            written.come |= here && event == EventKind::Started;
            // Within the moment itself nobody could say which disk was asked first.
            if !here
                && random.percent(25)
                && let Some(number) = cloud.guest_write(server)
            {
                if written.come { written.after.push(number) } else { written.before.push(number) }
            }
            if random.percent(deaths) { Verdict::Die } else { Verdict::Go }
        });
    }

    /// The world is what the model says.
    async fn compare(&mut self) {
        let lab = &self.lab;
        lab.must_be_clean("after an act").await;
        let live = lab.cloud.live_bytes(lab.server);
        let lines: Vec<&str> = self.model.live.iter().map(|disk| disk.line.as_str()).collect();
        assert_eq!(
            live.len(),
            lines.len(),
            "the server has {:?}, the model {lines:?}",
            live.iter().map(|(key, _)| key).collect::<Vec<_>>()
        );
        for ((key, bytes), disk) in live.iter().zip(&self.model.live) {
            assert!(*bytes == disk.bytes, "live disk {key} ({}) does not hold what it should", disk.line);
        }
        let Some(tree) = lab.world.store.tree(lab.server).await.unwrap() else { return };
        for node in tree.forest.nodes.iter().filter(|node| !node.hidden) {
            let parts = tree.disks_of(node.id);
            let model = self
                .model
                .nodes
                .get(&node.id)
                .unwrap_or_else(|| panic!("the model knows no node {} ({})", node.id, node.name));
            assert_eq!(parts.len(), model.disks.len(), "node {}", node.name);
            for (part, disk) in parts.into_iter().zip(&model.disks) {
                let on = &tree.layer(part.layer_id).unwrap().backend_id;
                let bytes = lab.cloud.snapshot_bytes(on, &part.backend_id);
                assert!(bytes.as_ref() == Some(&disk.bytes), "disk {} of node {} has changed", disk.line, node.name);
            }
        }
        self.model.nodes.retain(|id, _| tree.forest.node(*id).is_some_and(|node| !node.hidden));
    }
}
