//! Rules in the language of oslo.policy, as operators write them in `policy.yaml`: who may do what to which object.
//!
//! [`parse`] makes [`check`]s of texts, [`rules`] keeps them by name, [`files`] reads them and reads them again when they
//! change. Which rules there are, and what they say where no file does, is the matter of whoever asks (`app/policy.rs`).
//!
//! The language is that of oslo.policy 3 and 6, compared with it by `tests/policy`. It differs where oslo.policy would go on
//! with less than was meant: what it cannot understand it takes for "nobody", and a circle of rules it follows until its
//! stack ends; here such a file is refused, and the rules before it stay.

pub mod check;
pub mod files;
mod parse;
pub mod rules;

pub use check::{Attributes, RemoteCheck};
pub use files::{PolicyFiles, PolicyFilesSettings};
pub use rules::Rules;
