//! The connection to one node of the broker. Whatever is asked of the broker has a deadline, and whatever fails ends the
//! connection: the supervisor makes a new one. lapin's own recovery is not used, since it knows nothing of other nodes, and of
//! exchanges that are gone after a restart.
//!
//! A connection that is given up is cut at its socket: lapin's thread would wait for ever for a broker that says nothing, and
//! there would be one more with each try.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lapin::tcp::{OwnedIdentity, OwnedTLSConfig};
use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use lapin::{AsyncTcpStream, Channel, Connection, ConnectionProperties};

use super::transport_url::BrokerHost;
use crate::error::{Error, Kind, Result};

/// How the broker is reached, whichever of its nodes.
#[derive(Debug, Clone)]
pub struct LinkSettings {
    /// The virtual host.
    pub vhost: String,
    /// TLS, if it is wanted.
    pub tls: Option<Tls>,
    /// Shown in the broker's list of connections.
    pub name: String,
    /// Longest wait for an answer.
    pub deadline: Duration,
    /// Between two signs of life; a broker that gives none for two of them is gone.
    pub heartbeat: Duration,
}

/// Files in PEM format; read at each connection, so that they may be renewed. The broker's certificate is always checked.
#[derive(Debug, Clone, Default)]
pub struct Tls {
    /// Authorities to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    /// Our own certificate, for brokers that ask for one.
    pub cert_file: Option<PathBuf>,
    /// Its key.
    pub key_file: Option<PathBuf>,
}

/// A connection.
pub struct Link {
    connection: Connection,
    deadline: Duration,
    _cord: Cord,
}

/// Cuts a connection when it is dropped.
#[derive(Default)]
struct Cord(Arc<Mutex<Socket>>);

#[derive(Default)]
enum Socket {
    /// Not there yet.
    #[default]
    Awaited,
    /// The same one that lapin has.
    Open(TcpStream),
    /// Whoever comes later is too late.
    Cut,
}

impl Drop for Cord {
    fn drop(&mut self) {
        let mut socket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Socket::Open(stream) = &*socket {
            // An error means that it is closed already.
            let _ = stream.shutdown(Shutdown::Both);
        }
        *socket = Socket::Cut;
    }
}

fn tie(cord: &Mutex<Socket>, socket: impl AsFd) -> io::Result<()> {
    let mut tied = cord.lock().unwrap_or_else(PoisonError::into_inner);
    if matches!(*tied, Socket::Cut) {
        return Err(io::ErrorKind::TimedOut.into());
    }
    *tied = Socket::Open(TcpStream::from(socket.as_fd().try_clone_to_owned()?));
    Ok(())
}

impl Link {
    /// Connects to one node.
    ///
    /// # Errors
    /// `Unavailable` when it does not answer or does not let us in; `BadRequest` for a file that cannot be read.
    pub async fn open(settings: &LinkSettings, host: &BrokerHost) -> Result<Self> {
        let tls = settings.tls.as_ref().map(tls_config).transpose()?;
        let heartbeat = u16::try_from(settings.heartbeat.as_secs()).unwrap_or(u16::MAX);
        let uri = AMQPUri {
            scheme: if tls.is_some() { AMQPScheme::AMQPS } else { AMQPScheme::AMQP },
            authority: AMQPAuthority {
                userinfo: AMQPUserInfo { username: host.username.clone(), password: host.password.clone() },
                host: host.host.clone(),
                port: host.port,
            },
            vhost: settings.vhost.clone(),
            query: AMQPQueryString { heartbeat: Some(heartbeat), ..AMQPQueryString::default() },
        };
        let properties = ConnectionProperties::default().with_connection_name(settings.name.clone().into());
        let runtime = lapin::runtime::default_runtime().map_err(|error| of_broker("find a runtime", error))?;
        let (cord, deadline) = (Cord::default(), settings.deadline);
        let tied = cord.0.clone();
        // On lapin's own thread, which the deadline below does not end.
        let connect = async move |uri: AMQPUri, runtime: async_rs::TokioRuntime| {
            let connecting = async {
                let AMQPAuthority { host, port, .. } = uri.authority;
                let stream = AsyncTcpStream::connect(&runtime, runtime.to_socket_addrs((host.clone(), port))).await?;
                if let AsyncTcpStream::Plain(plain) = &stream {
                    tie(&tied, plain.get_ref())?;
                }
                match &tls {
                    Some(tls) => stream.into_tls(&host, tls.as_ref()).await,
                    None => Ok(stream),
                }
            };
            let connected = tokio::time::timeout(deadline, connecting).await;
            connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(lapin::Error::from)
        };
        let connecting = Connection::connector(uri, runtime, connect, properties);
        let connection = within(deadline, "connect to the broker", connecting).await?;
        Ok(Self { connection, deadline, _cord: cord })
    }

