//! Every option of Ratoon, once: the sample file, the checks and the warnings about unknown options are made from here.
//! The typed side is [`super::settings`]; a test fails when the two differ.

use super::options::{Opt, Type};

/// A `[group]` of options.
#[derive(Debug)]
pub struct Group {
    /// Its name, as an operator writes it.
    pub name: &'static str,
    /// Its options.
    pub options: &'static [Opt],
}

/// All groups, in the order of the sample file.
pub const GROUPS: &[Group] = &[
    Group { name: "DEFAULT", options: DEFAULT },
    Group { name: "api", options: API },
    Group { name: "metrics", options: METRICS },
    Group { name: "database", options: DATABASE },
    Group { name: "keystone_authtoken", options: KEYSTONE_AUTHTOKEN },
    Group { name: "oslo_policy", options: OSLO_POLICY },
    Group { name: "engine", options: ENGINE },
    Group { name: "capture", options: CAPTURE },
    Group { name: "guard", options: GUARD },
    Group { name: "restore", options: RESTORE },
    Group { name: "rbd", options: RBD },
    Group { name: "cinder", options: CINDER },
    Group { name: "sweep", options: SWEEP },
    Group { name: "events", options: EVENTS },
    Group { name: "oslo_messaging_notifications", options: OSLO_MESSAGING_NOTIFICATIONS },
    Group { name: "oslo_messaging_rabbit", options: OSLO_MESSAGING_RABBIT },
];

const HTTP: &[&str] = &["http", "https"];

const DEFAULT: &[Opt] = &[
    Opt::new(
        "debug",
        Type::Bool,
        "false",
        "Log what Ratoon does in detail. The variable RUST_LOG, if set, goes before it.",
    ),
    Opt::new("log_format", Type::String, "text", "Shape of a log line: text for people, json for machines.")
        .choices(&["text", "json"]),
    Opt::unset("log_file", Type::Path, "File to append the log to. Unset: standard error."),
    Opt::unset("host", Type::String, "Name of this host in the list of engines and in the log. Unset: its host name."),
    Opt::unset(
        "transport_url",
        Type::String,
        "RabbitMQ, where Nova, Cinder and Glance send notifications: rabbit://user:password@host:5672/vhost, as in nova.conf; \
         several hosts between commas, each with its user. Unset: notifications are not heard, and what happens to servers in \
         Nova is found by the sweep only, or too late.",
    )
    .secret(),
];

const API: &[Opt] = &[
    Opt::new("bind_host", Type::String, "127.0.0.1", "Address that the API listens on."),
    Opt::new("bind_port", Type::Port, "8790", "Port that the API listens on.").range(0, 65535),
    Opt::new("workers", Type::Integer, "2", "Threads that answer requests.").range(1, 256),
    Opt::unset(
        "public_endpoint",
        Type::Url,
        "URL that links in answers start with, where a proxy hides it. Unset: the request's own Host.",
    )
    .choices(HTTP),
    Opt::new(
        "enable_proxy_headers_parsing",
        Type::Bool,
        "false",
        "Believe Forwarded and X-Forwarded-For, -Proto, -Host: for links in answers, and for the client in the log. Only where \
         nobody but a proxy that sets them can reach the API.",
    ),
    Opt::new("max_limit", Type::Integer, "1000", "Longest page of a list; a longer one is cut to this.")
        .range(1, 100_000),
    Opt::new("max_request_body_size", Type::Integer, "114688", "Largest request body, in bytes.")
        .range(1024, 67_108_864),
    Opt::new(
        "request_timeout",
        Type::Seconds,
        "30",
        "Seconds that a request's head, and then its body, may take to arrive.",
    )
    .range(1, 3600),
];

const METRICS: &[Opt] = &[
    Opt::new("enabled", Type::Bool, "false", "Serve /metrics for Prometheus. It asks for no token."),
    Opt::new("bind_host", Type::String, "127.0.0.1", "Address of /metrics."),
    Opt::new(
        "bind_port",
        Type::Port,
        "8791",
        "Port of /metrics. Where api and engine run apart on one host, each needs one of its own.",
    )
    .range(0, 65535),
];

