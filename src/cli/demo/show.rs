//! What a person sees while the demo runs: on a terminal a view that is drawn again and again, elsewhere plain lines.

use std::collections::VecDeque;
use std::io::{IsTerminal, stdout};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::ledger::Ledger;
use super::story::Vendor;
use crate::cli::show::{Paint, page};
use crate::cli::tail::line::line;
use crate::kafka::follow::Followed;

pub enum Show {
    Lines,
    Live(Box<Live>),
}

pub struct Live {
    /// Holds the terminal for all rows.
    _terminal: MultiProgress,
    bar: ProgressBar,
    came_in: ProgressBar,
    came_out: ProgressBar,
    stands: ProgressBar,
    events: Vec<ProgressBar>,
    last: VecDeque<String>,
    began: Instant,
}

const EVENTS_SHOWN: usize = 8;

impl Show {
    pub fn start(duration: Duration) -> Show {
        if stdout().is_terminal() { Show::Live(Box::new(Live::start(duration))) } else { Show::Lines }
    }

    pub fn record(&mut self, record: &Followed) {
        match self {
            // The story ends as it would with a reader, and its exit code says how.
            Show::Lines => drop(page(&format!("  {}", line(record, Paint::Plain)))),
            Show::Live(live) => live.record(line(record, Paint::of_stdout())),
        }
    }

    pub fn draw(&self, ledger: &Ledger, undelivered: Option<u64>) {
        if let Show::Live(live) = self {
            live.draw(ledger, undelivered);
        }
    }
}

impl Live {
    fn start(duration: Duration) -> Live {
        let terminal = MultiProgress::with_draw_target(ProgressDrawTarget::stdout());
        let row = |template: &str, length: u64| {
            let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
            terminal.add(ProgressBar::new(length).with_style(style))
        };
        let bar = row("{elapsed} [{wide_bar}] {msg}", duration.as_millis() as u64);
        let [came_in, came_out, stands] =
            ["came in    {wide_msg}", "came out   {wide_msg}", "stands     {wide_msg}"].map(|text| row(text, 1));
        let events = (0..EVENTS_SHOWN).map(|_| row("{wide_msg}", 1)).collect();
        Live { _terminal: terminal, bar, came_in, came_out, stands, events, last: VecDeque::new(), began: Instant::now() }
    }

    fn record(&mut self, line: String) {
        self.last.push_back(line);
        if self.last.len() > EVENTS_SHOWN {
            self.last.pop_front();
        }
    }

    fn draw(&self, ledger: &Ledger, undelivered: Option<u64>) {
        self.bar.set_position(self.began.elapsed().as_millis() as u64);
        self.bar.set_message(if self.bar.position() >= self.bar.length().unwrap_or(0) { "the last ones come out" } else { "sending" });
        self.came_in.set_message(came_in(ledger));
        self.came_out.set_message(came_out(ledger));
        self.stands.set_message(stands(ledger, undelivered));
        for (row, line) in self.events.iter().zip(&self.last) {
            row.set_message(line.clone());
        }
    }
}

impl Drop for Live {
    /// What was last drawn stays above what follows.
    fn drop(&mut self) {
        let rows = [&self.bar, &self.came_in, &self.came_out, &self.stands];
        rows.into_iter().chain(&self.events).for_each(ProgressBar::abandon);
    }
}

pub fn came_in(ledger: &Ledger) -> String {
    let of = |vendor: Vendor, name: &str| {
        let answers = ledger.answers.iter().filter(|((known, _), _)| *known == vendor);
        let told = answers.map(|((_, answer), count)| format!("{count} × {answer}")).collect::<Vec<_>>().join(", ");
        format!("{name}: {told}")
    };
    [of(Vendor::Waitwhile, "Waitwhile"), of(Vendor::WaitlistPlus, "WaitlistPlus")].join("   ")
}

pub fn came_out(ledger: &Ledger) -> String {
    ledger.out_by_kind.iter().map(|(kind, count)| format!("{count} {kind}")).collect::<Vec<_>>().join(", ")
}

pub fn latency(ledger: &Ledger) -> Option<String> {
    let (median, most) = ledger.latency_ms()?;
    Some(format!("{median} ms from a webhook to its reader, 99 of 100 within {most} ms"))
}

fn stands(ledger: &Ledger, undelivered: Option<u64>) -> String {
    let undelivered = undelivered.map_or("unknown".to_owned(), |count| count.to_string());
    format!("undelivered: {undelivered}{}", latency(ledger).map(|latency| format!("; {latency}")).unwrap_or_default())
}
