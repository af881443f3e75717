//! Deliveries of both vendors as a seed gives them: lives of visits and of children, and everything odd that may come in between.
//!
//! What a person could recognise somebody by is made here and nowhere else, long and unique, and kept in a list.

mod doc;
mod oddities;
pub mod random;
mod waitlistplus;
mod waitwhile;

pub use random::Random;

use doc::Doc;

/// Of the endpoints that [`super::run`] sets up.
pub const WAITWHILE: usize = 0;
pub const SECOND: usize = 1;
pub const OTHER: usize = 2;
pub const SUNSHINE: usize = 3;
pub const BASIC: usize = 4;
pub const MOON: usize = 5;

#[derive(Debug, Clone)]
pub struct Delivery {
    pub endpoint: usize,
    pub traceparents: Vec<String>,
    pub body: Vec<u8>,
}

pub struct Generator {
    random: Random,
    /// The test's own now; all times of the vendors are made from it.
    now_ms: i64,
    serial: u64,
    private: Private,
    visits: Vec<waitwhile::Visit>,
    children: Vec<waitlistplus::Child>,
    history: Vec<Sent>,
}

/// What must never be seen outside of the events' data.
#[derive(Debug, Default)]
pub struct Private {
    /// Names, contacts, birth dates, free text, addresses, capability ids.
    pub values: Vec<String>,
    /// The vendors' own ids of persons: hidden only by `privacy.ids = "hmac"`.
    pub person_ids: Vec<String>,
}

/// What was sent, so that it can come again.
#[derive(Clone)]
struct Sent {
    endpoint: usize,
    wrapper: Doc,
    body: Vec<u8>,
}

const HISTORY_MAX: usize = 400;

impl Generator {
    pub fn new(seed: u64, now_ms: i64) -> Generator {
        Generator {
            random: Random::new(seed),
            now_ms,
            serial: 0,
            private: Private::default(),
            visits: Vec::new(),
            children: Vec::new(),
            history: Vec::new(),
        }
    }

    pub fn private(self) -> Private {
        self.private
    }

    pub fn deliver(&mut self) -> Delivery {
        let mut sent = match self.random.below(100) {
            0..40 => self.visit_event(),
            40..48 => self.message_event(),
            48..54 => self.location_event(),
            54..80 => self.child_event(),
            80..86 => self.again(),
            86..92 => self.through_another(),
            92..96 => self.large(),
            _ => self.not_understood(),
        };
        if self.random.one_in(40) {
            sent.body.splice(0..0, *b"\xef\xbb\xbf");
        }
        self.remember(sent.clone());
        Delivery { endpoint: sent.endpoint, traceparents: self.traceparents(), body: sent.body }
    }

    fn remember(&mut self, sent: Sent) {
        if self.history.len() == HISTORY_MAX {
            let forgotten = self.random.below(HISTORY_MAX as u64) as usize;
            self.history.remove(forgotten);
        }
        self.history.push(sent);
    }

    fn sent(&mut self, endpoint: usize, wrapper: Doc) -> Sent {
        let body = wrapper.text(&mut self.random).into_bytes();
        Sent { endpoint, wrapper, body }
    }

    /// The very bytes once more: of the last delivery, or of one before. Or only its event id: with other data, or of another account.
    fn again(&mut self) -> Sent {
        let sent = match self.random.below(3) {
            0 => self.history.last().cloned(),
            _ => self.random.pick(&self.history).cloned(),
        };
        let Some(mut sent) = sent.filter(|_| !self.random.one_in(50)) else { return self.child_event() };
        match self.random.below(8) {
            0 => {
                let data = self.visit_data().text(&mut self.random);
                sent.wrapper.set("data", data);
                self.sent(sent.endpoint, sent.wrapper)
            }
            1 => {
                sent.wrapper.set("accountId", quoted("accountC"));
                self.sent(sent.endpoint, sent.wrapper)
            }
            _ => sent,
        }
    }

