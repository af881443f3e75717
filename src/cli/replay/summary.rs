//! What came of a replay, for people: what there was nothing of is not named.

use crate::cli::show::count;
use crate::relay::replay::progress::Shown;

pub fn page(verb: &str, shown: &Shown) -> String {
    let tally = &shown.tally;
    let events = count(tally.published, "event");
    let stale = if tally.stale == 0 { String::new() } else { format!(", {} of them stale", tally.stale) };
    let reasons = tally.dead.iter().map(|(reason, number)| format!("{reason} {number}")).collect::<Vec<_>>().join(", ");
    let left_out = [
        (tally.repeated, "a repeat of another".to_owned()),
        (tally.erased, "of somebody who was erased since".to_owned()),
        (tally.unwanted, "of another endpoint or time".to_owned()),
        (tally.without_body, "a dead letter without its body".to_owned()),
        (tally.dead_count(), format!("still not understood: {reasons}")),
    ];
    let mut page = format!("{events} {verb}{stale}, of {} looked at\n", deliveries(tally.looked_at()));
    for (number, why) in left_out.into_iter().filter(|(number, _)| *number > 0) {
        page += &format!("  {number} left out: {why}\n");
    }
    page
}

fn deliveries(number: u64) -> String {
    if number == 1 { "1 delivery".to_owned() } else { format!("{number} deliveries") }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::relay::replay::progress::Tally;

    #[test]
    fn only_what_there_is_of_is_named() {
        let dead = BTreeMap::from([("not_json".to_owned(), 2), ("unknown_type".to_owned(), 1)]);
        for (tally, expected) in [
            (Tally::default(), "0 events published, of 0 deliveries looked at\n"),
            (Tally { published: 1, ..Tally::default() }, "1 event published, of 1 delivery looked at\n"),
            (
                Tally { published: 5, stale: 2, repeated: 1, erased: 1, unwanted: 1, without_body: 1, dead },
                "5 events published, 2 of them stale, of 12 deliveries looked at\n  1 left out: a repeat of another\n  \
                 1 left out: of somebody who was erased since\n  1 left out: of another endpoint or time\n  \
                 1 left out: a dead letter without its body\n  3 left out: still not understood: not_json 2, unknown_type 1\n",
            ),
        ] {
            assert_eq!(page("published", &Shown { tally, ..Shown::default() }), expected);
        }
    }
}
