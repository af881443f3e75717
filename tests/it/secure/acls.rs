//! The rights that `doctor --acls` prints: with them everything runs, and without any one of them something says which.

use std::fs;

use serde_json::Value;
use waitbridge::providers::waitwhile::{SIGNATURE_HEADER, signature};

use super::broker::{self, LIMITED, PASSWORD, Secured};
use super::{SOON, WITHIN, flows, troubles};
use crate::bridge::{Bridge, Home, PUBLIC_URL, SECRET, TOKEN};
use crate::http::{once, request};
use crate::kafka::unique;
use crate::ops::{delivered, on, single};
use crate::replicas::Replicas;

/// One right, as the doctor lists it.
struct Right {
    operation: String,
    resource: String,
    pattern: String,
    name: String,
    purpose: String,
}

impl Right {
    fn of(listed: &Value) -> Right {
        let text = |key: &str| listed[key].as_str().unwrap().to_owned();
        Right {
            operation: text("operation"),
            resource: text("resource"),
            pattern: text("pattern"),
            name: text("name"),
            purpose: text("for"),
        }
    }

    /// As the doctor names it.
    fn words(&self) -> String {
        match self.resource.as_str() {
            "cluster" => format!("no right to {} on the cluster", self.operation),
            resource => format!("no right to {} on {resource} {} ({})", self.operation, self.name, self.pattern),
        }
    }

    fn change(&self, secured: &Secured, verb: &str) {
        let Right { operation, resource, pattern, name, .. } = self;
        secured.admin(&[&format!("{verb} User:{LIMITED} {operation} {resource} {pattern} {name}")]);
    }

    /// Whether the service asks Kafka for it with each delivery.
    fn is_used_all_the_time(&self) -> bool {
        self.purpose == "serve" && ["Write", "Read"].contains(&self.operation.as_str())
    }
}

fn rights(home: &Home) -> Vec<Right> {
    on(home, &["doctor", "--acls", "--json"]).json()["rights"].as_array().unwrap().iter().map(Right::of).collect()
}

/// It comes in as somebody who may do nothing yet, with names that nobody else has.
fn limit(secured: &Secured, home: &Home) {
    fs::write(home.path("password"), PASSWORD).unwrap();
    let properties = secured.with_password("PLAIN", LIMITED, &home.path("password"));
    home.set("[topics]\n", &format!("{properties}[topics]\n"));
    single(home);
    home.set("[kafka]\n", &format!("[kafka]\nprefix = \"{}\"\n", unique("limited")));
}

