//! The rules of the data, one by one: what a field of a delivery becomes.

use super::trial::{Case, WAITLISTPLUS_CASE, WAITWHILE_CASE};
use crate::providers::trial::{RULES, WAITLISTPLUS};
use crate::providers::{Carry, PayloadRule, Rules};

const NOTES_ON: Rules = Rules { notes: Carry::On, ..RULES };
const BODIES_ON: Rules = Rules { message_bodies: Carry::On, ..RULES };

fn wrapped(vendor_type: &str, members: &str) -> String {
    format!(r#"{{"id":"E","created":"2026-03-20T11:00:00Z","accountId":"A","type":"{vendor_type}","data":{{"id":"I"{members}}}}}"#)
}

/// `members` are those of a visit's data, behind its id.
fn visit(members: &str, expected: &[(&str, &str)]) {
    WAITWHILE_CASE.check(&wrapped("visit.updated", members), expected);
}

fn visits(pointer: &str, rows: &[(&str, &str)]) {
    for (members, expected) in rows {
        visit(members, &[(pointer, expected)]);
    }
}

fn person(members: &str, expected: &[(&str, &str)]) {
    WAITLISTPLUS_CASE.check(&format!(r#"{{"type":"UpdatePerson","data":{{"PersonId":7{members}}}}}"#), expected);
}

fn people(pointer: &str, rows: &[(&str, &str)]) {
    for (members, expected) in rows {
        person(members, &[(pointer, expected)]);
    }
}

/// `members` are those of a person's `Fields`.
fn fields(members: &str, expected: &[(&str, &str)]) {
    person(&format!(r#","Fields":{{{members}}}"#), expected);
}

#[test]
fn an_empty_text_and_one_of_another_type_are_null() {
    for value in [r#""""#, "null", "7", "1.5", "true", "[]", r#"["a"]"#, "{}", r#"{"a":"b"}"#] {
        let members: String = ["name", "firstName", "lastName", "email", "phone", "locale", "state", "ticket", "date"]
            .map(|key| format!(r#","{key}":{value}"#))
            .concat();
        let person = ["name", "first_name", "last_name", "email", "phone", "locale"].map(|key| format!("/person/{key}"));
        let entry = ["vendor_status", "ticket", "starts_local"].map(|key| format!("/entries/0/{key}"));
        let expected: Vec<(&str, &str)> = person.iter().chain(&entry).map(|pointer| (pointer.as_str(), "null")).collect();
        visit(&format!(r#","customerId":"C"{members}"#), &expected);
    }
}

#[test]
fn the_payload_keeps_what_the_model_does_not_take() {
    visit(
        r#","partySize":2.50,"name":{"a":[1e4]},"unknown":"x""#,
        &[("/entries/0/party_size", "null"), ("/payload/partySize", "2.5"), ("/payload/unknown", r#""x""#)],
    );
    let data = &WAITWHILE_CASE.records(wrapped("visit.updated", r#", "a" : 2.50 ,"b":1e400,"publicId":"p""#).as_bytes()).unwrap()[0];
    let text = String::from_utf8(data.value.clone().unwrap()).unwrap();
    assert!(text.contains(r#""payload":{"id":"I", "a" : 2.50 ,"b":1e400},"#), "{text}");
}

#[test]
fn an_integer_is_a_json_integer_that_fits() {
    visits(
        "/entries/0/party_size",
        &[
            (r#","partySize":2"#, "2"),
            (r#","partySize":0"#, "0"),
            (r#","partySize":-3"#, "-3"),
            (r#","partySize":9223372036854775807"#, "9223372036854775807"),
            (r#","partySize":9223372036854775808"#, "null"),
            (r#","partySize":-9223372036854775809"#, "null"),
            (r#","partySize":2.0"#, "null"),
            (r#","partySize":2e0"#, "null"),
            (r#","partySize":"2""#, "null"),
            (r#","partySize":null"#, "null"),
            (r#","partySize":true"#, "null"),
            ("", "null"),
        ],
    );
    let none = Rules { payload: PayloadRule::None, ..RULES };
    Case { rules: none, ..WAITWHILE_CASE }
        .check(&wrapped("visit.updated", r#","partySize":1e99999"#), &[("/entries/0/party_size", "null")]);
}

#[test]
fn an_id_is_a_text_or_an_integer_as_its_text() {
    for (value, expected) in [
        (r#""C 1""#, r#""C 1""#),
        ("12345678901234567", r#""12345678901234567""#),
        ("-5", r#""-5""#),
        ("0", r#""0""#),
        ("9223372036854775808", "null"),
        ("1.0", "null"),
        (r#""""#, "null"),
        ("null", "null"),
        ("true", "null"),
        (r#"["C"]"#, "null"),
        (r#"{"id":"C"}"#, "null"),
    ] {
        visit(&format!(r#","customerId":"C","externalCustomerId":{value}"#), &[("/person/external_id", expected)]);
        person(&format!(r#","FamilyPersonId":{value}"#), &[("/person/family_id", expected)]);
        let (whole, part) = if expected == "null" { ("", "null") } else { ("/id", expected) };
        visit(
            &format!(r#","customerId":{value},"locationId":{value}"#),
            &[(&format!("/person{whole}"), part), (&format!("/location{whole}"), part)],
        );
        let body = wrapped("visit.updated", "").replace(r#""A""#, value);
        WAITWHILE_CASE.check(&body, &[("/account_id", expected)]);
    }
}

#[test]
fn the_last_of_equal_keys_counts_however_it_is_written() {
    visit(r#","customerId":"C","name":"first","n\u0061me":"last""#, &[("/person/name", r#""last""#)]);
    visit(r#","customerId":"C","name":"first","name":7"#, &[("/person/name", "null")]);
    visit(r#","customerId":"C","customerId":null"#, &[("/person", "null")]);
    person(r#","Fields":{"Email":"a"},"Fields":null"#, &[("/person/email", "null"), ("/person/complete", "false")]);
    fields(r#""Email":"a","Email":"b","x":"1","\u0078":"2""#, &[("/person/email", r#""b""#), ("/fields", r#"{"x":["2"]}"#)]);
}

#[test]
fn a_lone_surrogate_is_the_replacement_character_in_the_payload_too() {
    visit(
        r#","customerId":"C","name":"a\ud83dz","lastName":"\ude00","locale":"\ud83d\ude00""#,
        &[
            ("/person/name", "\"a\u{fffd}z\""),
            ("/person/last_name", "\"\u{fffd}\""),
            ("/person/locale", "\"😀\""),
            ("/payload/name", "\"a\u{fffd}z\""),
        ],
    );
}

#[test]
fn a_leading_byte_order_mark_is_skipped() {
    WAITWHILE_CASE.check(&format!("\u{feff}{}", wrapped("visit.updated", "")), &[("/entries/0/id", r#""I""#)]);
}

#[test]
fn what_does_not_fit_in_a_list_is_skipped() {
    visits(
        "/entries/0/tags",
        &[
            (r#","tags":["a",1,null,"","b",["c"],{"d":1},true,"a"]"#, r#"["a","b","a"]"#),
            (r#","tags":"a""#, "[]"),
            (r#","tags":{"0":"a"}"#, "[]"),
            ("", "[]"),
        ],
    );
    person(
        r#","Waitlists":[{"Name":"a"},"b",null,{"Name":5},[],7,{}]"#,
        &[("/entries/0/list", r#""a""#), ("/entries/1/list", "null"), ("/entries/2/list", "null"), ("/entries_complete", "true")],
    );
}

#[test]
fn times_have_a_zone_or_are_milliseconds() {
    visits(
        "/entries/0/joined_at",
        &[
            (r#","waitlistTime":"2026-03-10T15:20:31.212Z""#, r#""2026-03-10T15:20:31.212Z""#),
            (r#","waitlistTime":"2026-03-10t15:20:31.98765z""#, r#""2026-03-10T15:20:31.987Z""#),
            (r#","waitlistTime":"2026-03-10T15:20:31+05:30""#, r#""2026-03-10T09:50:31.000Z""#),
            (r#","waitlistTime":1773156060500"#, r#""2026-03-10T15:21:00.500Z""#),
            (r#","waitlistTime":"2026-03-10 15:20:31Z""#, "null"),
            (r#","waitlistTime":"2026-03-10T15:20:60Z""#, "null"),
            (r#","waitlistTime":"2026-03-10T15:20:31""#, "null"),
            (r#","waitlistTime":"2026-03-10""#, "null"),
            (r#","waitlistTime":"1969-12-31T23:59:59Z""#, "null"),
            (r#","waitlistTime":-1"#, "null"),
            (r#","waitlistTime":253402300800000"#, "null"),
            (r#","waitlistTime":1773156060500.0"#, "null"),
            (r#","waitlistTime":"1773156060500""#, "null"),
            (r#","waitlistTime":"soon""#, "null"),
        ],
    );
}

#[test]
fn an_entry_is_of_the_kind_that_the_vendor_tells() {
    visits(
        "/entries/0/kind",
        &[
            (r#","isBlock":true,"type":"BOOKING","state":"BOOKED""#, r#""block""#),
            (r#","type":"BLOCK","date":"2026-03-16T12:00""#, r#""block""#),
            (r#","isBlock":"true","state":"BOOKED""#, r#""waitlist""#),
            (r#","type":"BOOKING""#, r#""booking""#),
            (r#","state":"WAITING","date":"2026-03-16T12:00""#, r#""booking""#),
            (r#","date":"2026-03-16T12:00""#, r#""booking""#),
            (r#","state":"WAITING","date":"""#, r#""waitlist""#),
            (r#","state":"WAITING""#, r#""waitlist""#),
            (r#","type":"ELSE""#, r#""waitlist""#),
            (r#","type":"booking","state":"x""#, r#""waitlist""#),
            (r#","state":"","type":null"#, r#""unknown""#),
            ("", r#""unknown""#),
        ],
    );
    visit(r#","date":"2026-03-16T12:00""#, &[("/entries/0/starts_at", "null"), ("/entries/0/starts_local", r#""2026-03-16T12:00""#)]);
}

#[test]
fn a_status_is_told_by_state_and_outcome_tags() {
    for (state, tags, expected) in [
        ("PENDING", "[]", "held"),
        ("DRAFT", "[]", "requested"),
        ("BOOKED", "[]", "booked"),
        ("WAITING", "[]", "waiting"),
        ("SERVING", "[]", "serving"),
        ("COMPLETE", "[]", "completed"),
        ("COMPLETE", r#"["VIP","ARRIVED"]"#, "completed"),
        ("COMPLETE", r#"["EXPIRED"]"#, "expired"),
        ("COMPLETE", r#"["EXPIRED","NO-SHOW"]"#, "no_show"),
        ("COMPLETE", r#"["NO-SHOW","EXPIRED","CANCELLED"]"#, "cancelled"),
        ("COMPLETE", r#"["cancelled"]"#, "completed"),
        ("WAITING", r#"["CANCELLED"]"#, "waiting"),
        ("BOOKED", r#"["CANCELLED"]"#, "booked"),
        ("waiting", "[]", "unknown"),
        ("", "[]", "unknown"),
        ("NEW", "[]", "unknown"),
    ] {
        let members = format!(r#","state":"{state}","tags":{tags}"#);
        visit(&members, &[("/entries/0/status", &format!("\"{expected}\""))]);
        WAITWHILE_CASE.check(&wrapped("visit.removed", &members), &[("/entries/0/status", r#""removed""#)]);
    }
}

#[test]
fn services_have_quantities_or_are_bare_ids() {
    visits(
        "/entries/0/services",
        &[
            (r#","services":{"b":2,"a":1},"serviceIds":["c"]"#, r#"[{"id":"b","quantity":2},{"id":"a","quantity":1}]"#),
            (r#","services":{"a":0,"b":-1,"c":"2"}"#, r#"[{"id":"a","quantity":1},{"id":"b","quantity":1},{"id":"c","quantity":1}]"#),
            (r#","services":{"d":1.5,"":2,"e":null}"#, r#"[{"id":"d","quantity":1},{"id":"e","quantity":1}]"#),
            (r#","services":{"a":1,"b":2,"a":3}"#, r#"[{"id":"a","quantity":3},{"id":"b","quantity":2}]"#),
            (r#","services":{},"serviceIds":["c","d"]"#, r#"[{"id":"c","quantity":1},{"id":"d","quantity":1}]"#),
            (r#","services":["a"],"serviceIds":["c"]"#, r#"[{"id":"c","quantity":1}]"#),
            (r#","serviceIds":["c",5,"",null,{},"c"]"#, r#"[{"id":"c","quantity":1},{"id":"5","quantity":1},{"id":"c","quantity":1}]"#),
            (r#","serviceIds":"c""#, "[]"),
            ("", "[]"),
        ],
    );
    visits(
        "/entries/0/resources",
        &[(r#","resources":{"r":2}"#, r#"[{"id":"r","quantity":2}]"#), (r#","resourceIds":["r"]"#, r#"[{"id":"r","quantity":1}]"#)],
    );
}

#[test]
fn answers_are_fields_by_their_ids() {
    visits(
        "/fields",
        &[
            (r#","dataFields":[{"id":"q","values":["a","b"]},{"id":2,"values":["c"]}]"#, r#"{"q":["a","b"],"2":["c"]}"#),
            (r#","dataFields":[{"id":"q","values":["a, b","",1,null,["c"]]}]"#, r#"{"q":["a, b",""]}"#),
            (r#","dataFields":[{"id":"q","values":["a"]},{"id":"q","values":["b"]}]"#, r#"{"q":["b"]}"#),
            (r#","dataFields":[{"id":"q"},{"id":"r","values":"a"},{"id":"s","values":null}]"#, r#"{"q":[],"r":[],"s":[]}"#),
            (r#","dataFields":[{"values":["a"]},{"id":"","values":["a"]},{"id":null},"q",7]"#, "{}"),
            (r#","dataFields":{"id":"q","values":["a"]}"#, "{}"),
            (r#","fields":{"q":["a"]}"#, "{}"),
        ],
    );
}

#[test]
fn a_version_is_the_vendors_or_the_receipts() {
    let check = |created: &str, updated: &str, expected: [&str; 2]| {
        let members = if updated.is_empty() { String::new() } else { format!(r#","updated":{updated}"#) };
        let body = wrapped("visit.updated", &members).replace(r#""2026-03-20T11:00:00Z""#, created);
        let quoted = expected.map(|text| format!("\"{text}\""));
        WAITWHILE_CASE
            .check(&body, &[("/version", &quoted[0]), ("/time_basis", &quoted[1]), ("/received_at", r#""2026-03-20T12:00:00.042Z""#)]);
    };
    let receipt = ["2026-03-20T12:00:00.042Z", "receipt"];
    check(r#""2026-03-20T11:00:00Z""#, r#""2026-03-20T10:00:00Z""#, ["2026-03-20T10:00:00.000Z", "vendor"]);
    check(r#""2026-03-20T11:00:00Z""#, "", ["2026-03-20T11:00:00.000Z", "vendor"]);
    check(r#""2026-03-20T11:00:00Z""#, r#""never""#, ["2026-03-20T11:00:00.000Z", "vendor"]);
    check("null", "null", receipt);
    check("null", "1773156060500", ["2026-03-10T15:21:00.500Z", "vendor"]);
    // A day ahead is a wrong clock's; and then `created` does not step in.
    check(r#""2026-03-20T11:00:00Z""#, r#""2026-03-21T12:00:00.042Z""#, ["2026-03-21T12:00:00.042Z", "vendor"]);
    check(r#""2026-03-20T11:00:00Z""#, r#""2026-03-21T12:00:00.043Z""#, receipt);
    check(r#""2026-03-21T12:00:00.043Z""#, "", receipt);
    check(r#""2026-03-20T11:00:00Z""#, r#""1970-01-01T00:00:00Z""#, ["1970-01-01T00:00:00.000Z", "vendor"]);
}

#[test]
fn an_erasure_is_told_by_type_or_anonymization() {
    for (vendor_type, members, expected) in [
        ("visit.updated", "", "null"),
        ("visit.updated", r#","isAnonymized":"true""#, "null"),
        ("visit.updated", r#","isAnonymized":true"#, r#"{"scope":"visit","reason":"anonymized"}"#),
        ("visit.created", r#","isAnonymized":true"#, r#"{"scope":"visit","reason":"anonymized"}"#),
        ("visit.removed", "", r#"{"scope":"visit","reason":"removed"}"#),
        ("visit.removed", r#","isAnonymized":true"#, r#"{"scope":"visit","reason":"removed"}"#),
        ("message.created", r#","isAnonymized":true"#, "null"),
        ("location-status.updated", r#","isAnonymized":true"#, "null"),
    ] {
        WAITWHILE_CASE.check(&wrapped(vendor_type, members), &[("/erasure", expected)]);
    }
}

#[test]
fn a_person_is_complete_if_the_visit_has_a_state() {
    visit(r#","customerId":"C","state":"NEW","isAnonymized":true"#, &[("/person/complete", "true"), ("/person/anonymized", "true")]);
    visit(
        r#","customerId":"C","type":"BOOKING","name":"N""#,
        &[("/person/complete", "false"), ("/person/name", r#""N""#), ("/person/anonymized", "false")],
    );
    visit(r#","state":"WAITING","name":"N""#, &[("/person", "null")]);
}

#[test]
fn a_wait_of_minus_one_is_not_told_and_no_other_minus_one_is() {
    let status = |members: &str, expected: &[(&str, &str)]| WAITWHILE_CASE.check(&wrapped("location-status.updated", members), expected);
    status(r#","wait":-1,"numWaiting":-1"#, &[("/status/wait_seconds", "null"), ("/status/waiting", "-1")]);
    status(r#","wait":-2"#, &[("/status/wait_seconds", "-2")]);
    status(r#","wait":0"#, &[("/status/wait_seconds", "0")]);
    status(r#","waitByPartySize":{"1":600,"2":-1,"3":"x","4":1.5,"5":0}"#, &[("/status/wait_seconds_by_party_size", r#"{"1":600,"5":0}"#)]);
    status(r#","waitByPartySize":{"1":600,"1":-1}"#, &[("/status/wait_seconds_by_party_size", "{}")]);
    status(r#","waitByPartySize":[600]"#, &[("/status/wait_seconds_by_party_size", "{}")]);
    status(
        r#","isOpen":1,"isWaitlistOpen":"true","isServingFull":false"#,
        &[("/status/open", "null"), ("/status/waitlist_open", "null"), ("/status/serving_full", "false")],
    );
    status(
        r#","locationId":"other""#,
        &[("/location/id", r#""I""#), ("/entries", "[]"), ("/entries_complete", "false"), ("/person", "null")],
    );
    visit("", &[("/status", "null"), ("/message", "null")]);
}

#[test]
fn a_message_has_a_direction_and_one_of_six_statuses() {
    for (state, status, direction) in [
        (r#""PENDING""#, "pending", r#""outbound""#),
        (r#""BLOCKED""#, "blocked", r#""outbound""#),
        (r#""FAILED""#, "failed", r#""outbound""#),
        (r#""DELIVERED""#, "delivered", r#""outbound""#),
        (r#""UNCONFIRMED""#, "unconfirmed", r#""outbound""#),
        (r#""RECEIVED""#, "received", r#""inbound""#),
        (r#""received""#, "unknown", r#""outbound""#),
        (r#""SENT""#, "unknown", r#""outbound""#),
        (r#""""#, "unknown", "null"),
        ("7", "unknown", "null"),
    ] {
        let body = wrapped("message.updated", &format!(r#","state":{state},"channel":"Pigeon""#));
        let status = format!("\"{status}\"");
        WAITWHILE_CASE
            .check(&body, &[("/message/status", &status), ("/message/direction", direction), ("/message/channel", r#""Pigeon""#)]);
    }
}

#[test]
fn of_a_person_a_message_tells_only_the_id() {
    let body = wrapped("message.created", r#","customerId":"C","name":"N","email":"e@example.com","isAnonymized":true,"state":"SENT""#);
    let told = [("/person/id", r#""C""#), ("/person/name", "null"), ("/person/email", "null")];
    WAITWHILE_CASE.check(&body, &told);
    WAITWHILE_CASE.check(&body, &[("/person/anonymized", "false"), ("/person/complete", "false"), ("/entries", "[]")]);
}

#[test]
fn a_messages_texts_go_on_only_if_the_settings_say_so() {
    let body = wrapped("message.created", r#","body":"b","error":"e","recipient":"r","b\u006fdy":"c""#);
    WAITWHILE_CASE.check(&body, &[("/message/body", "null"), ("/message/error", "null"), ("/payload", r#"{"id":"I"}"#)]);
    let case = Case { rules: BODIES_ON, ..WAITWHILE_CASE };
    case.check(&body, &[("/message/body", r#""c""#), ("/message/error", r#""e""#), ("/payload/recipient", r#""r""#)]);
    // Of a visit they are nobody's message.
    visit(r#","body":"b""#, &[("/payload/body", r#""b""#)]);
}

#[test]
fn what_must_not_go_on_is_dropped_from_the_payload_however_it_is_written() {
    let members = r#","publicId":"p","remoteIp":"i","ngrams":["n"],"PersonGUID":"g","notes":"n","Notes":[],
        "public\u0049d":"q","\u006eotes":"o",
        "keep":{"notes":"k","publicId":"k"},"PublicId":"c""#;
    let kept = r#"{"id":"I","keep":{"notes":"k","publicId":"k"},"PublicId":"c"}"#;
    visit(members, &[("/payload", kept), ("/payload_omitted", "null"), ("/notes", "null")]);
    Case { rules: NOTES_ON, ..WAITWHILE_CASE }.check(
        &wrapped("visit.updated", r#","publicId":"p","\u006eotes":"o""#),
        &[("/payload", r#"{"id":"I","notes":"o"}"#), ("/notes", r#"[{"text":"o","edited_at":null,"edited_by":null}]"#)],
    );
    let none = Rules { payload: PayloadRule::None, ..RULES };
    Case { rules: none, ..WAITWHILE_CASE }
        .check(&wrapped("visit.updated", members), &[("/payload", "null"), ("/payload_omitted", r#""setting""#)]);
    let full = Rules { payload: PayloadRule::Full, ..RULES };
    Case { rules: full, ..WAITWHILE_CASE }.check(
        &wrapped("visit.updated", r#","publicId":"p","notes":"n""#),
        &[("/payload", r#"{"id":"I","publicId":"p","notes":"n"}"#), ("/payload_omitted", "null")],
    );
}

#[test]
fn notes_are_null_unless_switched_on_and_then_a_list() {
    let case = Case { rules: NOTES_ON, ..WAITLISTPLUS_CASE };
    let person = |members: &str, expected: &str| {
        case.check(&format!(r#"{{"type":"AddPerson","data":{{"PersonId":7{members}}}}}"#), &[("/notes", expected)]);
    };
    person("", "[]");
    person(r#","Notes":"n""#, "[]");
    person(
        r#","Notes":[{"Text":"a","LastEditDate":"2026-03-09T18:22:10.12","LastEditBy":"o"}]"#,
        r#"[{"text":"a","edited_at":"2026-03-09T18:22:10.120Z","edited_by":"o"}]"#,
    );
    person(
        r#","Notes":[{"Text":""},{"LastEditBy":"o"},"b",{"Text":"c","LastEditDate":null},null]"#,
        r#"[{"text":"c","edited_at":null,"edited_by":null}]"#,
    );
    let waitwhile = Case { rules: NOTES_ON, ..WAITWHILE_CASE };
    for (vendor_type, members) in [("visit.updated", r#","notes":"""#), ("visit.updated", r#","notes":["n"]"#), ("message.created", "")] {
        waitwhile.check(&wrapped(vendor_type, members), &[("/notes", "[]")]);
    }
    visit(r#","notes":"n""#, &[("/notes", "null")]);
}

#[test]
fn a_person_of_waitlistplus_is_complete_with_fields() {
    people(
        "/person/complete",
        &[
            ("", "false"),
            (r#","Fields":null"#, "false"),
            (r#","Fields":[]"#, "false"),
            (r#","Fields":"{}""#, "false"),
            (r#","Fields":{}"#, "true"),
        ],
    );
    people(
        "/entries_complete",
        &[("", "false"), (r#","Waitlists":null"#, "false"), (r#","Waitlists":{}"#, "false"), (r#","Waitlists":[]"#, "true")],
    );
    let body = r#"{"type":"DeletePerson","data":{"PersonId":7,"Waitlists":[{"Name":"a"}]}}"#;
    WAITLISTPLUS_CASE
        .check(body, &[("/entries_complete", "true"), ("/entries/0/status", r#""removed""#), ("/erasure/reason", r#""deleted""#)]);
}

#[test]
fn a_name_is_the_mapped_one_or_first_and_last() {
    fields(r#""First Name":"A","Last Name":"B""#, &[("/person/name", r#""A B""#), ("/fields", "{}")]);
    fields(r#""First Name":"A","Last Name":"""#, &[("/person/name", r#""A""#), ("/person/last_name", "null"), ("/fields", "{}")]);
    fields(r#""Last Name":"B""#, &[("/person/name", r#""B""#)]);
    fields(r#""Name":"N""#, &[("/person/name", "null"), ("/fields", r#"{"Name":["N"]}"#)]);
    let settings = format!("{WAITLISTPLUS}\n[fields]\nname = \"Full Name\"\nfirst_name = \"Vorname\"");
    let case = Case { settings: &settings, ..WAITLISTPLUS_CASE };
    let check = |members: &str, expected: &[(&str, &str)]| {
        case.check(&format!(r#"{{"type":"AddPerson","data":{{"PersonId":7,"Fields":{{{members}}}}}}}"#), expected);
    };
    check(
        r#""Full Name":"N","Vorname":"V","Last Name":"L""#,
        &[("/person/name", r#""N""#), ("/person/first_name", r#""V""#), ("/fields", "{}")],
    );
    check(r#""Full Name":"","Vorname":"V","Last Name":"L""#, &[("/person/name", r#""V L""#), ("/fields", "{}")]);
    check(r#""First Name":"F""#, &[("/person/first_name", "null"), ("/fields", r#"{"First Name":["F"]}"#)]);
}

#[test]
fn fields_are_what_is_not_mapped_or_could_not_be_read() {
    fields(
        r#""a":"x,y","b":"","c":null,"d":1.50,"e":[1, 2],"f":{"g": "h"},"i":false,"j":" ","k\n":"l""#,
        &[(
            "/fields",
            r#"{"a":["x,y"],"b":[],"c":[],"d":["1.50"],"e":["[1, 2]"],"f":["{\"g\": \"h\"}"],"i":["false"],"j":[" "],"k\n":["l"]}"#,
        )],
    );
    fields(
        r#""Email":7,"Phone #":["1"],"First Name":{"a":1},"Last Name":null,"Birthdate":null,"Location":true"#,
        &[("/fields", r#"{"Email":["7"],"Phone #":["[\"1\"]"],"First Name":["{\"a\":1}"],"Location":["true"]}"#), ("/location", "null")],
    );
    fields(
        r#""Location":" \t ","Birthdate":"tomorrow""#,
        &[("/location", "null"), ("/fields", r#"{"Location":[" \t "],"Birthdate":["tomorrow"]}"#)],
    );
    fields(r#""Location":"","Birthdate":"""#, &[("/location", "null"), ("/fields", "{}")]);
}

#[test]
fn a_locations_key_is_trimmed_and_lower_case_and_its_name_as_sent() {
    for (name, key) in [
        ("Springfiled", "springfiled"),
        (" North  Campus ", "north%20%20campus"),
        ("ÉCOLE", "%C3%A9cole"),
        ("A/B~c._-%", "a%2Fb~c._-%25"),
        ("\u{a0}X\u{2003}", "x"),
    ] {
        let expected = [
            ("/location/key", format!("\"waitlistplus/sunshine/location/{key}\"")),
            ("/location/name", serde_json::to_string(name).unwrap()),
        ];
        fields(
            &format!(r#""Location":{}"#, serde_json::to_string(name).unwrap()),
            &expected.each_ref().map(|(pointer, text)| (*pointer, text.as_str())),
        );
    }
}

#[test]
fn a_birth_date_is_read_only_in_the_configured_form() {
    for (format, text, expected) in [
        ("M/D/YYYY", "8/9/2021", Some("2021-08-09")),
        ("M/D/YYYY", "08/09/2021", Some("2021-08-09")),
        ("M/D/YYYY", "2/29/2024", Some("2024-02-29")),
        ("M/D/YYYY", "12/31/1931", Some("1931-12-31")),
        ("M/D/YYYY", "2/29/2023", None),
        ("M/D/YYYY", "13/1/2021", None),
        ("M/D/YYYY", "8/9/21", None),
        ("M/D/YYYY", "8/9/02021", None),
        ("M/D/YYYY", "008/9/2021", None),
        ("M/D/YYYY", "8/9/2021/", None),
        ("M/D/YYYY", "8/9/2021 ", None),
        ("M/D/YYYY", "8//2021", None),
        ("M/D/YYYY", "+8/9/2021", None),
        ("M/D/YYYY", "8-9-2021", None),
        ("M/D/YYYY", "2021-08-09", None),
        ("D/M/YYYY", "8/9/2021", Some("2021-09-08")),
        ("D/M/YYYY", "31/12/2021", Some("2021-12-31")),
        ("D/M/YYYY", "12/31/2021", None),
        ("YYYY-MM-DD", "2021-08-09", Some("2021-08-09")),
        ("YYYY-MM-DD", "2021-8-9", Some("2021-08-09")),
        ("YYYY-MM-DD", "2021/08/09", None),
        ("YYYY-MM-DD", "2021-08-09T00:00:00", None),
        ("", "8/9/2021", None),
    ] {
        let settings = WAITLISTPLUS.replace("M/D/YYYY", format);
        let body = format!(r#"{{"type":"AddPerson","data":{{"PersonId":7,"Fields":{{"Birthdate":"{text}"}}}}}}"#);
        let left = if expected.is_some() { "{}".to_owned() } else { format!(r#"{{"Birthdate":["{text}"]}}"#) };
        let expected = expected.map_or("null".to_owned(), |date| format!("\"{date}\""));
        Case { settings: &settings, ..WAITLISTPLUS_CASE }.check(&body, &[("/person/birth_date", &expected), ("/fields", &left)]);
    }
}

#[test]
fn an_added_date_without_a_zone_is_utc() {
    for (value, expected) in [
        (r#""2022-06-25T14:07:35.4539461""#, Some("2022-06-25T14:07:35.453Z")),
        (r#""2022-06-25T14:07:35""#, Some("2022-06-25T14:07:35.000Z")),
        (r#""2022-06-25T14:07:35.123456789012345678901""#, Some("2022-06-25T14:07:35.123Z")),
        (r#""2022-06-25T14:07:35.5Z""#, Some("2022-06-25T14:07:35.500Z")),
        (r#""2022-06-25T14:07:35-05:00""#, Some("2022-06-25T19:07:35.000Z")),
        ("1656166055000", Some("2022-06-25T14:07:35.000Z")),
        (r#""2022-06-25""#, None),
        (r#""2022-06-25 14:07:35""#, None),
        (r#""2022-06-25T14:07:60""#, None),
        (r#""2022-06-25T14:07""#, None),
        (r#""2022-06-25T14:07:35.""#, None),
        (r#""1969-12-31T23:59:59""#, None),
        (r#""0001-01-01T00:00:00""#, None),
        ("null", None),
    ] {
        let expected = expected.map_or("null".to_owned(), |time| format!("\"{time}\""));
        person(&format!(r#","Waitlists":[{{"AddedDate":{value}}}]"#), &[("/entries/0/joined_at", &expected)]);
    }
}

#[test]
fn a_requested_date_is_the_day_as_written_or_the_day_at_the_site() {
    for (value, in_chicago, without_zone) in [
        (r#""2022-06-30""#, Some("2022-06-30"), Some("2022-06-30")),
        (r#""2022-06-30T05:00:00""#, Some("2022-06-30"), None),
        (r#""2022-06-30T04:59:59.9999999""#, Some("2022-06-29"), None),
        (r#""2027-01-04T06:00:00""#, Some("2027-01-04"), None),
        (r#""2022-06-30T00:00:00Z""#, Some("2022-06-30"), Some("2022-06-30")),
        (r#""2022-06-30T23:00:00-05:00""#, Some("2022-06-30"), Some("2022-06-30")),
        (r#""2022-06-30T01:00:00+14:00""#, Some("2022-06-30"), Some("2022-06-30")),
        ("1656565200000", Some("2022-06-30"), None),
        (r#""9999-12-31T12:00:00""#, Some("9999-12-31"), None),
        (r#""2022-06-31""#, None, None),
        (r#""2022-06-30 05:00:00""#, None, None),
        (r#""2022-06-30T05:00:60""#, None, None),
        (r#""1969-12-31""#, None, None),
        (r#""1970-01-01T00:00:00""#, None, None),
        (r#""0001-01-01T00:00:00""#, None, None),
        (r#""6/30/2022""#, None, None),
        (r#""""#, None, None),
        ("null", None, None),
        ("{}", None, None),
    ] {
        let body = format!(r#"{{"type":"AddPerson","data":{{"PersonId":7,"Waitlists":[{{"RequestedDate":{value}}}]}}}}"#);
        let quoted = |date: Option<&str>| date.map_or("null".to_owned(), |date| format!("\"{date}\""));
        WAITLISTPLUS_CASE.check(&body, &[("/entries/0/requested_date", &quoted(in_chicago))]);
        let settings = WAITLISTPLUS.replace("America/Chicago", "");
        Case { settings: &settings, ..WAITLISTPLUS_CASE }.check(&body, &[("/entries/0/requested_date", &quoted(without_zone))]);
    }
}

#[test]
fn a_site_may_call_its_dates_otherwise() {
    let settings = WAITLISTPLUS.replace("time_zone", "added_date_key = \"Added\"\nrequested_date_key = \"Start\"\ntime_zone");
    let list = r#"{"Added":"2022-06-25T14:07:35","AddedDate":"2020-01-01T00:00:00","Start":"2022-06-30","RequestedDate":"2020-01-01"}"#;
    Case { settings: &settings, ..WAITLISTPLUS_CASE }.check(
        &format!(r#"{{"type":"AddPerson","data":{{"PersonId":7,"Waitlists":[{list}]}}}}"#),
        &[("/entries/0/joined_at", r#""2022-06-25T14:07:35.000Z""#), ("/entries/0/requested_date", r#""2022-06-30""#)],
    );
}

#[test]
fn what_cannot_be_understood_has_the_first_reason_that_holds() {
    let deep =
        |depth: usize| format!(r#"{{"type":"visit.updated","data":{{"id":"I","a":{}{}}}}}"#, "[".repeat(depth - 2), "]".repeat(depth - 2));
    for (vendor, body, expected) in [
        ("waitwhile", deep(64), None),
        ("waitwhile", deep(65), Some("too_deep")),
        ("waitwhile", "[".repeat(65), Some("too_deep")),
        ("waitwhile", "[".repeat(64), Some("not_json")),
        ("waitwhile", String::new(), Some("not_json")),
        ("waitwhile", wrapped("visit.updated", "") + "}", Some("not_json")),
        ("waitwhile", "[]".to_owned(), Some("unknown_shape")),
        ("waitwhile", "{}".to_owned(), Some("unknown_shape")),
        ("waitwhile", r#"{"type":"visit.renamed"}"#.to_owned(), Some("unknown_shape")),
        ("waitwhile", r#"{"type":"visit.renamed","data":[]}"#.to_owned(), Some("unknown_shape")),
        ("waitwhile", r#"{"type":"","data":{}}"#.to_owned(), Some("unknown_shape")),
        ("waitwhile", r#"{"type":"visit.renamed","data":{}}"#.to_owned(), Some("unknown_type")),
        ("waitwhile", r#"{"type":"Visit.Updated","data":{}}"#.to_owned(), Some("unknown_type")),
        ("waitwhile", r#"{"type":"visit.updated ","data":{}}"#.to_owned(), Some("unknown_type")),
        ("waitwhile", r#"{"type":"AddPerson","data":{"PersonId":7}}"#.to_owned(), Some("unknown_type")),
        ("waitwhile", r#"{"type":"visit.updated","data":{}}"#.to_owned(), Some("missing_id")),
        ("waitwhile", r#"{"type":"visit.updated","data":{"id":""}}"#.to_owned(), Some("missing_id")),
        ("waitwhile", r#"{"type":"location-status.updated","data":{"locationId":"L"}}"#.to_owned(), Some("missing_id")),
        ("waitwhile", r#"{"type":"message.created","data":{"id":1.5,"visitId":"V"}}"#.to_owned(), Some("missing_id")),
        ("waitwhile", r#"{"type":"message.created","data":{"id":15}}"#.to_owned(), None),
        ("waitlistplus", r#"{"type":"AddPerson","data":{}}"#.to_owned(), Some("missing_id")),
        ("waitlistplus", r#"{"type":"AddPerson","data":{"PersonId":9223372036854775808}}"#.to_owned(), Some("missing_id")),
        ("waitlistplus", r#"{"type":"AddPerson","data":{"PersonId":"7"}}"#.to_owned(), None),
        ("waitlistplus", r#"{"type":"addperson","data":{"PersonId":7}}"#.to_owned(), Some("unknown_type")),
        ("waitlistplus", r#"{"type":"visit.updated","data":{"id":"I"}}"#.to_owned(), Some("unknown_type")),
    ] {
        let case = if vendor == "waitwhile" { WAITWHILE_CASE } else { WAITLISTPLUS_CASE };
        assert_eq!(case.records(body.as_bytes()).err().map(|reason| reason.as_str()), expected, "{body}");
    }
    assert_eq!(WAITWHILE_CASE.records(b"[[\xff").err().map(|reason| reason.as_str()), Some("not_json"));
}
