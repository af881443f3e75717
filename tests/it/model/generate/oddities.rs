//! What no documentation shows and every receiver meets: wrong types, absurd values, equal keys, and bodies that are no event.

use super::doc::Doc;
use super::{Generator, OTHER, Random, SECOND, SUNSHINE, Sent, WAITWHILE, quoted};

/// Values that a known key may come with, whatever it is.
const ODD: &[&str] = &[
    "null",
    "\"\"",
    "\" \"",
    "-0",
    "-9223372036854775808",
    "\"nul \\u0000 \\n\"",
    "true",
    "false",
    "0",
    "-1",
    "1.0",
    "1e2",
    "-7",
    "9223372036854775807",
    "9223372036854775808",
    "123456789012345678901234567890.5e-3",
    "[]",
    "{}",
    "[null, 1, \"x\", {\"a\": [true]}]",
    "{\"a\": {\"b\": [1, \"\"]}, \"a\": 2}",
    "\"\\ud800 lone\"",
    "\"\\udc00\\ud83d\\ude00\"",
    "\" white \\t space \"",
    "\"WAITING\"",
    "\"z\\u00e9 \\/ \\\\ \\\"\"",
];

const TIMES: &[&str] = &[
    "\"2026-03-10T15:20:31.2129999Z\"",
    "\"2026-03-10T15:20:31z\"",
    "\"2026-03-10t15:20:31+05:30\"",
    "\"2026-03-10 15:20:31Z\"",
    "\"2026-03-10T15:20:60Z\"",
    "\"2026-02-30T00:00:00Z\"",
    "\"2024-02-29T00:00:00.5-00:00\"",
    "\"1969-12-31T23:59:59.999Z\"",
    "\"1970-01-01T00:30:00+01:00\"",
    "\"9999-12-31T23:59:59.999Z\"",
    "\"9999-12-31T23:59:59-01:00\"",
    "\"0001-01-01T00:00:00\"",
    "\"2026-03-10T15:20:31\"",
    "\"2026-03-10T15:20:31.1234567\"",
    "\"2026-03-10T15:20\"",
    "\"2026-03-10\"",
    "\"2026-3-1\"",
    "\"tomorrow\"",
    "1773156060500",
    "0",
    "253402300799999",
    "253402300800000",
    "1773156060500.0",
    "\"1773156060500\"",
    "\"2026-03-10T24:00:00Z\"",
    "\"2026-03-10T15:20:31.Z\"",
    "\"2026-03-10T15:20:31+24:00\"",
];

impl Generator {
    /// One object in four is odd in one to three ways.
    pub(super) fn odd(&mut self, doc: &mut Doc) {
        if self.random.one_in(4) {
            for _ in 0..=self.random.below(3) {
                oddity(&mut self.random, doc);
            }
        }
    }

    /// Too large for a value: with its payload, or without it too. Or nearly, but never so nearly that white space would decide.
    pub(super) fn large(&mut self) -> Sent {
        let filler = |bytes: usize| quoted(&"x".repeat(bytes));
        let (in_data, unknown) = *self.random.choose(&[(8_000, 0), (14_000, 0), (30_000, 0), (0, 16_000), (0, 40_000)]);
        let waitwhile = self.random.one_in(2);
        let mut data = if waitwhile { self.visit_data() } else { self.child_data() };
        data.set("unheardOf", filler(unknown));
        if waitwhile {
            data.set("ticket", filler(in_data));
            let endpoint = *self.random.choose(&[WAITWHILE, SECOND, OTHER]);
            return self.waitwhile_sent(endpoint, "visit.updated", data);
        }
        data.set("Fields", format!("{{\"Essay\": {}}}", filler(in_data)));
        let data = data.text(&mut self.random);
        self.sent(SUNSHINE, Doc::of([("type", quoted("UpdatePerson")), ("data", data)]))
    }

    /// What becomes a dead letter, and what only looks as if it should.
    pub(super) fn not_understood(&mut self) -> Sent {
        let mut sent = match self.random.below(3) {
            0 => self.visit_event(),
            1 => self.message_event(),
            _ => self.child_event(),
        };
        let at = self.random.below(sent.body.len() as u64) as usize;
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        match self.random.below(18) {
            0 => sent.body[at] = 0xff,
            1 => sent.body.truncate(at),
            2 => sent.body.clear(),
            3 => sent.body.extend(b" x"),
            4 => sent.body.splice(0..0, *b"\xef\xbb\xbf\xef\xbb\xbf").for_each(drop),
            5 => sent.body = b"[{\"type\": \"visit.created\"}]".to_vec(),
            6 => return self.reshaped(sent, "type", &["7", "null", "\"\"", "[]", "\"\\u0000\""]),
            7 => return self.reshaped(sent, "type", &["\"visit.restored\"", "\"addperson\"", "\"Visit.Created\"", "\"AddPerson \""]),
            8 => return self.reshaped(sent, "data", &["null", "[]", "\"{}\"", "7"]),
            9 | 10 => return self.reshaped(sent, "data", &["{}", "{\"id\": \"\", \"PersonId\": 1.0}", "{\"id\": null}"]),
            11 => return self.reshaped(sent, "unheardOf", &[&nested(64), &nested(400)]),
            12 => return self.reshaped(sent, "unheardOf", &[&nested(63), "\"[[[[\\\"[[[[\""]),
            13 => sent.body = [&b"["[..]; 100].concat(),
            // No JSON from the second byte on, and too deep: that it is too deep is said first.
            15 => sent.body = [b"{x", &[b'['; 65][..]].concat(),
            16 => sent.body = [b"{\"[[[[", &[b'['; 65][..]].concat(),
            14 => {
                sent.wrapper.members.retain(|(key, _)| key != "type");
                return self.sent(sent.endpoint, sent.wrapper);
            }
            _ => return self.old(),
        }
        sent
    }

    fn reshaped(&mut self, mut sent: Sent, key: &str, values: &[&str]) -> Sent {
        let value = (*self.random.choose(values)).to_owned();
        sent.wrapper.set(key, value);
        if key != "id" {
            let id = self.event_id();
            sent.wrapper.set("id", id);
        }
        self.sent(sent.endpoint, sent.wrapper)
    }

    /// A day more than `expired_after`, or an hour less.
    fn old(&mut self) -> Sent {
        let data = self.visit_data();
        let mut sent = self.waitwhile_sent(WAITWHILE, "visit.updated", data);
        let hours = *self.random.choose(&[96, 96, 71]);
        sent.wrapper.set("created", (self.now_ms - hours * 3_600_000).to_string());
        self.sent(sent.endpoint, sent.wrapper)
    }
}

fn oddity(random: &mut Random, doc: &mut Doc) {
    let odd = (*if random.one_in(2) { random.choose(ODD) } else { random.choose(TIMES) }).to_owned();
    let at = random.below(doc.members.len().max(1) as u64) as usize;
    let Some((key, value)) = doc.members.get(at).cloned() else { return };
    match random.below(6) {
        0 => drop(doc.members.remove(at)),
        1 | 2 => doc.members[at].1 = odd,
        3 => doc.members.insert(random.below(at as u64 + 1) as usize, (key, odd)),
        4 => {
            let escaped: String = key.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
            let key = if key.contains('\\') { key } else { escaped };
            let value = if random.one_in(2) { value } else { odd };
            doc.members.push((key, value));
        }
        _ => {
            doc.members.insert(at, ((*random.choose(&["unheardOf", "notes", "x\\ud800", "body", "ngrams", "\\u006eotes"])).to_owned(), odd))
        }
    }
}
