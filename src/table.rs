//! One table of the settings, read key by key. Every mistake is noted and none ends the reading, so that all
//! of them are reported at once; a key that nobody asked for is a mistake too.
//!
//! Knows values, not what they are for, and reads no file itself: what a key's file holds comes through
//! [`Files`]. Never puts a value into a message that might be a secret.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;

use config::{Value, ValueKind};

mod in_force;
mod units;

pub use in_force::{Held, InForce};
pub use units::{parse_bytes, parse_duration_ms};

use in_force::Shown;
use units::{show_bytes, show_duration};

/// One thing that is wrong: where, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The file, or the environment.
    pub origin: String,
    pub key: String,
    pub wanted: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.origin, self.key, self.wanted)
    }
}

/// What reading the settings brought so far: all mistakes, and every key with the value that holds.
#[derive(Debug, Default)]
pub struct Mistakes {
    list: RefCell<Vec<Mistake>>,
    /// What is allowed, but not wise.
    cautions: RefCell<Vec<Mistake>>,
    in_force: RefCell<InForce>,
}

impl Mistakes {
    pub fn note(&self, origin: &str, key: &str, wanted: impl Into<String>) {
        self.list.borrow_mut().push(Mistake { origin: origin.to_owned(), key: key.to_owned(), wanted: wanted.into() });
    }

    /// Every key that was asked for, with its value after defaults, files and environment.
    pub fn in_force(&self) -> InForce {
        self.in_force.borrow().clone()
    }

    /// What is no mistake, but should be changed.
    pub fn cautions(&self) -> Vec<Mistake> {
        self.cautions.borrow().clone()
    }

    pub fn into_list(self) -> Vec<Mistake> {
        self.list.into_inner()
    }
}

/// Reads the files that keys name: the contents, or what is wrong with them.
pub trait Files {
    fn contents(&self, path: &str) -> Result<Vec<u8>, String>;

    /// Whether every user of the machine may read it, as far as its own mode says.
    fn is_open_to_all(&self, _path: &str) -> bool {
        false
    }
}

/// Somebody may have written the secret itself where its file is to be named.
const NO_PATH: &str = "is no file: name one that holds the secret, as /path/to/file; what stands here is not shown, it may be the secret";

/// A table that is being read.
pub struct Table<'a> {
    path: String,
    origin: String,
    values: BTreeMap<String, Value>,
    known: Vec<String>,
    mistakes: &'a Mistakes,
    files: &'a dyn Files,
    /// Its place in what is in force.
    place: usize,
}