const DATABASE: &[Opt] = &[
    Opt::new(
        "connection",
        Type::Url,
        "sqlite:////var/lib/ratoon/ratoon.sqlite",
        "URL of the database: sqlite:////path (one host only), postgresql://user:password@host/name, or \
         mysql://user:password@host/name (MariaDB 10.6, MySQL 8.0.17, or newer). The names that oslo.db has for them are understood too.",
    )
    .secret()
    .choices(&["sqlite", "postgresql", "mysql", "postgresql+psycopg2", "mysql+pymysql"]),
    Opt::new("max_connections", Type::Integer, "10", "Most connections that one process keeps open.").range(1, 1000),
    Opt::new(
        "busy_timeout",
        Type::Seconds,
        "5",
        "Seconds to wait for a free connection, or for another writer of SQLite.",
    )
    .range(1, 600),
];

const KEYSTONE_AUTHTOKEN: &[Opt] = &[
    Opt::unset(
        "www_authenticate_uri",
        Type::Url,
        "Keystone's public URL, told to callers without a token. Unset: auth_url.",
    )
    .choices(HTTP),
    Opt::unset("auth_url", Type::Url, "Keystone's URL that Ratoon itself uses.").choices(HTTP),
    Opt::new("auth_type", Type::String, "password", "How Ratoon logs in.").choices(&["password"]),
    Opt::new("username", Type::String, "ratoon", "User that Ratoon logs in as."),
    Opt::unset("password", Type::String, "Password of that user.").secret(),
    Opt::new("user_domain_name", Type::String, "Default", "Domain of that user."),
    Opt::new("project_name", Type::String, "service", "Project that Ratoon logs in to."),
    Opt::new("project_domain_name", Type::String, "Default", "Domain of that project."),
    Opt::unset("region_name", Type::String, "Region whose endpoints are used. Unset: the first in the catalog."),
    Opt::new("interface", Type::String, "internal", "Which endpoints of the catalog are used.")
        .choices(&["internal", "public", "admin"]),
    Opt::unset("cafile", Type::Path, "PEM file of the authorities to trust. Unset: those of the system."),
    Opt::new("insecure", Type::Bool, "false", "Do not check certificates. For trials only."),
    Opt::new(
        "token_cache_time",
        Type::Seconds,
        "300",
        "Seconds that a checked token is believed; a revoked one works that long. 0: ask each time.",
    )
    .range(0, 3600),
    Opt::new(
        "service_type",
        Type::String,
        "server-snapshot",
        "Ratoon's type in the catalog, as `ratoon manage service register` writes it. Clients look for server-snapshot.",
    ),
    Opt::new(
        "service_token_roles",
        Type::List,
        "service",
        "Roles of which a service has one that passes on its user's request. It may do so with a token of his that has ended.",
    ),
    Opt::new(
        "service_token_roles_required",
        Type::Bool,
        "true",
        "Refuse a request that brings a valid service token without one of these roles.",
    ),
    Opt::new("http_connect_timeout", Type::Seconds, "5", "Seconds to wait for a connection to a service of the cloud.")
        .range(1, 600),
    Opt::new("http_request_timeout", Type::Seconds, "60", "Seconds to wait for its answer.").range(1, 3600),
];

const OSLO_POLICY: &[Opt] = &[
    Opt::new(
        "policy_file",
        Type::Path,
        "policy.yaml",
        "File of rules that go before the defaults, which `ratoon manage policy sample` prints. It need not be there; it is read \
         again when it changes. Where no folder is named, it is looked for beside the configuration file.",
    ),
    Opt::new(
        "policy_dirs",
        Type::Multi,
        "policy.d",
        "Folder of more such files, which go before policy_file, the later ones by name before the earlier. May be repeated.",
    ),
    Opt::new("policy_default_rule", Type::String, "default", "The rule that is asked where one is not there."),
    Opt::new(
        "remote_content_type",
        Type::String,
        "application/x-www-form-urlencoded",
        "What rules of the kind http: post to their server.",
    )
    .choices(&["application/x-www-form-urlencoded", "application/json"]),
    Opt::new("remote_ssl_verify_server_crt", Type::Bool, "true", "Check the certificate of such a server."),
    Opt::unset("remote_ssl_ca_crt_file", Type::Path, "PEM file of the authorities to trust besides the system's."),
    Opt::new("remote_timeout", Type::Seconds, "60", "Seconds to wait for such a server's answer.").range(1, 600),
];

