//! A journal's folder was copied, and both copies run under load: one ends with exit 4 and keeps what it did not deliver.

use std::collections::HashSet;
use std::process::Command;
use std::time::{Duration, Instant};

use super::{Rounds, count, program, tell};
use crate::bridge::{Bridge, Home};
use crate::foreign::output;
use crate::kafka;
use crate::kills::{DRAIN_WITHIN, PAUSE, SENDERS, SMALL_BATCHES, undelivered_is_zero, wait_for_more};
use crate::lives::copy_folder;
use crate::load::{Load, judge};

const ROUNDS: u64 = 1;

#[test]
fn of_two_copies_of_a_journal_under_load_one_ends_with_4_and_nothing_is_twice_or_lost() {
    let rounds = Rounds::or(ROUNDS);
    (0..rounds.count).for_each(|_| run_both(&rounds));
}

fn run_both(rounds: &Rounds) {
    let kafka = kafka::shared();
    let topics = kafka.new_topics(3);
    let homes = [Home::new(kafka.bootstrap(), &topics, SMALL_BATCHES), Home::new(kafka.bootstrap(), &topics, SMALL_BATCHES)];
    assert_eq!(homes[0].start().terminate(), 0);
    copy_folder(&homes[0].path("journal"), &homes[1].path("journal"));

    let mut bridges = homes.each_ref().map(Home::start);
    let loads = [Load::start_from(0, SENDERS, PAUSE), Load::start_from(SENDERS, SENDERS, PAUSE)];
    bridges.iter().zip(&loads).for_each(|(bridge, load)| load.aim(Some(bridge.public)));
    let loser = first_to_end(&mut bridges);
    let winner = 1 - loser;
    wait_for_more(&loads[winner], 200);
    let accepted = loads.map(Load::finish);
    undelivered_is_zero(&bridges[winner]);

    let (of_winner, read) = count(kafka.bootstrap(), &topics.person, &accepted[winner], DRAIN_WITHIN);
    tell("two copies: the winner", rounds, &of_winner);
    let of_loser = judge(&accepted[loser], &read);
    tell("two copies: the loser, what is missing is in its journal", rounds, &of_loser);
    assert_eq!((of_winner.lost, of_winner.doubled, of_winner.reordered, of_winner.overtaken), (0, 0, 0, 0));
    assert!(of_winner.accepted > 0 && of_loser.accepted > 0);

    let kept = accept_ids(&homes[loser]);
    let published: HashSet<&str> = read.iter().map(|event| event.accept_id.as_str()).collect();
    let told = accepted[loser].by_key.values().flatten().map(|(_, accept_id)| accept_id);
    let gone: Vec<&String> = told.filter(|id| !published.contains(id.as_str()) && !kept.contains(*id)).collect();
    assert!(gone.is_empty(), "answered 200, and neither in the topic nor in the journal: {gone:?}");
}

/// It ends with 4.
fn first_to_end(bridges: &mut [Bridge; 2]) -> usize {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        if let Some((loser, code)) = bridges.iter_mut().enumerate().find_map(|(at, bridge)| Some((at, bridge.ended()?))) {
            assert_eq!(code, 4);
            return loser;
        }
        assert!(Instant::now() < deadline, "both go on");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn accept_ids(home: &Home) -> HashSet<String> {
    let listed = output(Command::new(program()).args(["journal", "list", "--json", "--dir"]).arg(home.path("journal")), "");
    let records = listed.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
    records.map(|record| record["accept_id"].as_str().expect("an accept id").to_owned()).collect()
}
