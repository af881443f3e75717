//! TLS of the public listener, seen by clients of our own: what they are shown, what they may not speak, and what a new
//! certificate or a slow client does to the others.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion, version};

use crate::bridge::{Bridge, Home, TOKEN, server};
use crate::http::Connection;
use crate::kafka::{self, Topics};
use crate::load::Ending;
use crate::process::new_folder;
use crate::reader::Reader;

const WITHIN: Duration = Duration::from_secs(60);
const NAME: &str = "hooks.example.com";
const BOTH: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];
const EXPIRES: &str = "waitbridge_tls_certificate_expires_timestamp_seconds";
const SUCCESSFUL: &str = "waitbridge_config_last_reload_successful";

/// A folder with a certificate and its key behind a link that is swapped, as k8s mounts a Secret.
struct Mount {
    folder: PathBuf,
    versions: AtomicU64,
}

impl Mount {
    fn new() -> Mount {
        let mount = Mount { folder: new_folder("mount"), versions: AtomicU64::new(0) };
        for file in ["tls.crt", "tls.key"] {
            symlink(Path::new("..data").join(file), mount.folder.join(file)).unwrap();
        }
        mount
    }

    fn swap(&self, certificate: &str, key: &str) {
        let version = format!("..{}", self.versions.fetch_add(1, Ordering::Relaxed));
        let folder = self.folder.join(&version);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("tls.crt"), certificate).unwrap();
        fs::write(folder.join("tls.key"), key).unwrap();
        fs::set_permissions(folder.join("tls.key"), fs::Permissions::from_mode(0o600)).unwrap();
        symlink(&version, self.folder.join("..data_tmp")).unwrap();
        fs::rename(self.folder.join("..data_tmp"), self.folder.join("..data")).unwrap();
    }

    /// Settings of the server that name it.
    fn named(&self, more: &str) -> String {
        let path = |file: &str| self.folder.join(file).display().to_string();
        server(&format!("tls_cert_file = \"{}\"\ntls_key_file = \"{}\"\n{more}", path("tls.crt"), path("tls.key")))
    }
}

/// A certificate that vouches for itself, and its key.
struct Made {
    certificate: String,
    key: String,
}

fn made(expires_in_year: i32) -> Made {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([NAME.to_owned(), "127.0.0.1".to_owned()]).unwrap();
    params.not_after = date_time_ymd(expires_in_year, 6, 1);
    Made { certificate: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
}

impl Made {
    fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap()
    }
}

fn start(mount: &Mount, more: &str) -> (Home, Bridge, Topics) {
    let kafka = kafka::shared();
    let topics = kafka.new_topics(1);
    let home = Home::new(kafka.bootstrap(), &topics, &mount.named(more));
    let bridge = home.start();
    (home, bridge, topics)
}

type Secure = StreamOwned<ClientConnection, TcpStream>;

fn client(versions: &[&'static SupportedProtocolVersion], protocols: &[&str], trusted: &[&Made]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    trusted.iter().for_each(|made| roots.add(made.der()).unwrap());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    // Each is shown the certificate anew.
    config.resumption = rustls::client::Resumption::disabled();
    Arc::new(config)
}

/// A connection after its handshake.
fn connect(address: SocketAddr, client: &Arc<ClientConfig>) -> std::io::Result<Secure> {
    let mut socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(WITHIN))?;
    let mut connection = ClientConnection::new(client.clone(), ServerName::try_from(NAME).unwrap()).map_err(std::io::Error::other)?;
    connection.complete_io(&mut socket)?;
    Ok(StreamOwned::new(connection, socket))
}

fn path() -> String {
    format!("/webhooks/sunshine/{TOKEN}")
}