    /// A channel of its own.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn channel(&self) -> Result<Channel> {
        within(self.deadline, "open a channel", self.connection.create_channel()).await
    }

    /// Waits for an answer of the broker, but not for ever.
    ///
    /// # Errors
    /// `Unavailable` when none comes in time; whatever the broker says.
    pub async fn ask<T>(&self, doing: &str, asked: impl Future<Output = lapin::Result<T>>) -> Result<T> {
        within(self.deadline, doing, asked).await
    }

    /// As [`Link::ask`], where the broker may refuse: a refusal is an answer. It costs the channel on which it was asked.
    ///
    /// # Errors
    /// As [`Link::ask`], but for refusals.
    pub async fn may<T>(
        &self,
        doing: &str,
        asked: impl Future<Output = lapin::Result<T>>,
    ) -> Result<std::result::Result<T, Refusal>> {
        let answer = async { Ok(asked.await) };
        match within(self.deadline, doing, answer).await? {
            Ok(answer) => Ok(Ok(answer)),
            Err(error) => match error.kind() {
                lapin::ErrorKind::ProtocolError(said) if error.is_amqp_soft_error() => {
                    Ok(Err(Refusal { code: said.get_id(), words: said.get_message().to_string() }))
                }
                _ => Err(of_broker(doing, error)),
            },
        }
    }

    /// Says good-bye. An error is of no interest: the connection is gone either way.
    pub async fn close(self) {
        let _ = within(self.deadline, "close the connection", self.connection.close(200, "OK".into())).await;
    }
}

/// Why the broker has closed a channel.
#[derive(Debug)]
pub struct Refusal {
    /// AMQP's code.
    pub code: u16,
    /// The broker's own words.
    pub words: String,
}

impl Refusal {
    /// There is nothing of that name.
    pub const NOT_FOUND: u16 = 404;
    /// It is there, and is made otherwise than was asked.
    pub const PRECONDITION_FAILED: u16 = 406;
}

/// An error of the broker's, or of the way to it.
pub fn of_broker(doing: &str, error: lapin::Error) -> Error {
    Error::unavailable(format!("{doing}: RabbitMQ has not done it.")).source(error)
}

async fn within<T>(deadline: Duration, doing: &str, asked: impl Future<Output = lapin::Result<T>>) -> Result<T> {
    match tokio::time::timeout(deadline, asked).await {
        Ok(answer) => answer.map_err(|error| of_broker(doing, error)),
        Err(_) => {
            Err(Error::unavailable(format!("{doing}: RabbitMQ has not answered within {} s.", deadline.as_secs())))
        }
    }
}

fn tls_config(tls: &Tls) -> Result<OwnedTLSConfig> {
    let identity = match (&tls.cert_file, &tls.key_file) {
        (Some(cert), Some(key)) => {
            Some(OwnedIdentity::PKCS8 { pem: read("ssl_cert_file", cert)?, key: read("ssl_key_file", key)? })
        }
        (None, None) => None,
        _ => {
            return Err(Error::new(Kind::BadRequest, "Of ssl_cert_file and ssl_key_file only one is set.")
                .remedy("Set both in [oslo_messaging_rabbit], or none."));
        }
    };
    let text = |bytes: Vec<u8>| {
        String::from_utf8(bytes)
            .map_err(|_| Error::new(Kind::BadRequest, "The file of ssl_ca_file is not in PEM format."))
    };
    let cert_chain = tls.ca_file.as_deref().map(|path| read("ssl_ca_file", path).and_then(text)).transpose()?;
    Ok(OwnedTLSConfig { identity, cert_chain })
}

fn read(option: &str, path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| {
        Error::new(Kind::BadRequest, format!("The file of [oslo_messaging_rabbit] {option} cannot be read."))
            .detail(format!("{}: {error}", path.display()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_an_identity_and_files_that_are_not_there_are_refused() {
        let missing = PathBuf::from("/no/such/file.pem");
        for (tls, why) in [
            (Tls { cert_file: Some(missing.clone()), ..Tls::default() }, "only one is set"),
            (Tls { ca_file: Some(missing.clone()), ..Tls::default() }, "ssl_ca_file cannot be read"),
            (
                Tls { cert_file: Some(missing.clone()), key_file: Some(missing), ca_file: None },
                "ssl_cert_file cannot be read",
            ),
        ] {
            let error = tls_config(&tls).err().map(|error| error.chain()).unwrap_or_default();
            assert!(error.contains(why), "{tls:?}: {error}");
        }
        assert!(tls_config(&Tls::default()).is_ok());
    }

    fn threads_of_lapin() -> usize {
        let threads = std::fs::read_dir("/proc/self/task").unwrap().flatten();
        let names = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("comm")).ok());
        names.filter(|name| name.starts_with("lapin")).count()
    }

    #[tokio::test]
    async fn a_broker_that_never_answers_is_given_up_and_leaves_nothing_behind() {
        // It takes the connection, as a hanging broker does, and says nothing.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let host = BrokerHost {
            host: "127.0.0.1".to_owned(),
            port: silent.local_addr().unwrap().port(),
            username: "u".to_owned(),
            password: "hunter2".to_owned(),
        };
        let settings = LinkSettings {
            vhost: "/".to_owned(),
            tls: None,
            name: "test".to_owned(),
            deadline: Duration::from_millis(200),
            heartbeat: Duration::from_secs(1),
        };
        for _ in 0..3 {
            let error = Link::open(&settings, &host).await.err().map(|error| error.chain()).unwrap_or_default();
            assert!(error.contains("has not answered within") && !error.contains("hunter2"), "{error}");
        }
        for _ in 0..100 {
            if threads_of_lapin() == 0 {
                return;
            }
            crate::clock::sleep(Duration::from_millis(50)).await;
        }
        panic!("{} threads wait for ever", threads_of_lapin());
    }
}
