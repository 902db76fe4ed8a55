//! Planned faults: which outside call goes wrong, when, and how.

use std::collections::BTreeMap;

use super::FakeCloud;
use crate::ids::ServerId;

/// Which call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The n-th of all from now on, counted from 1.
    Nth(u64),
    /// The n-th of this name from now on, counted from 1.
    Named(&'static str, u64),
    /// Each one of this name.
    Every(&'static str),
}

/// Before its effect, or after it: the effect is there and the answer is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Nothing has happened.
    Before,
    /// It has happened and nobody was told.
    After,
}

/// How it goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    /// Unavailable: worth another try.
    Temporary,
    /// Refused for good.
    Permanent,
    /// What it is about is not there.
    Missing,
    /// The caller dies here: the call never returns, and [`FakeCloud::died`] ends.
    Death,
    /// No fault, but it takes as long as the server is paused.
    WhilePaused(ServerId),
    /// No fault, but Nova begins an image of the server, and takes its snapshot of the disk that bears the name just then.
    NovaImages(ServerId),
}

/// A planned fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// Which call.
    pub which: Which,
    /// When.
    pub when: When,
    /// How.
    pub harm: Harm,
}

/// The plan, and the calls so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Faults {
    planned: Vec<Fault>,
    calls: u64,
    by_name: BTreeMap<&'static str, u64>,
    log: Vec<&'static str>,
}

impl Faults {
    /// Counts a call; its fault, if one was planned. A fault that names one call happens once.
    pub(super) fn meet(&mut self, name: &'static str) -> Option<Fault> {
        self.calls += 1;
        self.log.push(name);
        let of_name = self.by_name.entry(name).or_default();
        *of_name += 1;
        let (calls, of_name) = (self.calls, *of_name);
        let place = self.planned.iter().position(|fault| match fault.which {
            Which::Nth(n) => n == calls,
            Which::Named(wanted, n) => wanted == name && n == of_name,
            Which::Every(wanted) => wanted == name,
        })?;
        match self.planned[place].which {
            Which::Every(_) => Some(self.planned[place]),
            _ => Some(self.planned.remove(place)),
        }
    }
}

impl FakeCloud {
    /// Plans a fault. Calls are counted from here on.
    pub fn plan_fault(&self, which: Which, when: When, harm: Harm) {
        let mut state = self.state();
        state.faults.calls = 0;
        state.faults.by_name.clear();
        state.faults.log.clear();
        state.faults.planned.push(Fault { which, when, harm });
    }

    /// Forgets all faults that have not happened. Returns how many there were.
    pub fn clear_faults(&self) -> usize {
        let mut state = self.state();
        let left = state.faults.planned.len();
        state.faults = Faults::default();
        left
    }

    /// Names of the calls since the last plan, in order.
    #[must_use]
    pub fn calls(&self) -> Vec<&'static str> {
        self.state().faults.log.clone()
    }
}
