//! The source tree as `tidy` reads it: files, words and functions, with comments and texts blanked out.
//!
//! It is no parser of Rust, only enough of one for the rules; code that `rustfmt` has laid out is assumed.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

/// One file. Blanking keeps every line and column where it was.
pub struct Source {
    /// From the top of the package, as in `src/journal/disk.rs`.
    pub path: String,
    pub text: String,
    /// Without comments, texts, and, in `src`, what is compiled for tests only.
    pub code: String,
}

pub struct Function<'a> {
    pub name: &'a str,
    pub line: usize,
    pub parameters: &'a str,
    /// How many lines it takes, from its name to its last brace.
    pub lines: usize,
}

/// A word or number of the code, and its line, from 1.
pub struct Word<'a> {
    pub text: &'a str,
    pub line: usize,
    /// What follows it at once.
    pub rest: &'a str,
}

/// Every file of `src` and `tests`.
pub fn all() -> &'static [Source] {
    static ALL: OnceLock<Vec<Source>> = OnceLock::new();
    ALL.get_or_init(read)
}

fn read() -> Vec<Source> {
    let mut paths = Vec::new();
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    ["src", "tests"].iter().for_each(|folder| list(&top.join(folder), &mut paths));
    let mut sources: Vec<Source> = paths.iter().map(|path| Source::new(top, path)).collect();
    let only_for_tests: Vec<String> = sources.iter().flat_map(Source::modules_for_tests).collect();
    for source in &mut sources {
        if only_for_tests.iter().any(|module| source.path == format!("{module}.rs") || source.path.starts_with(&format!("{module}/"))) {
            source.code.clear();
        }
    }
    sources
}

fn list(folder: &Path, paths: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("a folder of the source") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            list(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path.display().to_string());
        }
    }
}

impl Source {
    fn new(top: &Path, path: &str) -> Source {
        let text = fs::read_to_string(path).expect("a source file");
        let path = Path::new(path).strip_prefix(top).expect("below the top").display().to_string();
        let mut code = blank(&text);
        if let Some(start) = code.find("#[cfg(test)]\nmod tests {").filter(|_| path.starts_with("src/")) {
            code.truncate(start);
        }
        Source { path, text, code }
    }

    /// The room a file of `src` belongs to: `journal` for `src/journal/disk.rs`.
    pub fn room(&self) -> Option<&str> {
        self.path.strip_prefix("src/")?.split(['/', '.']).next()
    }

    /// Paths, without ending, of the modules declared under `#[cfg(test)]`.
    fn modules_for_tests(&self) -> Vec<String> {
        let declared = self.code.split("#[cfg(test)]\n").skip(1).filter_map(|rest| rest.split(";\n").next());
        let names = declared.filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod "));
        names.map(|name| format!("{}/{name}", self.path.trim_end_matches(".rs"))).collect()
    }

    pub fn words(&self) -> impl Iterator<Item = Word<'_>> {
        self.code.lines().enumerate().flat_map(|(number, line)| {
            let is_word = |c: char| c.is_alphanumeric() || c == '_';
            let parts = line.split(move |c| !is_word(c)).filter(|part| !part.is_empty());
            parts.map(move |text| {
                let end = text.as_ptr() as usize - line.as_ptr() as usize + text.len();
                Word { text, line: number + 1, rest: &line[end..] }
            })
        })
    }

    pub fn functions(&self) -> Vec<Function<'_>> {
        let mut functions = Vec::new();
        for (start, _) in self.code.match_indices("fn ") {
            let before = self.code[..start].chars().next_back();
            if before.is_none_or(|c| !c.is_alphanumeric() && c != '_') {
                functions.extend(Function::at(&self.code, start + 3));
            }
        }
        functions
    }
}

