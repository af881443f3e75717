//! New endpoints and secrets while the real program runs: on SIGHUP, and when a file's content changes.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use waitbridge::providers::waitwhile::{SIGNATURE_HEADER, signature};

use crate::bridge::{Bridge, Home, PUBLIC_URL, SECRET, TOKEN, TOKEN_SHA256};
use crate::http::{Connection, once, request};
use crate::kafka;
use crate::reader::Reader;

/// Far longer than the poll's ten seconds.
const WITHIN: Duration = Duration::from_secs(90);
const BODY: &[u8] = br#"{"type":"AddPerson","data":{"PersonId":1,"Fields":{},"Waitlists":[]}}"#;
const SUCCESSFUL: &str = "waitbridge_config_last_reload_successful";

fn start(prepare: impl FnOnce(&Home)) -> (Home, Bridge) {
    let kafka = kafka::shared();
    let home = Home::new(kafka.bootstrap(), &kafka.new_topics(1), "");
    prepare(&home);
    let bridge = home.start();
    (home, bridge)
}

fn edit(home: &Home, from: &str, to: &str) {
    let settings = fs::read_to_string(home.path("waitbridge.toml")).unwrap();
    assert!(settings.contains(from), "{from} in\n{settings}");
    fs::write(home.path("waitbridge.toml"), settings.replace(from, to)).unwrap();
}

/// A hangup, and what the process says of its reading.
fn hang_up(bridge: &mut Bridge) -> String {
    let readings = |said: &str| said.matches("are read again").count() + said.matches("cannot be used").count();
    let before = bridge.said();
    bridge.signal("HUP");
    bridge.wait_until("the settings are read", WITHIN, |bridge| readings(&bridge.said()) > readings(&before));
    bridge.said()[before.len()..].to_owned()
}

fn signed_with(bridge: &Bridge, secret: &str) -> String {
    let signature = signature(secret.as_bytes(), PUBLIC_URL, BODY);
    once(bridge.public, &request("POST", "/webhooks/waitwhile", &[(SIGNATURE_HEADER, &signature)], BODY)).code()
}

fn with_token(bridge: &Bridge, endpoint: &str) -> String {
    once(bridge.public, &request("POST", &format!("/webhooks/{endpoint}/{TOKEN}"), &[], BODY)).code()
}

#[test]
fn a_swapped_secret_volume_is_seen_without_a_signal_and_a_broken_one_keeps_the_old_in_force() {
    let (home, bridge) = start(|home| {
        fs::remove_file(home.path("secret")).unwrap();
        symlink("..data/secret", home.path("secret")).unwrap();
        swap(home, "1", SECRET);
    });
    assert_eq!(signed_with(&bridge, SECRET), "accepted");
    swap(&home, "2", "whsec_next");
    bridge.wait_until("the new secret is known", WITHIN, |bridge| bridge.said().contains("are read again"));
    assert_eq!(signed_with(&bridge, "whsec_next"), "accepted");
    assert_eq!(signed_with(&bridge, SECRET), "signature_mismatch");

    swap(&home, "3", "\n");
    bridge.wait_until("the empty secret is refused", WITHIN, |bridge| bridge.metric(SUCCESSFUL) == 0.0);
    assert_eq!(signed_with(&bridge, "whsec_next"), "accepted");
    swap(&home, "4", "whsec_last");
    bridge.wait_until("it heals", WITHIN, |bridge| bridge.metric(SUCCESSFUL) == 1.0);
    assert_eq!(signed_with(&bridge, "whsec_last"), "accepted");
    let said = bridge.said();
    assert_eq!(said.matches("is empty; it must hold the secret").count(), 1, "{said}");
    assert!(!said.contains("whsec"), "{said}");
    assert_eq!(bridge.terminate(), 0);
}

/// As k8s does: the files stand in a folder of their own, and the link to it is replaced by a rename.
fn swap(home: &Home, version: &str, secret: &str) {
    fs::create_dir(home.path(version)).unwrap();
    fs::write(home.path(version).join("secret"), secret).unwrap();
    symlink(version, home.path("..data_tmp")).unwrap();
    fs::rename(home.path("..data_tmp"), home.path("..data")).unwrap();
}

#[test]
fn a_secret_is_rotated_with_both_valid_in_between() {
    let (home, mut bridge) = start(|_| {});
    let (old, new) = (home.path("secret"), home.path("new"));
    fs::write(&new, "whsec_new\n").unwrap();
    let listed = |paths: &[&std::path::Path]| format!("secret_files = {:?}", paths);
    let each = |bridge: &Bridge| [signed_with(bridge, SECRET), signed_with(bridge, "whsec_new")];
    assert_eq!(each(&bridge), ["accepted", "signature_mismatch"]);
    edit(&home, &listed(&[&old]), &listed(&[&old, &new]));
    hang_up(&mut bridge);
    assert_eq!(each(&bridge), ["accepted", "accepted"]);
    let used = r#"waitbridge_endpoint_secret_last_used_timestamp_seconds{endpoint="waitwhile",secret="1"}"#;
    assert!(bridge.metric(used) > 0.0);
    edit(&home, &listed(&[&old, &new]), &listed(&[&new]));
    let said = hang_up(&mut bridge);
    assert!(said.contains("\"changed\":\"waitwhile\"") && said.contains("\"added\":\"\""), "{said}");
    assert_eq!(each(&bridge), ["signature_mismatch", "accepted"]);
    assert_eq!(bridge.terminate(), 0);
}

