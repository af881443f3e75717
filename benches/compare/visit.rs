//! Deliveries that differ: the sample of a visit, 1.7 KB, with ids of its own for event, visit and customer.

/// That the load delivers to, one after the other, each a tenant's; with one it is the first.
pub const ENDPOINTS: [&str; 6] = ["waitwhile", "w-sunshine", "w-island", "w-lake", "w-garden", "w-park"];

const SAMPLE: &str = include_str!("../../tests/samples/waitwhile-visit.updated.json");
/// The event's, the visit's and the customer's, as the sample has them.
const IDS: [&str; 3] = ["0VDTi0MlQw1PDRhA8HQ6", "PGg36SmMTBBZJmhwPGBY", "a8kRaDS5asLKQ8iTcasNjo"];

pub fn body(serial: u64) -> Vec<u8> {
    let mut body = SAMPLE.as_bytes().to_vec();
    for id in IDS {
        let at = SAMPLE.find(id).expect("the sample has this id");
        body[at..at + id.len()].copy_from_slice(format!("{serial:0width$}", width = id.len()).as_bytes());
    }
    body
}

/// The customer's id in a body that was made here.
pub fn customer(body: &[u8]) -> &[u8] {
    let at = SAMPLE.find(IDS[2]).expect("the sample has this id");
    &body[at..at + IDS[2].len()]
}
