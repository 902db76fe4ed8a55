//! The observer against a real inbox and an observation of the test's own.

use std::sync::Mutex;

use super::*;
use crate::domain::event::What;
use crate::store::StoreConfig;

/// One look: which server, because of which messages.
type Look = (ServerId, Vec<String>);

struct Lab {
    store: Store,
    looks: Arc<Mutex<Vec<Look>>>,
    wake: Arc<Notify>,
    stop: watch::Sender<bool>,
    running: tokio::task::JoinHandle<()>,
    _folder: tempfile::TempDir,
}

fn quick() -> ObserverSettings {
    ObserverSettings {
        poll: Duration::from_millis(50),
        deadline: Duration::from_secs(5),
        pause: Duration::from_millis(10),
        pause_max: Duration::from_millis(20),
        ..ObserverSettings::default()
    }
}

fn event(message: &str, server: ServerId, what: What, second: u32) -> ServerEvent {
    ServerEvent {
        message_id: message.to_owned(),
        server_id: server,
        what,
        project_id: None,
        request_id: None,
        image_id: None,
        sent_at: format!("2026-11-20T20:37:{second:02}Z").parse().ok(),
    }
}

async fn inbox(events: &[ServerEvent]) -> (Store, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("db").display());
    let config = StoreConfig { url, connections_max: 2, busy_timeout: Duration::from_secs(5) };
    let store = Store::connect(&config).await.unwrap();
    store.migrate().await.unwrap();
    store.take_in(events).await.unwrap();
    (store, folder)
}

impl Lab {
    async fn start<F>(events: &[ServerEvent], settings: ObserverSettings, act: F) -> Self
    where
        F: Fn(ServerId, usize) -> BoxFuture<'static, Result<()>> + Send + Sync + 'static,
    {
        let (store, folder) = inbox(events).await;
        let looks = Arc::new(Mutex::new(Vec::<Look>::new()));
        let seen = looks.clone();
        let observe: Observe = Arc::new(move |server, events: Vec<ServerEvent>| {
            let mut seen = seen.lock().unwrap();
            seen.push((server, events.into_iter().map(|event| event.message_id).collect()));
            act(server, seen.iter().filter(|(other, _)| *other == server).count())
        });
        let (stop, stopped) = watch::channel(false);
        let wake = Arc::new(Notify::new());
        let running = tokio::spawn(run(store.clone(), observe, settings, wake.clone(), stopped));
        Self { store, looks, wake, stop, running, _folder: folder }
    }

    fn looks(&self) -> Vec<Look> {
        self.looks.lock().unwrap().clone()
    }

    async fn until(&self, what: &str, is: impl Fn(&[Look]) -> bool) {
        for _ in 0..1000 {
            if is(&self.looks()) {
                return;
            }
            clock::sleep(Duration::from_millis(10)).await;
        }
        panic!("not {what}: {:?}", self.looks());
    }

    async fn until_empty(&self) {
        for _ in 0..1000 {
            if self.store.unhandled(10, &[], &[]).await.unwrap().is_empty() {
                return;
            }
            clock::sleep(Duration::from_millis(10)).await;
        }
        panic!("left: {:?}", self.store.unhandled(10, &[], &[]).await.unwrap());
    }

    async fn end(self) -> Vec<Look> {
        self.stop.send(true).unwrap();
        self.running.await.unwrap();
        self.looks.lock().unwrap().clone()
    }
}

fn well() -> BoxFuture<'static, Result<()>> {
    Box::pin(async { Ok(()) })
}

fn after(time: Duration) -> BoxFuture<'static, Result<()>> {
    Box::pin(async move {
        clock::sleep(time).await;
        Ok(())
    })
}

#[tokio::test]
async fn a_servers_messages_are_looked_at_together_and_the_oldest_stands_first() {
    let (one, other) = (ServerId::new(), ServerId::new());
    let events = [
        event("late", one, What::Deleting, 9),
        event("elsewhere", other, What::Changed, 5),
        event("early", one, What::Changed, 1),
    ];
    let lab = Lab::start(&events, quick(), |_, _| well()).await;
    lab.until_empty().await;
    let mut looks = lab.end().await;
    assert_eq!(looks[0], (one, vec!["early".to_owned(), "late".to_owned()]), "urgent servers come first");
    assert_eq!(looks.pop(), Some((other, vec!["elsewhere".to_owned()])));
    assert_eq!(looks.len(), 1);
}

#[tokio::test]
async fn who_is_woken_does_not_wait_for_the_next_look() {
    let settings = ObserverSettings { poll: Duration::from_secs(60), ..quick() };
    let lab = Lab::start(&[], settings, |_, _| well()).await;
    clock::sleep(Duration::from_millis(100)).await;
    lab.store.take_in(&[event("a", ServerId::new(), What::Deleting, 1)]).await.unwrap();
    lab.wake.notify_one();
    lab.until("looked at", |looks| looks.len() == 1).await;
}