fn in_two(request: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (head, tail) = request.split_at(request.len() - 10);
    (head.to_vec(), tail.to_vec())
}

#[test]
fn endpoints_come_and_go_with_their_files_and_series() {
    let (home, mut bridge) = start(|home| {
        fs::create_dir(home.path("endpoints")).unwrap();
        let settings = fs::read_to_string(home.path("waitbridge.toml")).unwrap();
        let folder = format!("endpoints_dir = \"{}\"\n", home.path("endpoints").display());
        fs::write(home.path("waitbridge.toml"), folder + &settings).unwrap();
    });
    assert_eq!(with_token(&bridge, "moon"), "not_found");
    let endpoint = |more: &str| {
        format!("[[endpoint]]\nname = \"moon\"\nvendor = \"waitlistplus\"\ntenant = \"t\"\ntoken_sha256 = [\"{TOKEN_SHA256}\"]\n{more}\n")
    };
    fs::write(home.path("endpoints").join("moon.toml"), endpoint("pending = true")).unwrap();
    let said = hang_up(&mut bridge);
    assert!(said.contains("\"added\":\"moon\""), "{said}");
    assert_eq!(with_token(&bridge, "moon"), "endpoint_pending");
    fs::write(home.path("endpoints").join("moon.toml"), endpoint("")).unwrap();
    hang_up(&mut bridge);
    assert_eq!(with_token(&bridge, "moon"), "accepted");
    let series = |bridge: &Bridge| {
        let answer = once(bridge.admin, &request("GET", "/metrics", &[], b""));
        String::from_utf8(answer.body).unwrap().matches("endpoint=\"moon\"").count()
    };
    assert!(series(&bridge) > 0);
    let (head, tail) = in_two(&request("POST", &format!("/webhooks/moon/{TOKEN}"), &[], BODY));
    let mut in_flight = Connection::open(bridge.public).unwrap();
    in_flight.send(&head).unwrap();
    bridge.wait_until("its first bytes are in", WITHIN, |bridge| bridge.metric("waitbridge_deliveries_in_flight") == 1.0);
    fs::remove_file(home.path("endpoints").join("moon.toml")).unwrap();
    let said = hang_up(&mut bridge);
    assert!(said.contains("\"removed\":\"moon\""), "{said}");
    assert_eq!(with_token(&bridge, "moon"), "not_found");
    in_flight.send(&tail).unwrap();
    assert_eq!(in_flight.answer().unwrap().code(), "accepted", "it finishes with the endpoint that it began with");
    bridge.wait_until("its series are gone", WITHIN, |bridge| series(bridge) == 0);
    assert_eq!(bridge.terminate(), 0);
}

#[test]
fn every_mistake_of_a_broken_file_is_told_and_other_keys_wait_for_a_restart() {
    let (home, mut bridge) = start(|_| {});
    let whole = fs::read_to_string(home.path("waitbridge.toml")).unwrap();
    edit(&home, "time_zone = \"America/Chicago\"", "time_zone = \"Chicago\"\nlisten = 1");
    fs::write(home.path("basic"), "hunter2").unwrap();
    let said = hang_up(&mut bridge);
    for wrong in ["endpoint[1].time_zone", "endpoint[1].listen", "endpoint[2].basic_files", "waitbridge.toml"] {
        assert!(said.contains(wrong), "{wrong} in\n{said}");
    }
    assert!(!said.contains("hunter2"), "{said}");
    assert_eq!(bridge.metric(SUCCESSFUL), 0.0);
    assert_eq!(with_token(&bridge, "sunshine"), "accepted", "the old ones stay in force");

    fs::write(home.path("basic"), "user:hunter2").unwrap();
    fs::write(home.path("waitbridge.toml"), whole.replace("brokers = [\"", "brokers = [\"127.0.0.1:1\", \"")).unwrap();
    let said = hang_up(&mut bridge);
    assert!(said.contains("\"keys\":\"kafka.brokers\"") && said.contains("\"changed\":\"basic\""), "{said}");
    assert_eq!(bridge.metric(SUCCESSFUL), 1.0);
    assert!(bridge.metric("waitbridge_config_last_reload_timestamp_seconds") > 1e9);
    assert_eq!(bridge.terminate(), 0);
}

#[test]
fn what_an_endpoint_had_accepted_before_it_was_removed_is_a_dead_letter() {
    let mut kafka = kafka::Kafka::start(&[]);
    let topics = kafka.new_topics(1);
    let home = Home::new(kafka.bootstrap(), &topics, "");
    let mut bridge = home.start();
    kafka.stop();
    let accepted = once(bridge.public, &request("POST", &format!("/webhooks/sunshine/{TOKEN}"), &[], BODY));
    assert_eq!(accepted.status, 200);
    edit(&home, "name = \"sunshine\"", "name = \"moonshine\"");
    hang_up(&mut bridge);
    kafka.start_again();
    let read = Reader::new(kafka.bootstrap(), &[&topics.dead_letter]).read_until(1, WITHIN);
    assert_eq!(read[0].header("wb_reason"), Some("endpoint_unknown"));
    assert_eq!(read[0].header("wb_acceptid"), Some(accepted.accept_id().as_str()));
    assert_eq!(bridge.terminate(), 0);
}
