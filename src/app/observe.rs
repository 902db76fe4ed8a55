//! When a notification has named a server: its disks are looked after, as the sweep does; beside an image that Nova makes of it a
//! node is captured; nodes of backups that Nova has deleted go.

use super::App;
use super::backups::rotate;
use super::guard::guard;
use super::image_capture::capture_beside_images;
use crate::domain::event::{ServerEvent, What};
use crate::error::{Error, Result};
use crate::ids::ServerId;

/// Looks at a server because of these hints, the oldest first. It may be called twice for the same ones.
///
/// # Errors
/// One that passes leaves the hints for a later try.
pub async fn observe(app: &App, server: ServerId, events: &[ServerEvent]) -> Result<()> {
    let deletion_was_told = events.iter().any(|event| event.what == What::Deleting);
    // Each has its own trouble: a guard that fails keeps no image from its node.
    let guarded = guard(app, server, deletion_was_told).await.map(drop);
    let captured = capture_beside_images(app, server, events).await;
    let rotated = rotate(app, server).await.map(drop);
    let errors = [guarded, captured, rotated].into_iter().filter_map(Result::err);
    // One that passes goes first: the hints stay for it.
    errors.max_by_key(Error::is_retryable).map_or(Ok(()), Err)
}
