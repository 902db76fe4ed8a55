//! Layers, checks and the sample, through the doors that main uses.

use std::time::Duration;

use super::*;

fn env(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn load(files: &[PathBuf], dir: Option<&Path>, variables: &[(&str, &str)]) -> Settings {
    Settings::load(files, dir, env(variables)).unwrap_or_else(|error| panic!("{}", error.chain()))
}

fn refusal(text: &str) -> String {
    Settings::from_text(text).map_or_else(|error| error.chain(), |settings| panic!("accepted: {settings:?}"))
}

#[test]
fn the_defaults_are_valid_and_every_option_has_its_field() {
    let settings = Settings::from_text("").unwrap_or_else(|error| panic!("{}", error.chain()));
    assert_eq!(settings.api.bind_port, 8790);
    assert_eq!(settings.database.connection.expose(), "sqlite:////var/lib/ratoon/ratoon.sqlite");
    assert_eq!(settings.capture.pause_limit, Duration::from_secs(2));
    assert_eq!(settings.default.log_format, LogFormat::Text);
    assert!(!settings.default.host.is_empty());
    assert!(settings.unknown.is_empty());
    let said = settings.check_for_serving().map_or_else(|error| error.chain(), |()| "served".into());
    assert!(said.starts_with("[keystone_authtoken] auth_url is not set. Remedy: Set it to Keystone's URL"), "{said}");
}

#[test]
fn later_layers_win_files_then_directory_then_environment() -> std::io::Result<()> {
    let dir = tempfile::tempdir()?;
    let path = |name: &str| dir.path().join(name);
    let write = |name: &str, text: &str| std::fs::write(path(name), text);
    write("a", "[api]\nbind_host = a\nbind_port = 1\nworkers = 1\nmax_limit = 1\n")?;
    write("b", "[API]\nbind_port = 2\nworkers = 2\nmax_limit = 2\n")?;
    std::fs::create_dir(path("d"))?;
    write("d/20.conf", "[api]\nworkers = 4\nmax_limit = 4\n")?;
    write("d/10.conf", "[api]\nworkers = 3\n")?;
    write("d/30.txt", "not read")?;
    let variables = [("OS_API__MAX_LIMIT", "5"), ("OS_PASSWORD", "x"), ("OS_DEFAULT__DEBUG", "yes"), ("OS_API", "x")];
    let settings = load(&[path("a"), path("b")], Some(&path("d")), &variables);
    let api = &settings.api;
    assert_eq!((api.bind_host.as_str(), api.bind_port, api.workers, api.max_limit), ("a", 2, 4, 5));
    assert!(settings.default.debug);
    assert!(settings.unknown.is_empty(), "{:?}", settings.unknown);
    Ok(())
}

#[test]
fn wrong_options_are_named_all_at_once_with_place_and_remedy() {
    let said = refusal("[api]\nbind_port = 1\nbind_port = high\n[database]\nconnection = oracle://u:hunter2@h/d\n");
    assert_eq!(
        said,
        "2 options cannot be used: text:3: [api] bind_port: 'high' is not a whole number: write a number from 0 to \
         65535; text:5: [database] connection: starts with oracle:, which Ratoon does not know: write one that starts with \
         sqlite:, postgresql:, mysql:, postgresql+psycopg2:, mysql+pymysql:."
    );
    let from_env = Settings::load(&[], None, env(&[("OS_ENGINE__WORKERS", "0")]));
    let said = from_env.map_or_else(|error| error.chain(), |_| "accepted".into());
    assert!(said.contains("the environment: [engine] workers: '0' is not in range"), "{said}");
    let said = refusal("[engine]\npoll_seconds = 0\n");
    assert!(said.starts_with("text:2: [engine] poll_seconds is 0. Remedy: Write a number above 0"), "{said}");
    let said = refusal("[engine]\nheartbeat_seconds = 6\n");
    assert!(
        said.starts_with("text:2: [engine] heartbeat_seconds is 0 or more than a third of lease_seconds."),
        "{said}"
    );
}

#[test]
fn unknown_options_warn_with_their_place() {
    let text = "[api]\nbind_prot = 1\npool = x\n[oslo_messaging]\nrpc = y\n[filter:x.y]\na b = 1\n";
    let settings = Settings::from_text(text).unwrap_or_else(|error| panic!("{}", error.chain()));
    let wanted = [
        "text:2: [api] bind_prot is not an option of Ratoon and has no effect",
        "text:3: [api] pool is not an option of Ratoon and has no effect; it belongs in [rbd]",
        "text:5: [oslo_messaging] rpc is not an option of Ratoon and has no effect",
        "text:7: [filter:x.y] a b is not an option of Ratoon and has no effect",
    ];
    assert_eq!(settings.unknown, wanted);
}

#[test]
fn a_file_that_is_named_must_be_there() {
    let said = Settings::load(&["/nonexistent/r.conf".into()], None, HashMap::new());
    let said = said.map_or_else(|error| error.chain(), |_| "accepted".into());
    assert!(said.contains("/nonexistent/r.conf is not there. Remedy:"), "{said}");
    let said = Settings::load(&[], Some(Path::new("/nonexistent")), HashMap::new());
    let said = said.map_or_else(|error| error.chain(), |_| "accepted".into());
    assert!(said.contains("read the configuration directory /nonexistent") && said.contains("Remedy:"), "{said}");
}

#[test]
fn no_secret_is_printed() {
    let text = "[DEFAULT]\ntransport_url = rabbit://u:hunter4@h\n\
                [database]\nconnection = mysql://ratoon:hunter2@db/ratoon\n[keystone_authtoken]\npassword = hunter3\n\
                [oslo_messaging_notifications]\ntransport_url = rabbit://u:hunter5@h\n";
    let settings = Settings::from_text(text).unwrap_or_else(|error| panic!("{}", error.chain()));
    for printed in [format!("{settings:?}"), format!("{settings:#?}")] {
        assert!(!printed.contains("hunter"), "{printed}");
        assert!(printed.contains("connection: ***"), "{printed}");
    }
    assert_eq!(settings.keystone_authtoken.password().map(|secret| secret.expose().as_str()).ok(), Some("hunter3"));
    let secrets = GROUPS.iter().flat_map(|group| group.options).filter(|opt| opt.secret).map(|opt| opt.name);
    assert_eq!(
        secrets.collect::<Vec<_>>(),
        ["transport_url", "connection", "password", "transport_url"],
        "a new secret needs a Secret field and this test"
    );
}

#[test]
fn the_sample_in_the_tree_is_the_one_made_here() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/etc/ratoon/ratoon.conf.sample");
    let stored = std::fs::read_to_string(path).unwrap_or_default();
    assert!(stored == sample(), "make it again: cargo run -- manage config sample > etc/ratoon/ratoon.conf.sample");
}