    /// The same through the tenant's other endpoint: as it was; laid out anew; or the same data under a new event id.
    fn through_another(&mut self) -> Sent {
        let from = self.history.len().saturating_sub(20);
        let Some(mut sent) = self.random.pick(&self.history[from..]).cloned() else { return self.child_event() };
        sent.endpoint = match sent.endpoint {
            WAITWHILE => SECOND,
            SECOND => WAITWHILE,
            SUNSHINE => BASIC,
            BASIC => SUNSHINE,
            // Another tenant: never a repeat.
            OTHER => WAITWHILE,
            _ => SUNSHINE,
        };
        match self.random.below(3) {
            0 => sent,
            1 => self.sent(sent.endpoint, sent.wrapper),
            _ => {
                let id = self.event_id();
                sent.wrapper.set("id", id);
                self.sent(sent.endpoint, sent.wrapper)
            }
        }
    }

    /// Exactly one valid `traceparent`, or what must not be handed on.
    fn traceparents(&mut self) -> Vec<String> {
        const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7";
        let valid = format!("00-{TRACE}-01");
        match self.random.below(24) {
            0 | 1 => vec![valid],
            2 => vec![format!("cc-{TRACE}-01-more")],
            3 => vec![valid.clone(), valid],
            4 => vec![format!("00-{TRACE}-01-more")],
            5 => vec![format!("ff-{TRACE}-01")],
            6 => vec![format!("00-{}-01", TRACE.to_uppercase())],
            7 => vec!["00-00000000000000000000000000000000-00f067aa0ba902b7-01".to_owned()],
            8 => vec!["00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01".to_owned()],
            9 => vec![format!("00-{TRACE}-1")],
            _ => vec![],
        }
    }

    fn serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    fn event_id(&mut self) -> String {
        let serial = self.serial();
        match self.random.below(30) {
            0 => serial.to_string(),
            1 => format!("\"ev \\u00fc/{serial}\""),
            _ => format!("\"0VDT{serial:016}\""),
        }
    }

    /// A value that must not be found: kept in the list, and given back as it is.
    fn keep(&mut self, value: String) -> String {
        self.private.values.push(value.clone());
        value
    }

    fn name(&mut self) -> String {
        let (first, serial) = (*self.random.choose(&["Zoë", "Ann \"Nan\"", "李小龙", "D'Arcy", "Back\\slash", "tab\there"]), self.serial());
        self.keep(format!("{first} Quillfeather{serial}"))
    }

    fn email(&mut self) -> String {
        let serial = self.serial();
        self.keep(format!("Quill+{serial}@families.example.com"))
    }

    fn phone(&mut self) -> String {
        let serial = self.serial();
        self.keep(format!("+1 (808) 555-{serial:07}"))
    }

    fn address(&mut self) -> String {
        let serial = self.serial();
        self.keep(format!("172.{}.{}.{}", 100 + serial / 10_000 % 150, 100 + serial / 100 % 100, 100 + serial % 100))
    }

    fn capability(&mut self) -> String {
        let serial = self.serial();
        self.keep(format!("Pq{serial:07}"))
    }

    fn guid(&mut self) -> String {
        let serial = self.serial();
        self.keep(format!("{serial:08x}-90f4-ec11-b47a-2818783e44b5"))
    }

    fn free_text(&mut self) -> String {
        let serial = self.serial();
        self.keep(format!("Allergic to kiwi, says {serial}: \"soon\"\n— please, & thank you"))
    }

    fn street(&mut self) -> String {
        let serial = self.serial();
        self.keep(format!("{serial} Quill Street, Nutwood"))
    }

    /// As `M/D/YYYY` of a century in which nothing else happens, so that it is not found by chance.
    fn birth_date(&mut self) -> String {
        let serial = self.serial();
        let (month, day, year) = (serial % 12 + 1, serial / 12 % 28 + 1, 1801 + serial / 336 % 99);
        for iso in [format!("{year}-{month:02}-{day:02}"), format!("{year}-{day:02}-{month:02}")] {
            self.private.values.push(iso);
        }
        self.keep(format!("{month}/{day}/{year}"))
    }

    fn person_id(&mut self, id: String) -> String {
        self.private.person_ids.push(id.clone());
        id
    }
}

/// A text as JSON.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a text is JSON")
}
