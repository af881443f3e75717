//! A Kafka that wants certificates, passwords and rights: every way in, what is said of one that is refused, and how it heals.

mod acls;
mod broker;

use std::fs;
use std::time::Duration;

use serde_json::Value;

use crate::bridge::{Bridge, Home};
use crate::http::{once, request};
use crate::ops::{Ran, accept, delivered, on, single};
use crate::reader::Reader;
use crate::replicas::Replicas;
use broker::{PASSWORD, Secured, USER};

const WITHIN: Duration = Duration::from_secs(120);
const WRONG: &str = "wrong-hunter2";
/// Refused calls are tried again soon.
const SOON: &str = "[relay]\nexpired_after = \"0s\"\nretry_max = \"500ms\"\n";

fn home(secured: &Secured, brokers: &str, properties: &str) -> (Home, String) {
    let topics = secured.kafka.new_topics(3);
    let home = Home::new(brokers, &topics, &format!("{SOON}{properties}"));
    single(&home);
    (home, topics.person)
}

/// A home that comes in by the password in its file `password`.
fn home_with_password(secured: &Secured, mechanism: &str) -> (Home, String) {
    let (home, person) = home(secured, &secured.passwords, "");
    fs::write(home.path("password"), format!("{PASSWORD}\n")).unwrap();
    let properties = secured.with_password(mechanism, USER, &home.path("password"));
    home.set("[topics]\n", &format!("{properties}[topics]\n"));
    (home, person)
}

fn kafka_of(bridge: &Bridge) -> Value {
    let ready = once(bridge.admin, &request("GET", "/readyz", &[], b""));
    serde_json::from_slice::<Value>(&ready.body).unwrap()["kafka"].clone()
}

fn waits_for(bridge: &Bridge, reason: &str) {
    bridge.wait_until(reason, WITHIN, |bridge| kafka_of(bridge)["reason"] == reason);
}

fn flows(bridge: &Bridge) {
    bridge.wait_until("it flows", WITHIN, |bridge| kafka_of(bridge)["state"] == "flowing");
}

/// What the doctor does not find fine, with what it advises.
fn troubles(doctor: &Ran) -> String {
    let checks = doctor.json()["checks"].as_array().unwrap().clone();
    let bad = checks.into_iter().filter(|check| check["level"] != "ok");
    bad.map(|check| format!("{}: {}: {}\n", check["level"], check["said"], check["advice"])).collect()
}

fn doctor_says(home: &Home, parts: &[&str]) {
    let ran = on(home, &["doctor", "--json"]);
    let troubles = troubles(&ran);
    assert_eq!(ran.code, 3, "{troubles}");
    for part in parts {
        assert!(troubles.contains(part), "{part} in\n{troubles}");
    }
    assert!(!troubles.contains(WRONG) && !troubles.contains(PASSWORD));
}

