//! The broker: whether it lets us in, has the exchanges and our queue, and what arrives.

use std::time::Duration;

use chrono::TimeDelta;

use super::report::Report;
use crate::clock;
use crate::config::Settings;
use crate::consumer::{self, ListenerSettings, diagnosis};
use crate::error::Error;
use crate::parts::listener_settings;
use crate::store::Store;

/// After how long a silence is worth a word, if the cloud has servers.
const SILENCE: TimeDelta = TimeDelta::hours(24);
/// Messages that wait: more than a moment's work.
const BACKLOG: u32 = 1000;

const NOVA_REMEDY: &str = "In nova.conf, on every host: [notifications] notification_format = both and notify_on_state_change = \
    vm_and_task_state, [oslo_messaging_notifications] driver = messagingv2; then restart Nova. See also [events] exchanges.";

pub(super) async fn look(settings: &Settings, store: Option<&Store>, time: Duration, report: &mut Report) {
    let listener = match listener_settings(settings) {
        Ok(Some(listener)) => listener,
        Ok(None) => {
            return report.warn(
                "broker",
                "Notifications are not listened to: what Nova does to servers is found by the sweep only.",
                "Set transport_url, and leave [events] enabled.",
            );
        }
        Err(error) => return report.fail("broker", &error),
    };
    let mut link = None;
    for host in &listener.hosts {
        match diagnosis::connect(&listener, host).await {
            Ok(open) => {
                report.ok("broker", format!("{host} lets us in."));
                link = Some(open);
            }
            Err(error) => report.fail("broker", &error.context(format!("{host} does not let us in."))),
        }
    }
    let Some(link) = link else {
        report.skip("exchanges", "Needs the broker.");
        report.skip("queue", "Needs the broker.");
        return arrivals(store, report).await;
    };
    exchanges(&link, &listener, report).await;
    queues(&link, &listener, report).await;
    if time.is_zero() {
        arrivals(store, report).await;
    } else {
        hear(&link, &listener, time, report).await;
    }
    link.close().await;
}

async fn exchanges(link: &consumer::Link, listener: &ListenerSettings, report: &mut Report) {
    for exchange in &listener.topology.exchanges {
        match diagnosis::has_exchange(link, exchange).await {
            Ok(true) => report.ok("exchanges", format!("{exchange} is there.")),
            Ok(false) => report.warn(
                "exchanges",
                format!("{exchange} is not there: its service has not sent a notification since the broker was started."),
                "Set [oslo_messaging_notifications] driver = messagingv2 there; where control_exchange is set, name it in [events] \
                 exchanges of ratoon.conf.",
            ),
            Err(error) => report.fail("exchanges", &error),
        }
    }
}

async fn queues(link: &consumer::Link, listener: &ListenerSettings, report: &mut Report) {
    let name = &listener.topology.queue;
    match diagnosis::queue(link, name).await {
        Ok(Some(queue)) if queue.consumers == 0 => report.warn(
            "queue",
            format!("Nobody listens to {name}; {} messages wait.", queue.messages),
            "Start `ratoon engine`, and look at its log.",
        ),
        Ok(Some(queue)) if queue.messages > BACKLOG => report.warn(
            "queue",
            format!("{} messages wait in {name}.", queue.messages),
            "Look at the engines' log and at the database's load.",
        ),
        Ok(Some(queue)) => {
            report.ok("queue", format!("{name}: {} messages wait, {} listen.", queue.messages, queue.consumers))
        }
        Ok(None) => report.warn("queue", format!("{name} is not there yet."), "An engine makes it when it starts."),
        Err(error) => report.fail("queue", &error),
    }
    let dead = listener.topology.dead_queue();
    match diagnosis::queue(link, &dead).await {
        Ok(Some(queue)) if queue.messages > 0 => report.warn(
            "queue",
            format!("{} messages that nobody can read are in {dead}.", queue.messages),
            "Look at them, and at the engines' log for why; they are forgotten after a day.",
        ),
        Ok(_) => {}
        Err(error) => report.fail("queue", &error),
    }
}

/// What has arrived so far.
async fn arrivals(store: Option<&Store>, report: &mut Report) {
    let Some(store) = store else { return report.skip("notifications", "Needs the database.") };
    match store.newest_message().await {
        Ok(Some(at)) if clock::now() - at < SILENCE => {
            report.ok("notifications", format!("The last one came at {}.", at.format("%Y-%m-%d %H:%M:%S UTC")));
        }
        Ok(Some(at)) => report.warn(
            "notifications",
            format!("The last one came at {}.", at.format("%Y-%m-%d %H:%M:%S UTC")),
            format!("If servers have changed since: {NOVA_REMEDY}"),
        ),
        Ok(None) => report.warn(
            "notifications",
            "None has come yet.",
            format!("Run this with --listen 60 and start a server meanwhile. If nothing comes: {NOVA_REMEDY}"),
        ),
        Err(error) => report.fail("notifications", &error),
    }
}

/// What arrives now.
async fn hear(link: &consumer::Link, listener: &ListenerSettings, time: Duration, report: &mut Report) {
    let heard = match diagnosis::hear(link, listener, time).await {
        Ok(heard) => heard,
        Err(error) => return report.fail("notifications", &error),
    };
    let count = |begins: &[&str]| -> u32 {
        heard
            .iter()
            .filter(|(kind, _)| begins.iter().any(|begin| kind.starts_with(begin)))
            .map(|(_, count)| count)
            .sum()
    };
    for (service, begins) in [
        ("Nova, versioned", &["instance."][..]),
        ("Nova, unversioned", &["compute.instance."]),
        ("Cinder", &["volume.", "snapshot."]),
        ("Glance", &["image."]),
    ] {
        report.ok("notifications", format!("{service}: {} in {} s.", count(begins), time.as_secs()));
    }
    if count(&["instance.", "compute.instance."]) == 0 {
        let error = Error::unavailable("Nothing came from Nova.").remedy(NOVA_REMEDY);
        report.fail("notifications", &error);
    } else if count(&["instance.update", "compute.instance.update"]) == 0 {
        let error = Error::unavailable("No change of state came from Nova.").remedy(NOVA_REMEDY);
        report.fail("notifications", &error);
    }
    if count(&["instance."]) == 0 && count(&["compute.instance."]) > 0 {
        report.warn(
            "notifications",
            "Only Nova's unversioned messages come: an image that it makes of a server is found by the request's id only.",
            NOVA_REMEDY,
        );
    }
}
