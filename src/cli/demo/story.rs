//! The demo's story: who joins, is called, served, cancels; a child-care centre's families; and what goes wrong on the way.
//!
//! Pure: it knows no clock and no network, and the same seed at the same times tells the same story. All names are invented.

use std::collections::VecDeque;

use super::centre::Centre;
use super::clinic::Clinic;
use super::dice::Dice;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Vendor {
    Waitwhile,
    WaitlistPlus,
}

/// What should become of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Nature {
    /// Published once.
    Genuine,
    /// The one before it again: answered 200, not published again.
    Repeat,
    /// Overtaken by a newer one of the same visit: published, and marked as stale.
    Late,
    /// Sent by somebody who does not know the secret: refused.
    Forged,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    pub vendor: Vendor,
    pub nature: Nature,
    /// Whom or what it is about: deliveries about the same keep their order.
    pub subject: String,
    pub body: Vec<u8>,
}

/// Every so many deliveries one of these.
const REPEAT_EVERY: u64 = 23;
const LATE_EVERY: u64 = 29;
const FORGED_EVERY: u64 = 31;

pub struct Story {
    dice: Dice,
    clinic: Clinic,
    centre: Centre,
    told: u64,
    /// What has happened and is not told yet, in order.
    ahead: VecDeque<Delivery>,
    /// The last genuine one.
    last: Option<Delivery>,
}

impl Story {
    pub fn new(seed: u64) -> Story {
        let mut dice = Dice::new(seed);
        let (clinic, centre) = (Clinic::new(&mut dice), Centre::new(&mut dice));
        Story { dice, clinic, centre, told: 0, ahead: VecDeque::new(), last: None }
    }

    /// The next delivery, of something that happens at this time.
    pub fn next(&mut self, at_ms: i64) -> Delivery {
        self.told += 1;
        let delivery = match &self.last {
            Some(last) if self.told % REPEAT_EVERY == REPEAT_EVERY / 2 => Delivery { nature: Nature::Repeat, ..last.clone() },
            Some(last) if self.told % FORGED_EVERY == FORGED_EVERY / 2 => Delivery { nature: Nature::Forged, ..last.clone() },
            _ => self.happened(at_ms),
        };
        if delivery.nature == Nature::Genuine {
            self.last = Some(delivery.clone());
        }
        delivery
    }

    fn happened(&mut self, at_ms: i64) -> Delivery {
        loop {
            if let Some(delivery) = self.ahead.pop_front() {
                return delivery;
            }
            let happened = match self.dice.below(4) {
                0 => self.centre.next(&mut self.dice),
                _ if self.told % LATE_EVERY >= LATE_EVERY / 2 => self.overtaken(at_ms),
                _ => self.clinic.next(&mut self.dice, at_ms),
            };
            self.ahead.extend(happened);
        }
    }

    /// Once in each [`LATE_EVERY`], as soon as somebody can be called.
    fn overtaken(&mut self, at_ms: i64) -> Vec<Delivery> {
        let turn = self.told / LATE_EVERY;
        self.clinic.overtaken(&mut self.dice, at_ms, turn).unwrap_or_else(|| self.clinic.next(&mut self.dice, at_ms))
    }
}

pub const FIRST_NAMES: &[&str] =
    &["Ada", "Ben", "Cleo", "Dara", "Elif", "Finn", "Gwen", "Hugo", "Ines", "Jun", "Kofi", "Lena", "Milo", "Noor", "Otis", "Pia"];
pub const LAST_NAMES: &[&str] =
    &["Ashby", "Brandt", "Castell", "Duarte", "Eklund", "Farrow", "Grieve", "Hartog", "Imhof", "Jansky", "Keller", "Lindqvist"];

#[cfg(test)]
mod tests;
