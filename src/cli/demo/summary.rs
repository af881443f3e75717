//! How the demo ended, for a newcomer.

use super::ledger::{Ledger, NATURES, Row};
use super::show::{came_in, came_out, latency};
use super::story::Nature;

/// `seconds`: how long deliveries were sent, which a slow machine makes longer than was asked for.
pub fn page(ledger: &Ledger, seconds: f64) -> String {
    let mut page = format!("\nCame in     in {seconds:.1} s: {}\nCame out    {}\n", came_in(ledger), came_out(ledger));
    if let Some(latency) = latency(ledger) {
        page += &format!("It took     {latency}\n");
    }
    page += &format!("\n{:22}{:>6}{:>12}{:>11}   what should become of them\n", "deliveries", "sent", "answered ok", "ended ok");
    for nature in NATURES {
        let Row { sent, answered_right, came_out_right } = ledger.row(nature);
        let (name, fate) = words(nature);
        page += &format!("{name:22}{sent:>6}{answered_right:>12}{came_out_right:>11}   {fate}\n");
    }
    page + "\n" + &verdict(ledger)
}

fn words(nature: Nature) -> (&'static str, &'static str) {
    match nature {
        Nature::Genuine => ("genuine", "answered 200, and on Kafka exactly once"),
        Nature::Repeat => ("sent a second time", "answered 200, and not on Kafka again"),
        Nature::Late => ("late", "answered 200, and on Kafka once, marked as stale: a newer one was known"),
        Nature::Forged => ("forged", "refused: 401 for a wrong signature, 404 for a wrong token"),
    }
}

fn verdict(ledger: &Ledger) -> String {
    if ledger.is_right() {
        return "All as it should be: nothing lost, nothing twice, nothing forged let in.".to_owned();
    }
    let wrong = NATURES.iter().filter_map(|nature| {
        let Row { sent, answered_right, came_out_right } = ledger.row(*nature);
        let (name, _) = words(*nature);
        let told = format!("of {sent} {name}, {} were answered wrongly and {} ended wrongly", sent - answered_right, sent - came_out_right);
        (sent > answered_right || sent > came_out_right).then_some(told)
    });
    let unknown =
        Some(ledger.unknown()).filter(|unknown| *unknown > 0).map(|unknown| format!("{unknown} came out that were never answered 200"));
    format!("NOT as it should be: {}.", wrong.chain(unknown).collect::<Vec<_>>().join("; "))
}
