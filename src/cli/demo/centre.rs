//! The WaitlistPlus part of the story: a child-care centre's families, their children on its lists.

use serde_json::{Value, json};

use super::dice::Dice;
use super::story::{Delivery, FIRST_NAMES, LAST_NAMES, Nature, Vendor};

pub struct Centre {
    /// The vendor counts persons up.
    next_id: u64,
    children: Vec<Child>,
}

struct Child {
    id: u64,
    parent: u64,
    first: &'static str,
    last: &'static str,
    birth_date: String,
    list: &'static str,
    position: u64,
    added: String,
    contacted: u64,
}

const LISTS: &[&str] = &["Infants", "Toddlers", "Preschool"];
const CHILDREN_MAX: usize = 30;

impl Centre {
    pub fn new(dice: &mut Dice) -> Centre {
        Centre { next_id: 100_000 + dice.below(800_000) as u64, children: Vec::new() }
    }

    /// A family comes, a child's place on its list changes, or a child leaves.
    pub fn next(&mut self, dice: &mut Dice) -> Vec<Delivery> {
        match dice.below(6) {
            0 | 1 if self.children.len() < CHILDREN_MAX => self.family(dice),
            2 if self.children.len() > 3 => {
                let child = self.children.remove(dice.below(self.children.len()));
                vec![tell("DeletePerson", child.id, child.data())]
            }
            _ if self.children.is_empty() => self.family(dice),
            _ => {
                let at = dice.below(self.children.len());
                let child = &mut self.children[at];
                child.position = child.position.saturating_sub(1).max(1);
                // Nothing but this tells two updates of the first in the line apart: equal bodies are repeats.
                child.contacted += 1;
                vec![tell("UpdatePerson", child.id, child.data())]
            }
        }
    }

    /// A parent, who is on no list, and a child.
    fn family(&mut self, dice: &mut Dice) -> Vec<Delivery> {
        let (parent, id) = (self.next_id, self.next_id + 1);
        self.next_id += 2;
        let last = dice.pick(LAST_NAMES);
        let list = dice.pick(LISTS);
        let child = Child {
            id,
            parent,
            first: dice.pick(FIRST_NAMES),
            last,
            birth_date: format!("{}/{}/{}", 1 + dice.below(12), 1 + dice.below(28), 2021 + dice.below(4)),
            list,
            position: 1 + self.children.iter().filter(|child| child.list == list).count() as u64,
            added: format!("2026-0{}-1{}T14:07:35.4539461", 1 + dice.below(9), dice.below(10)),
            contacted: 0,
        };
        let first = dice.pick(FIRST_NAMES);
        let fields = json!({
            "First Name": first, "Last Name": last, "Birthdate": "", "Phone #": format!("202-555-{}", dice.digits(4)),
            "Email": format!("{first}@example.com").to_lowercase(), "Location": "Springfield",
        });
        let mother = data(parent, parent, fields, json!([]));
        let told = vec![tell("AddPerson", parent, mother), tell("AddPerson", id, child.data())];
        self.children.push(child);
        told
    }
}

impl Child {
    fn data(&self) -> Value {
        let fields = json!({
            "First Name": self.first, "Last Name": self.last, "Birthdate": self.birth_date, "Priority": "P2-Family of Staff", "Phone #": "",
            "Phone # Alternate": "", "Email": "", "Days Available": "Tuesday,Wednesday", "Location": "Springfield",
            "Times Contacted": self.contacted.to_string(),
        });
        let place =
            json!({ "Name": self.list, "Position": self.position, "AddedDate": self.added, "RequestedDate": "2027-06-30T05:00:00" });
        data(self.id, self.parent, fields, json!([place]))
    }
}

fn data(id: u64, family: u64, fields: Value, lists: Value) -> Value {
    let guid = format!("{id:08x}-90f4-ec11-b47a-2818783e44b5");
    json!({ "PersonId": id, "PersonGUID": guid, "FamilyPersonId": family, "Fields": fields, "Notes": [], "Waitlists": lists })
}

fn tell(kind: &str, id: u64, data: Value) -> Delivery {
    let body = json!({ "type": kind, "data": data }).to_string().into_bytes();
    Delivery { vendor: Vendor::WaitlistPlus, nature: Nature::Genuine, subject: id.to_string(), body }
}
