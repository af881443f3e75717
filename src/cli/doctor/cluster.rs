//! Kafka: is each broker reachable, does the cluster take us, are the topics right, do the coordinators answer?

use std::net::{TcpStream, ToSocketAddrs};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::{Notes, fleet, refused, rights};
use crate::cli::show::count;
use crate::cli::topics::{Compared, compared, words};
use crate::journal::disk::inspect::Inspection;
use crate::kafka::cluster::{Cluster, Overview};
use crate::kafka::compare::{Standing, Weight};
use crate::kafka::topics::Spec;
use crate::kafka::{Cause, Checkpoint, Fault};
use crate::settings::{Fleet, Settings};

/// Of a name and a connection; all brokers at once.
const REACH_WITHIN: Duration = Duration::from_secs(3);
/// Of each question to the cluster: all of them together, and the disk, stay below half a minute.
const ASK_WITHIN: Duration = Duration::from_secs(4);

pub(super) fn look(settings: &Settings, journal: Option<&Inspection>) -> Notes {
    let id = journal.and_then(|journal| journal.id);
    look_as(settings, &id.map_or("doctor".to_owned(), |id| id.to_string()), |notes, cluster, _| {
        topics(notes, cluster, &settings.kafka.create);
        checkpoint(notes, cluster.checkpoint(&settings.kafka.checkpoint_topic), journal);
    })
}

pub(super) fn look_of_fleet(settings: &Settings, of: &Fleet) -> Notes {
    look_as(settings, &of.replica, |notes, cluster, overview| {
        topics(notes, cluster, &settings.kafka.create);
        fleet::look(notes, settings, of, cluster, overview);
    })
}

/// `own`: what the kind of journal has of its own in Kafka.
fn look_as(settings: &Settings, id: &str, own: impl FnOnce(&mut Notes, &Cluster, &Overview)) -> Notes {
    let mut notes = Notes::of("kafka");
    reach(&mut notes, "broker", &settings.kafka.brokers);
    let cluster = match Cluster::new(settings.kafka.options(id), ASK_WITHIN) {
        Ok(cluster) => cluster,
        Err(fault) => {
            notes.problem(fault.to_string(), "correct [kafka.properties]");
            return notes;
        }
    };
    // Whoever does not answer this answers nothing.
    if let Some(overview) = overview(&mut notes, &cluster, settings) {
        own(&mut notes, &cluster, &overview);
        transactions(&mut notes, &cluster);
        overview.brokers.first().inspect(|broker| rights::look(&mut notes, &cluster, broker.id));
    }
    notes
}

fn overview(notes: &mut Notes, cluster: &Cluster, settings: &Settings) -> Option<Overview> {
    let known = &settings.kafka.brokers;
    match cluster.overview() {
        Ok(overview) => {
            let id = overview.cluster_id.as_deref().unwrap_or("of unknown id");
            notes.fine(format!("cluster {id} answers, and takes our credentials; {}", count(overview.brokers.len(), "broker")));
            let members = overview.brokers.iter().map(|member| &member.address).filter(|address| !known.contains(address));
            reach(notes, "advertised broker", &members.cloned().collect::<Vec<_>>());
            Some(overview)
        }
        Err(fault) => {
            notes.problem(format!("the cluster does not answer: {fault}"), advice(&fault));
            if fault.cause == Cause::Tls {
                certificates(notes, settings);
            }
            None
        }
    }
}

fn certificates(notes: &mut Notes, settings: &Settings) {
    let ca_file = settings.kafka.properties.get("ssl.ca.location").filter(|file| file != "probe");
    for address in &settings.kafka.brokers {
        if let Some(why) = refused::why_not_taken(address, ca_file.as_deref()) {
            notes.problem(format!("broker {address}: its certificate is not taken: {why}"), refused::advice(&why));
        }
    }
}

pub(super) fn advice(fault: &Fault) -> &'static str {
    match fault.cause {
        Cause::Credentials => "correct security.protocol, sasl.* and ssl.* of [kafka.properties] and the files of [kafka.property_files]",
        Cause::Tls => "correct security.protocol and ssl.* of [kafka.properties] and the files that they name",
        Cause::NotAuthorized => "grant the right: `waitbridge doctor --acls` prints all that are needed",
        Cause::UnknownTopic => "make the topics: `waitbridge topics --create`",
        _ => "correct kafka.brokers, start Kafka, or open the way to it",
    }
}