fn body(person: u64) -> Vec<u8> {
    format!(r#"{{"type":"AddPerson","data":{{"PersonId":{person},"Fields":{{}},"Waitlists":[]}}}}"#).into_bytes()
}

/// One delivery on a connection of its own: its accept id, and the certificate that was shown.
fn deliver(address: SocketAddr, client: &Arc<ClientConfig>, person: u64) -> std::io::Result<(String, CertificateDer<'static>)> {
    let stream = connect(address, client)?;
    let shown = stream.conn.peer_certificates().unwrap()[0].clone().into_owned();
    let answer = Connection::over(stream).post(&path(), &[], &body(person))?;
    if answer.status == 200 { Ok((answer.accept_id(), shown)) } else { Err(std::io::Error::other(answer.code())) }
}

#[test]
fn deliveries_come_by_tls_1_2_and_1_3_and_nothing_else_is_spoken() {
    let (mount, made) = (Mount::new(), made(2040));
    mount.swap(&made.certificate, &made.key);
    let (_home, bridge, topics) = start(&mount, "header_timeout = \"2s\"");
    for (person, version) in BOTH.iter().enumerate() {
        let client = client(&[*version], &["h2", "http/1.1"], &[&made]);
        let stream = connect(bridge.public, &client).unwrap();
        assert_eq!(stream.conn.protocol_version(), Some(version.version));
        assert_eq!(stream.conn.alpn_protocol(), Some(b"http/1.1".as_slice()), "the one that both speak");
        let mut connection = Connection::over(stream);
        for _ in 0..2 {
            assert_eq!(connection.post(&path(), &[], &body(person as u64)).unwrap().status, 200, "kept alive");
        }
    }
    assert!(connect(bridge.public, &client(BOTH, &["h2"], &[&made])).is_err(), "no HTTP/2");
    assert!(connect(bridge.public, &client(BOTH, &[], &[])).is_err(), "a client that does not trust it");
    let plain = Connection::open(bridge.public).unwrap().post(&path(), &[], &body(9));
    assert!(plain.is_err(), "no plain HTTP: {plain:?}");
    let read = Reader::new(kafka::shared().bootstrap(), &[&topics.person]).read_until(2, WITHIN);
    assert_eq!(read.len(), 2, "two persons, each repeated");
    assert_eq!(bridge.metric(EXPIRES), 2_222_121_600.0, "2040-06-01");
    assert_eq!(bridge.terminate(), 0);
}

/// A hello of before TLS 1.3, whose version is its own.
fn hello(version: [u8; 2]) -> Vec<u8> {
    let extensions: &[&[u8]] = &[
        &[0, 10, 0, 6, 0, 4, 0, 29, 0, 23],     // groups: x25519, P-256
        &[0, 11, 0, 2, 1, 0],                   // points: uncompressed
        &[0, 13, 0, 8, 0, 6, 4, 3, 8, 4, 4, 1], // signatures: ECDSA P-256, RSA
        &[0, 23, 0, 0],                         // extended master secret
    ];
    let extensions = extensions.concat();
    let suites = [0, 6, 0xc0, 0x2b, 0xc0, 0x09, 0xc0, 0x13]; // ECDHE with ECDSA and AES-GCM; two of before TLS 1.2
    let length = |length: usize| u16::try_from(length).unwrap().to_be_bytes();
    let hello = [&version, [7; 32].as_slice(), &[0], &suites, &[1, 0], &length(extensions.len()), &extensions].concat();
    let message = [&[1, 0], length(hello.len()).as_slice(), &hello].concat();
    [&[0x16, 3, 1], length(message.len()).as_slice(), &message].concat()
}

#[test]
fn tls_1_1_is_refused_with_its_own_alert() {
    let (mount, made) = (Mount::new(), made(2040));
    mount.swap(&made.certificate, &made.key);
    let (_home, bridge, _) = start(&mount, "");
    for (what, version, expected) in [
        ("TLS 1.2", [3, 3], [0x16, 3, 3].as_slice()),
        ("TLS 1.1: alert, fatal, protocol_version", [3, 2], &[0x15, 3, 3, 0, 2, 2, 70]),
        ("TLS 1.0", [3, 1], &[0x15, 3, 3, 0, 2, 2, 70]),
    ] {
        let mut socket = TcpStream::connect(bridge.public).unwrap();
        socket.set_read_timeout(Some(WITHIN)).unwrap();
        socket.write_all(&hello(version)).unwrap();
        let mut answer = vec![0; expected.len()];
        socket.read_exact(&mut answer).unwrap();
        assert_eq!(answer, expected, "{what}");
    }
    assert_eq!(bridge.terminate(), 0);
}

#[test]
fn clients_that_never_finish_a_handshake_hold_up_nobody_and_are_cut_off() {
    let (mount, made) = (Mount::new(), made(2040));
    mount.swap(&made.certificate, &made.key);
    let (_home, bridge, _) = start(&mount, "workers = 1\nheader_timeout = \"15s\"\nconnections_max = 700");
    let mut silent: Vec<TcpStream> = (0..600).map(|_| TcpStream::connect(bridge.public).unwrap()).collect();
    // Some say a part of it.
    silent.iter_mut().step_by(2).for_each(|socket| socket.write_all(&hello([3, 3])[..20]).unwrap());
    deliver(bridge.public, &client(BOTH, &[], &[&made]), 1).unwrap();
    silent.iter().for_each(|socket| socket.set_nonblocking(true).unwrap());
    let is_open = |mut socket: &TcpStream| matches!(socket.read(&mut [0; 64]), Err(error) if error.kind() == ErrorKind::WouldBlock);
    assert!(is_open(&silent[0]) && is_open(silent.last().unwrap()), "the delivery did not wait for them");
    bridge.wait_until("they are cut off", WITHIN, |_| !silent.iter().any(is_open));
    deliver(bridge.public, &client(BOTH, &[], &[&made]), 2).unwrap();
    assert_eq!(bridge.terminate(), 0);
}

#[test]
fn a_new_certificate_is_shown_without_a_failed_delivery_and_a_broken_one_leaves_the_old() {
    let mount = Mount::new();
    let all: Vec<Made> = (2040..2044).map(made).collect();
    mount.swap(&all[0].certificate, &all[0].key);
    let (_home, mut bridge, topics) = start(&mount, "");
    let client = client(BOTH, &[], &all.iter().collect::<Vec<_>>());
    let (stop, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let address = bridge.public;
    let failed: Vec<String> = std::thread::scope(|scope| {
        let ending = Ending(&stop);
        let senders: Vec<_> = (1..4)
            .map(|sender: u64| {
                let (stop, sent, client) = (&stop, &sent, &client);
                scope.spawn(move || {
                    let mut failed = Vec::new();
                    for serial in 0.. {
                        if stop.load(Ordering::Relaxed) {
                            break;
                        }
                        match deliver(address, client, sender * 1_000_000 + serial) {
                            Ok(_) => drop(sent.fetch_add(1, Ordering::Relaxed)),
                            Err(error) => failed.push(error.to_string()),
                        }
                    }
                    failed
                })
            })
            .collect();
        let some_more = |bridge: &Bridge| {
            let before = sent.load(Ordering::Relaxed);
            bridge.wait_until("deliveries", WITHIN, |_| sent.load(Ordering::Relaxed) > before + 20);
        };
        for made in &all[1..3] {
            some_more(&bridge);
            mount.swap(&made.certificate, &made.key);
            bridge.signal("HUP");
            bridge.wait_until("it is shown", WITHIN, |bridge| deliver(bridge.public, &client, 1).unwrap().1 == made.der());
        }
        some_more(&bridge);
        // The key of another: at no time both files are right.
        mount.swap(&all[3].certificate, &all[0].key);
        bridge.signal("HUP");
        bridge.wait_until("it is refused", WITHIN, |bridge| bridge.metric(SUCCESSFUL) == 0.0);
        some_more(&bridge);
        assert_eq!(deliver(address, &client, 2).unwrap().1, all[2].der());
        // And seen to be mended without a signal.
        mount.swap(&all[3].certificate, &all[3].key);
        bridge.wait_until("it is mended", WITHIN, |bridge| bridge.metric(SUCCESSFUL) == 1.0);
        assert_eq!(deliver(address, &client, 3).unwrap().1, all[3].der());
        some_more(&bridge);
        drop(ending);
        senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect()
    });
    assert_eq!(failed, Vec::<String>::new());
    let said = bridge.said();
    assert!(said.contains("holds another private key than that of the certificate") && said.contains("server.tls_key_file"), "{said}");
    assert!(!all.iter().any(|made| made.key.lines().any(|line| !line.starts_with('-') && said.contains(line))), "no key in the log");
    assert_eq!(bridge.metric(EXPIRES), 2_316_729_600.0, "2043-06-01");
    bridge.wait_until("all is published", WITHIN, |bridge| bridge.metric("waitbridge_journal_undelivered_records") == 0.0);
    let read = Reader::new(kafka::shared().bootstrap(), &[&topics.person]).read_to_end();
    assert!(read.len() as u64 >= sent.load(Ordering::Relaxed), "{} of {sent:?}", read.len());
    assert_eq!(bridge.terminate(), 0);
}

fn waitbridge(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_waitbridge")).args(arguments).output().unwrap()
}

#[test]
fn send_delivers_by_tls_to_an_endpoint_and_to_a_url_of_a_trusted_authority() {
    let (mount, made) = (Mount::new(), made(2040));
    mount.swap(&made.certificate, &made.key);
    let (home, bridge, topics) = start(&mount, "");
    let url = format!("https://{}{}", bridge.public, path());
    let authority = mount.folder.join("tls.crt").display().to_string();
    let listen = format!("listen = \"{}\"", bridge.public);
    home.set("listen = \"127.0.0.1:0\"\nadmin", &format!("{listen}\nadmin"));
    let config = home.path("waitbridge.toml").display().to_string();
    let sample = ["--sample", "waitlistplus/AddPerson"];
    for (arguments, code) in [
        (["send", "--url", &url, "--ca-file", &authority].as_slice(), 0),
        (&["send", "--url", &url], 1),
        (&["send", "--endpoint", "basic", "--config", &config], 0),
    ] {
        let sent = waitbridge(&[arguments, &sample].concat());
        assert_eq!(sent.status.code(), Some(code), "{arguments:?}: {}", String::from_utf8_lossy(&sent.stderr));
    }
    assert_eq!(Reader::new(kafka::shared().bootstrap(), &[&topics.person]).read_until(2, WITHIN).len(), 2);
    assert_eq!(bridge.terminate(), 0);
}

#[test]
fn a_key_that_everybody_may_read_is_told_of_and_taken() {
    let (mount, made) = (Mount::new(), made(2040));
    mount.swap(&made.certificate, &made.key);
    let (home, mut bridge, _) = start(&mount, "");
    let advice = "every user of this machine may read";
    assert!(!bridge.said().contains(advice));
    fs::set_permissions(mount.folder.join("tls.key"), fs::Permissions::from_mode(0o644)).unwrap();
    bridge.signal("HUP");
    bridge.wait_until("it is told", WITHIN, |bridge| bridge.said().contains(advice));
    assert_eq!(bridge.terminate(), 0);
    let checked = waitbridge(&["check", "--config", &home.path("waitbridge.toml").display().to_string()]);
    assert_eq!(checked.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&checked.stderr).contains(advice));
}