const ENGINE: &[Opt] = &[
    Opt::new("workers", Type::Integer, "8", "Operations that one engine runs at once.").range(1, 1000),
    Opt::new(
        "lease_seconds",
        Type::Seconds,
        "15",
        "Seconds without a sign of life after which another engine takes an operation over. At least three times \
         heartbeat_seconds.",
    )
    .range(0, 3600),
    Opt::new("heartbeat_seconds", Type::Seconds, "3", "Seconds between two signs of life.").range(0, 1200),
    Opt::new("poll_seconds", Type::Seconds, "1", "Seconds between two looks for new operations.").range(0, 600),
    Opt::new("step_attempts", Type::Integer, "5", "How often a step is tried while its error may pass.").range(1, 1000),
    Opt::new("step_backoff_seconds", Type::Seconds, "1", "Seconds before the second try of a step; doubled each time.")
        .range(0, 600),
    Opt::new("step_timeout", Type::Seconds, "1200", "Seconds until a step that does not finish counts as failed.")
        .range(1, 86_400),
    Opt::new(
        "drain_seconds",
        Type::Seconds,
        "20",
        "Seconds that running steps get to finish when the service is stopped.",
    )
    .range(0, 3600),
];

const GUARD: &[Opt] = &[
    Opt::new(
        "enabled",
        Type::Bool,
        "true",
        "Take the disk of a server from under its name before Nova removes it (delete, rebuild, shelve). Nova cannot remove a \
         disk that has snapshots: it tries for a minute, and after a rebuild the server runs on its old disk.",
    ),
    Opt::new(
        "keep_deleted_seconds",
        Type::Seconds,
        "604800",
        "Seconds that the snapshots of a deleted server are kept (604800: a week); then they are removed, with the volumes \
         that Nova was to delete with the server. Protected snapshots keep their tree.",
    )
    .range(0, 315_360_000),
];

const CAPTURE: &[Opt] = &[
    Opt::new(
        "pause_limit_ms",
        Type::Milliseconds,
        "2000",
        "Longest pause of a server, in milliseconds, for one moment of all its disks.",
    )
    .range(100, 60_000),
    Opt::new(
        "allow_pause",
        Type::Bool,
        "true",
        "Pause servers that have several disks while these are captured. false: each disk on its own.",
    ),
    Opt::new("nodes_per_server", Type::Integer, "64", "Most snapshots of one server.").range(1, 4096),
];

const RESTORE: &[Opt] = &[
    Opt::new("stop_timeout", Type::Seconds, "180", "Seconds that a server gets to shut down.").range(1, 7200),
    Opt::new("start_timeout", Type::Seconds, "120", "Seconds that a server gets to start.").range(1, 7200),
    Opt::new(
        "watcher_timeout",
        Type::Seconds,
        "60",
        "Seconds until nobody may have the disks of a stopped server open.",
    )
    .range(1, 3600),
    Opt::new("attach_timeout", Type::Seconds, "120", "Seconds for attaching or detaching one volume.").range(1, 7200),
    Opt::new(
        "clone_depth_max",
        Type::Integer,
        "12",
        "Most clones of clones that a restored disk may stand on. A system disk that would stand on more is copied, while its \
         server still runs; a volume is not, and the plan says so.",
    )
    .range(1, 64),
];

const RBD: &[Opt] = &[
    Opt::new("enabled", Type::Bool, "true", "Capture system disks that lie in Ceph (Nova's images_type = rbd)."),
    Opt::new("ceph_conf", Type::Path, "/etc/ceph/ceph.conf", "Ceph's configuration file."),
    Opt::new("user", Type::String, "ratoon", "Ceph user, without 'client.'."),
    Opt::unset("keyring", Type::Path, "Keyring of that user. Unset: where Ceph's configuration says."),
    Opt::new("pool", Type::String, "vms", "Pool of the servers' disks (Nova's images_rbd_pool)."),
    Opt::new("glance_pool", Type::String, "images", "Pool of Glance's images."),
    Opt::new("timeout", Type::Seconds, "30", "Seconds to wait for Ceph.").range(1, 3600),
];