/// One for each topic; how the vendors are answered.
fn deliver(bridge: &Bridge) -> Vec<u16> {
    let id = unique("id");
    let person = format!(r#"{{"type":"AddPerson","data":{{"PersonId":1,"Fields":{{"Serial":"{id}"}},"Waitlists":[]}}}}"#);
    let site = format!("/webhooks/sunshine/{TOKEN}");
    let location = format!(r#"{{"id":"{id}","type":"location-status.updated","data":{{"id":"l1","isOpen":true}}}}"#);
    let signed = signature(SECRET.as_bytes(), PUBLIC_URL, location.as_bytes());
    let to =
        |path: &str, headers: &[(&str, &str)], body: &str| once(bridge.public, &request("POST", path, headers, body.as_bytes())).status;
    vec![
        to(&site, &[], &person),
        to("/webhooks/waitwhile", &[(SIGNATURE_HEADER, &signed)], &location),
        to(&site, &[], &format!(r#"{{"type":"{id}","data":{{}}}}"#)),
    ]
}

fn everything_runs(home: &Home, bridge: &Bridge) {
    assert_eq!(deliver(bridge), [200, 200, 200]);
    delivered(bridge);
    let doctor = on(home, &["doctor", "--json"]);
    assert_eq!(doctor.code, 0, "{}", troubles(&doctor));
    assert!(doctor.out.contains("rights tried and granted"), "{}", troubles(&doctor));
    for command in [&["replay", "--from", "1h"][..], &["replay", "--dead-letters"], &["journal", "stat"], &["topics"]] {
        let ran = on(home, command);
        assert_eq!(ran.code, 0, "{command:?}: {}{}", ran.out, ran.err);
    }
    let tail = on(home, &["tail", "--from-beginning", "--for", "3s"]);
    assert!(tail.code == 0 && tail.out.lines().count() >= 3, "{}{}", tail.out, tail.err);
}

fn something_says_which(secured: &Secured, home: &Home, bridge: &Bridge, right: &Right) {
    let said_before = bridge.said().len();
    right.change(secured, "revoke");
    if right.is_used_all_the_time() {
        deliver(bridge);
        bridge.wait_until(&right.words(), WITHIN, |bridge| {
            let is_about = |line: &str| line.contains("not_authorized") && line.contains(&right.name);
            bridge.said()[said_before..].lines().any(is_about)
        });
    }
    let said = bridge.said();
    let mut forbidden = said[said_before..].lines().filter(|line| line.contains("the relay waits") && line.contains("partition(s)"));
    assert!(forbidden.all(|line| line.contains(&right.name)), "another topic is named than {}", right.name);
    let doctor = on(home, &["doctor", "--json"]);
    let troubles = troubles(&doctor);
    let lines: Vec<&str> = troubles.lines().filter(|line| line.contains("no right to")).collect();
    assert!(lines.len() == 1 && lines[0].contains(&right.words()), "{}:\n{troubles}", right.words());
    let is_vital = ["serve", "replay"].contains(&right.purpose.as_str());
    assert_eq!(doctor.code, if is_vital { 3 } else { 0 }, "{troubles}");
    right.change(secured, "grant");
}

fn each_is_needed(secured: &Secured, home: &Home, bridge: &Bridge) {
    for right in rights(home) {
        something_says_which(secured, home, bridge, &right);
        if right.is_used_all_the_time() {
            bridge.wait_until("it is taken again", WITHIN, |bridge| deliver(bridge) == [200, 200, 200]);
            delivered(bridge);
            flows(bridge);
        }
    }
}

#[test]
fn the_printed_commands_grant_a_disk_journal_what_it_needs_and_each_right_is_needed() {
    let secured = broker::shared();
    let home = Home::new(&secured.passwords, &secured.kafka.new_topics(3), SOON);
    limit(secured, &home);
    let bridge = home.start();
    let doctor = on(&home, &["doctor", "--json"]);
    let all = rights(&home);
    let is_untried = |right: &&Right| right.resource == "topic" && right.operation == "Read";
    let expected = (3, all.len() - all.iter().filter(is_untried).count());
    assert_eq!((doctor.code, doctor.out.matches("no right to").count()), expected, "{}", troubles(&doctor));
    assert!(doctor.out.contains("4 rights could not be tried"), "{}", troubles(&doctor));
    let printed = on(&home, &["doctor", "--acls"]).out;
    for line in printed.lines().filter_map(|line| line.strip_prefix("kafka-acls.sh ")) {
        let line = line.replace(&secured.passwords, secured.kafka.bootstrap());
        let arguments: Vec<&str> = line.split(' ').collect();
        let arguments = [&arguments[..], &["--command-config"]].concat();
        let mut tool = secured.kafka.own.as_ref().unwrap().java("server", "org.apache.kafka.tools.AclCommand", &arguments);
        assert_eq!(tool.wait(WITHIN), 0, "{line}\n{}", tool.log_tail());
    }
    flows(&bridge);
    everything_runs(&home, &bridge);
    each_is_needed(secured, &home, &bridge);
    everything_runs(&home, &bridge);
    assert_eq!(bridge.terminate(), 0);
}

#[test]
fn a_fleet_needs_each_of_its_rights_too() {
    let secured = broker::shared();
    let mut fleet = Replicas::new(&secured.kafka, &secured.passwords, 1, 2, SOON);
    limit(secured, fleet.home(0));
    fleet.home(0).set("[kafka]\n", "[kafka]\ncreate_topics = true\n");
    let all = rights(fleet.home(0));
    all.iter().for_each(|right| right.change(secured, "grant"));
    fleet.start(0);
    flows(fleet.get(0));
    everything_runs(fleet.home(0), fleet.get(0));
    each_is_needed(secured, fleet.home(0), fleet.get(0));
    everything_runs(fleet.home(0), fleet.get(0));
    assert_eq!(fleet.terminate(0), 0);
}
