//! When Nova makes an image of a server, because its owner has asked for one or for a backup: a node of all its disks is
//! captured beside it. Called after notifications; asked twice, it does nothing twice, since each request of Nova's has one node.
//!
//! What fails here is nobody's trouble but ours: Nova's image is made all the same. What will fail again is said to the owner,
//! once, as a warning on the server's record; what may pass is an error that leaves the hint for a later try.

use chrono::TimeDelta;

use super::look::Look;
use super::snapshot_create::{ImageMoment, NewNode};
use super::{App, DESCRIPTION_LENGTH_MAX, NAME_LENGTH_MAX, RequestContext, check_name};
use crate::clock;
use crate::domain::disk::FoundDisk;
use crate::domain::event::{ServerEvent, What};
use crate::domain::plan::capture::CaptureRequest;
use crate::domain::plan::image::{
    CaptureMode, METADATA_KEY, Making, Recall, Verdict, decide, is_backup, recall, told, untold,
};
use crate::domain::plan::{refuse_unsupported, refuse_without_system_disk};
use crate::domain::server::ServerFacts;
use crate::domain::snapshot::{Beside, Consistency, Snapshot};
use crate::error::{Error, Kind, Result, if_found};
use crate::ids::ServerId;
use crate::store::operations::in_the_way;
use crate::store::servers::ServerRecord;
use crate::store::snapshots::Words;

/// A refusal waits so long for the message that names the image: Nova sends it right behind the one that does not.
const NAMED_WITHIN: TimeDelta = TimeDelta::seconds(5);

/// Captures a server beside the images that these hints tell of, or fills in what its nodes do not know of them yet.
///
/// # Errors
/// What Nova, Glance, a backend or the database fails with; a conflict that passes while Nova, or another operation, is at work
/// on the server.
pub async fn capture_beside_images(app: &App, id: ServerId, events: &[ServerEvent]) -> Result<()> {
    let making = told(events);
    let mut new = Vec::new();
    for it in &making {
        match app.store.snapshot_of_request(id, &it.request).await? {
            Some(node) => fill_in(app, &node, it).await?,
            None => new.push(it.clone()),
        }
    }
    // Of an image whose messages were lost the next message about the server reminds.
    let reminded = making.is_empty() && events.iter().any(|event| event.what == What::Changed);
    if new.is_empty() && !(reminded && may_remind(app, id).await?) {
        return Ok(());
    }
    let Some(server) = if_found(app.compute.server(id).await)? else { return Ok(()) };
    let (mode, unknown) =
        app.settings.capture.of(&server.project_id, server.metadata.get(METADATA_KEY).map(String::as_str));
    if let Some(word) = unknown.filter(|_| !new.is_empty()) {
        warn_of_word(app, id, word).await?;
    }
    if reminded && mode == CaptureMode::After && server.task_state.is_none() {
        new.extend(forgotten(app, id).await?);
    }
    let mut result = Ok(());
    for it in &new {
        // Each is tried: what is in the way of one may not be in the way of the next.
        result = result.and(capture_beside(app, &server, mode, it).await);
    }
    result
}

/// What the sweep does about an image of a server of ours of which no message has told: it is captured for if that was to be
/// after the image anyway; else it is said that it was missed.
///
/// # Errors
/// See [`capture_beside_images`]. A conflict that passes as long as a message may come.
pub async fn capture_beside_untold(app: &App, id: ServerId) -> Result<()> {
    let Some(record) = app.store.server(id).await?.filter(|_| app.settings.listens) else { return Ok(()) };
    let Some(server) = if_found(app.compute.server(id).await)? else { return Ok(()) };
    // When Nova's task ends the server has changed, and is looked at again. Of servers without an image Nova tells nothing.
    if server.task_state.is_some() || server.image_id.is_none() {
        return Ok(());
    }
    let (mode, _) = app.settings.capture.of(&server.project_id, server.metadata.get(METADATA_KEY).map(String::as_str));
    let Some(it) = forgotten(app, id).await? else { return Ok(()) };
    let Some(begun_at) = it.told_at else { return Ok(()) };
    if is_said(&record, &it) || app.store.has_told_of_image(id, &it.request).await? {
        return Ok(()); // decided, or waiting for its turn
    }
    match recall(mode, begun_at, clock::now()) {
        Recall::Leave => Ok(()),
        Recall::Wait => Err(Error::conflict("A message may still tell of an image.").retryable()),
        Recall::Capture => capture_beside(app, &server, mode, &it).await,
        Recall::TooLate => {
            let text = format!(
                "No notification told of an image (request {}) in time, so no snapshot was made beside it. \
                 Make one now: openstack server snapshot create {id}",
                it.request
            );
            // Not the words of a refusal: if a message comes after all, it counts.
            if app.store.warn_server(id, &text, None).await? {
                tracing::warn!(server_id = %id, request_id = %it.request, "an image of Nova's was missed");
            }
            Ok(())
        }
    }
}

