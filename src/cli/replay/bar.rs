//! How far a replay is, on standard error: a bar on a terminal, elsewhere a line now and then.

use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::show::count;
use crate::relay::replay::progress::{Phase, Shown};

const LINE_EVERY: Duration = Duration::from_secs(5);

#[derive(Default)]
pub struct Bar {
    bar: Option<ProgressBar>,
    said: Option<Instant>,
}

impl Bar {
    pub fn shows(&mut self, shown: &Shown, waits_for: Option<&str>) {
        let text = text(shown, waits_for);
        if stderr().is_terminal() {
            let bar = self.bar.get_or_insert_with(made);
            bar.set_length(shown.total);
            bar.set_position(shown.tally.looked_at());
            bar.set_message(text);
        } else if self.said.is_none_or(|said| said.elapsed() >= LINE_EVERY) {
            self.said = Some(Instant::now());
            eprintln!("{} of {}: {text}", shown.tally.looked_at(), shown.total);
        }
    }

    pub fn ends(&mut self) {
        self.bar.take().into_iter().for_each(|bar| bar.finish_and_clear());
    }
}

fn made() -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}");
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn text(shown: &Shown, waits_for: Option<&str>) -> String {
    match (shown.phase, waits_for) {
        (_, Some(what)) => format!("waits for kafka ({what})"),
        (Phase::Reading, None) => "reading the window".to_owned(),
        (Phase::Publishing | Phase::Finished, None) => format!("{} published", count(shown.tally.published, "event")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_waits_for_is_said_first() {
        let shown = Shown { phase: Phase::Publishing, ..Shown::default() };
        assert_eq!(text(&shown, Some("t: unknown_topic")), "waits for kafka (t: unknown_topic)");
        assert_eq!(text(&shown, None), "0 events published");
        assert_eq!(text(&Shown::default(), None), "reading the window");
    }
}