impl<'a> Function<'a> {
    /// `start` is where its name begins; `None` for the type of a function, which has no name.
    fn at(code: &'a str, start: usize) -> Option<Function<'a>> {
        let rest = &code[start..];
        let name = rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().filter(|name| !name.is_empty())?;
        let open = name.len() + after_generics(&rest[name.len()..]);
        let close = open + matching(&rest[open..])?;
        let body = close + rest[close..].find(['{', ';'])?;
        let end = if rest[body..].starts_with('{') { body + matching(&rest[body..])? } else { body };
        let lines = |text: &str| text.matches('\n').count() + 1;
        Some(Function { name, line: lines(&code[..start]), parameters: &rest[open + 1..close], lines: lines(&rest[..end]) })
    }
}

/// How long the `<…>` at the front is.
fn after_generics(text: &str) -> usize {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '<' => depth += 1,
            '>' if !text[..at].ends_with('-') => depth -= 1,
            '(' if depth == 0 => return at,
            _ => {}
        }
    }
    text.len()
}

/// Where the bracket at the front is closed.
fn matching(text: &str) -> Option<usize> {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

/// Comments, texts and characters become spaces; the quotes of a text stay.
fn blank(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (hidden, kept) = match literal(rest) {
            Some(length) => (&rest[..length], ""),
            None => ("", &rest[..word_length(rest).max(first.len_utf8())]),
        };
        code.extend(hidden.chars().map(|c| if c == '\n' { c } else { ' ' }));
        code.push_str(kept);
        rest = &rest[hidden.len() + kept.len()..];
    }
    code
}

/// The length of a word at the front, so that the `r` of `for"` starts no raw text.
fn word_length(text: &str) -> usize {
    text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len())
}

/// The length of the comment, text or character that starts here.
fn literal(text: &str) -> Option<usize> {
    let until = |end: &str, from: usize| text[from..].find(end).map_or(text.len(), |at| from + at + end.len());
    if text.starts_with("//") {
        return Some(until("\n", 2) - 1);
    }
    if text.starts_with("/*") {
        return Some(until("*/", 2));
    }
    let prefix = text.len() - text.trim_start_matches(['b', 'c', 'r']).len();
    let after = &text[prefix..];
    let hashes = after.len() - after.trim_start_matches('#').len();
    if prefix <= 2 && text[..prefix].ends_with('r') && after[hashes..].starts_with('"') {
        return Some(until(&format!("\"{}", "#".repeat(hashes)), prefix + hashes + 1));
    }
    if prefix <= 1 && after.starts_with('"') {
        return Some(prefix + quoted(after, '"'));
    }
    let is_character = after.starts_with("'\\") || after.chars().nth(2) == Some('\'');
    (prefix <= 1 && after.starts_with('\'') && is_character).then(|| prefix + quoted(after, '\''))
}

/// The length of a text whose quotes may be escaped in it.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if c == quote && !escaped {
            return at + 1;
        }
        escaped = c == '\\' && !escaped;
    }
    text.len()
}

#[test]
fn comments_and_texts_are_blanked_and_nothing_else() {
    let check = |text: &str, code: &str| assert_eq!(blank(text), code, "{text}");
    check("a // b\nc", "a     \nc");
    check("a /* b\n */ c", "a     \n    c");
    check(r#"f("a \" b", c)"#, r"f(        , c)");
    check(r##"r#"a " b"# + br"\" + x"##, "           +       + x");
    check(r"('{', '\'', b'x', 'a, x)", "(   ,     ,     , 'a, x)");
    check("for\"x\"", "for   ");
}

#[test]
fn functions_are_found_with_their_parameters_and_length() {
    let code = "fn a<F: Fn(u8) -> [u8; 2]>(f: F, on: bool) -> bool\nwhere\n    F: Copy,\n{\n}\nconst X: fn(u8) = y;\n".to_owned();
    let source = Source { path: "src/a/b.rs".to_owned(), text: String::new(), code };
    let found: Vec<_> = source.functions().iter().map(|f| (f.name, f.line, f.parameters, f.lines)).collect();
    assert_eq!(found, [("a", 1, "f: F, on: bool", 5)]);
    assert_eq!(source.room(), Some("a"));
}