/// Whether the owner was told why there can be no node beside this image.
fn is_said(record: &ServerRecord, it: &Making) -> bool {
    let words = refused_beside(&it.request);
    record.warnings.iter().any(|warning| warning.text.contains(&words))
}

/// Where a refusal is known by.
fn refused_beside(request: &str) -> String {
    format!("(request {request}). ")
}

/// Whether it may be worth asking Nova for images that nobody told of. Most servers of a cloud are not ours.
async fn may_remind(app: &App, id: ServerId) -> Result<bool> {
    let modes = &app.settings.capture;
    let after = |mode: &CaptureMode| *mode == CaptureMode::After;
    Ok(after(&modes.cloud) || modes.projects.values().any(after) || app.store.server(id).await?.is_some())
}

async fn forgotten(app: &App, id: ServerId) -> Result<Option<Making>> {
    let Some(it) = untold(&app.compute.actions(id).await?, clock::now()) else { return Ok(None) };
    Ok(app.store.snapshot_of_request(id, &it.request).await?.is_none().then_some(it))
}

async fn capture_beside(app: &App, server: &ServerFacts, mode: CaptureMode, it: &Making) -> Result<()> {
    let id = server.id;
    let amid = match decide(mode, server.task_state.as_deref()) {
        Verdict::Leave => {
            tracing::debug!(server_id = %id, request_id = %it.request, "no snapshot is wanted beside this image");
            return Ok(());
        }
        Verdict::Wait => return Err(Error::conflict(format!("Nova is still at work on server {id}.")).retryable()),
        Verdict::Capture { amid } => amid,
    };
    if server.image_id.is_none() {
        tracing::debug!(server_id = %id, "a server that boots from a volume is not captured");
        return Ok(());
    }
    let record = app.store.server(id).await?;
    if let Some(record) = &record {
        if let Some(operation) = record.operation_id {
            return Err(in_the_way(&operation.to_string()).retryable());
        }
        if is_said(record, it) {
            return Ok(());
        }
    }
    let image = Image::of(app, it).await;
    let planned = async {
        let look = app.look(server.clone(), &[]).await?;
        look.must_be_free(None).map_err(Error::retryable)?;
        if let Err(error) = supported(&look) {
            tracing::debug!(server_id = %id, error = %error.chain(), "this server cannot be captured");
            return Ok(None);
        }
        let wanted = CaptureRequest { consistency: Consistency::Auto, exclude: vec![] };
        let plan = app.plan_capture(&look, &wanted, amid).await?;
        Ok::<_, Error>(Some((look, plan)))
    };
    let (look, plan) = match planned.await {
        Ok(Some(planned)) => planned,
        Ok(None) => return Ok(()),
        Err(error) if error.is_retryable() || !is_refusal(&error) => return Err(error),
        Err(error) => return refused(app, id, &image, it, &error).await,
    };
    let action = app.compute.actions(id).await?.into_iter().find(|action| action.request_id == it.request);
    let words = image.words();
    let node = NewNode {
        name: words.name,
        description: words.description,
        consistency: Consistency::Auto,
        pause_limit_ms: app.settings.pause_limit_ms,
        image: Some(ImageMoment {
            beside: Beside {
                request: it.request.clone(),
                image_id: it.image_id.clone(),
                backup: action.as_ref().is_some_and(is_backup),
            },
            amid,
            begun_at: it.begun_at.filter(|_| mode == CaptureMode::During),
        }),
    };
    let mut caller = RequestContext::service(&server.project_id);
    caller.user_id = action.and_then(|action| action.user_id).unwrap_or_default();
    // Whoever was quicker has changed the tree, or holds the server: looked at again, it is clear what is left to do.
    let begun = app.begin_capture(&caller, node, &look, &plan, None).await;
    let (snapshot, operation) = begun.map_err(|error| if is_refusal(&error) { error.retryable() } else { error })?;
    tracing::info!(server_id = %id, request_id = %it.request, snapshot_id = %snapshot.id, operation_id = %operation, amid,
        "a snapshot is made beside an image of Nova's");
    Ok(())
}

