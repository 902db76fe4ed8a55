//! Everything once for real. Runs only with `RATOON_TEST_CLOUD=1` and the cloud's openrc in the environment; the service
//! user is `ratoon` in project `service`. Needs the users `demo` and `admin`, the image `tick`, the flavor `tiny`.

mod demo;

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use ratoon::clients::catalog::{Registration, register};
use ratoon::clients::{Cinder, Compute, Keystone, Nova, OpenStack, ServiceCredentials};
use ratoon::clock;
use ratoon::domain::disk::{Attachment, FoundDisk, Layer};
use ratoon::domain::server::ServerStatus;
use ratoon::drivers::cinder::{CinderDriver, Waiting};
use ratoon::drivers::{Label, NewLayer, SnapshotDriver, Source};
use ratoon::error::Kind;
use ratoon::ids::{DiskSnapshotId, LayerId, ServerId};
use reqwest::Method;
use serde_json::json;

use super::cinder::{call, layer};
use demo::{User, until};

/// Parked, and nothing has taken its place.
const PARKED: Label<'static> = Label::Parked { replaced_by: None };

fn credentials(user: &str, project: &str) -> ServiceCredentials {
    ServiceCredentials {
        auth_url: std::env::var("OS_AUTH_URL").unwrap(),
        username: user.into(),
        password: std::env::var("OS_PASSWORD").unwrap(),
        project_name: project.into(),
        region_name: std::env::var("OS_REGION_NAME").ok(),
        ..Default::default()
    }
}

fn wanted() -> bool {
    let wanted = std::env::var("RATOON_TEST_CLOUD").is_ok_and(|value| value == "1");
    if !wanted {
        eprintln!("skipped: RATOON_TEST_CLOUD is not 1");
    }
    wanted
}

/// What a test made, to be taken away whatever happens.
#[derive(Default)]
struct Made {
    servers: Mutex<Vec<String>>,
    volumes: Mutex<Vec<String>>,
}

