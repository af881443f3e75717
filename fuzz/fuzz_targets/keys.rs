//! Keys: of allowed characters only, different for different ids, and read back as what they were made of.
#![no_main]

use std::sync::LazyLock;

use waitbridge::event::Location;
use waitbridge::routing::{Ids, Keys};

static HIDDEN: LazyLock<Ids> = LazyLock::new(|| Ids::hmac(b"0123456789abcdef0123456789abcdef"));
const PERSON: &str = "waitwhile/acme/person/";
const LOCATION: &str = "waitwhile/acme/location/";

libfuzzer_sys::fuzz_target!(|ids: (&str, &str)| {
    let plain = Keys { vendor: "waitwhile", tenant: "acme", ids: &Ids::Plain };
    let hidden = Keys { ids: &HIDDEN, ..plain };
    let (one, other) = ids;
    let location = |id: Option<&str>, name: Option<&str>| {
        let owned = |text: &str| text.to_owned().into();
        plain.location(Some(&Location { id: id.map(owned), name: name.map(owned) }))
    };
    for id in [one, other] {
        assert_eq!(decoded(&plain.person(id), PERSON), id);
        assert_eq!(decoded(&location(Some(id), None), LOCATION), id);
        assert_eq!(decoded(&location(None, Some(id)), LOCATION), id.trim().to_lowercase());
        let shown = hidden.person_id(id);
        assert!(shown.len() == 22 && decoded(&hidden.person(id), PERSON) == shown);
    }
    assert_eq!(plain.person(one) == plain.person(other), one == other);
    assert_eq!(hidden.person(one) == hidden.person(other), one == other);
});

/// The last part of a key, which must begin so, without its percent signs.
fn decoded(key: &str, begin: &str) -> String {
    let mut text = Vec::new();
    let mut rest = key.strip_prefix(begin).expect(begin).bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => text.push(hex(rest.next()) << 4 | hex(rest.next())),
            byte if byte.is_ascii_alphanumeric() || b"._~-".contains(&byte) => text.push(byte),
            byte => panic!("{byte:#x} may not stand in a key: {key:?}"),
        }
    }
    String::from_utf8(text).expect("an id is a text")
}

fn hex(digit: Option<u8>) -> u8 {
    match digit.expect("two digits behind a percent sign") {
        digit @ b'0'..=b'9' => digit - b'0',
        digit @ b'A'..=b'F' => digit - b'A' + 10,
        digit => panic!("{digit:#x} is no upper-case hexadecimal digit"),
    }
}
