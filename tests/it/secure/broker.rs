//! A Kafka that wants certificates, passwords and rights: beside the plain listener of the tests' own clients, who may do all, stand one
//! that wants a client's certificate, one that wants a password, and two whose certificates are not to be taken.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::foreign::{output, python};
use crate::kafka::{Kafka, Own, free_port, new_cluster_id};
use crate::process::new_folder;

/// Who may do all, with this password by either mechanism.
pub const USER: &str = "waitbridge";
pub const PASSWORD: &str = "pass word=1#2";
/// Who may do what is granted.
pub const LIMITED: &str = "limited";

/// Topics that are made without settings are as they should be.
const DAY_MS: u64 = 86_400_000;

pub struct Secured {
    pub kafka: Kafka,
    /// Wants the client's certificate.
    pub certificates: String,
    /// Wants a password.
    pub passwords: String,
    pub expired: String,
    pub elsewhere: String,
    folder: PathBuf,
}

pub fn shared() -> &'static Secured {
    static SHARED: OnceLock<Secured> = OnceLock::new();
    SHARED.get_or_init(Secured::start)
}

impl Secured {
    fn start() -> Secured {
        let folder = new_folder("certificates");
        for authority in ["ca", "other-ca"] {
            openssl(&folder, &format!("req -x509 {NEW_KEY} -keyout {authority}.key -out {authority}.pem -days 2 -subj /CN={authority}"));
        }
        sign(&folder, "broker", "IP:127.0.0.1", 2);
        sign(&folder, "expired", "IP:127.0.0.1", -1);
        sign(&folder, "elsewhere", "DNS:elsewhere.example.com", 2);
        sign(&folder, USER, "DNS:client.example.com", 2);

        let ports: Vec<u16> = (0..6).map(|_| free_port()).collect();
        let at = |index: usize| format!("127.0.0.1:{}", ports[index]);
        let names = ["PLAINTEXT", "CONTROLLER", "CERTIFICATES", "PASSWORDS", "EXPIRED", "ELSEWHERE"];
        let all: Vec<String> = names.iter().enumerate().map(|(index, name)| format!("{name}://{}", at(index))).collect();
        let (listeners, controller) = (all.join(","), all[1].clone());
        let mut properties = vec![
            ("advertised.listeners".to_owned(), listeners.replace(&format!("{controller},"), "")),
            ("listeners".to_owned(), listeners),
            ("inter.broker.listener.name".to_owned(), "PLAINTEXT".to_owned()),
            (
                "listener.security.protocol.map".to_owned(),
                "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,CERTIFICATES:SSL,PASSWORDS:SASL_SSL,EXPIRED:SSL,ELSEWHERE:SSL".to_owned(),
            ),
            ("authorizer.class.name".to_owned(), "org.apache.kafka.metadata.authorizer.StandardAuthorizer".to_owned()),
            ("super.users".to_owned(), format!("User:ANONYMOUS;User:{USER};User:CN={USER}")),
            ("log.retention.ms".to_owned(), (14 * DAY_MS).to_string()),
            ("log.roll.ms".to_owned(), DAY_MS.to_string()),
            ("sasl.enabled.mechanisms".to_owned(), "PLAIN,SCRAM-SHA-512".to_owned()),
            ("listener.name.certificates.ssl.client.auth".to_owned(), "required".to_owned()),
            ("listener.name.passwords.plain.sasl.jaas.config".to_owned(), plain_users()),
            (
                "listener.name.passwords.scram-sha-512.sasl.jaas.config".to_owned(),
                "org.apache.kafka.common.security.scram.ScramLoginModule required;".to_owned(),
            ),
        ];
        for (listener, name) in [("certificates", "broker"), ("passwords", "broker"), ("expired", "expired"), ("elsewhere", "elsewhere")] {
            let store = |key: &str, value: String| (format!("listener.name.{listener}.ssl.{key}"), value);
            properties.push(store("keystore.type", "PEM".to_owned()));
            properties.push(store("truststore.type", "PEM".to_owned()));
            properties.push(store("keystore.key", one_line(&folder.join(format!("{name}.key")))));
            properties.push(store("keystore.certificate.chain", one_line(&folder.join(format!("{name}.pem")))));
            properties.push(store("truststore.certificates", one_line(&folder.join("ca.pem"))));
        }
        let properties: Vec<(&str, &str)> = properties.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let own = Own::new(ports[0], ports[1], &properties);
        own.format(&new_cluster_id());
        let mut kafka = Kafka { bootstrap: at(0), replicas: 1, own: Some(own) };
        kafka.start_again();
        let secured = Secured { kafka, certificates: at(2), passwords: at(3), expired: at(4), elsewhere: at(5), folder };
        secured.admin(&[&format!("scram {USER} {PASSWORD}")]);
        secured
    }

    pub fn file(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// What waitbridge's settings say to come in by a certificate; to whatever listener.
    pub fn with_certificate(&self) -> String {
        let (certificate, key) = (self.file(&format!("{USER}.pem")), self.file(&format!("{USER}.key")));
        format!("{}\"ssl.certificate.location\" = \"{certificate}\"\n\"ssl.key.location\" = \"{key}\"\n", self.properties("ssl"))
    }

    /// The same by the password in this file.
    pub fn with_password(&self, mechanism: &str, user: &str, file: &Path) -> String {
        format!(
            "{}\"sasl.mechanism\" = \"{mechanism}\"\n\"sasl.username\" = \"{user}\"\n[kafka.property_files]\n\"sasl.password\" = \"{}\"\n",
            self.properties("sasl_ssl"),
            file.display()
        )
    }

    fn properties(&self, protocol: &str) -> String {
        format!("[kafka.properties]\n\"security.protocol\" = \"{protocol}\"\n\"ssl.ca.location\" = \"{}\"\n", self.file("ca.pem"))
    }

    /// Lines for `administer.py`.
    pub fn admin(&self, lines: &[&str]) {
        let mut script = python("tests/it/secure/administer.py");
        output(script.arg(self.kafka.bootstrap()), &lines.join("\n"));
    }
}

const NEW_KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";

fn sign(folder: &Path, name: &str, host: &str, days: i32) {
    openssl(folder, &format!("req -new {NEW_KEY} -keyout {name}.key -out {name}.csr -subj /CN={name} -addext subjectAltName={host}"));
    openssl(
        folder,
        &format!("x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days {days} -copy_extensions copy -out {name}.pem"),
    );
}

fn openssl(folder: &Path, arguments: &str) {
    let ran = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output().expect("openssl: run tests/prepare once");
    assert!(ran.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&ran.stderr));
}

/// As server.properties takes it.
fn one_line(pem: &Path) -> String {
    fs::read_to_string(pem).unwrap().trim().replace('\n', "\\n")
}

fn plain_users() -> String {
    format!("org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}=\"{PASSWORD}\" user_{LIMITED}=\"{PASSWORD}\";")
}