fn supported(look: &Look) -> Result<()> {
    let found: Vec<FoundDisk> = look.live.iter().map(|live| live.disk.clone()).collect();
    refuse_unsupported(&look.server)?;
    refuse_without_system_disk(&look.server, &found)
}

/// What an owner is told who asks for a capture and cannot have it.
fn is_refusal(error: &Error) -> bool {
    matches!(error.kind(), Kind::BadRequest | Kind::Conflict | Kind::QuotaExceeded)
}

async fn refused(app: &App, id: ServerId, image: &Image, it: &Making, error: &Error) -> Result<()> {
    let young = it.told_at.is_some_and(|at| clock::now() - at < NAMED_WITHIN);
    if it.image_id.is_none() && young {
        return Err(Error::conflict("It is not known yet which image Nova makes.").retryable());
    }
    let text = format!("No snapshot was made beside {} {}{}", image.told(), refused_beside(&it.request), error.told());
    let warned = app.store.warn_server(id, &text, None).await?;
    tracing::warn!(server_id = %id, request_id = %it.request, warned, error = %error.chain(),
        "no snapshot is made beside an image of Nova's");
    Ok(())
}

async fn warn_of_word(app: &App, id: ServerId, word: &str) -> Result<()> {
    let word: String = word.chars().filter(|c| !c.is_control()).take(40).collect();
    let text = format!(
        "The server's metadata {METADATA_KEY} is \"{word}\", which is none of during, after, off. The cloud's choice holds; \
         correct it with: openstack server set --property {METADATA_KEY}=during"
    );
    if app.store.warn_server(id, &text, None).await? {
        tracing::warn!(server_id = %id, word, "the server's metadata for captures beside images is not understood");
    }
    Ok(())
}

/// A later message may name the image.
async fn fill_in(app: &App, node: &Snapshot, it: &Making) -> Result<()> {
    let known = node.beside.as_ref().is_some_and(|beside| beside.image_id.is_some());
    let Some(image_id) = it.image_id.as_deref().filter(|_| !known) else { return Ok(()) };
    let then = Image { request: it.request.clone(), id: None, name: None }.words();
    let now = Image::of(app, it).await.words();
    if app.store.name_image(node.id, image_id, &then, &now).await? {
        tracing::info!(server_id = %node.server_id, snapshot_id = %node.id, image_id, "the image of this snapshot is known now");
    }
    Ok(())
}

/// What is known of an image, for people.
struct Image {
    request: String,
    id: Option<String>,
    name: Option<String>,
}

impl Image {
    async fn of(app: &App, it: &Making) -> Self {
        let name = match &it.image_id {
            Some(id) => match app.compute.image_name(id).await {
                Ok(name) => name,
                Err(error) => {
                    tracing::debug!(image_id = %id, error = %error.chain(), "the image's name cannot be read");
                    None
                }
            },
            None => None,
        };
        let name = name.filter(|name| check_name("name", name).is_ok());
        Self { request: it.request.clone(), id: it.image_id.clone(), name }
    }

    /// In a sentence.
    fn told(&self) -> String {
        match (&self.id, &self.name) {
            (Some(id), Some(name)) => format!("image \"{name}\" ({id})"),
            (Some(id), None) => format!("image {id}"),
            (None, _) => "an image".to_owned(),
        }
    }

    /// A node's.
    fn words(&self) -> Words {
        let name = match (&self.id, &self.name) {
            (Some(_), Some(name)) => name.clone(),
            (Some(id), None) => format!("image {id}"),
            (None, _) => format!("image of {}", self.request),
        };
        let description =
            format!("Made beside {}, which Nova made of this server (request {}).", self.told(), self.request);
        Words {
            name: name.chars().take(NAME_LENGTH_MAX).collect(),
            description: description.chars().take(DESCRIPTION_LENGTH_MAX).collect(),
        }
    }
}
