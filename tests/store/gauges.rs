//! Numbers for whoever watches the service.

use ratoon::domain::event::{ServerEvent, What};
use ratoon::ids::{EngineId, ServerId};
use ratoon::measures::Gauges;

use crate::database;
use crate::sample::capture;

#[tokio::test]
async fn what_waits_and_what_runs_is_counted_by_kind_and_state() {
    let (_database, store) = database().await;
    assert_eq!(store.gauges().await.unwrap(), Gauges::default());
    assert_eq!(store.newest_message().await.unwrap(), None);
    let mut kind = String::new();
    for branch in ["a", "b", "c"] {
        let (operation, change) = capture(ServerId::new(), branch);
        kind.clone_from(&operation.kind);
        store.begin_operation(&operation, "web", change, None).await.unwrap();
    }
    let engine = EngineId::new();
    store.enter_engine(engine, "here").await.unwrap();
    store.claim_next(engine, &[], &[]).await.unwrap().unwrap();
    let event = ServerEvent {
        message_id: "1".into(),
        server_id: ServerId::new(),
        what: What::Changed,
        project_id: None,
        request_id: None,
        image_id: None,
        sent_at: None,
    };
    store.take_in(&[event.clone(), ServerEvent { message_id: "2".into(), ..event }]).await.unwrap();
    store.handled(&["1".into()]).await.unwrap();
    let mut gauges = store.gauges().await.unwrap();
    gauges.operations.sort();
    let counted = |status: &str, number| (kind.clone(), status.to_owned(), number);
    assert_eq!(gauges.operations, [counted("queued", 2), counted("running", 1)]);
    assert_eq!((gauges.inbox, gauges.engines), (1, 1));
    assert_eq!(store.engines_at_work().await.unwrap().into_iter().collect::<Vec<_>>(), [(engine, 1)]);
    assert!(store.newest_message().await.unwrap().is_some());
}