impl<'a> Table<'a> {
    pub fn new(path: &str, origin: &str, values: BTreeMap<String, Value>, mistakes: &'a Mistakes, files: &'a dyn Files) -> Table<'a> {
        let place = mistakes.in_force.borrow_mut().add(None, path);
        Table { path: path.to_owned(), origin: origin.to_owned(), values, known: Vec::new(), mistakes, files, place }
    }

    fn inside(&self, path: &str, origin: &str, values: impl IntoIterator<Item = (String, Value)>) -> Table<'a> {
        let place = self.mistakes.in_force.borrow_mut().add(Some(self.place), path);
        let (path, origin, values) = (path.to_owned(), origin.to_owned(), values.into_iter().collect());
        Table { path, origin, values, known: Vec::new(), mistakes: self.mistakes, files: self.files, place }
    }

    /// Keeps what holds, and hands it on.
    fn holds<T>(&self, key: &str, value: T, shown: impl FnOnce(&T) -> Shown) -> T {
        self.mistakes.in_force.borrow_mut().set(self.place, key, shown(&value));
        value
    }

    /// Notes that `key` is wrong; `wanted` says what would be right.
    pub fn mistake(&self, key: &str, wanted: impl Into<String>) {
        let origin = self.values.get(key).and_then(|value| value.origin()).unwrap_or(&self.origin);
        self.mistakes.note(origin, &self.full(key), wanted);
    }

    /// Notes that `key` is right, but not wise.
    pub fn caution(&self, key: &str, advice: impl Into<String>) {
        let origin = self.values.get(key).and_then(|value| value.origin()).unwrap_or(&self.origin);
        self.mistakes.cautions.borrow_mut().push(Mistake { origin: origin.to_owned(), key: self.full(key), wanted: advice.into() });
    }

    /// Of a file that others read: that it is noticed when it changes.
    pub fn watch_file(&self, path: &str) {
        let _ = self.files.contents(path);
    }

    /// Whether every user of the machine may read this file.
    pub fn is_open_to_all(&self, path: &str) -> bool {
        self.files.is_open_to_all(path)
    }

    /// Where all tables of these settings note what is wrong.
    pub fn mistakes(&self) -> &'a Mistakes {
        self.mistakes
    }

    /// Where it stands, as far as its keys do not say so themselves.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    pub fn values(&self) -> &BTreeMap<String, Value> {
        &self.values
    }

    pub fn has(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    pub fn text(&mut self, key: &str, default: &str) -> String {
        let text = self.optional_text(key).unwrap_or_else(|| default.to_owned());
        self.holds(key, text, |text| Shown::Text(text.clone()))
    }

    pub fn required_text(&mut self, key: &str) -> Option<String> {
        if !self.has(key) {
            self.known.push(key.to_owned());
            self.mistake(key, "is missing; it is required");
        }
        self.optional_text(key)
    }

    /// One of the given words.
    pub fn choice<T: Copy + PartialEq>(&mut self, key: &str, words: &[(&str, T)], default: T) -> T {
        let chosen = self.chosen(key, words, default);
        let word = |chosen: &T| words.iter().find(|(_, meaning)| meaning == chosen).map_or("", |(word, _)| word);
        self.holds(key, chosen, |chosen| Shown::Text(word(chosen).to_owned()))
    }

    fn chosen<T: Copy>(&mut self, key: &str, words: &[(&str, T)], default: T) -> T {
        let Some(text) = self.optional_text(key) else { return default };
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning);
        if found.is_none() {
            let allowed: Vec<String> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
            self.mistake(key, format!("must be one of {}", allowed.join(", ")));
        }
        found.unwrap_or(default)
    }

    pub fn flag(&mut self, key: &str, default: Flag) -> bool {
        let default = default == Flag::On;
        let flag = match self.take(key).map(|value| text_of(value).unwrap_or_default()).as_deref() {
            None => default,
            Some("true") => true,
            Some("false") => false,
            Some(_) => {
                self.mistake(key, "must be true or false");
                default
            }
        };
        self.holds(key, flag, |flag| Shown::Bare(flag.to_string()))
    }

    /// A key that people write and that may not be there.
    pub fn refuse(&mut self, key: &str, wanted: &str) {
        if self.has(key) {
            self.mistake(key, wanted);
            self.values.remove(key);
        }
    }

    pub fn whole(&mut self, key: &str, allowed: RangeInclusive<u64>, default: u64) -> u64 {
        let Some(value) = self.take(key) else { return self.holds(key, default, |number| Shown::Bare(number.to_string())) };
        let number = match value.kind {
            ValueKind::I64(number) => u64::try_from(number).ok(),
            ValueKind::U64(number) => Some(number),
            ValueKind::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        self.within(key, number, allowed, default, |number| number.to_string())
    }

    /// `"8s"`: a number and one of ms, s, m, h, d. In milliseconds.
    pub fn duration_ms(&mut self, key: &str, allowed: RangeInclusive<u64>, default: &str) -> u64 {
        let default = parse_duration_ms(default).expect("defaults are well formed");
        let Some(text) = self.optional_text(key) else { return self.holds(key, default, |ms| Shown::Bare(show_duration(*ms))) };
        let Some(number) = parse_duration_ms(&text) else {
            self.mistake(key, "must be a duration such as \"250ms\", \"8s\", \"15m\" or \"72h\"");
            return default;
        };
        self.within(key, Some(number), allowed, default, show_duration)
    }

    /// `"512KiB"`: a number and one of B, KB, MB, GB (1000), KiB, MiB, GiB (1024).
    pub fn bytes(&mut self, key: &str, allowed: RangeInclusive<u64>, default: &str) -> u64 {
        let default = parse_bytes(default).expect("defaults are well formed");
        let Some(text) = self.optional_text(key) else { return self.holds(key, default, |bytes| Shown::Bare(show_bytes(*bytes))) };
        let Some(number) = parse_bytes(&text) else {
            self.mistake(key, "must be a size such as \"900KB\", \"512KiB\" or \"10GiB\"");
            return default;
        };
        self.within(key, Some(number), allowed, default, show_bytes)
    }

    /// A list of texts, or one text with commas.
    pub fn list(&mut self, key: &str, default: &[&str]) -> Vec<String> {
        let items = self.items(key, default);
        self.holds(key, items, |items| Shown::List(items.clone()))
    }

    fn items(&mut self, key: &str, default: &[&str]) -> Vec<String> {
        let default = || default.iter().map(|text| (*text).to_owned()).collect();
        let Some(value) = self.take(key) else { return default() };
        let items = match value.kind {
            ValueKind::Array(items) => items.into_iter().map(text_of).collect::<Option<Vec<String>>>(),
            ValueKind::String(text) => Some(text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()),
            _ => None,
        };
        items.unwrap_or_else(|| {
            self.mistake(key, "must be a list of texts");
            default()
        })
    }

    /// A list whose every item is read by `parse`.
    pub fn parsed_list<T>(&mut self, key: &str, default: &[&str], wanted: &str, parse: impl Fn(&str) -> Option<T>) -> Vec<T> {
        let items = self.list(key, default);
        let parsed: Vec<Option<T>> = items.iter().map(|item| parse(item)).collect();
        if parsed.iter().any(Option::is_none) {
            self.mistake(key, format!("every item must be {wanted}"));
        }
        parsed.into_iter().flatten().collect()
    }

    /// The contents of each listed file, one trailing newline trimmed; an empty one is refused.
    pub fn secret_files(&mut self, key: &str) -> Vec<Vec<u8>> {
        let paths = self.list(key, &[]);
        paths.iter().filter_map(|path| self.secret_file(key, path)).collect()
    }

    /// The contents of one file, as [`Table::secret_files`] reads it.
    pub fn secret_file(&self, key: &str, path: &str) -> Option<Vec<u8>> {
        let secret = self.files.contents(path).map(|bytes| trim_newline(&bytes).to_vec());
        match secret {
            Ok(secret) if secret.is_empty() => self.mistake(key, format!("the file {path} is empty; it must hold the secret")),
            Ok(secret) => return Some(secret),
            Err(why) if path.starts_with(['/', '.']) => self.mistake(key, format!("the file {path} cannot be read: {why}")),
            Err(_) => self.mistake(key, NO_PATH),
        }
        None
    }

    /// A table inside this one; absent is empty.
    pub fn table(&mut self, key: &str) -> Table<'a> {
        let value = self.take(key);
        let origin = value.as_ref().and_then(|value| value.origin()).unwrap_or(&self.origin).to_owned();
        let values = value.map(|value| value.into_table()).unwrap_or_else(|| Ok(Default::default()));
        let values = values.unwrap_or_else(|_| {
            self.mistake(key, "must be a table");
            Default::default()
        });
        self.inside(&self.full(key), &origin, values)
    }

    /// The tables of an array of tables, such as `[[endpoint]]`.
    pub fn tables(&mut self, key: &str) -> Vec<Table<'a>> {
        let items = self.take(key).map_or(Ok(Vec::new()), Value::into_array).unwrap_or_else(|_| {
            self.mistake(key, format!("must be written as [[{key}]] tables"));
            Vec::new()
        });
        let mut tables = Vec::new();
        for (index, item) in items.into_iter().enumerate() {
            let origin = item.origin().unwrap_or(&self.origin).to_owned();
            match item.into_table() {
                Ok(values) => tables.push(self.inside(&format!("{}[{index}]", self.full(key)), &origin, values)),
                Err(_) => self.mistake(key, format!("must be written as [[{key}]] tables")),
            }
        }
        tables
    }

    /// All keys of this table with their texts, for tables whose keys are not ours. A table inside is a dotted key.
    pub fn rest(&mut self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let keys: Vec<String> = self.values.keys().filter(|key| !self.known.contains(key)).cloned().collect();
        for key in keys {
            if matches!(self.values[&key].kind, ValueKind::Table(_)) {
                let inner = self.table(&key).rest();
                found.extend(inner.into_iter().map(|(rest, text)| (format!("{key}.{rest}"), text)));
            } else if let Some(text) = self.optional_text(&key) {
                found.push((key, text));
            }
        }
        found
    }

    /// Ends the reading: what nobody asked for is noted.
    pub fn finish(self) {
        for key in self.values.keys().filter(|key| !self.known.contains(key)) {
            let near = self.known.iter().find(|known| distance(known, key) <= 2);
            let hint = near.map_or_else(|| format!("known here: {}", self.known.join(", ")), |near| format!("did you mean {near}?"));
            self.mistake(key, format!("is not a known key; {hint}"));
        }
    }

    pub fn optional_text(&mut self, key: &str) -> Option<String> {
        let text = text_of(self.take(key)?);
        if text.is_none() {
            self.mistake(key, "must be a text");
        }
        Some(self.holds(key, text?, |text| Shown::Text(text.clone())))
    }

    fn take(&mut self, key: &str) -> Option<Value> {
        self.known.push(key.to_owned());
        self.values.get(key).cloned()
    }

    fn full(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn within(&self, key: &str, number: Option<u64>, allowed: RangeInclusive<u64>, default: u64, show: impl Fn(u64) -> String) -> u64 {
        match number {
            Some(number) if allowed.contains(&number) => self.holds(key, number, |number| Shown::Bare(show(*number))),
            _ => {
                self.mistake(key, format!("must be from {} to {}", show(*allowed.start()), show(*allowed.end())));
                default
            }
        }
    }
}

/// The default of a yes-or-no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flag {
    On,
    Off,
}

fn text_of(value: Value) -> Option<String> {
    match value.kind {
        ValueKind::Array(_) | ValueKind::Table(_) | ValueKind::Nil => None,
        _ => value.into_string().ok(),
    }
}

/// What an editor leaves at the end of a file is no part of the secret in it.
pub fn trim_newline(bytes: &[u8]) -> &[u8] {
    let Some(line) = bytes.strip_suffix(b"\n") else { return bytes };
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Levenshtein's distance: near enough is a typing mistake.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, left) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, right) in b.chars().enumerate() {
            let substituted = diagonal + usize::from(left != right);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.chars().count()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_trailing_newline_of_a_secret_is_trimmed() {
        for (file, secret) in [("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), ("a", "a"), ("\n", "")] {
            assert_eq!(trim_newline(file.as_bytes()), secret.as_bytes(), "{file:?}");
        }
    }

    #[test]
    fn a_typing_mistake_is_near() {
        assert!(distance("listen", "lisetn") <= 2);
        assert!(distance("listen", "brokers") > 2);
    }
}