const CINDER: &[Opt] = &[
    Opt::new("enabled", Type::Bool, "true", "Capture volumes."),
    Opt::new("snapshot_timeout", Type::Seconds, "300", "Seconds to wait for a volume snapshot.").range(1, 86_400),
    Opt::new("volume_timeout", Type::Seconds, "900", "Seconds to wait for a volume made of a snapshot.")
        .range(1, 86_400),
];

const SWEEP: &[Opt] = &[
    Opt::new("interval_seconds", Type::Seconds, "60", "Seconds between two looks at all servers' disks.")
        .range(1, 86_400),
    Opt::new(
        "keep_history_seconds",
        Type::Seconds,
        "2592000",
        "Seconds that operations which have ended, with their logs, and rows of deleted snapshots stay in the database (2592000: \
         30 days). 0: for ever.",
    )
    .range(0, 315_360_000),
    Opt::new(
        "flatten_limit_mib",
        Type::Integer,
        "256",
        "Most MiB that are written to flatten parked system disks of one server, where that frees more than it writes, or where \
         restores of them would have to copy. While it lasts nothing else is done with the server's tree, and the guard waits: \
         choose no more than the storage writes in a few seconds. 0: nothing is flattened.",
    )
    .range(0, 16_384),
];

const EVENTS: &[Opt] = &[
    Opt::new("enabled", Type::Bool, "true", "Listen to notifications, if there is a transport_url."),
    Opt::new(
        "queue_name",
        Type::String,
        "ratoon.notifications",
        "Ratoon's own queue. Never one that another service reads, such as notifications.info. Beside it there is one with \
         .dead behind its name, for messages that cannot be read.",
    ),
    Opt::new(
        "queue_type",
        Type::String,
        "classic",
        "How the queue is kept: classic by one node of RabbitMQ, quorum by a majority of a cluster's.",
    )
    .choices(&["classic", "quorum"]),
    Opt::new(
        "queue_length_max",
        Type::Integer,
        "50000",
        "Most messages that wait in the queue while Ratoon is away; the oldest go first, and the sweep finds what they told.",
    )
    .range(100, 10_000_000),
    Opt::new(
        "exchanges",
        Type::List,
        "nova,glance,cinder,openstack",
        "Exchanges to listen to: the control_exchange of Nova, Glance and Cinder. One that is not there is looked for again and \
         again; none is made.",
    ),
    Opt::new(
        "topics",
        Type::List,
        "versioned_notifications,notifications",
        "Topics to listen to: Nova's [notifications] versioned_notifications_topics, and the services' \
         [oslo_messaging_notifications] topics.",
    ),
    Opt::new(
        "prefetch",
        Type::Integer,
        "128",
        "Most messages taken from the queue before they are in the database; also the most in one transaction.",
    )
    .range(1, 10_000),
    Opt::new(
        "capture",
        Type::String,
        "during",
        "Snapshots beside images: when Nova makes an image of a server (openstack server image create, openstack server backup \
         create), Ratoon makes a snapshot of all its disks. during: at once, without a pause, which Nova does not allow then; \
         after: when Nova has finished, as any other; off: not at all. The owner of a server chooses for it with the metadata \
         ratoon_capture.",
    )
    .choices(&["during", "after", "off"]),
    Opt::new(
        "capture_of_projects",
        Type::List,
        "",
        "The same for some projects, between commas: <project id>:<during, after or off>. The server's own metadata goes before it.",
    ),
];

const OSLO_MESSAGING_NOTIFICATIONS: &[Opt] = &[Opt::unset(
    "transport_url",
    Type::String,
    "RabbitMQ for notifications, if it is another than [DEFAULT] transport_url.",
)
.secret()];

const OSLO_MESSAGING_RABBIT: &[Opt] = &[
    Opt::new(
        "ssl",
        Type::Bool,
        "false",
        "Speak TLS with RabbitMQ, as ?ssl=1 in transport_url does. Its certificate is always checked.",
    ),
    Opt::unset(
        "ssl_ca_file",
        Type::Path,
        "PEM file of the authorities to trust for that, besides those of the system.",
    ),
    Opt::unset("ssl_cert_file", Type::Path, "PEM file of Ratoon's own certificate, where RabbitMQ asks for one."),
    Opt::unset("ssl_key_file", Type::Path, "PEM file of its key."),
];
