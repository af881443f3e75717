//! Every key that was asked for, with the value that holds after defaults, files and environment; and its form as TOML.
//!
//! It is what the tables were asked for while they were read, so nothing is written twice. It knows the names of files with
//! secrets, and never what they hold.

/// All tables, in the order in which they were opened.
#[derive(Debug, Clone, Default)]
pub struct InForce {
    tables: Vec<Held>,
}

/// One table and the keys that it was asked for.
#[derive(Debug, Clone)]
pub struct Held {
    parent: Option<usize>,
    path: String,
    keys: Vec<(String, Shown)>,
}

/// A value as TOML shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    Text(String),
    /// As it stands: a number, true or false, or text that has its quotes already.
    Bare(String),
    List(Vec<String>),
}

/// Its endpoints are shown where they stand in the end, so the key must not name them again.
const ENDPOINTS_DIR: &str = "endpoints_dir";

impl InForce {
    pub(super) fn add(&mut self, parent: Option<usize>, path: &str) -> usize {
        self.tables.push(Held { parent, path: path.to_owned(), keys: Vec::new() });
        self.tables.len() - 1
    }

    /// The last value counts.
    pub(super) fn set(&mut self, table: usize, key: &str, value: Shown) {
        let keys = &mut self.tables[table].keys;
        match keys.iter_mut().find(|(known, _)| known == key) {
            Some((_, held)) => *held = value,
            None => keys.push((key.to_owned(), value)),
        }
    }

    /// Settings that read the same again.
    pub fn to_toml(&self) -> String {
        let mut out = String::new();
        for root in (0..self.tables.len()).filter(|index| self.tables[*index].parent.is_none()) {
            self.write(root, &mut out);
        }
        out
    }

    /// The table of this name in an array of tables, such as `[[endpoint]]`.
    pub fn named(&self, array: &str, name: &str) -> Option<&Held> {
        self.tables.iter().find(|table| table.array() == Some(array) && table.text("name") == Some(name))
    }

    fn write(&self, index: usize, out: &mut String) {
        let table = &self.tables[index];
        if !table.path.is_empty() {
            *out += &format!("\n{}\n", table.heading());
        }
        for (key, value) in &table.keys {
            match value {
                Shown::Text(dir) if key == ENDPOINTS_DIR && !dir.is_empty() => {
                    *out += &format!("{key} = \"\"   # the endpoints of {} stand below\n", quoted(dir));
                }
                _ => *out += &format!("{} = {}\n", bare_or_quoted(key), value.to_toml()),
            }
        }
        for child in (0..self.tables.len()).filter(|child| self.tables[*child].parent == Some(index)) {
            self.write(child, out);
        }
    }
}

impl Held {
    pub fn list(&self, key: &str) -> &[String] {
        match self.get(key) {
            Some(Shown::List(items)) => items,
            _ => &[],
        }
    }

    fn text(&self, key: &str) -> Option<&str> {
        match self.get(key) {
            Some(Shown::Text(text)) => Some(text),
            _ => None,
        }
    }

    fn get(&self, key: &str) -> Option<&Shown> {
        self.keys.iter().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    /// Of `endpoint[3]`: `endpoint`.
    fn array(&self) -> Option<&str> {
        self.path.strip_suffix(']')?.split_once('[').map(|(array, _)| array)
    }

    fn heading(&self) -> String {
        match (self.array(), self.path.split_once("].")) {
            (Some(array), _) => format!("[[{array}]]"),
            (None, Some((array, rest))) => format!("[{}.{rest}]", array.split('[').next().unwrap_or_default()),
            (None, None) => format!("[{}]", self.path),
        }
    }
}

impl Shown {
    fn to_toml(&self) -> String {
        match self {
            Shown::Text(text) => quoted(text),
            Shown::Bare(text) => text.clone(),
            Shown::List(items) => format!("[{}]", items.iter().map(|item| quoted(item)).collect::<Vec<_>>().join(", ")),
        }
    }
}

fn bare_or_quoted(key: &str) -> String {
    let is_bare = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if is_bare { key.to_owned() } else { quoted(key) }
}

/// The escapes of JSON are escapes of TOML, too.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
