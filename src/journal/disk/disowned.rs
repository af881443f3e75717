//! What a process writes down when it learns that another owns its checkpoint: it closes the folder, and says where what only
//! that folder holds begins.

use super::segments::parse_owner;

/// The file that closes the folder of a copy.
pub const DISOWNED: &str = "disowned";

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record {
    /// The first seq of its last life.
    pub first: u64,
    pub delivered: u64,
    /// The name on the checkpoint.
    pub winner: String,
}

impl Record {
    pub fn encode(&self) -> String {
        format!("first={}\ndelivered={}\nwinner={}\n", self.first, self.delivered, self.winner)
    }

    /// What is missing, as on a disk that was full, is taken for the least.
    pub fn decode(text: &str) -> Record {
        let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        let number = |key: &str| value(key).and_then(|text| text.parse().ok()).unwrap_or(0);
        Record { first: number("first"), delivered: number("delivered"), winner: value("winner").unwrap_or_default().to_owned() }
    }

    /// From here on, before `until`, is what only this copy holds.
    pub fn own_from(&self, until: u64) -> u64 {
        let least = self.first.max(self.delivered);
        let held = parse_owner(&self.winner).map(|(_, held)| held);
        held.filter(|held| *held <= until).map_or(least, |held| held.max(least))
    }
}
