//! What both vendors put around what they say: a `type` and the `data`. Knows no type, and nothing that data may hold.

use super::{Member, Object, Scan};
use crate::event::{Reason, Text};

/// A delivery's outermost object, with what it must have.
pub struct Wrapper<'a> {
    pub members: Object<'a>,
    pub vendor_type: Text<'a>,
    pub data: Object<'a>,
}

impl<'a> Wrapper<'a> {
    /// Of a body that [`super::prepare`] let through.
    pub fn read(body: &'a str) -> Result<Wrapper<'a>, Reason> {
        let mut scan = Scan::new(body);
        if scan.peek() != Some(b'{') {
            return Err(scan.value().and_then(|_| scan.end()).map_or(Reason::NotJson, |()| Reason::UnknownShape));
        }
        let (members, data) = walk(&mut scan).ok_or(Reason::NotJson)?;
        scan.end().ok_or(Reason::NotJson)?;
        let vendor_type = members.text("type").ok_or(Reason::UnknownShape)?;
        Ok(Wrapper { members, vendor_type, data: data.ok_or(Reason::UnknownShape)? })
    }
}

/// Of the vendors' larger `data`.
const MEMBERS_USUAL: usize = 48;

/// The outermost members, and of the last `data` its own members, all in one walk.
fn walk<'a>(scan: &mut Scan<'a>) -> Option<(Object<'a>, Option<Object<'a>>)> {
    let (mut members, mut data) = (Vec::with_capacity(8), None);
    let whole = scan.object(|scan, key| {
        let inner = if scan.peek() == Some(b'{') { Some(Object::scan(scan, Vec::with_capacity(MEMBERS_USUAL))?) } else { None };
        let value = inner.as_ref().map_or_else(|| scan.value(), |inner| Some(inner.value()))?;
        let member = Member::new(key, value);
        if member.key == "data" {
            data = inner;
        }
        members.push(member);
        Some(())
    })?;
    Some((Object { raw: whole.bytes, members }, data))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, expected: Result<&str, Reason>) {
        let wrapper = Wrapper::read(body);
        assert_eq!(wrapper.as_ref().map(|wrapper| wrapper.data.bytes()).map_err(|reason| *reason), expected, "{body:?}");
    }

    #[test]
    fn a_type_and_an_object_as_data_are_enough() {
        check(r#"{"type":"a","data":{}}"#, Ok("{}"));
        check("\t{ \"data\" : { \"id\" : 1 } ,\r\n \"type\" : \"a\" }\n", Ok("{ \"id\" : 1 }"));
        check(r#"{"\u0074ype":"a","dat\u0061":{"b":1}}"#, Ok(r#"{"b":1}"#));
    }

    #[test]
    fn of_equal_keys_the_last_counts() {
        check(r#"{"type":1,"data":{"a":1},"type":"a","data":{"b":1}}"#, Ok(r#"{"b":1}"#));
        check(r#"{"type":"a","data":{"a":1},"data":[]}"#, Err(Reason::UnknownShape));
        check(r#"{"type":"a","type":null,"data":{}}"#, Err(Reason::UnknownShape));
        check(r#"{"type":"a","data":{},"dat\u0061":null}"#, Err(Reason::UnknownShape));
    }

    #[test]
    fn json_of_another_shape_is_an_unknown_shape() {
        let bodies = [
            "[1]",
            "\"a\"",
            "null",
            "true",
            "-1.5e+300",
            "1e999999",
            "{}",
            r#"{"type":"a"}"#,
            r#"{"data":{}}"#,
            r#"{"type":"","data":{}}"#,
            r#"{"type":1,"data":{}}"#,
            r#"{"type":"a","data":[]}"#,
            r#"{"type":"a","data":"{}"}"#,
            r#"{"type":"a","data":null}"#,
            r#"{"Type":"a","data":{}}"#,
            r#"[{"type":"a","data":{}}]"#,
        ];
        for body in bodies {
            check(body, Err(Reason::UnknownShape));
        }
    }

    #[test]
    fn what_is_no_json_as_a_whole_is_no_json() {
        let bodies = [
            "",
            " ",
            "nul",
            "nulll",
            "[1",
            "[1]]",
            "{} x",
            "{}{}",
            "{,}",
            "{\"a\":1,}",
            "[1,]",
            "{'a':1}",
            "{a:1}",
            "{\"a\":01}",
            "{\"a\":-}",
            "{\"a\":1.}",
            "{\"a\":.5}",
            "{\"a\":1e}",
            "{\"a\":+1}",
            "{\"a\":NaN}",
            "{\"a\":\"\n\"}",
            "{\"\n\":1}",
            r#"{"a":"\x"}"#,
            r#"{"a":"\u00g0"}"#,
            r#"{"a":"\u00"}"#,
            r#"{"a":"\"#,
            "{\"a\" 1}",
            "{\"a\":}",
            "{\"a\"}",
            "{\"a",
            "\u{feff}{}",
            "{}\0",
            "\u{a0}{}",
            "{\"type\":\"a\",\"data\":{}",
            "{\"type\":\"a\",\"data\":{]}",
            "[}",
            "/**/{}",
            "type=a&data=b",
        ];
        for body in bodies {
            check(body, Err(Reason::NotJson));
        }
    }
}