#[test]
fn the_sample_with_its_comment_signs_removed_is_the_defaults() {
    let lines = sample()
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if !rest.starts_with(' ') && !rest.is_empty() && !rest.ends_with("<None>") => rest.to_owned(),
            _ => line.to_owned(),
        })
        .collect::<Vec<_>>()
        .join("\n");
    let settings = Settings::from_text(&lines).unwrap_or_else(|error| panic!("{}", error.chain()));
    let defaults = Settings::from_text("").unwrap_or_else(|error| panic!("{}", error.chain()));
    assert_eq!(format!("{settings:?}"), format!("{defaults:?}"));
}

#[test]
fn notifications_come_from_their_own_url_before_the_general_one() {
    let general = "[DEFAULT]\ntransport_url = rabbit://general\n";
    let own = "[oslo_messaging_notifications]\ntransport_url = rabbit://own\n";
    for (text, wanted) in [
        (String::new(), None),
        (general.to_owned(), Some("rabbit://general")),
        (own.to_owned(), Some("rabbit://own")),
        (format!("{general}{own}"), Some("rabbit://own")),
    ] {
        let settings = Settings::from_text(&text).unwrap_or_else(|error| panic!("{}", error.chain()));
        assert_eq!(settings.notifications_url().map(|url| url.expose().as_str()), wanted, "{text}");
    }
}

#[test]
fn projects_may_have_a_mode_of_capture_of_their_own() {
    let text = "[events]\ncapture = after\ncapture_of_projects = p1:off, p2 : during\n";
    let events = Settings::from_text(text).unwrap_or_else(|error| panic!("{}", error.chain())).events;
    assert_eq!(events.capture, CaptureMode::After);
    let projects: Vec<_> = events.modes_of_projects().collect();
    assert_eq!(projects, [("p1", CaptureMode::Off), ("p2", CaptureMode::During)]);
    for wrong in ["p1", "p1:sometimes", ":off"] {
        let said = refusal(&format!("[events]\ncapture_of_projects = {wrong}\n"));
        assert!(said.contains("capture_of_projects") && said.contains("Remedy: Write <project id>:<mode>"), "{said}");
    }
}