#[tokio::test]
async fn a_volume_is_captured_replaced_and_put_back_on_a_customers_server() {
    if !wanted() {
        return;
    }
    let demo = User::login("demo", "demo").await;
    let made = Made::default();
    let outcome = AssertUnwindSafe(replace_a_volume(&demo, &made)).catch_unwind().await;
    let (servers, volumes) = (made.servers.lock().unwrap().clone(), made.volumes.lock().unwrap().clone());
    demo.clean_up(&servers, &volumes).await;
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

fn layer_of(disk: &FoundDisk, server_id: ServerId) -> Layer {
    Layer { server_id, facts: disk.facts.clone(), ..layer(&disk.backend_id) }
}

async fn updated_at(cinder: &Cinder, id: &str) -> String {
    cinder.volume(id).await.unwrap().unwrap().updated_at.unwrap_or_default()
}

async fn status_is(nova: &Nova, id: ServerId, wanted: ServerStatus) {
    until(wanted.as_str(), async || {
        let facts = nova.server(id).await.unwrap();
        facts.status == wanted && facts.task_state.is_none()
    })
    .await;
}

async fn free(driver: &CinderDriver, layer: &Layer) {
    until("the volume is free", async || driver.users(layer).await.unwrap().is_empty()).await;
}

async fn replace_a_volume(demo: &User, made: &Made) {
    let openstack = OpenStack::new(credentials("ratoon", "service")).unwrap();
    let nova = Nova::new(&openstack);
    let driver = CinderDriver::new(Arc::clone(&openstack), Waiting::default());
    let admin = Cinder::new(openstack.admin().clone());
    let call = call(&demo.project_id);

    let server = demo.boot(&format!("ratoon-clients-{}", std::process::id())).await;
    made.servers.lock().unwrap().push(server.clone());
    let named = demo.volume(Some("data"), json!({"tier": "gold"})).await;
    made.volumes.lock().unwrap().push(named.clone());
    let unnamed = demo.volume(None, json!({})).await;
    made.volumes.lock().unwrap().push(unnamed.clone());
    for (volume, tag) in [(&named, json!("first")), (&unnamed, json!(null))] {
        let mut attachment = json!({"volumeId": volume, "delete_on_termination": false});
        if tag.is_string() {
            attachment["tag"] = tag;
        }
        let path = format!("servers/{server}/os-volume_attachments");
        let (status, body) = demo.compute(Method::POST, &path, Some(json!({"volumeAttachment": attachment}))).await;
        assert_eq!(status, 200, "{body}");
        until("the volume is in-use", async || demo.volume_status(volume).await == "in-use").await;
    }

    // Looking.
    let id: ServerId = server.parse().unwrap();
    let facts = nova.server(id).await.unwrap();
    eprintln!("{facts:#?}");
    assert_eq!(facts.project_id, demo.project_id);
    let order: Vec<_> = facts.volumes.iter().map(|volume| volume.volume_id.clone()).collect();
    assert_eq!(order, [named.clone(), unnamed.clone()]);
    assert_eq!(facts.volumes[0].attachment.tag.as_deref(), Some("first"));
    let found = driver.discover(&facts).await.unwrap();
    eprintln!("{found:#?}");
    assert_eq!(found.disks.len(), 2);
    assert!(found.disks.iter().all(|disk| disk.unsupported.is_none()));
    assert_eq!(found.disks[0].facts.metadata, [("tier".to_owned(), "gold".to_owned())].into());
    assert_eq!((found.disks[0].facts.name.as_deref(), &found.disks[1].facts.name), (Some("data"), &None));
    let (old, second) = (layer_of(&found.disks[0], id), layer_of(&found.disks[1], id));
    assert_eq!(driver.users(&old).await.unwrap(), std::slice::from_ref(&server));

    crate::contract::holds(&driver, &call, &second, DiskSnapshotId::new(), LayerId::new()).await;

    // Capturing, in the owner's name and at his cost.
    let before = driver.quota(&demo.project_id).await.unwrap().unwrap();
    eprintln!("quota {before:?}, volume changed {}", updated_at(&admin, &named).await);
    let moment = updated_at(&admin, &named).await;
    let node = DiskSnapshotId::new();
    let begin = clock::Instant::now();
    let captured = driver.capture(&call, &old, node).await.unwrap();
    eprintln!("capture took {:?}", begin.elapsed());
    assert_eq!(driver.capture(&call, &old, node).await.unwrap(), captured, "found, not made again");
    driver.capture(&call, &second, DiskSnapshotId::new()).await.unwrap();
    eprintln!("volume changed after the capture: {}", updated_at(&admin, &named).await == moment);
    let after = driver.quota(&demo.project_id).await.unwrap().unwrap();
    assert_eq!(after.snapshots.used, before.snapshots.used + 2);
    let (status, body) = demo.volumes(Method::GET, &format!("snapshots/{}", captured.backend_id), None).await;
    assert_eq!(status, 200, "it is the owner's: {body}");
    eprintln!("{body}");

    // Locking out the owner, stopping.
    nova.lock(id, "ratoon operation test").await.unwrap();
    nova.lock(id, "ratoon operation test").await.unwrap();
    assert!(nova.locked_servers("ratoon operation").await.unwrap().contains(&id));
    assert!(!nova.locked_servers("something else").await.unwrap().contains(&id));
    let (status, _) =
        demo.compute(Method::POST, &format!("servers/{server}/action"), Some(json!({"os-stop": null}))).await;
    assert_eq!(status, 409, "the owner is locked out");
    nova.stop(id).await.unwrap();
    match nova.stop(id).await {
        Ok(()) => eprintln!("a second stop while stopping: accepted"),
        Err(error) => {
            eprintln!("a second stop while stopping: {}", error.chain());
            assert!(error.kind() == Kind::Conflict && error.is_retryable());
        }
    }
    status_is(&nova, id, ServerStatus::Shutoff).await;
    nova.stop(id).await.unwrap();
    let own = nova.own_user_id().await.unwrap();
    let actions = nova.actions(id).await.unwrap();
    eprintln!("{:?}", actions.iter().map(|action| &action.action).collect::<Vec<_>>());
    assert_eq!((actions[0].action.as_str(), actions[0].user_id.as_ref()), ("stop", Some(&own)));

    // A new volume from the node.
    let new = NewLayer { id: LayerId::new(), size_bytes_min: captured.size_bytes, copied: false };
    let source = Source { layer: &old, origin: node, backend_id: &captured.backend_id };
    let begin = clock::Instant::now();
    let new_volume = driver.prepare(&call, source, &new).await.unwrap();
    made.volumes.lock().unwrap().push(new_volume.clone());
    eprintln!("prepare took {:?}", begin.elapsed());
    assert_eq!(driver.prepare(&call, source, &new).await.unwrap(), new_volume, "found, not made again");
    let fresh = Layer { id: new.id, ..layer_of(&found.disks[0], id) };
    let fresh = Layer { backend_id: new_volume.clone(), ..fresh };
    let seen = admin.volume(&new_volume).await.unwrap().unwrap();
    eprintln!("{seen:#?}");
    assert_eq!(seen.project_id.as_deref(), Some(demo.project_id.as_str()));
    assert!(driver.users(&fresh).await.unwrap().is_empty());

    // Out with the old.
    nova.detach(id, &named).await.unwrap();
    match nova.detach(id, &named).await {
        Ok(()) => eprintln!("a second detach: accepted"),
        Err(error) => {
            eprintln!("a second detach: {}", error.chain());
            assert!(error.is_retryable());
        }
    }
    free(&driver, &old).await;
    // Cinder lets a volume go a moment before Nova forgets it: until then Nova's answer may be tried again.
    until("a detach of what is no longer there is success", async || match nova.detach(id, &named).await {
        Ok(()) => true,
        Err(error) => {
            assert!(error.is_retryable(), "{}", error.chain());
            false
        }
    })
    .await;
    let mut parked = old.clone();
    assert_eq!(driver.label(&call, &old, PARKED).await.unwrap(), "", "its mark was not read before: nothing is proven");
    parked.parked_mark = driver.mark(&old).await.unwrap();
    let successor = Label::Parked { replaced_by: Some(&new_volume) };
    parked.parked_mark = driver.label(&call, &parked, successor).await.unwrap();
    parked.equals = Some(node);
    let marks = admin.volume(&named).await.unwrap().unwrap().metadata;
    assert_eq!(marks.get("ratoon.replaced_by"), Some(&new_volume), "{marks:?}");
    eprintln!("parked: {:#?}", admin.volume(&named).await.unwrap().unwrap());
    let source = Source { layer: &parked, origin: node, backend_id: &captured.backend_id };
    assert!(driver.equals(&parked, source).await.unwrap());
    assert!(driver.equals(&parked, Source { layer: &fresh, ..source }).await.unwrap(), "wherever the snapshot lies");
    let other = Source { origin: DiskSnapshotId::new(), ..source };
    assert!(!driver.equals(&parked, other).await.unwrap(), "parked as something else");

    // In with the new, as the owner had it.
    let attachment = Attachment { tag: Some("first".into()), ..Default::default() };
    nova.attach(id, &new_volume, &attachment).await.unwrap();
    nova.attach(id, &new_volume, &attachment).await.unwrap();
    until("the new volume is in-use", async || demo.volume_status(&new_volume).await == "in-use").await;
    assert_eq!(driver.label(&call, &fresh, Label::InUse).await.unwrap(), "");
    let facts = nova.server(id).await.unwrap();
    eprintln!("{:#?}", facts.volumes);
    assert_eq!(facts.volumes[1].volume_id, new_volume, "attached as the last");
    assert_eq!(facts.volumes[1].attachment.tag.as_deref(), Some("first"));
    let seen = driver.discover(&facts).await.unwrap();
    assert_eq!(seen.disks[1].facts, found.disks[0].facts, "another like it");

    // What moves the mark, and what must not.
    // Cinder may keep whole seconds: a change within the mark's own would not show.
    let mark: chrono::NaiveDateTime = parked.parked_mark.parse().unwrap();
    until("the mark's second is over", async || clock::now().naive_utc() - mark > chrono::TimeDelta::seconds(1)).await;
    assert!(driver.equals(&parked, source).await.unwrap(), "the mark moved by itself");
    let later = DiskSnapshotId::new();
    driver.capture(&call, &parked, later).await.unwrap();
    eprintln!("mark stays when a snapshot is made: {}", driver.equals(&parked, source).await.unwrap());
    driver.remove_snapshot(&call, &parked, later).await.unwrap();
    driver.remove_snapshot(&call, &parked, later).await.unwrap();
    eprintln!("mark stays when a snapshot goes: {}", driver.equals(&parked, source).await.unwrap());
    nova.attach(id, &named, &Attachment::default()).await.unwrap();
    until("the old volume is in-use", async || demo.volume_status(&named).await == "in-use").await;
    assert!(!driver.equals(&parked, source).await.unwrap());
    nova.detach(id, &named).await.unwrap();
    free(&driver, &old).await;
    assert!(!driver.equals(&parked, source).await.unwrap(), "attached and detached again, and nobody noticed");

    // A snapshot with a volume made of it, and a volume in use.
    match driver.remove_snapshot(&call, &old, node).await {
        Ok(()) => eprintln!("a snapshot with a clone can be deleted"),
        Err(error) => eprintln!("a snapshot with a clone: {:?} {}", error.kind(), error.chain()),
    }
    let error = admin.delete_volume(&new_volume).await.unwrap_err();
    eprintln!("deleting a volume in use: {:?} {}", error.kind(), error.chain());

    // Up, paused, up; the owner has it back.
    nova.start(id).await.unwrap();
    status_is(&nova, id, ServerStatus::Active).await;
    nova.start(id).await.unwrap();
    nova.pause(id).await.unwrap();
    status_is(&nova, id, ServerStatus::Paused).await;
    assert!(nova.paused_servers().await.unwrap().contains(&id));
    assert_eq!(nova.pause(id).await.unwrap_err().kind(), Kind::Conflict, "that pause is not ours to end");
    let error = nova.stop(id).await;
    eprintln!("stop of a paused server: {error:?}");
    if error.is_ok() {
        status_is(&nova, id, ServerStatus::Shutoff).await;
        nova.start(id).await.unwrap();
    } else {
        nova.unpause(id).await.unwrap();
    }
    status_is(&nova, id, ServerStatus::Active).await;
    demo.guest_is_up(&server).await;
    nova.unlock(id).await.unwrap();
    nova.unlock(id).await.unwrap();
    assert!(!nova.server(id).await.unwrap().locked);

    // What we attached is the owner's to take off, at run time too; a name taken away comes back as none.
    let path = format!("servers/{server}/os-volume_attachments/{unnamed}");
    assert_eq!(demo.compute(Method::DELETE, &path, None).await.0, 202);
    free(&driver, &second).await;
    driver.label(&call, &second, PARKED).await.unwrap();
    let name = admin.volume(&unnamed).await.unwrap().unwrap().name;
    assert_eq!(name, Some(format!("{unnamed} (parked by ratoon)")));
    driver.label(&call, &second, Label::InUse).await.unwrap();
    driver.label(&call, &second, Label::InUse).await.unwrap();
    let plain = admin.volume(&unnamed).await.unwrap().unwrap();
    assert!(plain.name.is_none_or(|name| name.is_empty()) && plain.metadata.is_empty());
    let path = format!("servers/{server}/os-volume_attachments/{new_volume}");
    assert_eq!(demo.compute(Method::DELETE, &path, None).await.0, 202);
    free(&driver, &fresh).await;

    // A prepared layer that nobody wanted.
    let spare = NewLayer { id: LayerId::new(), size_bytes_min: (1 << 30) + 1, copied: false };
    match driver.prepare(&call, source, &spare).await {
        Ok(volume) => {
            made.volumes.lock().unwrap().push(volume.clone());
            assert_eq!(admin.volume(&volume).await.unwrap().unwrap().size, 2, "grown");
            driver.discard(&call, source, &spare).await.unwrap();
            driver.discard(&call, source, &spare).await.unwrap();
            assert!(admin.volume(&volume).await.unwrap().is_none());
        }
        Err(error) => eprintln!("no spare volume: {}", error.chain()),
    }
}

#[tokio::test]
async fn a_server_that_boots_from_a_volume_is_told_apart() {
    if !wanted() {
        return;
    }
    let demo = User::login("demo", "demo").await;
    let openstack = OpenStack::new(credentials("ratoon", "service")).unwrap();
    let driver = CinderDriver::new(Arc::clone(&openstack), Waiting::default());
    let nova = Nova::new(&openstack);
    let server = demo.boot_from_volume(&format!("ratoon-clients-bfv-{}", std::process::id())).await;
    let look = async || {
        let facts = nova.server(server.parse().unwrap()).await?;
        Ok::<_, ratoon::error::Error>((driver.discover(&facts).await?, facts))
    };
    let seen = look().await;
    demo.clean_up(std::slice::from_ref(&server), &[]).await;
    let (found, facts) = seen.unwrap();
    eprintln!("{:#?}\n{found:#?}", facts.volumes);
    assert_eq!((facts.image_id, found.disks.len()), (None, 1));
    assert!(found.disks[0].attachment.delete_on_termination);
    assert!(found.disks[0].unsupported.as_deref().unwrap().contains("boots from it"));
}

#[tokio::test]
async fn tokens_quotas_and_the_catalog_are_what_keystone_and_cinder_say() {
    if !wanted() {
        return;
    }
    let demo = User::login("demo", "demo").await;
    let openstack = OpenStack::new(credentials("ratoon", "service")).unwrap();
    let keystone = Keystone::new(&openstack, Duration::from_secs(300));
    let facts = keystone.validate(&demo.token, false).await.unwrap();
    eprintln!("{facts:#?}");
    assert_eq!(facts.project_id.as_deref(), Some(demo.project_id.as_str()));
    assert!(facts.roles.contains(&"member".to_owned()));
    assert_eq!(keystone.validate("gAAAAAB-junk", false).await.unwrap_err().kind(), Kind::Unauthorized);
    assert!(
        keystone
            .validate(&User::login("ratoon", "service").await.token, false)
            .await
            .unwrap()
            .roles
            .contains(&"service".to_owned())
    );

    // A project that Keystone does not know: no token for us.
    let nowhere = Cinder::new(openstack.project("00000000000000000000000000000000").await.unwrap());
    let error = nowhere.volume_named("x").await.unwrap_err();
    eprintln!("{:?} {}", error.kind(), error.chain());
    assert_eq!(error.kind(), Kind::Backend, "our missing role is not our caller's 403");

    // A member may not do what an administrator may.
    let mut as_demo = credentials("demo", "demo");
    as_demo.interface = "public".into();
    let as_demo = OpenStack::new(as_demo).unwrap();
    let error = Nova::new(&as_demo).locked_servers("x").await.unwrap_err();
    eprintln!("{:?} {}", error.kind(), error.chain());
    // Nova refuses the whole request for a service token without the role service.
    assert_eq!(error.kind(), Kind::Unavailable);

    let registration = |url: &str| Registration {
        service_type: "ratoon-clients-test".into(),
        name: "ratoon-clients-test".into(),
        description: "a test".into(),
        region: "RegionOne".into(),
        public: url.into(),
        internal: url.into(),
        admin: url.into(),
    };
    let administrator = OpenStack::new(credentials("admin", "admin")).unwrap();
    assert_eq!(register(&administrator, &registration("http://one:1")).await.unwrap().len(), 4);
    assert!(register(&administrator, &registration("http://one:1")).await.unwrap().is_empty());
    assert_eq!(register(&administrator, &registration("http://two:2")).await.unwrap().len(), 3);
    let error = register(&as_demo, &registration("http://two:2")).await.unwrap_err();
    eprintln!("{:?} {}", error.kind(), error.chain());
    assert_eq!(error.kind(), Kind::Backend);
    let admin = User::login("admin", "admin").await;
    admin.forget_service("ratoon-clients-test").await;
}

#[tokio::test]
async fn a_quota_that_is_used_up_refuses_with_its_name() {
    if !wanted() {
        return;
    }
    let admin = User::login("admin", "admin").await;
    let openstack = OpenStack::new(credentials("ratoon", "service")).unwrap();
    let driver = CinderDriver::new(Arc::clone(&openstack), Waiting::default());
    // The project `other`: nobody's quota that another test could be using.
    let ratoon = User::login("ratoon", "other").await;
    let other = ratoon.project_id.clone();
    let volume = ratoon.volume(Some("ratoon-clients"), json!({})).await;
    let layer = layer(&volume);
    let limit = |limit: i64| Some(json!({"quota_set": {"snapshots": limit}}));
    let quota = driver.quota(&other).await.unwrap().unwrap();
    let path = format!("os-quota-sets/{other}");
    admin.volumes(Method::PUT, &path, limit(quota.snapshots.used)).await;
    let outcome = driver.capture(&call(&other), &layer, DiskSnapshotId::new()).await;
    admin.volumes(Method::PUT, &path, limit(quota.snapshots.limit)).await;
    let error = outcome.unwrap_err();
    eprintln!("{}", error.chain());
    assert_eq!(error.kind(), Kind::QuotaExceeded);
    Cinder::new(openstack.project(&other).await.unwrap()).delete_volume(&volume).await.unwrap();
}
