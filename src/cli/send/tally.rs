//! What was expected and what came, as a person or a script wants to read it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::plan::Nature;
use crate::cli::deliver::Answer;

/// The answers, counted by what was sent and what came.
pub struct Tally {
    /// The status with which what is damaged must be refused.
    refusal: &'static str,
    came: BTreeMap<(Nature, String), Count>,
}

#[derive(Debug, Clone, Copy)]
struct Count {
    answers: u64,
    expected: Expected,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    Yes,
    No,
}

const NATURES: [(Nature, &str); 3] = [(Nature::Genuine, "genuine"), (Nature::Repeat, "repeated"), (Nature::Damaged, "damaged")];

impl Tally {
    pub fn new(refusal: &'static str) -> Tally {
        Tally { refusal, came: BTreeMap::new() }
    }

    pub fn note(&mut self, nature: Nature, answer: &Answer) {
        let expected = if answer.has_status(self.expected(nature)) { Expected::Yes } else { Expected::No };
        let count = self.came.entry((nature, answer.label().to_owned())).or_insert(Count { answers: 0, expected });
        count.answers += 1;
    }

    pub fn is_as_expected(&self) -> bool {
        self.came.values().all(|count| count.expected == Expected::Yes)
    }

    fn expected(&self, nature: Nature) -> &'static str {
        match nature {
            Nature::Genuine | Nature::Repeat => "200",
            Nature::Damaged => self.refusal,
        }
    }

    pub fn page(&self, seconds: f64) -> String {
        let mut page = format!("{} sent in {seconds:.1} s\n", self.came.values().map(|count| count.answers).sum::<u64>());
        for (nature, name) in NATURES {
            let of_nature = self.of(nature);
            let sent: u64 = of_nature.iter().map(|(_, count)| count.answers).sum();
            if sent > 0 {
                page += &format!("  {sent:6} {name:9} expected {}, came {}\n", self.expected(nature), listed(&of_nature));
            }
        }
        page + if self.is_as_expected() { "every answer was the one to expect" } else { "" }
    }

    /// A line for each answer that was not the one to expect.
    pub fn unexpected(&self) -> Vec<String> {
        let unexpected = self.came.iter().filter(|(_, count)| count.expected == Expected::No);
        let told = unexpected
            .map(|((nature, label), count)| format!("not expected: {} × {label} instead of {}", count.answers, self.expected(*nature)));
        told.collect()
    }

    pub fn object(&self, seconds: f64) -> Value {
        let of = |nature| {
            let answers: BTreeMap<&str, u64> = self.of(nature).iter().map(|(label, count)| (*label, count.answers)).collect();
            json!({ "sent": answers.values().sum::<u64>(), "expected": self.expected(nature), "answers": answers })
        };
        let by_nature = NATURES.iter().map(|(nature, name)| ((*name).to_owned(), of(*nature)));
        let mut summary: serde_json::Map<String, Value> = by_nature.collect();
        summary.insert("as_expected".to_owned(), json!(self.is_as_expected()));
        summary.insert("seconds".to_owned(), json!((seconds * 1000.0).round() / 1000.0));
        summary.into()
    }

    fn of(&self, nature: Nature) -> Vec<(&str, Count)> {
        let of_nature = self.came.iter().filter(|((of, _), _)| *of == nature);
        of_nature.map(|((_, label), count)| (label.as_str(), *count)).collect()
    }
}

fn listed(answers: &[(&str, Count)]) -> String {
    answers.iter().map(|(label, count)| format!("{} × {label}", count.answers)).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_expected_depends_on_what_was_sent() {
        let other = |text: &str| Answer::Other(text.to_owned());
        for (nature, answer, expected) in [
            (Nature::Genuine, Answer::Accepted("a".to_owned()), true),
            (Nature::Repeat, Answer::Accepted("b".to_owned()), true),
            (Nature::Damaged, Answer::Accepted("c".to_owned()), false),
            (Nature::Damaged, other("401 signature_mismatch"), true),
            (Nature::Damaged, other("404 not_found"), false),
            (Nature::Genuine, other("401 signature_mismatch"), false),
            (Nature::Repeat, other("503 journal_full"), false),
            (Nature::Damaged, other("no answer: refused"), false),
        ] {
            let mut tally = Tally::new("401");
            tally.note(nature, &answer);
            assert_eq!(tally.is_as_expected(), expected, "{nature:?} {answer:?}");
            assert_eq!(tally.object(1.0)["as_expected"], expected);
        }
    }

    #[test]
    fn equal_answers_are_counted_together() {
        let mut tally = Tally::new("404");
        for id in ["a", "b"] {
            tally.note(Nature::Genuine, &Answer::Accepted(id.to_owned()));
        }
        tally.note(Nature::Damaged, &Answer::Other("404 not_found".to_owned()));
        let summary = tally.object(0.5);
        assert_eq!(summary["genuine"], json!({"sent": 2, "expected": "200", "answers": {"200": 2}}));
        assert_eq!(summary["damaged"], json!({"sent": 1, "expected": "404", "answers": {"404 not_found": 1}}));
        assert_eq!((&summary["repeated"]["sent"], &summary["seconds"]), (&json!(0), &json!(0.5)));
    }
}