fn reload(home: &Home, key: &str) {
    let ran = on(home, &["reload"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("new for kafka's clients") && ran.out.contains(key), "{}", ran.out);
}

#[test]
fn each_way_in_delivers_and_the_doctor_is_content() {
    let secured = broker::shared();
    let by_certificate = home(secured, &secured.certificates, &secured.with_certificate());
    let by_password = ["PLAIN", "SCRAM-SHA-512"].map(|mechanism| home_with_password(secured, mechanism));
    for (home, person) in [by_certificate].into_iter().chain(by_password) {
        let bridge = home.start();
        accept(&bridge, 1);
        assert_eq!(Reader::new(secured.kafka.bootstrap(), &[&person]).read_until(1, WITHIN).len(), 1);
        let ran = on(&home, &["doctor", "--json"]);
        assert_eq!(ran.code, 0, "{}", troubles(&ran));
        assert!(ran.out.contains("rights tried and granted"), "{}", ran.out);
        assert_eq!(bridge.terminate(), 0);
    }
}

#[test]
fn a_wrong_password_is_named_and_heals_when_its_file_is_corrected() {
    let secured = broker::shared();
    for mechanism in ["PLAIN", "SCRAM-SHA-512"] {
        let (home, person) = home_with_password(secured, mechanism);
        fs::write(home.path("password"), WRONG).unwrap();
        let bridge = home.start();
        accept(&bridge, 1);
        waits_for(&bridge, "credentials");
        doctor_says(&home, &["uthentication failed", "kafka.property_files"]);

        fs::write(home.path("password"), PASSWORD).unwrap();
        reload(&home, "kafka.property_files.sasl.password");
        assert_eq!(Reader::new(secured.kafka.bootstrap(), &[&person]).read_until(1, WITHIN).len(), 1);
        flows(&bridge);

        // The other way round, while all flows.
        fs::write(home.path("password"), WRONG).unwrap();
        reload(&home, "kafka.property_files.sasl.password");
        accept(&bridge, 2);
        waits_for(&bridge, "credentials");
        fs::write(home.path("password"), PASSWORD).unwrap();
        // Noticed without being told.
        delivered(&bridge);
        flows(&bridge);
        assert_eq!(Reader::new(secured.kafka.bootstrap(), &[&person]).read_until(2, WITHIN).len(), 2);
        let said = bridge.said();
        assert!(said.contains("\"reason\":\"credentials\"") && said.contains("uthentication failed"), "{said}");
        assert!(!said.contains(WRONG) && !said.contains(PASSWORD), "{said}");
        assert_eq!(bridge.terminate(), 0);
    }
}

#[test]
fn a_fleet_with_a_wrong_password_is_not_ready_and_heals_too() {
    let secured = broker::shared();
    let mut fleet = Replicas::new(&secured.kafka, &secured.passwords, 1, 3, SOON);
    let password = fleet.home(0).path("password");
    fs::write(&password, WRONG).unwrap();
    let properties = secured.with_password("SCRAM-SHA-512", USER, &password);
    fleet.home(0).set("[topics]\n", &format!("{properties}[topics]\n"));
    single(fleet.home(0));
    fleet.start_unready(0);
    waits_for(fleet.get(0), "credentials");
    assert_eq!(once(fleet.get(0).admin, &request("GET", "/readyz", &[], b"")).status, 503);
    doctor_says(fleet.home(0), &["uthentication failed", "kafka.property_files"]);
    let journal_waits = |bridge: &Bridge| bridge.said().contains("the journal waits for kafka");
    fleet.get(0).wait_until("the journal names it, too", WITHIN, journal_waits);

    fs::write(&password, PASSWORD).unwrap();
    reload(fleet.home(0), "kafka.property_files.sasl.password");
    let is_ready = |bridge: &Bridge| bridge.metric("waitbridge_journal_writable") == 1.0;
    fleet.get(0).wait_until("ready", WITHIN, is_ready);
    let mut reader = Reader::new(secured.kafka.bootstrap(), &[&fleet.topics.person]);
    accept(fleet.get(0), 1);
    assert_eq!(reader.read_until(1, WITHIN).len(), 1);

    // Another file with the same password: every client is made anew, the member of the group too, and nothing comes twice.
    let other = fleet.home(0).path("other");
    fs::write(&other, PASSWORD).unwrap();
    fleet.home(0).set(&password.display().to_string(), &other.display().to_string());
    reload(fleet.home(0), "kafka.property_files.sasl.password");
    let rebuilt = "waitbridge_kafka_producer_rebuilds_total{cause=\"properties\"}";
    accept(fleet.get(0), 2);
    assert_eq!(reader.read_until(1, WITHIN).len(), 1);
    delivered(fleet.get(0));
    fleet.get(0).wait_until("clients are made anew", WITHIN, |bridge| bridge.metric(rebuilt) >= 2.0);
    accept(fleet.get(0), 3);
    assert_eq!(reader.read_until(1, WITHIN).len(), 1);
    assert_eq!(Reader::new(secured.kafka.bootstrap(), &[&fleet.topics.person]).read_to_end().len(), 3);
    let said = fleet.get(0).said();
    assert!(!said.contains(WRONG) && !said.contains(PASSWORD), "{said}");
    assert_eq!(fleet.terminate(0), 0);
}

#[test]
fn a_certificate_that_is_not_to_be_taken_is_named_with_the_reason() {
    let secured = broker::shared();
    let other_ca = secured.with_certificate().replace("/ca.pem", "/other-ca.pem");
    let cases = [
        (&secured.expired, secured.with_certificate(), "xpired", "renew the broker's certificate"),
        (&secured.elsewhere, secured.with_certificate(), "not valid for name", "name the broker as its certificate does"),
        (&secured.certificates, other_ca, "UnknownIssuer", "ssl.ca.location"),
    ];
    let started = cases.map(|(brokers, properties, why, advice)| {
        let (home, _) = home(secured, brokers, &properties);
        let bridge = home.start();
        (home, bridge, why, advice)
    });
    for (home, bridge, why, advice) in started {
        waits_for(&bridge, "tls");
        doctor_says(&home, &["certificate verify failed", why, advice]);
        assert!(bridge.said().contains("certificate verify failed"), "{}", bridge.said());
        assert_eq!(bridge.terminate(), 0);
    }
}

#[test]
fn properties_of_which_no_client_can_be_made_are_a_mistake_and_change_nothing() {
    let secured = broker::shared();
    let (home, _) = home(secured, &secured.certificates, &secured.with_certificate());
    let key = home.path("key");
    fs::copy(secured.file(&format!("{USER}.key")), &key).unwrap();
    home.set(&secured.file(&format!("{USER}.key")), &key.display().to_string());
    let bridge = home.start();
    flows(&bridge);
    fs::write(&key, "half a k").unwrap();
    let ran = on(&home, &["check"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("kafka.properties") && ran.err.contains("ssl.key.location"), "{}", ran.err);
    assert_eq!(bridge.metric("waitbridge_config_last_reload_successful"), 1.0);
    bridge.wait_until("it is noticed", WITHIN, |bridge| bridge.metric("waitbridge_config_last_reload_successful") == 0.0);
    accept(&bridge, 1);
    delivered(&bridge);
    assert_eq!(bridge.terminate(), 0);
}