#[tokio::test]
async fn what_comes_while_a_server_is_looked_at_waits_and_is_looked_at_afterwards() {
    let server = ServerId::new();
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let held = gate.clone();
    let lab = Lab::start(&[event("1", server, What::Changed, 1)], quick(), move |_, _| {
        let held = held.clone();
        Box::pin(async move {
            held.acquire().await.unwrap().forget();
            Ok(())
        })
    })
    .await;
    lab.until("begun", |looks| looks.len() == 1).await;
    lab.store.take_in(&[event("2", server, What::Deleting, 2)]).await.unwrap();
    lab.wake.notify_one();
    clock::sleep(Duration::from_millis(200)).await;
    assert_eq!(lab.looks().len(), 1, "one task a server");
    gate.add_permits(2);
    lab.until_empty().await;
    assert_eq!(lab.end().await, [(server, vec!["1".to_owned()]), (server, vec!["2".to_owned()])]);
}

#[tokio::test]
async fn an_urgent_server_finds_a_free_place_although_all_others_are_slow() {
    let slow: Vec<_> = (0..20).map(|n| event(&n.to_string(), ServerId::new(), What::Changed, 1)).collect();
    let settings = ObserverSettings { workers: 4, reserved: 1, ..quick() };
    let lab = Lab::start(&slow, settings, |_, _| after(Duration::from_secs(3))).await;
    lab.until("three at work", |looks| looks.len() == 3).await;
    clock::sleep(Duration::from_millis(200)).await;
    assert_eq!(lab.looks().len(), 3, "one place is kept");
    let server = ServerId::new();
    lab.store.take_in(&[event("urgent", server, What::Deleting, 1)]).await.unwrap();
    lab.wake.notify_one();
    lab.until("the urgent one at work", |looks| looks.len() == 4).await;
    assert_eq!(lab.looks()[3].0, server);
}

#[tokio::test]
async fn an_error_that_passes_is_tried_again_and_one_that_stays_is_not() {
    let (passing, staying) = (ServerId::new(), ServerId::new());
    let events = [event("p", passing, What::Changed, 1), event("s", staying, What::Changed, 1)];
    let lab = Lab::start(&events, quick(), move |server, look| {
        Box::pin(async move {
            match (server == passing, look) {
                (true, 3..) => Ok(()),
                (true, _) => Err(Error::unavailable("Nova does not answer.")),
                (false, _) => Err(Error::conflict("It is not possible.")),
            }
        })
    })
    .await;
    lab.until_empty().await;
    let looks = lab.end().await;
    assert_eq!(looks.iter().filter(|(server, _)| *server == passing).count(), 3);
    assert_eq!(looks.iter().filter(|(server, _)| *server == staying).count(), 1);
}

#[tokio::test]
async fn a_server_that_never_answers_is_left_to_the_sweep() {
    let settings = ObserverSettings { tries_max: 4, deadline: Duration::from_millis(20), ..quick() };
    let server = ServerId::new();
    let lab =
        Lab::start(&[event("1", server, What::Changed, 1)], settings, |_, _| after(Duration::from_secs(60))).await;
    lab.until_empty().await;
    assert_eq!(lab.end().await.len(), 4);
}

#[tokio::test]
async fn a_panic_at_one_server_does_not_keep_others_from_being_looked_at() {
    let (bad, good) = (ServerId::new(), ServerId::new());
    let events = [event("1", bad, What::Deleting, 1), event("2", good, What::Changed, 1)];
    let lab = Lab::start(&events, quick(), move |server, _| {
        Box::pin(async move {
            assert!(server != bad, "planned");
            Ok(())
        })
    })
    .await;
    lab.until_empty().await;
    assert_eq!(lab.end().await.len(), 2);
}

#[tokio::test]
async fn what_was_not_looked_at_before_the_stop_is_still_in_the_inbox() {
    let server = ServerId::new();
    let settings = ObserverSettings { drain: Duration::from_millis(50), ..quick() };
    let lab =
        Lab::start(&[event("1", server, What::Changed, 1)], settings, |_, _| after(Duration::from_secs(60))).await;
    lab.until("begun", |looks| looks.len() == 1).await;
    lab.stop.send(true).unwrap();
    tokio::time::timeout(Duration::from_secs(5), lab.running).await.unwrap().unwrap();
    assert_eq!(lab.store.unhandled(10, &[], &[]).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_was_looked_at_is_forgotten_after_a_while() {
    let server = ServerId::new();
    let settings = ObserverSettings { keep: Duration::from_millis(50), ..quick() };
    let lab = Lab::start(&[event("1", server, What::Changed, 1)], settings, |_, _| well()).await;
    for _ in 0..1000 {
        if lab.store.last_heard(server).await.unwrap().is_none() {
            return;
        }
        clock::sleep(Duration::from_millis(10)).await;
    }
    panic!("it is kept");
}
