//! A JSON object as a sender writes it: keys in order, equal ones too, and every value in the sender's own spelling.

use super::Random;

#[derive(Debug, Clone, Default)]
pub struct Doc {
    /// The key, as it stands between its quotes, and the value.
    pub members: Vec<(String, String)>,
}

impl Doc {
    pub fn of<const N: usize>(members: [(&str, String); N]) -> Doc {
        Doc { members: members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect() }
    }

    /// In place of all members with this key, or as the last one.
    pub fn set(&mut self, key: &str, value: String) {
        let at = self.members.iter().position(|(known, _)| known == key).unwrap_or(self.members.len());
        self.remove(key);
        self.members.insert(at.min(self.members.len()), (key.to_owned(), value));
    }

    pub fn remove(&mut self, key: &str) {
        self.members.retain(|(known, _)| known != key);
    }

    /// With white space of the sender's own.
    pub fn text(&self, random: &mut Random) -> String {
        let (comma, colon, end) = *random.choose(&[(",", ":", ""), (",", ":", ""), (", ", ": ", " "), (",\r\n\t", " : ", "\n")]);
        let members: Vec<String> = self.members.iter().map(|(key, value)| format!("\"{key}\"{colon}{value}")).collect();
        format!("{{{end}{}{end}}}", members.join(comma))
    }
}

pub fn list(items: &[String]) -> String {
    format!("[{}]", items.join(", "))
}