/// Names are resolved and connections tried at the same time, each on a thread of its own that nobody waits for in vain.
fn reach(notes: &mut Notes, what: &str, addresses: &[String]) {
    let deadline = Instant::now() + REACH_WITHIN;
    let tried: Vec<_> = addresses
        .iter()
        .map(|address| {
            let (tell, told) = mpsc::channel();
            let asked = address.clone();
            std::thread::spawn(move || tell.send(connect(&asked)));
            (address, told)
        })
        .collect();
    for (address, told) in tried {
        match told.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(Ok(took)) => notes.fine(format!("{what} {address}: connected in {:.1} ms", took.as_secs_f64() * 1000.0)),
            Ok(Err(why)) => notes.problem(format!("{what} {address}: {why}"), unreachable(what)),
            Err(_) => notes.problem(format!("{what} {address}: no answer in {} s", REACH_WITHIN.as_secs()), unreachable(what)),
        }
    }
}

fn unreachable(what: &str) -> &'static str {
    match what {
        "broker" => "correct kafka.brokers, start it, or open the way to it",
        _ => "this is where the cluster sends its clients: correct the broker's advertised.listeners, or open the way to it",
    }
}

fn connect(address: &str) -> Result<Duration, String> {
    let started = Instant::now();
    let place = address.split_once("://").map_or(address, |(_, place)| place);
    let place = if place.contains(':') { place.to_owned() } else { format!("{place}:9092") };
    let mut why = "its name has no address".to_owned();
    for resolved in place.to_socket_addrs().map_err(|error| format!("its name cannot be resolved: {error}"))? {
        match TcpStream::connect_timeout(&resolved, REACH_WITHIN) {
            Ok(_) => return Ok(started.elapsed()),
            Err(error) => why = format!("{resolved}: {error}"),
        }
    }
    Err(why)
}

/// `made`: those that the start makes if they are missing.
fn topics(notes: &mut Notes, cluster: &Cluster, made: &[Spec]) {
    let topics = match cluster.topics() {
        Ok(topics) => compared(topics),
        Err(fault) => return notes.problem(format!("the topics cannot be seen: {fault}"), advice(&fault)),
    };
    for Compared { spec, standing, differences } in topics {
        if standing == Standing::Missing && made.contains(&spec) {
            notes.warning(format!("topic {} is missing", spec.name), "the start makes it (kafka.create_topics)");
            continue;
        }
        if differences.is_empty() {
            notes.fine(format!("topic {} is as it should be", spec.name));
        }
        for difference in differences {
            let said = format!("topic {}: {}", spec.name, words(&difference));
            match difference.weight {
                Weight::Problem => notes.problem(said, ""),
                Weight::Note => notes.warning(said, ""),
            }
        }
    }
}

fn checkpoint(notes: &mut Notes, found: Result<Option<Checkpoint>, Fault>, journal: Option<&Inspection>) {
    let marked = journal.and_then(Inspection::marked).map(|(position, _)| position);
    match (found, marked) {
        (Ok(Some(checkpoint)), _) => {
            notes.fine(format!("the checkpoint is at {}, of the process {}", checkpoint.next, checkpoint.metadata))
        }
        (Ok(None), Some(position)) => notes.warning(
            format!("there is no checkpoint, and the local mark says {position}"),
            "it has expired, or this is another cluster: publishing goes on from the mark",
        ),
        (Ok(None), None) => notes.fine("the coordinator of our group answers; there is no checkpoint yet"),
        (Err(fault), _) => notes.problem(format!("the checkpoint cannot be read: {fault}"), advice(&fault)),
    }
}

fn transactions(notes: &mut Notes, cluster: &Cluster) {
    match cluster.try_transactions() {
        Ok(id) => notes.fine(format!("transactions are given (tried as {id})")),
        Err(fault) => notes.problem(format!("transactions are not given: {fault}"), advice(&fault)),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::super::Level;
    use super::*;

    #[test]
    fn a_broker_is_reached_or_it_is_said_why_not() {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().map(|address| address.to_string());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let mut notes = Notes::of("kafka");
        reach(
            &mut notes,
            "broker",
            &[address.clone(), format!("PLAINTEXT://{address}"), closed.unwrap(), "no-such-host.invalid:1".to_owned()],
        );
        let levels: Vec<Level> = notes.checks.iter().map(|check| check.level).collect();
        assert_eq!(levels, [Level::Fine, Level::Fine, Level::Problem, Level::Problem], "{:?}", notes.checks);
        assert!(notes.checks[2].said.contains("refused"), "{:?}", notes.checks[2]);
    }
}
