//! The rights in Kafka, each tried without an effect.

use std::time::Duration;

use super::Notes;
use crate::cli::show::count;
use crate::kafka::cluster::Cluster;
use crate::kafka::rights::trial::Verdict;
use crate::kafka::rights::{Purpose, Resource, Right};

/// Of all trials together.
const TRY_WITHIN: Duration = Duration::from_secs(20);
const ADVICE: &str = "`waitbridge doctor --acls` prints the commands that grant what is needed";

/// `broker`: one of the cluster's.
pub(super) fn look(notes: &mut Notes, cluster: &Cluster, broker: i32) {
    let tried = cluster.try_rights(broker, TRY_WITHIN);
    let by = |wanted| tried.iter().filter(move |(_, verdict)| *verdict == wanted).map(|(right, _)| right);
    let (granted, untried) = (by(Verdict::Granted).count(), by(Verdict::Untried).count());
    notes.fine(format!("{} tried and granted", count(granted, "right")));
    if untried > 0 {
        notes.warning(format!("{} could not be tried", count(untried, "right")), "mend what else is wrong, then look again");
    }
    for right in by(Verdict::Refused) {
        let said = format!("no right to {}: {} cannot do without", words(right), right.purpose.as_str());
        match right.purpose {
            Purpose::Serve | Purpose::Replay => notes.problem(said, ADVICE),
            Purpose::Tail | Purpose::Doctor => notes.warning(said, ADVICE),
        }
    }
}

fn words(right: &Right) -> String {
    match right.resource {
        Resource::Cluster => format!("{} on the cluster", right.operation.as_str()),
        resource => format!("{} on {} {} ({})", right.operation.as_str(), resource.as_str(), right.name, right.pattern.as_str()),
    }
}
