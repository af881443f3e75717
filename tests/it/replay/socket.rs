//! The control socket, and what is asked through it beside replays.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Instant;

use serde_json::Value;

use super::{WITHIN, edit};
use crate::bridge::Home;
use crate::kafka;

fn asked(home: &Home, line: &str) -> Value {
    let mut stream = UnixStream::connect(home.path("journal").join("control.sock")).unwrap();
    stream.write_all(line.as_bytes()).unwrap();
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).unwrap();
    serde_json::from_str(&answer).unwrap()
}

#[test]
fn the_control_socket_is_bounded_and_a_reload_is_answered_by_what_came_of_it() {
    let kafka = kafka::shared();
    let home = Home::new(kafka.bootstrap(), &kafka.new_topics(1), "");
    let bridge = home.start();
    for line in ["\n", "{}\n", "{\"request\":\"drop\"}\n", "{\"request\":\"resume\",\"id\":\"1\",\"rate\":null}\n", &"x".repeat(70 << 10)] {
        assert_eq!(asked(&home, line)["code"], "bad_request", "{line:.40}");
    }
    // Those who say nothing are sent away after a while: on a slow machine before the ninth comes.
    let is_busy = || {
        let _silent: Vec<_> = (0..8).map(|_| UnixStream::connect(home.path("journal").join("control.sock")).unwrap()).collect();
        asked(&home, "{\"request\":\"reload\"}\n")["code"] == "busy"
    };
    let deadline = Instant::now() + WITHIN;
    while !is_busy() {
        assert!(Instant::now() < deadline);
    }

    let reload = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_waitbridge"));
        let output = command.arg("reload").arg("--config").arg(home.path("waitbridge.toml")).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap())
    };
    while reload().1.contains("too many") {
        assert!(Instant::now() < deadline);
    }
    assert_eq!(reload(), (0, "read again; nothing has changed\n".to_owned()));
    edit(&home, "name = \"sunshine\"", "name = \"moonshine\"");
    edit(&home, "retry_max = \"1s\"", "retry_max = \"2s\"");
    assert_eq!(reload(), (0, "new: moonshine\ngone: sunshine\nwaits for a restart: relay.retry_max\n".to_owned()));
    // The command reads the settings itself first, for the folder: what only the service cannot use is told by the service.
    let answer = {
        edit(&home, "time_zone = \"America/Chicago\"", "time_zone = \"Chicago\"");
        asked(&home, "{\"request\":\"reload\"}\n")
    };
    assert!(answer["code"] == "settings" && answer["message"].as_str().unwrap().contains("time_zone"), "{answer}");
    assert_eq!(reload().0, 2);
    assert_eq!(bridge.terminate(), 0);
}
