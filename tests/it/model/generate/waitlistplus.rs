//! WaitlistPlus's side: children and their families, on several lists, added, edited to and fro, and deleted.

use super::doc::{Doc, list};
use super::{BASIC, Generator, MOON, SUNSHINE, Sent, quoted};

#[derive(Clone)]
pub struct Child {
    endpoint: usize,
    id: String,
    family: String,
    body: Option<Sent>,
    before: Option<Sent>,
}

const CHILDREN_MAX: usize = 200;
const TYPES: [&str; 6] = ["UpdatePerson", "UpdatePerson", "UpdatePerson", "UpdatePerson", "AddPerson", "DeletePerson"];
const LISTS: [&str; 4] = ["Infants", "Toddlers", "", "Größere Kinder"];
const LOCATIONS: [&str; 8] = ["\u{a0} Weiß İ\u{3000}", "\n\u{a0}", "North Campus", "  north campus ", "", "   ", "ÉCOLE 7/b", "South"];
const DATES: [&str; 11] = [
    "2026-06-30T05:00:00",
    "2027-01-04T06:00:00.1234567",
    "2026-03-08T07:59:59",
    "2026-11-01T05:30:00.999",
    "2026-09-01",
    "2026-06-30T23:30:00-05:00",
    "2026-06-30T05:00:00Z",
    "9/1/2026",
    "1970-01-01T00:30:00",
    "9999-12-31T23:30:00",
    "",
];

impl Generator {
    /// Mostly something new; sometimes the child's body before (A, B, A), or the very last one.
    pub(super) fn child_event(&mut self) -> Sent {
        let mut child = self.a_child();
        let again = match self.random.below(12) {
            0 => child.before.take(),
            1 => child.body.clone(),
            _ => None,
        };
        let sent = again.unwrap_or_else(|| self.new_child_event(&child));
        child.before = child.body.replace(sent.clone());
        self.children.push(child);
        sent
    }

    pub(super) fn child_data(&mut self) -> Doc {
        let child = self.a_child();
        let data = self.child_doc(&child);
        self.children.push(child);
        data
    }

    fn new_child_event(&mut self, child: &Child) -> Sent {
        let mut data = self.child_doc(child);
        let vendor_type = self.random.word(&TYPES);
        if self.random.one_in(20) || (vendor_type == "DeletePerson" && self.random.one_in(2)) {
            data.members.retain(|(key, _)| key == "PersonId");
        }
        self.odd(&mut data);
        let data = data.text(&mut self.random);
        let wrapper = Doc::of([("type", quoted(vendor_type)), ("data", data)]);
        let endpoint = if child.endpoint == SUNSHINE && self.random.one_in(4) { BASIC } else { child.endpoint };
        self.sent(endpoint, wrapper)
    }

    fn a_child(&mut self) -> Child {
        if self.children.len() > 20 && (self.children.len() > CHILDREN_MAX || !self.random.one_in(4)) {
            let at = self.random.below(self.children.len() as u64) as usize;
            return self.children.swap_remove(at);
        }
        let serial = self.serial();
        let id = self.person_id(format!("88{serial:010}"));
        // A sibling, or the first of a family.
        let family =
            self.random.pick(&self.children).filter(|_| serial.is_multiple_of(2)).map_or(id.clone(), |sibling| sibling.family.clone());
        Child { endpoint: *self.random.choose(&[SUNSHINE, SUNSHINE, MOON]), id, family, body: None, before: None }
    }

    fn child_doc(&mut self, child: &Child) -> Doc {
        let id = if self.random.one_in(5) { quoted(&child.id) } else { child.id.clone() };
        let mut fields = self.fields();
        self.odd(&mut fields);
        let notes: Vec<String> = (0..self.random.below(3)).map(|_| self.note()).collect();
        let lists: Vec<String> = (0..self.random.below(4)).map(|_| self.entry()).collect();
        let notes = if self.random.one_in(20) { "null".to_owned() } else { list(&notes) };
        let lists = if self.random.one_in(20) { "{\"Name\": \"Infants\"}".to_owned() } else { list(&lists) };
        Doc::of([
            ("PersonId", id),
            ("PersonGUID", quoted(&self.guid())),
            ("FamilyPersonId", child.family.clone()),
            ("Fields", fields.text(&mut self.random)),
            ("Notes", notes),
            ("Waitlists", lists),
        ])
    }

    fn fields(&mut self) -> Doc {
        let mut fields = Doc::of([
            ("First Name", quoted(&self.name())),
            ("Last Name", quoted(&self.name())),
            ("Birthdate", quoted(&self.birth_date())),
            ("Email", quoted(&self.email())),
            ("Phone #", quoted(&self.phone())),
            ("Location", quoted(self.random.word(&LOCATIONS))),
            ("Priority", quoted(self.random.word(&["", "P1-Sibling"]))),
            ("Days Available", quoted("Monday,Friday")),
            ("Street", quoted(&self.street())),
            ("Address", format!("{{ \"street\" :{}, \"zip\": 01e0}}", quoted(&self.street())).replace("01e0", "1e0")),
            ("Remarks", quoted(&self.free_text())),
        ]);
        for key in ["First Name", "Last Name", "Birthdate", "Email", "Phone #"] {
            match self.random.below(16) {
                0 | 1 => fields.set(key, "\"\"".to_owned()),
                2 => fields.set(key, "null".to_owned()),
                3 => fields.set(key, "7".to_owned()),
                4 => fields.remove(key),
                _ => {}
            }
        }
        if self.random.one_in(8) {
            let born = self.random.word(&[
                "13/40/2023",
                "1/1/0001",
                "12/31/9999",
                "0/1/2020",
                "+1/1/2020",
                "٣/1/2020",
                "1/2/2020 ",
                "02/29/2024",
                "2/29/2023",
                "1/2/99",
                "08/09/2021",
                "2021-08-09",
                " 8/9/2021",
                "8/9/02021",
            ]);
            fields.set("Birthdate", quoted(born));
        }
        fields
    }

    fn note(&mut self) -> String {
        let mut note = Doc::of([
            (
                "LastEditDate",
                self.random.word(&["null", "\"2026-03-09T18:22:10.12\"", "\"2026-03-09\"", "\"2026-03-09T18:22:10Z\""]).to_owned(),
            ),
            ("LastEditBy", quoted(&self.name())),
            ("Text", quoted(&self.free_text())),
        ]);
        self.odd(&mut note);
        note.text(&mut self.random)
    }

    fn entry(&mut self) -> String {
        let mut entry = Doc::of([
            ("Name", quoted(self.random.word(&LISTS))),
            ("Position", self.random.below(40).to_string()),
            (
                "AddedDate",
                quoted(self.random.word(&[
                    "2022-06-25T14:07:35.4539461",
                    "2026-02-01T09:00:00",
                    "2026-02-01",
                    "",
                    "2026-02-01T09:00:00.5Z",
                ])),
            ),
            ("RequestedDate", quoted(self.random.word(&DATES))),
        ]);
        self.odd(&mut entry);
        match self.random.below(25) {
            0 => "\"Infants\"".to_owned(),
            1 => "null".to_owned(),
            _ => entry.text(&mut self.random),
        }
    }
}
